import fc from "fast-check";
import { expect, test } from "vitest";
import { longestAscending } from "./longest-ascending.ts";

const order = (x: number, y: number): number => x - y;

/** The length by the definition, in quadratic time. */
function longest(list: readonly number[]): number {
  const ending: number[] = [];
  for (const [i, x] of list.entries()) {
    ending[i] = 1 + Math.max(0, ...list.slice(0, i).flatMap((y, j) => (y < x ? [ending[j] ?? 0] : [])));
  }
  return Math.max(0, ...ending);
}

test("what is found ascends, in its own order, and nothing longer does", () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 20 }), { maxLength: 40 }), (list) => {
      const places = longestAscending(list, order);
      const found = places.map((i) => list[i] ?? 0);
      for (const [i, x] of found.entries()) {
        if (i === 0) continue;
        expect(found[i - 1]).toBeLessThan(x);
        expect(places[i - 1]).toBeLessThan(places[i] ?? 0);
      }
      expect(found).toHaveLength(longest(list));
    }),
  );
});
