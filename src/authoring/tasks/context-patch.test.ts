import fc from "fast-check";
import { expect, test } from "vitest";
import type { Json } from "../../core/json.ts";
import { patched, patchOf } from "./context-patch.ts";

test("the patch of two values makes the second of the first, nulls and all, and leaves both as they are", () => {
  const value = fc.jsonValue({ maxDepth: 4 }) as fc.Arbitrary<Json>;
  fc.assert(
    fc.property(value, value, (before, after) => {
      const texts = [JSON.stringify(before), JSON.stringify(after)];
      const patch = patchOf(before, after);
      const made = patch === undefined ? before : patched(before, JSON.parse(JSON.stringify(patch)) as typeof patch);
      expect(JSON.stringify(sorted(made))).toBe(JSON.stringify(sorted(after)));
      expect([JSON.stringify(before), JSON.stringify(after)]).toEqual(texts);
    }),
    { numRuns: 2000 },
  );
});

/** Order of keys is no part of a value, and -0 is 0. */
function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value === 0 ? 0 : value;
  const keys = Object.keys(value).toSorted();
  return keys.map((key) => [key, sorted((value as Record<string, Json>)[key] as Json)]);
}

test.each<[Json, Json, unknown]>([
  [{ a: 1, b: 2 }, { a: 1, b: 3 }, { patch: { b: 3 } }],
  [{ a: 1, b: 2 }, { a: 1 }, { patch: { b: null } }],
  [{ a: { b: 1, c: 2 } }, { a: { b: 1, c: 2, d: null } }, { patch: { a: { d: null } }, nulls: [["a", "d"]] }],
  [{ a: [1] }, { a: [1, 2] }, { patch: { a: [1, 2] } }],
  [{ a: 1 }, { a: 1 }, undefined],
])("from %j to %j it is %j", (before, after, patch) => {
  expect(patchOf(before, after)).toEqual(patch);
});
