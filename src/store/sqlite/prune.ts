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
  prunableRun,
  prunableRuns,
  runHead,
} from "./sql.ts";

type Prunable = { n: number; id: string; tags: string };

export function pruneRuns(db: Statements, { endedBefore, limit, only }: PruneRequest): Pruned {
  const runs: string[] = [];
  let events = 0;
  let payloadBytes = 0;
  while (runs.length < limit) {
    // Each round bares new leaves.
    const leaves = leavesOf(db, endedBefore, limit - runs.length, only);
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

function leavesOf(db: Statements, endedBefore: number, limit: number, only: PruneRequest["only"]): Prunable[] {
  if (only === undefined) return db.prepare(prunableRuns).all(endedBefore, limit) as Prunable[];
  const leaves: Prunable[] = [];
  for (const id of only) {
    const leaf = db.prepare(prunableRun).get(id, endedBefore) as Prunable | undefined;
    if (leaf !== undefined) leaves.push(leaf);
    if (leaves.length >= limit) break;
  }
  return leaves;
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
