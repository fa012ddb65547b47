/** Which tasks of a graph a run is about, by tags and names. */
import { StemmaError } from "../../core/error.ts";
import type { Graph } from "./graph.ts";
import type { TaskFilter, TaskStep } from "./step.ts";

/** Steps between two pauses. */
const stretch = 512;

/** Positions of the tasks that are left out. Throws usage.invalid for names that are not in the graph. */
export function* leftOut<C>(graph: Graph<C>, filter: TaskFilter | undefined): Generator<void, number[]> {
  if (filter === undefined) return [];
  const { dependencies = true } = filter;
  const wanted =
    filter.names === undefined && filter.tags === undefined ? undefined : chooser(filter.names, filter.tags);
  const refused = chooser(filter.exceptNames, filter.exceptTags);
  for (const name of [...(filter.names ?? []), ...(filter.exceptNames ?? [])]) {
    if (!graph.index.has(name)) {
      throw new StemmaError("usage.invalid", `Expected the names of a filter to be tasks of the graph, got ${name}.`);
    }
  }
  let n = 0;
  const chosen = new Set<number>();
  for (const [task, step] of graph.steps.entries()) {
    if (wanted?.(step) !== false && !refused(step)) chosen.add(task);
    if (++n % stretch === 0) yield;
  }
  if (dependencies) {
    // A set that grows while it is walked: what is added is walked, too.
    for (const task of chosen) {
      for (const name of graph.steps[task]?.dependencies ?? []) {
        const dependency = graph.index.get(name) as number;
        if (!refused(graph.steps[dependency] as TaskStep<C>)) chosen.add(dependency);
      }
      if (++n % stretch === 0) yield;
    }
  }
  const left: number[] = [];
  for (let task = 0; task < graph.steps.length; task++) if (!chosen.has(task)) left.push(task);
  return left;
}

type Chosen = (step: { name: string; tags?: readonly string[] }) => boolean;

/** Whether a step has one of these names or one of these tags. */
function chooser(names: readonly string[] = [], tags: readonly string[] = []): Chosen {
  const [byName, byTag] = [new Set(names), new Set(tags)];
  return ({ name, tags: own = [] }) => byName.has(name) || own.some((tag) => byTag.has(tag));
}
