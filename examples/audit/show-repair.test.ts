import { stripVTControlCharacters } from "node:util";
import { expect, test } from "vitest";
import type { Comparison, Plan } from "../../src/index.ts";
import type { LedgerFigures } from "./ledger.ts";
import { billLines, comparisonLines, familyCommands, planLines } from "./show-repair.ts";

const plain = (lines: string[]): string[] => lines.map((line) => stripVTControlCharacters(line));

test("a plan names what is not reused, counts the rest, and says how many steps are entered", () => {
  const step = (n: number): Plan["steps"][number] => ({
    key: `classify/p${n}`,
    verdict: "run",
    reason: "input changed at $.prompt",
    saves: { ms: 0, cost: 0 },
  });
  const totals = { reuse: 100, run: 8, depends: 1, decide: 0 };
  const saves = { ms: [0, 0], cost: [0, 0] } as const;
  const open = { ...step(0), key: "summarise", verdict: "depends", reason: "behind what runs" } as const;
  const steps = [...Array.from({ length: 8 }, (_, n) => step(n)), open];
  const lines = plain(planLines({ grade: "dry run", steps, totals: { ...totals, runs: [8, 9], saves } }));
  expect(lines[1]).toMatch(/^ {2}run +classify\/p0 +input changed at \$\.prompt/u);
  expect(lines).toContainEqual(expect.stringMatching(/^ +and 2 more that run *$/u));
  expect(lines).toContainEqual(expect.stringMatching(/^ {2}depends +summarise +behind what runs/u));
  expect(lines.slice(-2)).toEqual([
    "  100 steps are reused, 8 run, and of 1 it depends on what comes out:",
    "  8 to 9 are entered",
  ]);
});

test("a bill has what each part of the story asked for and paid", () => {
  const at = (requests: number, charged: number): LedgerFigures => ({
    requests,
    charged,
    charges: charged,
    chargedTwice: 0,
    repeated: 0,
    amount: 0,
    publications: 0,
    byStatus: { "200": charged, "429": requests - charged },
    publishRequests: 0,
  });
  const [none, first, last] = [at(0, 0), at(110, 100), at(121, 110)];
  const bill = {
    first: { before: none, after: first },
    restart: { before: first, after: first },
    fork: { before: first, after: last },
  };
  const lines = plain(billLines(bill));
  expect(lines[1]).toMatch(/the run that failed +110 +100 +100 +25\.0 cents/);
  expect(lines[2]).toMatch(/its restart +0 +0 +0 +0\.0 cents/);
  expect(lines[3]).toMatch(/the fork of that +11 +10 +10 +2\.5 cents/);
});

test("a comparison names what differs, where, and from where on", () => {
  const side = { run: "run_a", status: "succeeded", cost: 0 } as const;
  const same: Comparison["steps"][number] = { change: "same", moved: false, differences: [] };
  const changed: Comparison["steps"][number] = {
    change: "changed",
    moved: false,
    a: { key: "classify/p", seq: 4, status: "succeeded" },
    differences: [{ aspect: "input", places: [{ path: "$.prompt", a: "x", b: "y" }] }],
  };
  const totals = { same: 1, changed: 1, added: 0, removed: 0, moved: 0 };
  const lines = plain(comparisonLines({ a: side, b: side, same: false, steps: [same, changed], first: 1, totals }));
  expect(lines[1]).toBe("  changed  classify/p  input $.prompt");
  expect(lines.at(-1)).toBe("  1 steps are the same; they differ from classify/p on");
});

test("commands are shown for a store in a file, which is all that the command line opens", () => {
  const runs = { failed: "run_a", restarted: "run_b", forked: "run_c" };
  const lines = familyCommands(runs, { file: "/elsewhere/stemma.db" });
  expect(lines).toContain("  npx stemma compare run_b run_c --store /elsewhere/stemma.db");
  expect(familyCommands(runs, { url: "postgres://x", schema: "s", lasts: true })).toEqual([]);
});
