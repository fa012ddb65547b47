import { expect, test } from "vitest";
import { Remarks } from "./remarks.ts";

test("the last of each are kept, what is too long as words, and what was said longest ago goes first", () => {
  const remarks = new Remarks();
  remarks.add("a", [1, { message: "x".repeat(20_000) }]);
  expect(remarks.of("a")[0]?.entry).toBe(1);
  expect(JSON.stringify(remarks.of("a")[1]?.entry)).toContain("too many");
  remarks.add(
    "b",
    Array.from({ length: 1500 }, (_, n) => n),
  );
  expect(remarks.of("b")).toHaveLength(1000);
  expect(remarks.of("b")[0]?.entry).toBe(500);
  const long = "y".repeat(15_000);
  for (let i = 0; i < 2000; i += 1) remarks.add(`c ${i}`, [long]);
  expect(remarks.of("a")).toEqual([]);
  expect(remarks.of("c 0")).toEqual([]);
  expect(remarks.of("c 1999")).toHaveLength(1);
  expect(remarks.of("nobody")).toEqual([]);
});
