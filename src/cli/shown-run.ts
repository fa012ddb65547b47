/**
 * What is shown of a run: its row, and what its history says that the row does not. It grows with the history, event by
 * event, so that a run can be watched without reading anything twice.
 */
import type { Event, EventOf } from "../core/event.ts";
import type { RunRow } from "../store/store.ts";
import type { Branch, Growing } from "./run-tree.ts";
import { addEvent, newTree, treeOf } from "./run-tree.ts";

/** All that is known of one run. */
export type ShownRun = {
  row: RunRow;
  tree: Branch;
  created?: EventOf<"run.created">["data"];
  /** Why it was suspended last. */
  suspension?: EventOf<"run.suspended">["data"];
  last?: Event;
};

/** The history of a run, as far as it was read. */
export type Known = { tree: Growing } & Omit<ShownRun, "row" | "tree">;

export function nothingKnown(): Known {
  return { tree: newTree() };
}

/** Takes in the next event of the history. */
export function learn(known: Known, event: Event): void {
  addEvent(known.tree, event);
  known.last = event;
  if (event.type === "run.created") known.created = event.data;
  else if (event.type === "run.suspended") known.suspension = event.data;
}

export function shownRun(row: RunRow, known: Known): ShownRun {
  return { ...known, row, tree: treeOf(known.tree) };
}

/** The run with its history, whole and in order. */
export function runOf(row: RunRow, events: readonly Event[]): ShownRun {
  const known = nothingKnown();
  for (const event of events) learn(known, event);
  return shownRun(row, known);
}

/** Whether somebody works on it. */
export function isHeld({ state, worker }: RunRow): boolean {
  return state.status === "running" && worker !== undefined;
}

/** `audit@1`, as runs and workers name a workflow. */
export function offerOf({ state }: RunRow): string {
  return `${state.workflow}@${state.version}`;
}
