/**
 * Places for steps that run side by side. A place is taken when a step is entered, and free again when what came of it
 * is on record and not before: until then a crash would repeat it, and the limit says how much may have to be repeated.
 */
import type { Ask } from "./ask.ts";
import type { Group } from "./body.ts";

/** How many of a group are running or not on record yet, and who waits for a place. */
export type Gate = { limit: number; running: number; queue: Ask[] };

/** The gate of each group; a group is known by its key. */
export type Gates = WeakMap<object, Gate>;

export function gateOf(gates: Gates, group: Group | undefined): Gate | undefined {
  if (group === undefined) return undefined;
  let gate = gates.get(group.key);
  if (gate === undefined) {
    gate = { limit: group.limit, running: 0, queue: [] };
    gates.set(group.key, gate);
  }
  return gate;
}

/** Frees a place. One that was taken back while it waited leaves its place to the next. */
export function vacate(gate: Gate, begin: (ask: Ask) => void): void {
  gate.running -= 1;
  while (gate.running < gate.limit) {
    const next = gate.queue.shift();
    if (next === undefined) return;
    begin(next);
  }
}
