/**
 * The promise of recall, over random programs: a body that is deterministic apart from `ctx` takes the same path again
 * after a crash at any commit: same values, same winners, nothing swapped, nothing entered twice, no divergence.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Delivery } from "../../src/engine/delivery.ts";
import { delivery } from "../../src/engine/delivery.ts";
import type { Crash, Life } from "./life.ts";
import { changed, changes, guarded, guards } from "./change.ts";
import { live, turnClock } from "./life.ts";
import { fresh, onPostgres } from "../stage.ts";
import type { Program } from "./program.ts";
import { programs } from "./program.ts";

const crashes: fc.Arbitrary<Crash[]> = fc.array(
  fc.record({ commit: fc.integer({ min: 0, max: 7 }), applied: fc.boolean() }),
  { minLength: 1, maxLength: 3 },
);

/** Many programs share a store, as many runs do. */
let lives = 0;

type Cast = {
  program: Program;
  crashes: Crash[];
  pageEvents: number;
  packEvents: number;
  delivery?: Delivery;
  changed?: Program;
  guarded?: boolean;
};

/**
 * From pages so short that outcomes are read again one by one, to a page that holds every history; and from packs of
 * single events to histories that are too short for one.
 */
const sizes = fc.record({
  pageEvents: fc.constantFrom(1, 2, 3, 1000),
  packEvents: fc.constantFrom(1, 2, 3, 5, 1024),
});

function stage(): { live: (cast: Cast) => Promise<Life>; close(): Promise<void> } {
  const clock = turnClock();
  const store = fresh({ now: () => clock.now() });
  return {
    live: (cast) => live({ store, clock, name: `program-${(lives += 1)}`, ...cast }),
    async close() {
      clock.stop();
      await store.close();
    },
  };
}

type Seen = { crashed: number; events: number; diverged: number };

async function check(runs: number, wrong?: Delivery, change = false): Promise<Seen> {
  let theatre = stage();
  let count = 0;
  const seen: Seen = { crashed: 0, events: 0, diverged: 0 };
  try {
    await fc.assert(
      fc.asyncProperty(programs, crashes, changes, sizes, async (program, at, how, size) => {
        if (count++ % 500 === 499) {
          await theatre.close();
          theatre = stage();
        }
        const cast: Cast = { program, crashes: at, ...size };
        if (wrong !== undefined) cast.delivery = wrong;
        if (change) cast.changed = changed(program, how);
        const life = await theatre.live(cast);
        if (life.status === "divergence") seen.diverged += 1;
        seen.crashed += life.crashes;
        seen.events += life.events.length;
        expect(life.faults).toEqual([]);
      }),
      { numRuns: runs, endOnFailure: wrong !== undefined },
    );
  } finally {
    await theatre.close();
  }
  return seen;
}

const runs = Number(process.env["STEMMA_RECALL_RUNS"] ?? (onPostgres ? 200 : 4_000));

describe("recall", () => {
  it("takes the same path again, whatever the program and wherever it crashed", { timeout: 600_000 }, async () => {
    const seen = await check(runs);
    console.log(`recall: ${runs} programs, ${seen.crashed} crashes, ${seen.events} events, 0 divergences`);
    expect(seen.crashed).toBeGreaterThan(runs / 4);
  });

  it("notices when outcomes are delivered before the flush that holds them", { timeout: 120_000 }, async () => {
    await expect(check(2000, { ...delivery, afterFlush: false })).rejects.toThrow(/Property failed/);
  });

  it("notices when all outcomes of a flush are delivered at once", { timeout: 120_000 }, async () => {
    await expect(check(4000, { ...delivery, perTurn: Infinity })).rejects.toThrow(/Property failed/);
  });

  // It takes the longest to be found, and the store has no part in it.
  it.runIf(!onPostgres)(
    "notices when a recorded outcome does not wait for the asks made before it",
    { timeout: 240_000 },
    async () => {
      await expect(check(20_000, { ...delivery, afterAsks: false })).rejects.toThrow(/Property failed/);
    },
  );

  it(
    "of changed code continues, or stops as a divergence before anything is entered, and repeats nothing recorded",
    { timeout: 240_000 },
    async () => {
      const seen = await check(runs / 5, undefined, true);
      console.log(
        `changed code: ${runs / 5} programs, ${seen.crashed} crashes, ${seen.diverged} stopped as divergences`,
      );
      expect(seen.diverged).toBeGreaterThan(0);
    },
  );

  it(
    "of new code behind guards finishes what old code began, and gives the guards the same answers again",
    { timeout: 240_000 },
    async () => {
      let theatre = stage();
      const seen = { count: 0, taken: 0, kept: 0 };
      const property = fc.asyncProperty(programs, crashes, guards, sizes, async (program, at, list, size) => {
        if (seen.count++ % 500 === 499) {
          await theatre.close();
          theatre = stage();
        }
        const life = await theatre.live({
          program,
          crashes: at,
          ...size,
          changed: guarded(program, list),
          guarded: true,
        });
        for (const { type, data } of life.events) {
          if (type === "run.patched") seen[data.old === true ? "kept" : "taken"] += 1;
        }
        expect(life.faults).toEqual([]);
      });
      try {
        await fc.assert(property, { numRuns: runs / 4 });
      } finally {
        await theatre.close();
      }
      console.log(`guards: ${seen.count} programs, ${seen.taken} took the new code, ${seen.kept} kept the old`);
      expect(Math.min(seen.taken, seen.kept)).toBeGreaterThan(runs / 400);
    },
  );
});
