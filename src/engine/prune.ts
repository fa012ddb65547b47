/**
 * Removes runs that are old enough and that nothing that stays can reach, family by family and a few runs at a time, so
 * that nobody waits long. Which may go is asked of the rows; the store looks again when it removes them, and lets a run
 * stay with all that it called if another was made from one of them meanwhile.
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
  /**
   * Makes the file smaller afterwards. It takes as much room again while it goes on, nobody can write meanwhile, and it is
   * refused while a worker is at work. Only for SQLite: PostgreSQL gives room back by itself.
   */
  compact?: boolean;
};

export type PrunedRuns = {
  /** How many runs and events went, or would. */
  runs: number;
  events: number;
  /** What is given back of payloads, in bytes. */
  payloadBytes: number;
  /** Runs that are old enough, and stay because something that stays leads to them. */
  kept: number;
  /** With `compact`: bytes of the file and its log before that and behind it. */
  file?: { before: number; after: number };
};

/** So many runs go at a time; a run that called more goes with all of them. */
const batch = 50;

export async function pruneFamilies(store: Store, now: Timestamp, options: PruneOptions): Promise<PrunedRuns> {
  const { olderThan, status = [...terminal], workflow, tag } = options;
  for (const each of status) {
    if (!isTerminal(each))
      throw new StemmaError("usage.invalid", `Expected statuses of runs that have ended, got ${each}.`);
  }
  const compact = options.compact === true ? compactOf(store, options) : undefined;
  await compact?.({ dryRun: true });
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
  const due = { isMeant, endedBefore };
  if (options.dryRun === true) return counted(store, families, due);
  for (const family of families) await pruneFamily(store, family, due, total);
  return compact === undefined ? total : { ...total, file: await compact() };
}

/** Whoever asks for what cannot be is told so before anything is removed. */
function compactOf(store: Store, { dryRun }: PruneOptions): NonNullable<Store["compact"]> {
  if (dryRun === true)
    throw new StemmaError("usage.invalid", "Expected a dry run or compact, got both. Leave one out.");
  if (store.compact !== undefined) return store.compact.bind(store);
  throw new StemmaError("usage.invalid", `${store.name} gives room back by itself. Leave compact out.`);
}

type Due = { isMeant: (row: RunRow) => boolean; endedBefore: Timestamp };

/** What would go of all families together: of what several share, no one of them would say so. */
async function counted(store: Store, families: Iterable<RunId>, due: Due): Promise<PrunedRuns> {
  const all: RunId[][] = [];
  let wanted = 0;
  for (const family of families) {
    const { units, runs } = await unitsOf(store, family, due);
    for (const unit of units) all.push(unit);
    wanted += runs;
  }
  if (all.length === 0) return { runs: 0, events: 0, payloadBytes: 0, kept: wanted };
  const { endedBefore } = due;
  const { runs, events, payloadBytes } = await store.prune({ endedBefore, units: all, dryRun: true });
  return { runs: runs.length, events, payloadBytes, kept: wanted - runs.length };
}

async function pruneFamily(store: Store, family: RunId, due: Due, total: PrunedRuns): Promise<void> {
  const { endedBefore } = due;
  const { units, runs: wanted } = await unitsOf(store, family, due);
  let gone = 0;
  for (let at = 0; at < units.length;) {
    const some: RunId[][] = [];
    for (let runs = 0; at < units.length; at += 1) {
      const unit = units[at] ?? [];
      runs += unit.length;
      if (some.length > 0 && runs > batch) break;
      some.push(unit);
    }
    const { runs, events, payloadBytes } = await store.prune({ endedBefore, units: some });
    gone += runs.length;
    total.events += events;
    total.payloadBytes += payloadBytes;
    await new Promise((resolve) => setImmediate(resolve));
  }
  total.runs += gone;
  total.kept += wanted - gone;
}

/** What may go of a family, and how many of its runs are to go. */
async function unitsOf(
  store: Store,
  family: RunId,
  { isMeant, endedBefore }: Due,
): Promise<{ units: RunId[][]; runs: number }> {
  const rows = await rowsOfFamily(store, family);
  const byId = new Map(rows.map((row) => [row.id, row]));
  const hasEnded = ({ state }: RunRow): boolean =>
    isTerminal(state.status) && (state.endedAt ?? Infinity) < endedBefore;
  const goes = new Set(rows.filter((row) => hasEnded(row) && isMeant(firstCaller(row, byId))));
  const units = prunable(rows.map((row) => ({ id: row.id, origin: row.state.origin, goes: goes.has(row) })));
  return { units, runs: goes.size };
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
