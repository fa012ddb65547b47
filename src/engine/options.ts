/** What a program gives to a Stemma, checked before anything begins: a wrong option must not be a silent standstill. */
import type { Duration } from "../core/duration.ts";
import { milliseconds } from "../core/duration.ts";
import { StemmaError } from "../core/error.ts";
import { isRecord } from "../core/record-names.ts";
import type { RunRow, Store } from "../store/store.ts";
import type { Workflow } from "./body.ts";

/** A lease shorter than this runs out while a machine is merely busy. */
const leaseMsMin = 100;

/** Length of a lease in milliseconds. Throws duration.invalid. */
export function leaseOf(lease: Duration): number {
  const ms = milliseconds(lease, "lease");
  if (ms >= leaseMsMin) return ms;
  throw new StemmaError("duration.invalid", `Expected a lease of at least ${leaseMsMin} ms, got ${ms} ms.`);
}

/** How many of something there may be. Throws usage.invalid. */
export function countOf(count: number, option: string): number {
  if (Number.isSafeInteger(count) && count >= 1) return count;
  throw new StemmaError("usage.invalid", `Expected ${option} to be a whole number from 1, got ${String(count)}.`);
}

/** Whether runs of this priority can be ordered. Throws usage.invalid. */
export function priorityOf(priority: number): number {
  if (Number.isSafeInteger(priority)) return priority;
  throw new StemmaError("usage.invalid", `Expected priority to be a whole number, got ${String(priority)}.`);
}

/** The store, if it is one. Throws usage.invalid. */
export function storeOf(store: Store | undefined): Store {
  if (typeof store?.commit === "function" && typeof store.claim === "function") return store;
  throw new StemmaError(
    "usage.invalid",
    'Expected { store } to be a store, for example sqlite("stemma.db"), got none.',
  );
}

/** How a store creates runs in a transaction of the user's own. Throws usage.invalid if it cannot. */
export function transactional(store: Store): NonNullable<Store["createIn"]> {
  if (store.createIn !== undefined) return store.createIn.bind(store);
  throw new StemmaError(
    "usage.invalid",
    `Expected a store that can create runs in a transaction of yours, such as postgres(…), got ${store.name}. Leave out { client }.`,
  );
}

/** Workflows of Stemma itself: their runs are records, and they alone may have such a name. */
const own = new WeakSet<object>();

/** Lets a workflow have the name of records, because what it does is no work of the user. */
export function ownWorkflow<I, O>(workflow: Workflow<I, O>): Workflow<I, O> {
  own.add(workflow);
  return workflow;
}

/** Throws usage.invalid for a run that is a record of Stemma itself: it is neither steered nor made anew. */
export function expectWork({ id, state }: RunRow): void {
  if (!isRecord(state.workflow)) return;
  throw new StemmaError("usage.invalid", `Expected a run of work; ${id} is a record that Stemma keeps.`, {
    data: { run: id, workflow: state.workflow },
  });
}

/** Throws workflow.invalid for what no authoring style has made. */
export function checkWorkflow(workflow: Partial<Workflow> | undefined): void {
  const { name, version, source, body } = workflow ?? {};
  if (typeof name === "string" && typeof version === "number" && typeof source === "string" && body !== undefined) {
    if (!isRecord(name) || (workflow !== undefined && own.has(workflow))) return;
    const message = `Expected another name for the workflow: runs named ${JSON.stringify(name)} are records of Stemma itself.`;
    throw new StemmaError("workflow.invalid", message, { data: { workflow: name } });
  }
  throw new StemmaError("workflow.invalid", `Expected a workflow made by workflow(…), got ${typeof workflow}.`);
}
