/**
 * Removes runs that ended long ago, leaves of the family tree first, so a run that a remaining one comes from stays.
 * A payload goes with the last run that uses it; that no other process gives it a new user at this very moment is what
 * the foreign key from uses to payloads is for.
 */
import type { RunId } from "../../core/event.ts";
import type { Pruned, PruneRequest } from "../store.ts";
import type { Database } from "./database.ts";
import type { Runner } from "./runner.ts";
import {
  bareRuns,
  deleteEvents,
  deletePayloads,
  deletePayloadUses,
  deleteRest,
  lockSequencer,
  prunableRuns,
} from "./sql-feed.ts";

export function pruneRuns(db: Database, { endedBefore, limit, only, dryRun = false }: PruneRequest): Promise<Pruned> {
  // Removing and taking it back is the one way to count that cannot disagree with removing.
  return db.transaction((tx) => removeRuns(tx, Math.ceil(endedBefore), limit, only), { undo: dryRun });
}

async function removeRuns(tx: Runner, endedBefore: number, limit: number, only: PruneRequest["only"]): Promise<Pruned> {
  await tx.query(lockSequencer);
  const pruned: Pruned & { runs: RunId[] } = { runs: [], events: 0, payloadBytes: 0 };
  while (pruned.runs.length < limit) {
    const ids = await leaves(tx, endedBefore, limit - pruned.runs.length, only);
    if (ids.length === 0) break;
    pruned.runs.push(...ids);
    // Each round bares new leaves.
    const [events] = await tx.query<{ n: number }>(deleteEvents, [ids]);
    const uses = await tx.query<{ digest: string }>(deletePayloadUses, [ids]);
    const [payloads] = await tx.query<{ bytes: number }>(deletePayloads, [uses.map(({ digest }) => digest)]);
    for (const statement of deleteRest) await tx.query(statement, [ids]);
    pruned.events += events?.n ?? 0;
    pruned.payloadBytes += payloads?.bytes ?? 0;
  }
  return pruned;
}

/** Locked first and looked at again then: a run that comes from one of them may have been created meanwhile. */
async function leaves(tx: Runner, endedBefore: number, limit: number, only: PruneRequest["only"]): Promise<RunId[]> {
  const locked = await tx.query<{ id: RunId }>(prunableRuns, [endedBefore, limit, only ?? null]);
  const bare = await tx.query<{ id: RunId }>(bareRuns, [locked.map(({ id }) => id)]);
  return bare.map(({ id }) => id);
}
