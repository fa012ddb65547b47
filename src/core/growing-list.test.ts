/** What is known of lists that grow is true: one is called the beginning of another only if it is. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { grown, isBeginning } from "./growing-list.ts";

test("a list that was made of another by adding to it begins with it, however often, and the other stays as it is", () => {
  const first: readonly number[] = [1];
  const second = grown(first, [2, 3]);
  const third = grown(second, [4]);
  expect([first, second, third]).toEqual([[1], [1, 2, 3], [1, 2, 3, 4]]);
  expect([isBeginning(first, third), isBeginning(second, third), isBeginning(third, third)]).toEqual([
    true,
    true,
    true,
  ]);
  expect([isBeginning(third, second), isBeginning([1], third)], "longer; or not known").toEqual([false, false]);
  expect(grown(third, [])).toBe(third);
});

test("property: of lists made of each other in any order, what is called a beginning is one", () => {
  const makings = fc.array(fc.tuple(fc.nat(), fc.array(fc.nat(3), { maxLength: 2 })), { maxLength: 30 });
  fc.assert(
    fc.property(makings, (all) => {
      const lists: (readonly number[])[] = [[]];
      for (const [of, added] of all) lists.push(grown(lists[of % lists.length] ?? [], added));
      for (const a of lists) for (const b of lists) if (isBeginning(a, b)) expect(b.slice(0, a.length)).toEqual(a);
    }),
  );
});
