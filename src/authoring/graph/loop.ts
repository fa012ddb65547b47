/** Supersteps until a graph is at rest: nothing is on its way any more, or only answers are missing. */
import type { Json } from "../../core/json.ts";
import type { GraphDefinition } from "./definition.ts";
import type { Running } from "./deliver.ts";
import { plan } from "./deliver.ts";
import { arrows } from "./edges.ts";
import { Executor, instanceOf } from "./executor.ts";
import type { GraphState } from "./message.ts";
import { fromPlain } from "./plain.ts";
import { reachOf } from "./reach.ts";
import { notConverged, superstep } from "./superstep.ts";
import type { Host, SuperstepFailure } from "./superstep.ts";

/** What is done around each superstep. */
export type Rounds = {
  begin?(iteration: number): void;
  end(state: GraphState): Promise<GraphState>;
};

/** A graph with executors for one run: the shared ones, and new ones of factories. */
export function running(graph: GraphDefinition): Running {
  const executors = new Map([...graph.nodes].map(([id, node]) => [id, instanceOf(node)]));
  return { graph, executors, reach: reachOf([...graph.nodes.keys()], arrows(graph.groups), graph.joins) };
}

/** Gives executors their own states back. */
export async function restoreExecutors(
  { graph, executors }: Running,
  states: Readonly<Record<string, Json>>,
): Promise<void> {
  for (const [id, state] of Object.entries(states))
    await executors.get(id)?.onCheckpointRestore(fromPlain(state, graph.classes));
}

/** Whether an executor keeps state of its own. */
export function hasOwnState(executor: Executor): boolean {
  return executor.onCheckpointSave !== Executor.prototype.onCheckpointSave;
}

/** The state at rest. Throws SuperstepFailure, graph.not_converged, and what routing throws. */
export async function untilRest(parts: Running, start: GraphState, host: Host, rounds: Rounds): Promise<GraphState> {
  for (let state = start; ;) {
    const found = await plan(parts, state);
    if (state.messages.length === 0 && found.deliveries.length === 0) return state;
    if (state.sinceInput >= parts.graph.maxSupersteps) throw notConverged(parts.graph.maxSupersteps);
    rounds.begin?.(state.iteration + 1);
    state = await rounds.end(await superstep(parts, state, found, host));
  }
}

/** Whether a superstep that failed leaves something behind that need not be done again. */
export function isSomethingDone({ settled, unfinished }: SuperstepFailure): boolean {
  return Object.keys(settled).length > 0 || Object.keys(unfinished).length > 0;
}

/** The state before a superstep that failed, with what was done of it. */
export function withDone(before: GraphState, { settled, unfinished }: SuperstepFailure): GraphState {
  return { ...before, settled: { ...before.settled, ...settled }, unfinished };
}

/** The states of executors as of the last invocation that was done, of a superstep that was not finished too. */
export function ownStates({ executors, settled = {} }: GraphState): Readonly<Record<string, Json>> {
  const states = new Map(Object.entries(executors));
  for (const index of Object.keys(settled).sort((a, b) => Number(a) - Number(b))) {
    const { executor, effects } = settled[index] ?? {};
    if (executor !== undefined && effects?.snapshot !== undefined) states.set(executor, effects.snapshot);
  }
  return Object.fromEntries(states);
}
