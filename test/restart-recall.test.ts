/**
 * A restart or fork that a crash cuts in two gives each of equal asks what it would have given it in one piece: an ask
 * that ran in the first part had its turn, and the ones behind it get what is behind that.
 */
import { describe, expect, test } from "vitest";
import type { Context, Stemma, Workflow } from "../src/index.ts";
import { workflow } from "../src/index.ts";
import { errorOf, fresh, stage, until } from "./stage.ts";
import { World, reusedKeys } from "./behaviours/restart-world.ts";

/** Two lives on one store: the first ends in a crash when something is so. */
async function twoLives(
  code: Workflow<never>,
  crashed: boolean,
  make: (stemma: Stemma) => Promise<string>,
  reached: () => boolean,
): Promise<{ reused: string[]; result: unknown }> {
  let skipped = 0;
  await using store = fresh({ now: () => Date.now() + skipped });
  const first = await stage([code], { store, lease: "2s" });
  const id = await make(first.stemma);
  await until(reached);
  if (crashed) first.stemma.abandon();
  skipped += crashed ? 60_000 : 0;
  await using second = await stage([code], { store, lease: "2s" });
  const run = await (crashed ? second : first).stemma.get(id);
  gate.resolve();
  const result = await run.result();
  await first.stemma.stop();
  return { reused: await reusedKeys(run), result };
}

let gate = Promise.withResolvers<void>();

describe("equal asks, of which the first had a failure in the source", () => {
  test.each([[false], [true]])(
    "the second has the success of the second (with a crash between them: %j)",
    async (crashed) => {
      const world = new World();
      let source = true;
      gate = Promise.withResolvers();
      let passed = false;
      const wf = workflow({ name: "charges" }, async (ctx, { before }: { before: boolean }) => {
        if (before) await ctx.step("charge", { input: 1 }, () => world.enter("charge 1", 1));
        let failure: unknown;
        const two = { input: 2 };
        const work = (): number => world.enter("charge 2", 2);
        await ctx.step("charge", two, work).catch((error: unknown) => (failure = error));
        world.broken.clear();
        if (!source) {
          passed = true;
          await gate.promise;
        }
        await ctx.step("charge", two, work);
        if (source) throw failure;
        return "done";
      });
      world.broken.add("charge 2");
      const { reused, result } = await twoLives(
        wf as Workflow<never>,
        crashed,
        async (stemma) => {
          const run = await stemma.run(wf, { before: true });
          await errorOf(run.result());
          source = false;
          world.since();
          return (await stemma.fork(run.id, { input: { before: false } })).id;
        },
        () => passed,
      );
      expect(result).toBe("done");
      expect(world.since()).toEqual(["charge 2"]);
      expect(reused).toEqual(["charge#2"]);
    },
  );
});

describe("equal asks, of which one success is cut", () => {
  test.each([[false], [true]])(
    "the one behind it has the success behind it (with a crash between them: %j)",
    async (crashed) => {
      const world = new World();
      gate = Promise.withResolvers();
      let passed = false;
      const wf = workflow({ name: "charges" }, async (ctx, { together }: { together: boolean }) => {
        const charge = (input: number): Promise<number> =>
          ctx.step("charge", { input }, () => world.enter(`charge ${input}`, input));
        if (together) return Promise.all([1, 2, 2, 2].map(charge));
        // In the source these are the second, the third, which is cut, and the fourth.
        const first = [await charge(2), await charge(2)];
        passed = true;
        await gate.promise;
        return [...first, await charge(2)];
      });
      const { reused, result } = await twoLives(
        wf as Workflow<never>,
        crashed,
        async (stemma) => {
          const run = await stemma.run(wf, { together: true });
          await run.result();
          world.since();
          return (await stemma.fork(run.id, { input: { together: false }, from: "charge#3" })).id;
        },
        () => passed,
      );
      expect(result).toEqual([2, 2, 2]);
      expect(world.since()).toEqual(["charge 2"]);
      expect(reused).toEqual(["charge", "charge#3"]);
    },
  );
});

describe("equal asks at once, of which one has its own success there", () => {
  test.each([[false], [true]])(
    "that one gets it, and the other runs (with a crash before them: %j)",
    async (crashed) => {
      const world = new World();
      gate = Promise.withResolvers();
      let passed = false;
      const wf = workflow({ name: "charges" }, async (ctx: Context<number>, { charges }: { charges: number[] }) => {
        if (ctx.restored === undefined) await ctx.checkpoint(1);
        passed = true;
        await gate.promise;
        return Promise.all(
          charges.map((input) => ctx.step("charge", { input }, () => world.enter(`charge ${input}`, input))),
        );
      });
      const { reused, result } = await twoLives(
        wf as unknown as Workflow<never>,
        crashed,
        async (stemma) => {
          const run = await stemma.run(wf, { charges: [1, 2] });
          gate.resolve();
          await run.result();
          [gate, passed] = [Promise.withResolvers(), false];
          world.since();
          return (await stemma.fork(run.id, { input: { charges: [2, 2] } })).id;
        },
        () => passed,
      );
      expect(result).toEqual([2, 2]);
      expect(world.since()).toEqual(["charge 2"]);
      expect(reused).toEqual(["#1/charge#2"]);
    },
  );
});
