/**
 * The runs that a run called, as they stand: their rows, and the trees of some of them. They are looked at again and
 * again while a run is watched, so what is known of them is kept, and only what came since is read.
 */
import { unseal } from "../core/chain.ts";
import type { RunId } from "../core/event.ts";
import { limits } from "../core/limits.ts";
import { isTerminal } from "../core/run.ts";
import type { RunRow } from "../store/store.ts";
import type { Branch, Entry, Growing } from "./run-tree.ts";
import { addEvent, newTree, treeOf } from "./run-tree.ts";
import type { Looked } from "./place.ts";

/** A called run; its tree is there where there is room for it. */
export type CalledRun = { row: RunRow; tree?: Branch };

/** What was read of called runs so far. */
export type KnownCalls = Map<RunId, { row: RunRow; growing: Growing; after: number }>;

/** How many of them are shown with what they did, and how much of that may be on record, unless all is wanted. */
const treesMax = 10;
const eventsMax = 5000;

/**
 * Looks at the runs that are called by these entries. Those that go on or did not end well have their trees first.
 *
 * @param all every tree, however many and large they are
 */
export async function lookAtCalled(
  store: Looked,
  entries: readonly Entry[],
  known: KnownCalls,
  all: boolean,
): Promise<ReadonlyMap<RunId, CalledRun>> {
  const ids = entries.flatMap(({ kind, from }) => (kind === "child" && from !== undefined ? [from.run] : []));
  const rows = await rowsOf(store, ids, known);
  const urgent = rows.toSorted(
    (a, b) => Number(a.state.status === "succeeded") - Number(b.state.status === "succeeded"),
  );
  const chosen = urgent.slice(0, all ? Infinity : treesMax);
  for (const row of chosen) if (all || row.state.seq < eventsMax) await read(store, row, known);
  return new Map(rows.map((row) => [row.id, calledRun(row, known, chosen.includes(row))]));
}

/** A run that has ended stays as it is. */
async function rowsOf(store: Looked, ids: readonly RunId[], known: KnownCalls): Promise<RunRow[]> {
  const rows = new Map<RunId, RunRow>();
  const asked: RunId[] = [];
  for (const id of ids) {
    const row = known.get(id)?.row;
    if (row !== undefined && isTerminal(row.state.status)) rows.set(id, row);
    else asked.push(id);
  }
  for (let at = 0; at < asked.length; at += limits.pageRunsMax) {
    const { runs } = await store.list({ ids: asked.slice(at, at + limits.pageRunsMax), limit: limits.pageRunsMax });
    for (const row of runs) rows.set(row.id, row);
  }
  return ids.flatMap((id) => rows.get(id) ?? []);
}

async function read(store: Looked, row: RunRow, known: KnownCalls): Promise<void> {
  const call = known.get(row.id) ?? { row, growing: newTree(), after: -1 };
  call.row = row;
  known.set(row.id, call);
  while (call.after < row.state.seq) {
    const page = await store.history(row.id, { after: call.after, limit: limits.pageEventsMax });
    if (page === undefined || page.events.length === 0) return;
    for (const event of page.events) addEvent(call.growing, unseal(event));
    call.after = page.events.at(-1)?.seq ?? call.after;
    call.row = page.row;
  }
}

function calledRun(row: RunRow, known: KnownCalls, shown: boolean): CalledRun {
  const call = known.get(row.id);
  return call === undefined || !shown ? { row } : { row: call.row, tree: treeOf(call.growing) };
}
