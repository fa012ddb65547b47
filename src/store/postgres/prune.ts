/**
 * Removes runs that ended long ago, leaves of the family tree first, so a run that a remaining one comes from stays.
 * A payload goes with the last run that uses it; that no other process gives it a new user at this very moment is what
 * the foreign key from uses to payloads is for.
 */
import type { RunId } from "../../core/event.ts";
import { removable } from "../../core/prunable.ts";
import type { Pruned, PruneRequest } from "../store.ts";
import type { Database } from "./database.ts";
import type { Runner } from "./runner.ts";
import {
  bareRuns,
  countRuns,
  deleteEvents,
  deletePayloads,
  deletePayloadUses,
  deleteRest,
  endedRuns,
  lockEndedRuns,
  lockSequencer,
  prunableRuns,
  runsFrom,
} from "./sql-feed.ts";

export function pruneRuns(db: Database, request: PruneRequest): Promise<Pruned> {
  const { limit, units, dryRun = false } = request;
  const endedBefore = Math.ceil(request.endedBefore);
  if (units === undefined) {
    // Removing and taking it back cannot disagree with removing, and is for few runs.
    return db.transaction((tx) => removeLeaves(tx, endedBefore, limit), { undo: dryRun });
  }
  return db.transaction(async (tx) => {
    if (dryRun) return count(tx, await freeOf(tx, endedBefore, units, endedRuns));
    await tx.query(lockSequencer);
    return remove(tx, await freeOf(tx, endedBefore, units, lockEndedRuns));
  });
}

async function removeLeaves(tx: Runner, endedBefore: number, limit: number): Promise<Pruned> {
  await tx.query(lockSequencer);
  const runs: RunId[] = [];
  let [events, payloadBytes] = [0, 0];
  while (runs.length < limit) {
    const ids = await leaves(tx, endedBefore, limit - runs.length);
    if (ids.length === 0) break;
    // Each round bares new leaves.
    const removed = await remove(tx, ids);
    runs.push(...ids);
    events += removed.events;
    payloadBytes += removed.payloadBytes;
  }
  return { runs, events, payloadBytes };
}

async function remove(tx: Runner, runs: readonly RunId[]): Promise<Pruned> {
  const [events] = await tx.query<{ n: number }>(deleteEvents, [runs]);
  const uses = await tx.query<{ digest: string }>(deletePayloadUses, [runs]);
  const [payloads] = await tx.query<{ bytes: number }>(deletePayloads, [uses.map(({ digest }) => digest)]);
  for (const statement of deleteRest) await tx.query(statement, [runs]);
  return { runs, events: events?.n ?? 0, payloadBytes: payloads?.bytes ?? 0 };
}

async function count(tx: Runner, runs: readonly RunId[]): Promise<Pruned> {
  const [found] = await tx.query<{ events: number; bytes: number }>(countRuns, [runs]);
  return { runs, events: found?.events ?? 0, payloadBytes: found?.bytes ?? 0 };
}

/** Locked first and looked at again then: a run that comes from one of them may have been created meanwhile. */
async function freeOf(
  tx: Runner,
  endedBefore: number,
  units: NonNullable<PruneRequest["units"]>,
  found: typeof endedRuns,
): Promise<RunId[]> {
  const ended = await tx.query<{ id: RunId }>(found, [endedBefore, units.flat()]);
  const ids = ended.map(({ id }) => id);
  const comers = await tx.query<{ id: RunId; origin: RunId }>(runsFrom, [ids]);
  return removable(units, new Set(ids), comers);
}

/** As above. */
async function leaves(tx: Runner, endedBefore: number, limit: number): Promise<RunId[]> {
  const locked = await tx.query<{ id: RunId }>(prunableRuns, [endedBefore, limit]);
  const bare = await tx.query<{ id: RunId }>(bareRuns, [locked.map(({ id }) => id)]);
  return bare.map(({ id }) => id);
}
