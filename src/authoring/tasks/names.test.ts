import { expect, test } from "vitest";
import { MoreNames, NameIndex } from "./names.ts";

test("many names are found at the positions that they were given last, and no others are", () => {
  const count = 50_000;
  const index = new NameIndex(count);
  for (let i = 0; i < count; i++) index.set(`task${i}`, i);
  index.set("task7", count);
  expect(index.size).toBe(count);
  expect(index.get("task7")).toBe(count);
  for (let i = 8; i < count; i++)
    if (index.get(`task${i}`) !== i) expect.fail(`task${i} is at ${index.get(`task${i}`)}`);
  expect([index.get(`task${count}`), index.has("task"), index.has("")]).toEqual([undefined, false, false]);
});

test("names on top of others leave those as they are", () => {
  const below = new NameIndex(1);
  below.set("a", 0);
  const above = new MoreNames(below);
  above.set("a/b", 1);
  expect([above.get("a"), above.get("a/b"), above.has("a"), above.has("c")]).toEqual([0, 1, true, false]);
  expect([below.get("a"), below.has("a/b"), below.size]).toEqual([0, false, 1]);
});
