/**
 * When a join lets go: when nothing that is under way elsewhere may still reach it. So a branch that left for elsewhere is
 * not awaited, and conditional branches need no dummy edges.
 */
import type { Reach } from "./reach.ts";

/** What is under way: executors that messages or answers will come to, and joins with something waiting. */
export type UnderWay = { readonly at: readonly string[]; readonly waiting: readonly string[] };

/**
 * The joins to let go now, in their declared order.
 *
 * What waits at one join holds back another only if it is before it. Where two joins lead to each other, the one that was
 * declared first goes first: otherwise each would wait for the other for ever.
 */
export function ready(joins: readonly string[], { at, waiting }: UnderWay, reach: Reach): string[] {
  const order = new Map(joins.map((join, index) => [join, index]));
  const isBefore = (other: string, join: string): boolean => {
    if (!reach.may(other, join)) return false;
    return !reach.may(join, other) || (order.get(other) ?? 0) < (order.get(join) ?? 0);
  };
  return joins.filter(
    (join) =>
      waiting.includes(join) &&
      !at.some((node) => reach.may(node, join)) &&
      !waiting.some((other) => other !== join && isBefore(other, join)),
  );
}
