import fc from "fast-check";
import { expect, test } from "vitest";
import { differences } from "./json-differences.ts";
import type { Json } from "./json.ts";
import { equal } from "./json.ts";
import { pathParts, valueAt, withValueAt } from "./json-path.ts";

test("a path is read as it is printed in messages, and as people type it", () => {
  expect(pathParts("$.items[3].name")).toEqual(["items", 3, "name"]);
  expect(pathParts("items[3].name")).toEqual(["items", 3, "name"]);
  expect(pathParts(".order")).toEqual(["order"]);
  expect(pathParts('$["a.b"][0]')).toEqual(["a.b", 0]);
  expect(pathParts("$")).toEqual([]);
  expect(pathParts("")).toEqual([]);
  for (const wrong of ["a..b", "a[x]", "a[", "$a"]) {
    expect(() => pathParts(wrong)).toThrow(expect.objectContaining({ code: "usage.invalid" }));
  }
});

test("a value is set where the path says, and everything else stays", () => {
  expect(withValueAt({ a: { b: 1, c: 2 } }, "a.b", 5)).toEqual({ a: { b: 5, c: 2 } });
  expect(withValueAt(undefined, "a.b", 5)).toEqual({ a: { b: 5 } });
  expect(withValueAt({ list: [1, 2] }, "list[1]", 5)).toEqual({ list: [1, 5] });
  expect(withValueAt({ list: [1, 2] }, "list[2]", 5)).toEqual({ list: [1, 2, 5] });
  expect(withValueAt({ a: 1 }, "$", 5)).toBe(5);
  const odd = withValueAt({}, "__proto__", 1) as { [key: string]: Json };
  expect(Object.keys(odd)).toEqual(["__proto__"]);
  expect(() => withValueAt({ a: 1 }, "a.b", 5)).toThrow('Expected an object for "b" of a.b, found number.');
  expect(() => withValueAt({ list: [] }, "list[2]", 5)).toThrow("found a list of 0");
  expect(() => withValueAt({ a: null }, "a.b", 5)).toThrow(/found object/);
});

test("where two values differ, setting what the one has there brings the other nearer to it", () => {
  const value = fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<Json>;
  fc.assert(
    fc.property(value, value, (a, b) => {
      const [first] = differences(a, b, 1);
      expect(first === undefined).toBe(equal(a, b));
      if (first?.a === undefined || first.b === undefined) return;
      expect(equal(valueAt(a, first.path) ?? null, first.a)).toBe(true);
      const [next] = differences(withValueAt(a, first.path, first.b), b, 1);
      expect(next?.path).not.toBe(first.path);
    }),
  );
});
