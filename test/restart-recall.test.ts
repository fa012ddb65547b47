/**
 * A restart or fork that a crash cuts in two gives each of equal asks what it would have given it in one piece: an ask
 * that ran in the first part had its turn, and the ones behind it get what is behind that.
 */
import { describe, expect, test } from "vitest";
import type { Stemma, Workflow } from "../src/index.ts";
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
