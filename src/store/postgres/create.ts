/**
 * Creates runs. A run that is already there, by id or by (workflow, idempotency key), is left as it is, so whoever
 * does not know whether an earlier call went through may simply call again.
 */
import { StemmaError } from "../../core/error.ts";
import type { RunId } from "../../core/event.ts";
import { sourceGone } from "../../core/lineage.ts";
import type { RunState } from "../../core/reduce.ts";
import { isTerminal } from "../../core/run.ts";
import type { Created, NewRun } from "../store.ts";
import { addTo, appendColumns, expectDigest, pieces, shapeOf, valuesOf } from "./columns.ts";
import type { EventColumns } from "./row.ts";
import { eventOf, stateText } from "./row.ts";
import type { Runner } from "./runner.ts";
import { runsGone } from "./sql-parts.ts";
import { createRuns as createRunsSql, firstEvents, runsThere } from "./sql.ts";

/** Everything that a create sends, made before anything is sent: what cannot be read fails here. */
export type Creation = {
  /** For each run that was given the one that it is the same as: itself, or an earlier one. */
  same: readonly NewRun[];
  /** Of runs that are the same run the first. */
  first: readonly NewRun[];
  /** More than one where together they would be too large for one; then they need a transaction. */
  statements: readonly Statement[];
};

/** `values`: behind the clock. */
type Statement = { sql: string; values: readonly unknown[] };

/** @param origins "expected": nothing is created where the run that one comes from is not there */
export function creationOf(runs: readonly NewRun[], origins: "locked" | "expected" = "locked"): Creation {
  const same = sameRuns(runs);
  // In the order of what could clash, as others do it too.
  const first = [...new Set(same)].sort((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1));
  return { same, first, statements: pieces(first, charsOf).map((some) => statementOf(some, origins)) };
}

/** About how much text is sent for a run. */
export function charsOf({ events, payloads }: NewRun): number {
  const texts = [...events.map(({ data }) => data), ...payloads.map(({ text }) => text)];
  return texts.reduce((sum, text) => sum + text.length, 0);
}

function statementOf(first: readonly NewRun[], origins: "locked" | "expected"): Statement {
  const columns: unknown[][] = Array.from({ length: 18 }, () => []);
  const tags: unknown[][] = [[], []];
  for (const run of first) {
    const { id, state } = run;
    const last = run.events.at(-1);
    if (last === undefined) throw new StemmaError("engine.bug", `Expected run ${id} to have a first event, got none.`);
    addTo(
      columns,
      id,
      state.family === id ? null : state.family,
      originOf(state),
      state.workflow,
      state.version,
      state.status,
      state.createdAt,
      state.endedAt ?? null,
      isTerminal(state.status),
      stateText(state),
      JSON.stringify(state.tags),
      state.refused ?? "",
      last.seq,
      expectDigest(last.hash),
      run.dueAt === undefined ? null : Math.ceil(run.dueAt),
      run.queue ?? "default",
      run.priority ?? 0,
      run.idempotencyKey ?? null,
    );
    for (const tag of new Set(state.tags)) addTo(tags, id, tag);
  }
  const { events, payloads, uses } = appendColumns(
    first.map((run) => ({ ...run, run: run.id, family: run.state.family, seq: 0, reuse: undefined })),
  );
  const given = { runs: columns, events, tags, rest: uses[0]?.length === 0 ? [] : [...payloads, ...uses] };
  const comeFromOthers = first.some(({ state }) => originOf(state) !== null);
  const shape = { ...shapeOf(given), origins: comeFromOthers ? origins : undefined };
  return { sql: createRunsSql(shape), values: valuesOf(given, shape) };
}

/**
 * Creates what is not there. `ours`: an earlier try of the same may have gone through, so a run that is there exactly
 * as we would make it is taken for ours.
 */
export async function createRuns(
  db: Runner,
  { same, first, statements }: Creation,
  now: number | null,
  ours: boolean = false,
): Promise<readonly Created[]> {
  if (same.length === 0) return [];
  const made = new Set<RunId>();
  for (const { sql, values } of statements) {
    for (const { run } of await db.query<{ run: RunId }>(sql, [now, ...values])) made.add(run);
  }
  const known = made.size === first.length ? new Map<NewRun, Created>() : await findThere(db, first, made, ours);
  const told = new Set<NewRun>();
  return same.map((one) => {
    const created = known.get(one) ?? { id: one.id, created: true };
    if (!told.has(one)) {
      told.add(one);
      return created;
    }
    return { id: created.id, created: false };
  });
}

/** With the first events of those that were there already. */
export async function withFirst(db: Runner, created: readonly Created[]): Promise<readonly Created[]> {
  const old = created.flatMap((one) => (one.created ? [] : [one.id]));
  if (old.length === 0) return created;
  const rows = await db.query<EventColumns & { run: RunId }>(firstEvents, [old]);
  const first = new Map(rows.map((row) => [row.run, eventOf(row)]));
  return created.map((one) => {
    const event = one.created ? undefined : first.get(one.id);
    return event === undefined ? one : { ...one, first: event };
  });
}

async function findThere(
  db: Runner,
  first: readonly NewRun[],
  made: ReadonlySet<RunId>,
  ours: boolean,
): Promise<Map<NewRun, Created>> {
  const old = first.filter(({ id }) => !made.has(id));
  const rows = await db.query<{ ord: number; id: RunId; hash: string }>(runsThere, [
    old.map(({ id }) => id),
    old.map(({ state }) => state.workflow),
    old.map(({ idempotencyKey }) => idempotencyKey ?? null),
  ]);
  const there = new Map<NewRun, Created>();
  for (const { ord, id, hash } of rows) {
    const run = old[ord];
    if (run === undefined) continue;
    there.set(run, { id, created: ours && id === run.id && hash === run.events[0]?.hash });
  }
  const missing = old.find((run) => !there.has(run));
  if (missing === undefined) return there;
  const origins = first.flatMap(({ state }) => originOf(state) ?? []);
  const [gone] = await db.query<{ id: RunId }>(runsGone, [origins.filter((id) => !first.some((run) => run.id === id))]);
  if (gone !== undefined) throw sourceGone(gone.id);
  throw new StemmaError("store.busy", `Run ${missing.id} was removed while it was being created. Try again.`);
}

/** For each run the first of them that is the same run, by id or by (workflow, idempotency key). */
function sameRuns(runs: readonly NewRun[]): NewRun[] {
  const byId = new Map<string, NewRun>();
  const byKey = new Map<string, NewRun>();
  return runs.map((run) => {
    const { id, state, idempotencyKey } = run;
    const key = idempotencyKey === undefined ? undefined : JSON.stringify([state.workflow, idempotencyKey]);
    const one = byId.get(id) ?? (key === undefined ? undefined : byKey.get(key)) ?? run;
    byId.set(id, one);
    if (key !== undefined) byKey.set(key, one);
    return one;
  });
}

function placeOf({ id, state, idempotencyKey }: NewRun): string {
  return idempotencyKey === undefined ? ` ${id}` : `${state.workflow} ${idempotencyKey}`;
}

function originOf({ origin }: RunState): RunId | null {
  return "run" in origin ? origin.run : null;
}
