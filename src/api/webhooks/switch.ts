/**
 * Webhooks that are switched off because nothing arrives any more. That one is off is a record of its own, so that every
 * server on the store knows it, and knows it in the order of the feed; it is given up when something arrives again.
 */
import type { RunId, Timestamp } from "../../core/event.ts";
import { limits } from "../../core/limits.ts";
import { newRunId } from "../../engine/id.ts";
import { keptStates } from "../../engine/kept-states.ts";
import type { Store } from "../../store/store.ts";
import { toTag } from "./delivery-log.ts";
import { webhookRecords } from "./records.ts";

/** `failing`: all that was sent since then was given up. `gone`: the receiver answered 410. */
export type Off = { why: "failing" | "gone"; since: Timestamp; at: Timestamp };

export type Switch = {
  of(hook: RunId): Promise<Off | undefined>;
  /** Something arrived: it is on, if it was off. */
  arrived(hook: RunId): Promise<void>;
  /** A delivery was given up: it is off, if nothing has arrived for long. */
  gaveUp(hook: RunId, why: Off["why"]): Promise<void>;
};

const offTag = "off ";
/** How many deliveries that came to an end are looked through. */
const deliveriesMax = 500;

/** The webhook that a record of this says to be off. */
export function hookThatIsOff(tags: readonly string[]): RunId | undefined {
  return tags.find((tag) => tag.startsWith(offTag))?.slice(offTag.length);
}

/** @param afterMs how long nothing may arrive */
export function switchIn(store: Store, afterMs: number): Switch {
  const kept = keptStates(store);
  const records = async (hook: RunId): Promise<RunId[]> => {
    const query = { workflow: webhookRecords.off, tag: `${offTag}${hook}`, status: ["queued", "paused"] as const };
    return (await store.list({ ...query, limit: 10 })).runs.map(({ id }) => id);
  };
  const of = async (hook: RunId): Promise<Off | undefined> => {
    const [first] = await records(hook);
    const found = first === undefined ? undefined : await kept.read(first);
    return found?.value as Off | undefined;
  };
  return {
    of,
    async arrived(hook) {
      for (const id of await records(hook)) await kept.giveUp(id);
    },
    async gaveUp(hook, why) {
      if ((await records(hook)).length > 0) return;
      const at = Date.now();
      const since = why === "gone" ? at : await failingSince(store, hook, at - afterMs);
      if (since === undefined) return;
      const value: Off = { why, since, at };
      const tags = [`${offTag}${hook}`];
      await kept.keep({ id: newRunId(at), kind: webhookRecords.off, value, note: { webhook: hook }, tags, at });
    },
  };
}

/** When the first of what was given up in a row was made; nothing where that was after `before`. */
async function failingSince(store: Store, hook: RunId, before: Timestamp): Promise<Timestamp | undefined> {
  let [cursor, looked]: [string | undefined, number] = [undefined, 0];
  let since: Timestamp | undefined;
  do {
    // Those that are on their way say nothing yet, and where a receiver is away for long there are many of them.
    const status = ["succeeded", "failed"] as const;
    const query = { workflow: webhookRecords.delivery, tag: toTag(hook), status, limit: limits.pageRunsMax };
    const page = await store.list(cursor === undefined ? query : { ...query, cursor });
    for (const { state } of page.runs) {
      if (state.status === "succeeded") return since !== undefined && since <= before ? since : undefined;
      since = state.createdAt;
    }
    looked += page.runs.length;
    ({ cursor } = page);
  } while (cursor !== undefined && looked < deliveriesMax);
  return since !== undefined && since <= before ? since : undefined;
}
