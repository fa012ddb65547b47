/**
 * Which steps of two aligned runs stand elsewhere. What counts is cause: steps side by side have no order, so it does not
 * matter which of them ended first.
 */
import type { Pairs } from "./align.ts";
import type { Seq } from "./event.ts";
import { longestAscending } from "./longest-ascending.ts";
import type { RecordedStep, RecordedSteps } from "./recorded-step.ts";

/**
 * The steps of `a` that stand elsewhere in `b`: those because of which the causal orders of the two runs contradict each
 * other. A contradiction is a circle in the union of both graphs; of each circle the fewest steps that explain it are
 * taken for moved.
 */
export function movedSteps(a: RecordedSteps, b: RecordedSteps, pairs: Pairs): ReadonlySet<RecordedStep> {
  const moved = new Set<RecordedStep>();
  for (const circle of circlesOf(unionOf(a, b, pairs))) {
    const inA = circle.map((node) => a.list[node]).filter((step) => step !== undefined && pairs.has(step));
    const steps = (inA as RecordedStep[]).toSorted((x, y) => x.first - y.first);
    const order = (x: RecordedStep, y: RecordedStep): number => (pairs.get(x)?.first ?? 0) - (pairs.get(y)?.first ?? 0);
    const kept = new Set(longestAscending(steps, order));
    for (const [i, step] of steps.entries()) if (!kept.has(i)) moved.add(step);
  }
  return moved;
}

/** For each node those that it is caused by. Steps of `a` are the first nodes, and pairs are one. */
function unionOf(a: RecordedSteps, b: RecordedSteps, pairs: Pairs): number[][] {
  const nodes = new Map<RecordedStep, number>();
  for (const [i, step] of a.list.entries()) nodes.set(step, i);
  for (const [one, other] of pairs) nodes.set(other, nodes.get(one) ?? 0);
  const edges: number[][] = a.list.map(() => []);
  for (const step of b.list) if (!nodes.has(step)) nodes.set(step, edges.push([]) - 1);
  for (const steps of [a, b]) {
    /** What is about no step (the end of a scope, a checkpoint) has a node of its own, so that edges stay few. */
    const others = new Map<Seq, number>();
    const nodeAt = (seq: Seq): number => {
      const step = steps.stepAt[seq];
      const known = step === undefined ? others.get(seq) : nodes.get(step);
      if (known !== undefined) return known;
      const node = edges.push([]) - 1;
      others.set(seq, node);
      return node;
    };
    for (const [seq, causes] of steps.causes.entries()) {
      const step = steps.stepAt[seq];
      if (step !== undefined && step.first !== seq) continue;
      const node = nodeAt(seq);
      for (const cause of causes ?? []) edges[node]?.push(nodeAt(cause));
    }
  }
  return edges;
}

/**
 * Strongly connected components of more than one node.
 *
 * R. Tarjan, Depth-first search and linear graph algorithms, SIAM J. Comput. 1 (1972), with a stack of its own.
 */
function circlesOf(edges: readonly (readonly number[])[]): number[][] {
  const found: number[][] = [];
  const index = new Int32Array(edges.length).fill(-1);
  const low = new Int32Array(edges.length);
  const onStack = new Uint8Array(edges.length);
  const stack: number[] = [];
  const walk: { node: number; next: number }[] = [];
  let count = 0;
  const enter = (node: number): void => {
    index[node] = low[node] = count++;
    stack.push(node);
    onStack[node] = 1;
    walk.push({ node, next: 0 });
  };
  for (const start of edges.keys()) {
    if (index[start] !== -1) continue;
    enter(start);
    for (let at = walk.at(-1); at !== undefined; at = walk.at(-1)) {
      const { node } = at;
      const to = edges[node]?.[at.next++];
      if (to !== undefined) {
        if (index[to] === -1) enter(to);
        else if (onStack[to] === 1) low[node] = Math.min(low[node] ?? 0, index[to] ?? 0);
        continue;
      }
      walk.pop();
      const above = walk.at(-1)?.node;
      if (above !== undefined) low[above] = Math.min(low[above] ?? 0, low[node] ?? 0);
      if (low[node] !== index[node]) continue;
      const circle = stack.splice(stack.lastIndexOf(node));
      for (const each of circle) onStack[each] = 0;
      if (circle.length > 1) found.push(circle);
    }
  }
  return found;
}
