/** Decisions that were made before: the same again changes nothing, and who decides otherwise is told what was decided. */
import { StemmaError } from "../core/error.ts";
import type { Event, EventOf, RunId } from "../core/event.ts";
import { canonical, decode } from "../core/json.ts";
import type { Store } from "../store/store.ts";
import { readTexts } from "./history-pages.ts";
import type { DecideMessage } from "./messages.ts";
import { textOf } from "./value.ts";

type Decided = EventOf<"step.decided">["data"];

/**
 * What was decided last about a step, and whether that is this, down to the value. Undefined where nothing was.
 *
 * @param message only what was decided by the request with this idempotency key
 */
export async function decidedBefore(
  store: Store,
  run: RunId,
  events: readonly Event[],
  { key, decision, text, error }: DecideMessage,
  message?: string,
): Promise<{ made: Decided; same: boolean } | undefined> {
  const isIt = (data: Decided): boolean => data.key === key && (message === undefined || data.message === message);
  const at = events.findLastIndex(({ type, data }) => type === "step.decided" && isIt(data));
  const event = events[at];
  if (event?.type !== "step.decided") return undefined;
  const made = event.data;
  // What follows from a decision at once is recorded with it.
  const outcome = events.slice(at + 1).find(({ data }) => "key" in data && data.key === key);
  if (made.decision !== decision) return { made, same: false };
  if (decision === "record" && outcome?.type === "step.succeeded") {
    const { output } = outcome.data;
    const there = textOf(output, "digest" in output ? await readTexts(store, run, [output.digest]) : new Map());
    return { made, same: formOf(there) === formOf(text) };
  }
  if (decision === "fail" && outcome?.type === "step.failed")
    return { made, same: canonical(outcome.data.error) === canonical(error ?? null) };
  return { made, same: true };
}

function formOf(text: string | undefined): string {
  return text === undefined ? "" : canonical(decode(text));
}

/** Throws step.not_in_doubt where it was decided in another way. */
export function expectSame(run: RunId, made: Decided, decision: DecideMessage["decision"], same: boolean = true): void {
  if (made.decision === decision && same) return;
  const { key, by } = made;
  const who = by === undefined ? "" : ` by ${by}`;
  const otherwise = made.decision === decision ? ", with another value" : "";
  throw new StemmaError(
    "step.not_in_doubt",
    `Step ${key} of ${run} needs no decision: it was decided before${who}, as ${made.decision}${otherwise}.`,
    { data: { run, step: key, decision: made.decision, ...(by === undefined ? {} : { by }) } },
  );
}
