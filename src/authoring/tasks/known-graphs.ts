/**
 * Graphs of steps that were checked before. A program that runs the same array of steps again and again has it checked
 * once; that it is still the same is seen by comparing, which is far cheaper than looking up every name.
 */
import type { Graph } from "./graph.ts";
import { buildGraph } from "./graph.ts";
import type { TaskStep } from "./step.ts";

const checked = new WeakMap<readonly object[], Graph<never>>();
const stretch = 1024;

/** The graph of the steps. Throws as `buildGraph` does. */
export function* graphOf<C>(steps: readonly TaskStep<C>[]): Generator<void, Graph<C>> {
  const known = checked.get(steps) as Graph<C> | undefined;
  if (known !== undefined && (yield* isSame(known, steps))) return known;
  // A copy: what the caller does to the array while it runs is of no interest to the run.
  const graph = yield* buildGraph([...steps]);
  checked.set(steps, graph);
  return graph;
}

function* isSame<C>(graph: Graph<C>, steps: readonly TaskStep<C>[]): Generator<void, boolean> {
  if (graph.steps.length !== steps.length) return false;
  const comparing = { graph, steps, dependency: 0, prioritised: false, triggered: false };
  for (let from = 0; from < steps.length; from += stretch) {
    if (!compare(comparing, from, Math.min(from + stretch, steps.length))) return false;
    yield;
  }
  return comparing.prioritised === graph.prioritised && comparing.triggered === graph.triggered;
}

type Comparing<C> = {
  readonly graph: Graph<C>;
  readonly steps: readonly TaskStep<C>[];
  /** The next one of the graph's dependencies. */
  dependency: number;
  prioritised: boolean;
  triggered: boolean;
};

/** Whether a stretch of the steps is as it was. */
function compare<C>(comparing: Comparing<C>, from: number, to: number): boolean {
  const { graph, steps } = comparing;
  const { steps: own, names, waiting, dependencies: all } = graph;
  let at = comparing.dependency;
  let prioritised = false;
  let triggered = false;
  for (let i = from; i < to; i++) {
    const step = steps[i] as TaskStep<C>;
    if (step !== own[i] || step.name !== names[i]) return false;
    const { priority, dependencies, trigger } = step;
    if (priority !== undefined && priority !== 0) prioritised = true;
    if (trigger !== undefined && trigger !== "all") triggered = true;
    const length = dependencies === undefined ? 0 : dependencies.length;
    if (length !== waiting[i]) return false;
    if (dependencies !== undefined) for (let k = 0; k < length; k++) if (dependencies[k] !== all[at++]) return false;
  }
  if (prioritised) comparing.prioritised = true;
  if (triggered) comparing.triggered = true;
  comparing.dependency = at;
  return true;
}
