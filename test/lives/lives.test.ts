/**
 * The promise of the whole life of a run, over random programs, random people and random crashes: nothing that the
 * design calls an invariant is ever broken, and every run comes to an end when its questions are answered.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Store } from "../../src/index.ts";
import type { Commit, FeedPage } from "../../src/store/store.ts";
import { around } from "../../src/testing/around.ts";
import { delivery } from "../../src/engine/delivery.ts";
import type { Seams } from "../../src/engine/stemma.ts";
import { turnClock } from "../recall/life.ts";
import { fresh } from "../stage.ts";
import type { Plan } from "./plan.ts";
import { plans } from "./plan.ts";
import type { Program } from "./program.ts";
import { programs } from "./program.ts";
import type { Lived } from "./world.ts";
import { live } from "./world.ts";

/** Programs that share a store, as many runs do. */
const together = 40;
let names = 0;

type Wrong = { seams?: Partial<Seams>; store?: (store: Store) => Store };

function theatre(wrong: Wrong): { live(program: Program, plan: Plan): Promise<Lived>; close(): Promise<void> } {
  const clock = turnClock();
  const store = fresh({ now: () => clock.now() });
  const seen = wrong.store?.(store) ?? store;
  return {
    live: (program, plan) =>
      live({
        store: seen,
        clock,
        name: `life-${(names += 1)}`,
        program,
        plan,
        ...(wrong.seams && { seams: wrong.seams }),
      }),
    async close() {
      clock.stop();
      await store.close();
    },
  };
}

type Tally = { runs: number; events: number; crashes: number; lives: number; ends: Record<string, number> };

async function check(count: number, wrong: Wrong = {}): Promise<Tally> {
  let stage = theatre(wrong);
  let lived = 0;
  const tally: Tally = { runs: 0, events: 0, crashes: 0, lives: 0, ends: {} };
  const property = fc.asyncProperty(programs, plans, async (program, plan) => {
    if (lived++ % together === together - 1) {
      await stage.close();
      stage = theatre(wrong);
    }
    const life = await stage.live(program, plan);
    tally.crashes += life.crashes;
    tally.lives += life.lives;
    for (const { row, events } of life.seen) {
      tally.runs += 1;
      tally.events += events.length;
      tally.ends[row.state.status] = (tally.ends[row.state.status] ?? 0) + 1;
    }
    expect(life.wrong).toEqual([]);
  });
  const planted = Object.keys(wrong).length > 0;
  const seed = process.env["STEMMA_LIVES_SEED"];
  try {
    await fc.assert(property, {
      numRuns: count,
      endOnFailure: planted,
      ...(seed === undefined ? {} : { seed: Number(seed) }),
    });
  } finally {
    await stage.close();
  }
  return tally;
}

/** What must not be, planted in the store below everything or in the engine. */
const planted: Record<string, Wrong> = {
  "a store that lets a stale worker append": {
    store: (store) =>
      changed(store, async (parts) => {
        const { runs } = await store.list({ ids: parts.map(({ run }) => run) });
        const epochs = new Map(runs.map(({ id, epoch }) => [id, epoch]));
        return parts.map((part) => ({ ...part, epoch: epochs.get(part.run) ?? part.epoch }));
      }),
  },
  "a run that rests although a message waits": {
    store: (store) =>
      changed(store, async (parts) =>
        parts.map((part) =>
          part.release === undefined ? part : { ...part, release: { ...part.release, force: true } },
        ),
      ),
  },
  "messages that count as taken in before they are": {
    store: (store) =>
      changed(store, async (parts) => {
        const { runs } = await store.list({ ids: parts.map(({ run }) => run) });
        const numbers = new Map(runs.map(({ id, inbox }) => [id, inbox]));
        return parts.map((part) => ({ ...part, inbox: numbers.get(part.run) ?? part.inbox }));
      }),
  },
  "a body that is told of outcomes before they are on stable storage": {
    seams: { delivery: { ...delivery, afterFlush: false } },
  },
  "a feed that leaves an event out": {
    store: (store) =>
      around(
        store,
        async ({ method, make }) => {
          const answer = await make();
          if (method !== "feed") return answer;
          const page = answer as FeedPage;
          return { ...page, events: page.events.filter(({ event }) => event.type !== "scope.closed") };
        },
        {},
      ),
  },
};

/** The store, with other parts in the place of those that are committed. */
function changed(store: Store, change: (parts: readonly Commit[]) => Promise<readonly Commit[]>): Store {
  return around(
    store,
    async ({ method, args, make }) => make(method === "commit" ? [await change(args[0] as Commit[])] : args),
    {},
  );
}

const programsMade = Number(process.env["STEMMA_LIVES_RUNS"] ?? 1200);

describe("the whole life of a run", () => {
  it(
    "keeps every invariant, whatever the program, whoever interferes and wherever it crashes",
    { timeout: 600_000 },
    async () => {
      const { runs, events, crashes, lives, ends } = await check(programsMade);
      console.log(
        `lives: ${programsMade} programs, ${runs} runs, ${events} events, ${lives} processes, ${crashes} crashes; ${JSON.stringify(ends)}`,
      );
      expect(crashes).toBeGreaterThan(programsMade / 4);
      expect(Object.keys(ends).toSorted()).toEqual(["cancelled", "failed", "succeeded", "timed_out"]);
    },
  );

  it.each(Object.entries(planted))("and would notice %s", { timeout: 600_000 }, async (_what, wrong) => {
    // It ends with the first that notices, which takes 200 programs on average at the most.
    await expect(check(4 * programsMade, wrong)).rejects.toThrow(/Property failed/u);
  });
});
