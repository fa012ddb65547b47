/**
 * Removes runs that are old enough and that nothing that stays can reach, family by family and a few runs at a time, so
 * that nobody waits long. Which may go is asked of the rows; the store removes none that another run comes from, whatever
 * was made meanwhile.
 */
import type { Duration } from "../core/duration.ts";
import { milliseconds } from "../core/duration.ts";
import { StemmaError } from "../core/error.ts";
import type { RunId, Timestamp } from "../core/event.ts";
import { limits } from "../core/limits.ts";
import { prunable } from "../core/prunable.ts";
import type { Status } from "../core/run.ts";
import { isTerminal, terminal } from "../core/run.ts";
import type { RunRow, Store } from "../store/store.ts";
import { callerOf } from "./children.ts";
import { rowsOfFamily } from "./lineage.ts";

export type PruneOptions = {
  /** Runs that ended so long ago, or before that day. */
  olderThan: Duration | Date;
  /** Only runs that ended so; of this workflow; with this tag. Called runs are taken with the run that called them. */
  status?: readonly Status[];
  workflow?: string;
  tag?: string;
  /** Counts, and removes nothing. */
  dryRun?: boolean;
};

export type PrunedRuns = {
  /** How many runs and events went, or would. */
  runs: number;
  events: number;
  /** What is given back of payloads, in bytes. A dry run does not count what several families share. */
  payloadBytes: number;
  /** Runs that are old enough, and stay because something that stays leads to them. */
  kept: number;
};

/** So many runs go at a time. */
const batch = 50;

export async function pruneFamilies(store: Store, now: Timestamp, options: PruneOptions): Promise<PrunedRuns> {
  const { olderThan, status = [...terminal], workflow, tag } = options;
  for (const each of status) {
    if (!isTerminal(each))
      throw new StemmaError("usage.invalid", `Expected statuses of runs that have ended, got ${each}.`);
  }
  const endedBefore = olderThan instanceof Date ? olderThan.getTime() : now - milliseconds(olderThan, "olderThan");
  const isMeant = ({ state }: RunRow): boolean =>
    status.includes(state.status) &&
    (workflow === undefined || state.workflow === workflow) &&
    (tag === undefined || state.tags.includes(tag));
  const total: PrunedRuns = { runs: 0, events: 0, payloadBytes: 0, kept: 0 };
  const families = new Set<RunId>();
  let cursor: string | undefined;
  do {
    const page = await store.list({
      status,
      limit: limits.pageRunsMax,
      ...(workflow === undefined ? {} : { workflow }),
      ...(tag === undefined ? {} : { tag }),
      ...(cursor === undefined ? {} : { cursor }),
    });
    for (const { state } of page.runs) if ((state.endedAt ?? Infinity) < endedBefore) families.add(state.family);
    cursor = page.cursor;
  } while (cursor !== undefined);
  for (const family of families)
    await pruneFamily(store, family, { isMeant, endedBefore, dryRun: options.dryRun === true }, total);
  return total;
}

type Due = { isMeant: (row: RunRow) => boolean; endedBefore: Timestamp; dryRun: boolean };

async function pruneFamily(
  store: Store,
  family: RunId,
  { isMeant, endedBefore, dryRun }: Due,
  total: PrunedRuns,
): Promise<void> {
  const rows = await rowsOfFamily(store, family);
  const byId = new Map(rows.map((row) => [row.id, row]));
  const hasEnded = ({ state }: RunRow): boolean =>
    isTerminal(state.status) && (state.endedAt ?? Infinity) < endedBefore;
  const due = rows.filter((row) => hasEnded(row) && isMeant(firstCaller(row, byId)));
  const goes = new Set(due);
  const only = [
    ...prunable(rows.toReversed().map((row) => ({ id: row.id, origin: row.state.origin, goes: goes.has(row) }))),
  ];
  let gone = 0;
  while (gone < only.length) {
    const limit = dryRun ? only.length : batch;
    const { runs, events, payloadBytes } = await store.prune({ endedBefore, limit, only, dryRun });
    gone += runs.length;
    total.events += events;
    total.payloadBytes += payloadBytes;
    if (runs.length === 0 || dryRun) break;
    await new Promise((resolve) => setImmediate(resolve));
  }
  total.runs += gone;
  total.kept += due.length - gone;
}

/** A called run is meant where the run is from which the calls lead to it. */
function firstCaller(row: RunRow, rows: ReadonlyMap<RunId, RunRow>): RunRow {
  const seen = new Set<RunId>();
  let at = row;
  for (let up: RunRow | undefined = row; up !== undefined && !seen.has(up.id);) {
    at = up;
    seen.add(up.id);
    up = rows.get(callerOf(up.state.origin)?.run ?? "");
  }
  return at;
}
