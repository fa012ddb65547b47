/** `stemma.lineage`: the family of a run as a tree, and what made each of its restarts and forks. */
import { unseal } from "../core/chain.ts";
import type { Event, Origin, RunId, Seq, Timestamp } from "../core/event.ts";
import type { Family } from "../core/lineage.ts";
import { ancestors, descendants, familyOf, siblings, sourceOf } from "../core/lineage.ts";
import { limits } from "../core/limits.ts";
import { isRecord } from "../core/record-names.ts";
import type { RunState } from "../core/reduce.ts";
import type { Status } from "../core/run.ts";
import type { RunRow, Store } from "../store/store.ts";

/** A run of a family. */
export type FamilyMember = {
  id: RunId;
  workflow: string;
  version: number;
  status: Status;
  origin: Origin;
  /** The run that it comes from, where the store has it. */
  source?: RunId;
  /** Key of the step of the source behind which the run left it, or of the scope; of a called run that of the call. */
  at?: string;
  /** Why it was made, and by whom; the keys of the outputs that were given. */
  reason?: string;
  by?: string;
  overrides?: readonly string[];
  /** What was asked for where that is said: what may be reused, and the step from or behind which it runs again. */
  reuse?: "all" | "none";
  from?: string;
  after?: string;
  tags: readonly string[];
  steps: RunState["steps"];
  createdAt: Timestamp;
  startedAt?: Timestamp;
  endedAt?: Timestamp;
};

export type Lineage = {
  run: RunId;
  /** Id of the first run of the family. */
  family: RunId;
  /** Nearest first. */
  ancestors: readonly RunId[];
  /** Each behind what it comes from. */
  descendants: readonly RunId[];
  siblings: readonly RunId[];
  /** Every run of the family, oldest first; records, which are no work, only for one of themselves. */
  runs: readonly FamilyMember[];
};

export async function lineageOf(store: Store, { id, state }: RunRow): Promise<Lineage> {
  const all = await rowsOfFamily(store, state.family);
  // What comes from a record is one itself, so without them the tree is whole.
  const rows = isRecord(state.workflow) ? all : all.filter((row) => !isRecord(row.state.workflow));
  const family = familyOfRows(rows);
  const ids = (runs: readonly { id: RunId }[]): RunId[] => runs.map((run) => run.id);
  return {
    run: id,
    family: state.family,
    ancestors: ids(ancestors(family, id)),
    descendants: ids(descendants(family, id)),
    siblings: ids(siblings(family, id)),
    runs: await membersOf(store, rows, family),
  };
}

/** The rows of a family, oldest first. */
export async function rowsOfFamily(store: Store, family: RunId): Promise<RunRow[]> {
  const rows: RunRow[] = [];
  let cursor: string | undefined;
  do {
    const page = await store.list({ family, limit: limits.pageRunsMax, ...(cursor === undefined ? {} : { cursor }) });
    rows.push(...page.runs);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return rows.reverse();
}

export function familyOfRows(rows: readonly RunRow[]): Family<{ id: RunId; origin: Origin }> {
  return familyOf(rows.map(({ id, state }) => ({ id, origin: state.origin })));
}

/** So many histories are looked into at a time. */
const looksMax = 32;

async function membersOf(
  store: Store,
  rows: readonly RunRow[],
  family: Family<{ id: RunId; origin: Origin }>,
): Promise<FamilyMember[]> {
  const members: FamilyMember[] = [];
  for (let from = 0; from < rows.length; from += looksMax) {
    const some = rows.slice(from, from + looksMax);
    members.push(...(await Promise.all(some.map((row) => memberOf(store, row, family.sources.get(row.id)?.id)))));
  }
  return members;
}

async function memberOf(store: Store, { id, state }: RunRow, source: RunId | undefined): Promise<FamilyMember> {
  const { workflow, version, status, origin, tags, steps, createdAt, startedAt, endedAt } = state;
  return {
    id,
    workflow,
    version,
    status,
    origin,
    ...(source === undefined ? {} : { source }),
    ...(await originOf(store, id, origin)),
    tags,
    steps,
    createdAt,
    ...(startedAt === undefined ? {} : { startedAt }),
    ...(endedAt === undefined ? {} : { endedAt }),
  };
}

/** How a run was made from another, as far as its row does not say. */
type Made = Pick<FamilyMember, "at" | "reason" | "by" | "overrides" | "reuse" | "from" | "after">;

async function originOf(store: Store, run: RunId, origin: Origin): Promise<Made> {
  if (origin.kind === "child") return { at: origin.key };
  const from = sourceOf(origin);
  if (from === undefined) return {};
  const [first, left] = await Promise.all([eventAt(store, run, 0), eventAt(store, from.run, from.seq)]);
  const found: Made = {};
  if (left?.type === "scope.closed") found.at = left.data.scope;
  else if (left !== undefined && "key" in left.data) found.at = left.data.key;
  if (first?.type !== "run.created") return found;
  const { reason, by, overrides, reuse, from: cut, after } = first.data;
  if (reason !== undefined) found.reason = reason;
  if (by !== undefined) found.by = by;
  if (overrides !== undefined) found.overrides = Object.keys(overrides);
  if (reuse !== undefined) found.reuse = reuse;
  if (cut !== undefined) found.from = cut;
  if (after !== undefined) found.after = after;
  return found;
}

async function eventAt(store: Store, run: RunId, seq: Seq): Promise<Event | undefined> {
  const page = await store.history(run, { after: seq - 1, limit: 1 });
  const [stored] = page?.events ?? [];
  return stored === undefined ? undefined : unseal(stored);
}
