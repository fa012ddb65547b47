/**
 * What is shown of a run: its row, and what its history says that the row does not. It grows with the history, event by
 * event, so that a run can be watched without reading anything twice.
 */
import type { Event, EventOf, Timestamp } from "../core/event.ts";
import { SignalIndex } from "../engine/signals.ts";
import type { RunRow } from "../store/store.ts";
import type { CalledRun } from "./called-runs.ts";
import type { Branch, Growing } from "./run-tree.ts";
import { addEvent, newTree, treeOf } from "./run-tree.ts";

/** Where a command was told to look. */
export type Named = { store?: string; server?: string };

export function namedBy({ store, server }: { store?: string | undefined; server?: string | undefined }): Named {
  return { ...(store === undefined ? {} : { store }), ...(server === undefined ? {} : { server }) };
}

/** All that is known of one run. */
export type ShownRun = {
  row: RunRow;
  tree: Branch;
  created?: EventOf<"run.created">["data"];
  /** Why it was suspended last. */
  suspension?: EventOf<"run.suspended">["data"];
  /** Who paused it last, and when. */
  pause?: EventOf<"run.paused">["data"] & { at: Timestamp };
  /** Signals that came early and are kept. */
  signals: SignalIndex;
  /** Runs that it called, by their ids. */
  called?: ReadonlyMap<string, CalledRun>;
  /** The store or server as it was named to the command: commands to type name it too. */
  place?: Named;
  last?: Event;
};

/** The history of a run, as far as it was read. */
export type Known = { tree: Growing } & Omit<ShownRun, "row" | "tree" | "called" | "place">;

export function nothingKnown(): Known {
  return { tree: newTree(), signals: new SignalIndex() };
}

/** Takes in the next event of the history. */
export function learn(known: Known, event: Event): void {
  addEvent(known.tree, event);
  known.signals.add(event);
  known.last = event;
  if (event.type === "run.created") known.created = event.data;
  else if (event.type === "run.suspended") known.suspension = event.data;
  else if (event.type === "run.paused") known.pause = { at: event.at, ...event.data };
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
