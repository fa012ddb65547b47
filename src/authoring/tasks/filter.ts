/** Which tasks of a graph a run is about, by tags and names. */
import { StemmaError } from "../../core/error.ts";
import type { Graph } from "./graph.ts";
import type { TaskFilter, TaskStep } from "./step.ts";

/** Positions of the tasks that are left out. Throws usage.invalid for names that are not in the graph. */
export function leftOut<C>(graph: Graph<C>, filter: TaskFilter | undefined): number[] {
  if (filter === undefined) return [];
  const { names, tags, exceptNames = [], exceptTags = [], dependencies = true } = filter;
  for (const name of [...(names ?? []), ...exceptNames]) {
    if (!graph.index.has(name)) {
      throw new StemmaError("usage.invalid", `Expected the names of a filter to be tasks of the graph, got ${name}.`);
    }
  }
  const isRefused = (step: TaskStep<C>): boolean => exceptNames.includes(step.name) || tagged(step, exceptTags);
  const isChosen = (step: TaskStep<C>): boolean =>
    (names === undefined && tags === undefined) || names?.includes(step.name) === true || tagged(step, tags ?? []);
  const chosen = new Set<number>();
  for (const [task, step] of graph.steps.entries()) if (isChosen(step) && !isRefused(step)) chosen.add(task);
  if (dependencies) {
    // A set that grows while it is walked: what is added is walked, too.
    for (const task of chosen) {
      for (const name of graph.steps[task]?.dependencies ?? []) {
        const dependency = graph.index.get(name) as number;
        if (!isRefused(graph.steps[dependency] as TaskStep<C>)) chosen.add(dependency);
      }
    }
  }
  return graph.steps.flatMap((_, task) => (chosen.has(task) ? [] : [task]));
}

function tagged<C>({ tags = [] }: TaskStep<C>, wanted: readonly string[]): boolean {
  return tags.some((tag) => wanted.includes(tag));
}
