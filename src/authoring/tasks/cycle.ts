/** The first cycle of a graph, walked without recursion: half a million steps in a row are a graph like others. */
import type { Graph } from "./graph.ts";
import type { Names } from "./names.ts";

const stretch = 4096;

/** Names along the first cycle in the order of definition, the first one again at the end; undefined if there is none. */
export function* firstCycle<C>({
  steps,
  index,
  waiting,
  first,
  target,
}: Omit<Graph<C>, "prioritised" | "triggered">): Generator<void, string[] | undefined> {
  const left = waiting.slice();
  const free: number[] = [];
  for (const [i, count] of left.entries()) if (count === 0) free.push(i);
  // What can be taken away from its dependencies on is in no cycle.
  for (let done = 0; done < free.length; done++) {
    const from = free[done] as number;
    for (let edge = first[from] as number; edge < (first[from + 1] as number); edge++) {
      const dependent = target[edge] as number;
      left[dependent] = (left[dependent] as number) - 1;
      if (left[dependent] === 0) free.push(dependent);
    }
    if (done % stretch === 0) yield;
  }
  if (free.length >= steps.length) return undefined;
  return yield* walk(steps, index, left);
}

const unseen = 0;
const onPath = 1;
const done = 2;

/** Depth first along dependencies, from each step that is left, until one is met that is on the path already. */
function* walk(steps: Graph<unknown>["steps"], index: Names, left: Int32Array): Generator<void, string[] | undefined> {
  const seen = new Uint8Array(steps.length);
  const position = new Int32Array(steps.length);
  let walked = 0;
  for (let start = 0; start < steps.length; start++) {
    if (left[start] === 0 || seen[start] !== unseen) continue;
    const path = [start];
    seen[start] = onPath;
    for (let at: number | undefined = start; at !== undefined; at = path.at(-1)) {
      if (walked++ % stretch === 0) yield;
      const dependency: string | undefined = steps[at]?.dependencies?.[position[at] as number];
      position[at] = (position[at] as number) + 1;
      const to: number | undefined = dependency === undefined ? undefined : index.get(dependency);
      if (dependency === undefined) {
        seen[at] = done;
        path.pop();
      } else if (to !== undefined && seen[to] === onPath) {
        return [...path.slice(path.indexOf(to)), to].map((step) => steps[step]?.name ?? "");
      } else if (to !== undefined && seen[to] === unseen) {
        seen[to] = onPath;
        path.push(to);
      }
    }
  }
  return undefined;
}
