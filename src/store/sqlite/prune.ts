/**
 * Removes runs that ended long ago, leaves of the family tree first, so a run that a remaining one comes from stays.
 * A payload goes with the last run that uses it.
 */
import type { Pruned, PruneRequest } from "../store.ts";
import type { Statements } from "./driver.ts";
import {
  deleteEffects,
  deleteEmitted,
  deleteEvents,
  deleteMessages,
  deletePayload,
  deletePayloadUses,
  deleteRun,
  deleteTag,
  payloadsOfRun,
  prunableRuns,
  runHead,
} from "./sql.ts";

type Prunable = { n: number; id: string; tags: string };

export function pruneRuns(db: Statements, { endedBefore, limit }: PruneRequest): Pruned {
  const runs: string[] = [];
  let events = 0;
  let payloadBytes = 0;
  while (runs.length < limit) {
    // Each round bares new leaves.
    const leaves = db.prepare(prunableRuns).all(endedBefore, limit - runs.length) as Prunable[];
    if (leaves.length === 0) break;
    for (const leaf of leaves) {
      runs.push(leaf.id);
      const removed = remove(db, leaf);
      events += removed.events;
      payloadBytes += removed.payloadBytes;
    }
  }
  return { runs, events, payloadBytes };
}

/** Whether runs that were answered as removed are gone. */
export function haveGone(db: Statements, { runs }: Pruned): boolean {
  const [first] = runs;
  return first === undefined || db.prepare(runHead).get(first) === undefined;
}

function remove(db: Statements, { n, id, tags }: Prunable): { events: number; payloadBytes: number } {
  const events = Number(db.prepare(deleteEvents).run(n).changes);
  db.prepare(deleteMessages).run(n);
  db.prepare(deleteEmitted).run(n);
  for (const tag of JSON.parse(tags) as string[]) db.prepare(deleteTag).run(tag, n);
  const payloads = db.prepare(payloadsOfRun).all(n) as { payload: number }[];
  db.prepare(deletePayloadUses).run(n);
  let payloadBytes = 0;
  for (const { payload } of payloads) {
    payloadBytes += (db.prepare(deletePayload).get(payload, payload)?.["bytes"] as number | undefined) ?? 0;
  }
  db.prepare(deleteEffects).run(id);
  db.prepare(deleteRun).run(n);
  return { events, payloadBytes };
}
