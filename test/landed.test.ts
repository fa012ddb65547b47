/** Commits that a store refuses for good although they were carried out: nobody heard of them, and they are true. */
import { describe, expect, it } from "vitest";
import { StemmaError, workflow } from "../src/index.ts";
import type { Context, Store } from "../src/index.ts";
import { sqlite } from "../src/sqlite.ts";
import { fakeClock } from "../src/testing.ts";
import { around } from "../src/testing/around.ts";
import { faultsOf } from "./family.ts";
import { listening, stage } from "./stage.ts";

/** A store that carries out its n-th commit, or does not, and throws; it never makes good on it. */
function refusing(point: "before" | "after", n: number): Store & AsyncDisposable & { reached(): boolean } {
  let commits = 0;
  return around(
    sqlite(":memory:"),
    async ({ method, make }) => {
      const fails = method === "commit" && (commits += 1) === n;
      const answer = fails && point === "before" ? undefined : await make();
      if (fails) throw new StemmaError("store.corrupt", "So it is said.");
      return answer;
    },
    { reached: () => commits >= n },
  );
}

describe("a commit that was carried out and that the store calls refused", () => {
  it.each([1, 3])(
    "does not leave its run in hand: the worker goes on with what is on record, %i runs at a time",
    async (count) => {
      let errors = 0;
      for (const point of ["after", "before"] as const) {
        for (let n = 1; ; n += 1) {
          const clock = fakeClock();
          const log = listening();
          const store = refusing(point, n);
          const entered = new Map<string, number>();
          const definition = workflow({ name: "works" }, async (ctx: Context) => {
            for (const name of ["one", "two"]) {
              await ctx.step(name, () => void entered.set(name, (entered.get(name) ?? 0) + 1));
            }
            await ctx.sleep("2s");
            return "done";
          });
          {
            await using theatre = await stage([definition], { store, clock, log });
            const runs = await Promise.all(
              Array.from({ length: count }, () => theatre.stemma.run(definition, undefined)),
            );
            // Within its lease: nobody else could take them from it.
            await clock.advance("10s");
            for (const run of runs) {
              const { state, worker } = await theatre.stemma.row(run.id);
              expect([point, n, state.status, worker]).toEqual([point, n, "succeeded", undefined]);
              expect(await faultsOf(theatre.stemma, run.id)).toEqual([]);
            }
            // What is on record is not done again; what was not may be.
            if (point === "after") expect([...entered.values()]).toEqual([count, count]);
          }
          await store.close();
          if (!store.reached()) break;
          errors += 1;
        }
      }
      expect(errors).toBeGreaterThan(6);
    },
  );

  it("is said with the code of the error, and what becomes of the run", async () => {
    const clock = fakeClock();
    const log = listening();
    await using store = refusing("after", 2);
    const definition = workflow({ name: "works" }, (ctx) => ctx.step("one", () => 1));
    await using theatre = await stage([definition], { store, clock, log });
    const run = await theatre.stemma.run(definition, undefined);
    await clock.advance("10s");
    expect(await run.status()).toBe("succeeded");
    const said = log.lines.filter((line) => line.includes(run.id));
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(/^error A run was let go .*"code":"store.corrupt"/u);
  });
});
