/**
 * How far the feed was read for webhooks, kept in the store. It may lie behind what was done, never before: what is read
 * again makes no second delivery. So it is written now and then, and each that is written takes the place of the last.
 */
import type { RunId } from "../../core/event.ts";
import { webhookRecords } from "./records.ts";
import { endOfFeed } from "../../engine/cursors.ts";
import { newRunId } from "../../engine/id.ts";
import { keptStates } from "../../engine/kept-states.ts";
import type { Store } from "../../store/store.ts";

const kind = webhookRecords.cursor;
/** How far the store's clock may be ahead of this one. */
const clockMs = 60_000;

/** Where to read on: behind this position. */
export async function readCursor(store: Store): Promise<number> {
  const kept = keptStates(store);
  const positions: number[] = [];
  for (const id of await kept.ids(kind)) {
    const found = await kept.read(id);
    if (found !== undefined) positions.push((found.value as { position: number }).position);
  }
  // Several servers keep one each, and each had made all deliveries up to there.
  if (positions.length > 0) return Math.max(...positions);
  return firstPosition(store);
}

/** Before the first webhook that there is; the end of the feed where there is none. */
async function firstPosition(store: Store): Promise<number> {
  const firsts: number[] = [];
  for (const workflow of [webhookRecords.subscription, webhookRecords.ofRun]) {
    // Most stores have none, and to find that out by reading their feed would take long.
    if ((await store.list({ workflow, limit: 1 })).runs.length === 0) continue;
    for (let after = 0; ;) {
      const page = await store.feed({ workflow, after, limit: 1 });
      const [first] = page.events;
      if (first !== undefined) firsts.push(first.position - 1);
      if (first !== undefined || page.position === after) break;
      after = page.position;
    }
  }
  if (firsts.length > 0) return Math.min(...firsts);
  return endOfFeed(store);
}

export async function keepCursor(store: Store, position: number): Promise<void> {
  const kept = keptStates(store);
  const before = await kept.ids(kind);
  const at = Date.now();
  const id: RunId = newRunId(at);
  await kept.keep({ id, kind, value: { position }, note: { position }, at });
  for (const one of before) await kept.giveUp(one);
  // Nobody wants to know how far it was once. What a clock that differs leaves there is pruned with all else.
  await store.prune({ endedBefore: at + clockMs, units: before.map((one) => [one]) });
}
