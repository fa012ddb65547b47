import { stripVTControlCharacters } from "node:util";
import { expect, test } from "vitest";
import type { Plan, PlannedStep } from "../core/plan.ts";
import { totalsOf } from "../core/plan.ts";
import { planLines } from "./plan-lines.ts";

function lines(steps: PlannedStep[], more: { all?: boolean; width?: number; grade?: Plan["grade"] } = {}): string[] {
  const { grade = "history", ...options } = more;
  const plan: Plan = { grade, steps, totals: totalsOf(steps) };
  return planLines(plan, { width: Infinity, all: false, ...options }).map((line) => stripVTControlCharacters(line));
}

const step = (key: string, verdict: PlannedStep["verdict"], reason: string, ms = 0, cost = 0): PlannedStep => ({
  key,
  verdict,
  reason,
  saves: { ms, cost },
});

test("a plan says of each step what becomes of it and why, and what all of it saves, as a range", () => {
  const steps = [
    step("list", "reuse", "succeeded", 1500, 1),
    step("classify", "run", "cut"),
    step("sum", "depends", "behind classify", 100, 0.25),
    step("publish", "decide", "effect once, behind sum"),
  ];
  expect(lines(steps)).toEqual([
    "           step      why                      saves  cost",
    "↺ reuse    list      succeeded                 1.5s     1",
    "▶ run      classify  cut                                 ",
    "~ depends  sum       behind classify          100ms  0.25",
    "? decide   publish   effect once, behind sum             ",
    "1 reuse, 1 run, 1 depends, 1 decide",
    "Of what is on record 1 to 3 steps run; it saves 1.5s to 1.6s and cost 1 to 1.25.",
    "This is what the record says; what the code asks for now is not known to it. What depends is reused if its input comes out the same.",
  ]);
});

test("many steps that are reused are counted, and those that run are named", () => {
  const steps = [
    step("fix", "run", "failed"),
    ...Array.from({ length: 400 }, (_, i) => step(`s${i}`, "reuse", "succeeded")),
  ];
  const brief = lines(steps, { grade: "dry run" });
  expect(brief).toHaveLength(5);
  expect(brief).toContain("… 400 steps are reused (--all shows them)");
  expect(brief.at(-1)).toBe("Of what is on record 1 step runs; it saves 0ms.");
  expect(lines(steps, { all: true }).length).toBeGreaterThan(400);
});

test("a plan cannot steer a terminal, and fits a narrow one", () => {
  const drawn = lines([step("evil\u001b[2J", "run", "x".repeat(100))], { width: 40 });
  expect(drawn.join("")).not.toContain("\u001b");
  for (const line of drawn) expect(line.length).toBeLessThanOrEqual(40);
});

test("a plan without a step says so in its counts", () => {
  expect(lines([])[0]).toBe("0 reuse");
});
