import { describe, expect, test } from "vitest";
import type { FamilyMember, Lineage } from "../engine/lineage.ts";
import { lineageLines } from "./lineage-lines.ts";

const steps = { succeeded: 0, failed: 0, cancelled: 0, reused: 0, attemptsFailed: 0 };

function member(id: string, source: string | undefined, more: Partial<FamilyMember> = {}): FamilyMember {
  return {
    id,
    workflow: "audit",
    version: 1,
    status: "succeeded",
    origin: source === undefined ? { kind: "new" } : { kind: "restart", run: source, seq: 9, hash: "h" },
    ...(source === undefined ? {} : { source }),
    tags: [],
    steps,
    createdAt: 0,
    startedAt: 0,
    endedAt: 1500,
    ...more,
  };
}

function lines(runs: readonly FamilyMember[], run: string, more: { all?: boolean; width?: number } = {}): string[] {
  const sources = new Map(runs.map(({ id, source }) => [id, source]));
  const ancestors: string[] = [];
  for (let at = sources.get(run); at !== undefined; at = sources.get(at)) ancestors.push(at);
  const lineage: Lineage = { run, family: "a", ancestors, descendants: [], siblings: [], runs };
  return lineageLines(lineage, { now: 60_000, width: Infinity, all: false, ...more });
}

const fork = (key: string): FamilyMember["origin"] => ({ kind: "fork", run: key, seq: 4, hash: "h" });

describe("the family of a run", () => {
  test("is a tree: only ones stand below one another, several branch off, and each says what made it", () => {
    const runs = [
      member("a", undefined, { status: "failed", steps: { ...steps, succeeded: 3, failed: 1 } }),
      member("b", "a", { steps: { ...steps, reused: 3, succeeded: 2 }, reason: "summary fixed", by: "ada" }),
      member("c", "b", { origin: fork("b"), at: "classify#2", overrides: ["classify#2"], tags: ["trial"] }),
      member("d", "b", { origin: fork("b"), status: "running", endedAt: 0 }),
    ];
    expect(lines(runs, "c")).toEqual([
      "└─ ✖ a     1.5s  audit@1  failed  3 carried out  1 failed  1m ago",
      "   ↳ ✔ b   1.5s  restart  3 reused  2 carried out  1m ago",
      "   │  ada: summary fixed",
      "   ├─ ✔ c  1.5s  fork behind classify#2  1m ago  trial  ← this run",
      "   │     output given: classify#2",
      "   └─ ▶ d   0ms  fork  running  1m ago",
    ]);
  });

  test("names a source that is not there, and the call that made a run", () => {
    const runs = [
      member("b", undefined, { origin: { kind: "restart", run: "gone", seq: 9, hash: "h" } }),
      member("c", "b", { origin: { kind: "child", run: "b", key: "score", seq: 2 }, at: "score" }),
    ];
    const [first, second] = lines(runs, "b");
    expect(first).toContain("restart of gone, which is not in this store");
    expect(second).toContain("audit@1 called by score");
  });

  test("of a line of a thousand is its beginning, its end and what is around the run that was asked for", () => {
    const runs = Array.from({ length: 1000 }, (_, i) => member(`r${i}`, i === 0 ? undefined : `r${i - 1}`));
    const drawn = lines(runs, "r500");
    expect(drawn.length).toBeLessThan(40);
    expect(drawn[0]).toContain("r0");
    expect(drawn.at(-1)).toContain("r999");
    expect(drawn.filter((line) => line.includes("← this run"))).toEqual([expect.stringContaining("r500")]);
    expect(drawn.filter((line) => line.includes("more, each from the one before"))).toHaveLength(2);
    expect(lines(runs, "r500", { all: true })).toHaveLength(1000);
  });

  test("of many runs that come from one counts those that it leaves out", () => {
    const runs = [member("a", undefined), ...Array.from({ length: 100 }, (_, i) => member(`f${i}`, "a"))];
    const drawn = lines(runs, "f77");
    expect(drawn.at(-1)).toContain("… 79 more (--all shows them)");
    expect(drawn.some((line) => line.includes("f77"))).toBe(true);
    expect(lines(runs, "f77", { all: true })).toHaveLength(101);
  });

  test("that branches ten thousand times below one another is drawn around the run, and ends", () => {
    const runs = [member("r0", undefined)];
    for (let i = 1; i < 10_000; i += 1) runs.push(member(`r${i}`, `r${i - 1}`), member(`s${i}`, `r${i - 1}`));
    const deep = lines(runs, "r9990", { all: true });
    expect(deep[0]).toMatch(/… 99\d\d more that these come from/);
    expect(deep.filter((line) => line.includes("← this run"))).toHaveLength(1);
    expect(Math.max(...deep.map((line) => line.length))).toBeLessThan(200);
    expect(lines(runs, "r0", { all: true }).at(-1)).toMatch(/s1 /);
  });

  test("cannot be made to steer a terminal, and fits a narrow one", () => {
    const runs = [member("a", undefined, { reason: "\u001b[2J" }), member("b", "a", { tags: ["x".repeat(60)] })];
    const drawn = lines(runs, "b", { width: 50 });
    expect(drawn.join("\n")).not.toContain("\u001b");
    for (const line of drawn) expect(line.length).toBeLessThanOrEqual(50);
  });
});
