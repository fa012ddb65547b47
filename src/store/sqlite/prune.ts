/**
 * Removes runs that ended long ago, leaves of the family tree first, so a run that a remaining one comes from stays.
 * A payload goes with the last run that uses it.
 */
import type { RunId } from "../../core/event.ts";
import { removable } from "../../core/prunable.ts";
import type { Pruned, PruneRequest } from "../store.ts";
import type { Statements } from "./driver.ts";
import {
  countRuns,
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
  runsFrom,
} from "./sql.ts";

type Prunable = { n: number; id: string; tags: string };

export function pruneRuns(db: Statements, { endedBefore, limit, units }: PruneRequest): Pruned {
  if (units !== undefined) return removeAll(db, freeOf(db, endedBefore, units));
  const runs: RunId[] = [];
  let [events, payloadBytes] = [0, 0];
  while (runs.length < limit) {
    // Each round bares new leaves.
    const leaves = db.prepare(prunableRuns).all(endedBefore, limit - runs.length) as Prunable[];
    if (leaves.length === 0) break;
    const removed = removeAll(db, leaves);
    runs.push(...removed.runs);
    events += removed.events;
    payloadBytes += removed.payloadBytes;
  }
  return { runs, events, payloadBytes };
}

/** What `pruneRuns` would remove of units, without removing it: nobody waits for that, however many there are. */
export function countUnits(db: Statements, endedBefore: number, units: Units): Pruned {
  const free = freeOf(db, endedBefore, units);
  const found = db.prepare(countRuns).get(JSON.stringify(free.map(({ n }) => n)));
  const { events, bytes } = found as { events: number; bytes: number };
  return { runs: free.map(({ id }) => id), events, payloadBytes: bytes };
}

type Units = NonNullable<PruneRequest["units"]>;

function freeOf(db: Statements, endedBefore: number, units: Units): Prunable[] {
  const found = new Map<RunId, Prunable>();
  const comers: { id: RunId; origin: RunId }[] = [];
  for (const id of units.flat()) {
    const run = db.prepare(prunableRun).get(id, endedBefore) as Prunable | undefined;
    if (run !== undefined) found.set(id, run);
    for (const comer of db.prepare(runsFrom).all(id)) comers.push({ id: comer["id"] as RunId, origin: id });
  }
  return removable(units, new Set(found.keys()), comers).flatMap((id) => found.get(id) ?? []);
}

function removeAll(db: Statements, all: readonly Prunable[]): Pruned {
  let events = 0;
  let payloadBytes = 0;
  for (const one of all) {
    const removed = remove(db, one);
    events += removed.events;
    payloadBytes += removed.payloadBytes;
  }
  return { runs: all.map(({ id }) => id), events, payloadBytes };
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
