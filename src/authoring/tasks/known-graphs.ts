/**
 * Graphs of steps that were checked before. A program that runs the same array of steps again and again has it checked
 * once; that it is still the same is seen by comparing, which is far cheaper than looking up every name.
 */
import type { Graph } from "./graph.ts";
import { buildGraph } from "./graph.ts";
import type { TaskStep } from "./step.ts";

type Checked = { graph: Graph<never>; dependencies: readonly (readonly string[] | undefined)[] };

const checked = new WeakMap<readonly object[], Checked>();
const stretch = 1024;

/** The graph of the steps. Throws as `buildGraph` does. */
export function* graphOf<C>(steps: readonly TaskStep<C>[]): Generator<void, Graph<C>> {
  const known = checked.get(steps);
  if (known !== undefined && (yield* isSame(known, steps))) return known.graph as unknown as Graph<C>;
  // A copy: what the caller does to the array while it runs is of no interest to the run.
  const own = [...steps];
  const graph = yield* buildGraph(own);
  const dependencies = own.map((step) => step.dependencies && [...step.dependencies]);
  checked.set(steps, { graph: graph as unknown as Graph<never>, dependencies });
  return graph;
}

function* isSame<C>({ graph, dependencies }: Checked, steps: readonly TaskStep<C>[]): Generator<void, boolean> {
  if (graph.steps.length !== steps.length) return false;
  let prioritised = false;
  for (let i = 0; i < steps.length; i++) {
    const step = steps[i] as TaskStep<C>;
    if (step !== (graph.steps[i] as unknown) || step.name !== graph.names[i]) return false;
    if (step.priority !== undefined && step.priority !== 0) prioritised = true;
    const now = step.dependencies;
    const then = dependencies[i];
    if (now?.length !== then?.length) return false;
    if (now !== undefined && then !== undefined) {
      for (let d = 0; d < now.length; d++) if (now[d] !== then[d]) return false;
    }
    if (i % stretch === stretch - 1) yield;
  }
  return prioritised === graph.prioritised;
}
