import { expect, test } from "vitest";
import type { Origin } from "./event.ts";
import { prunable } from "./prunable.ts";

const hash = "";
const fork = (run: string): Origin => ({ kind: "fork", run, seq: 0, hash });
const call = (run: string): Origin => ({ kind: "child", run, seq: 0, key: "c" });
const fresh: Origin = { kind: "new" };

function unitsOf(family: Record<string, Origin>, stay: readonly string[] = []): string[] {
  const runs = Object.entries(family).map(([id, origin]) => ({ id, origin, goes: !stay.includes(id) }));
  return prunable(runs).map((unit) => unit.toSorted().join(" "));
}

test("a run goes in one unit with all that it called, and behind those that come from it", () => {
  const again: Origin = { kind: "restart", run: "aa", seq: 0, hash, caller: { run: "b", seq: 1, key: "c" } };
  const family = { a: fresh, aa: call("a"), aaa: call("aa"), b: fork("a"), bb: again, c: fork("aaa"), d: fork("b") };
  const units = unitsOf(family);
  expect(units.toSorted()).toEqual(["a aa aaa", "b bb", "c", "d"]);
  expect(units.at(-1)).toBe("a aa aaa");
  expect(units.indexOf("d")).toBeLessThan(units.indexOf("b bb"));
  // What stays keeps what it comes from, its caller and what that called; nothing comes from the others.
  expect(unitsOf(family, ["bb"]).toSorted()).toEqual(["c", "d"]);
  expect(unitsOf(family, ["c"]).toSorted()).toEqual(["b bb", "d"]);
});

test("a line of many runs is in order, and runs that came from each other go together or not at all", () => {
  const line: Record<string, Origin> = { r0: fresh };
  for (let n = 1; n < 20_000; n += 1) line[`r${n}`] = fork(`r${n - 1}`);
  expect(unitsOf(line)).toEqual(Object.keys(line).toReversed());
  expect(unitsOf({ a: fork("b"), b: fork("a"), c: fork("b") })).toEqual(["c", "a b"]);
});
