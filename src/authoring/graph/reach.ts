/**
 * Which joins a message at each executor may still reach, whatever the predicates say. Strongly connected components
 * (Tarjan, "Depth-first search and linear graph algorithms", 1972) are found in an order in which every component comes
 * after those that it leads to, so one pass over them adds the sets up. Linear in edges; joins are bits.
 */
export type Reach = {
  /** Whether something at `from` may come to the join. An executor reaches itself. */
  readonly may: (from: string, join: string) => boolean;
};

export function reachOf(
  nodes: readonly string[],
  arrows: readonly { source: string; target: string }[],
  joins: readonly string[],
): Reach {
  const next = new Map<string, string[]>(nodes.map((node) => [node, []]));
  for (const { source, target } of arrows) next.get(source)?.push(target);
  const bits = new Map(joins.map((join, index) => [join, 1n << BigInt(index)]));
  const reached = new Map<string, bigint>();
  for (const component of components(nodes, next)) {
    let all = 0n;
    for (const node of component) {
      all |= bits.get(node) ?? 0n;
      for (const target of next.get(node) ?? []) all |= reached.get(target) ?? 0n;
    }
    for (const node of component) reached.set(node, all);
  }
  return { may: (from, join) => ((reached.get(from) ?? 0n) & (bits.get(join) ?? 0n)) !== 0n };
}

/** Tarjan's algorithm without recursion: a chain of executors may be longer than the stack is deep. */
export function components(nodes: readonly string[], next: ReadonlyMap<string, readonly string[]>): string[][] {
  const [index, low, open] = [new Map<string, number>(), new Map<string, number>(), new Set<string>()];
  const [stack, found]: [string[], string[][]] = [[], []];
  const enter = (node: string): { node: string; at: number } => {
    index.set(node, index.size);
    low.set(node, index.size - 1);
    stack.push(node);
    open.add(node);
    return { node, at: 0 };
  };
  const lower = (node: string, value: number): void => void low.set(node, Math.min(low.get(node) ?? value, value));
  for (const root of nodes) {
    if (index.has(root)) continue;
    const path = [enter(root)];
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const target = next.get(top.node)?.[top.at];
      top.at += 1;
      if (target !== undefined) {
        if (!index.has(target)) path.push(enter(target));
        else if (open.has(target)) lower(top.node, index.get(target) ?? 0);
        continue;
      }
      path.pop();
      const parent = path.at(-1);
      if (parent !== undefined) lower(parent.node, low.get(top.node) ?? 0);
      if (low.get(top.node) !== index.get(top.node)) continue;
      const component = stack.splice(stack.lastIndexOf(top.node));
      for (const node of component) open.delete(node);
      found.push(component);
    }
  }
  return found;
}
