/**
 * The promise of reuse, over random programs and random lines of restarts and forks with crashes: whatever a body is
 * given is what it would have been given by a run of its own, the source is untouched, nothing that was paid for is paid
 * for again, and the family's trace is one.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { sqlite } from "../../src/sqlite.ts";
import { turnClock } from "../recall/life.ts";
import type { Life, Move } from "./life.ts";
import { live } from "./life.ts";
import { forgetAtCheckpoints } from "./planted.ts";
import type { Part } from "./program.ts";
import { checkpointed, programs } from "./program.ts";

const changes: Move["change"][] = [
  "nothing",
  "input",
  "context",
  "code",
  "output",
  "from",
  "after",
  "none",
  "checkpoint",
];

const moves: fc.Arbitrary<Move[]> = fc.array(
  fc.record(
    {
      how: fc.constantFrom("restart" as const, "fork" as const),
      change: fc.constantFrom("nothing" as const, ...changes),
      pick: fc.nat(20),
      crash: fc.record({ commit: fc.nat(6), applied: fc.boolean() }),
    },
    { requiredKeys: ["how", "change", "pick"] },
  ),
  { minLength: 1, maxLength: 3 },
);

let lives = 0;

type Checked = { lies?: boolean; bodies?: fc.Arbitrary<Part[]>; isWrong?: boolean };

async function check(
  runs: number,
  { lies = false, bodies = programs, isWrong = lies }: Checked = {},
): Promise<Omit<Life, "faults">> {
  const seen = { reused: 0, entered: 0, runs: 0, crashes: 0 };
  let clock = turnClock();
  let store = sqlite({ path: ":memory:", now: () => clock.now() });
  let count = 0;
  try {
    await fc.assert(
      fc.asyncProperty(bodies, moves, async (program, line) => {
        if (count++ % 300 === 299) {
          clock.stop();
          await store.close();
          clock = turnClock();
          store = sqlite({ path: ":memory:", now: () => clock.now() });
        }
        const life = await live({ store, clock, name: `program-${(lives += 1)}`, program, moves: line, lies });
        for (const name of ["reused", "entered", "runs", "crashes"] as const) seen[name] += life[name];
        expect(life.faults).toEqual([]);
      }),
      { numRuns: runs, endOnFailure: isWrong },
    );
  } finally {
    clock.stop();
    await store.close();
  }
  return seen;
}

const runs = Number(process.env["STEMMA_REUSE_RUNS"] ?? 350);

describe("reuse", () => {
  it("gives a body what it would have come to itself, and pays for nothing twice", { timeout: 600_000 }, async () => {
    const seen = await check(runs);
    console.log(
      `reuse: ${runs} programs, ${seen.runs} runs, ${seen.entered} steps entered, ${seen.reused} reused, ${seen.crashes} crashes`,
    );
    expect(seen.reused).toBeGreaterThan(runs);
  });

  it("is found to be wrong where a declared input leaves out what a step uses", { timeout: 120_000 }, async () => {
    await expect(check(500, { lies: true })).rejects.toThrow(/Property failed/);
  });

  it(
    "is found to be wrong where the keys leave out what is behind a checkpoint's state",
    { timeout: 120_000 },
    async () => {
      const mend = forgetAtCheckpoints();
      try {
        await expect(check(500, { bodies: checkpointed, isWrong: true })).rejects.toThrow(/Property failed/);
      } finally {
        mend();
      }
      await check(50, { bodies: checkpointed });
    },
  );
});
