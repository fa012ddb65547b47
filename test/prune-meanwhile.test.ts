/** What is made of runs while they are pruned: whichever comes first, what there is afterwards is whole. */
import { expect, it } from "vitest";
import { Stemma, workflow } from "../src/index.ts";
import type { RunId, Store } from "../src/index.ts";
import { around } from "../src/testing/around.ts";
import { errorOf, fresh, silent } from "./stage.ts";

const many = 60;
const part = workflow({ name: "part" }, (ctx, n: number) => ctx.step("part", { input: n }, () => "x".repeat(3000 + n)));
const whole = workflow({ name: "whole" }, async (ctx, calls: number) => {
  for (let n = 0; n < calls; n += 1) await ctx.call(part, n);
  return ctx.step("end", { input: calls }, () => calls);
});
const later = (): Date => new Date(Date.now() + 3_600_000);

/** A store in which something happens before its prune number `n`, or behind it. */
function whenPruned(store: Store & AsyncDisposable, n: number, happens: () => Promise<unknown>): Store {
  let calls = 0;
  return around(
    store,
    async ({ method, make }) => {
      if (method !== "prune" || (calls += 1) !== n) return make();
      await happens();
      return make();
    },
    {},
  );
}

async function rest(stemma: Stemma): Promise<RunId[]> {
  const { runs } = await stemma.list({ limit: 200 });
  return runs.map(({ id }) => id);
}

it.each([1, 2])(
  "a run that is forked before batch %i keeps all that it called, or cannot be forked any more",
  async (n) => {
    await using store = fresh();
    await using stemma = await new Stemma({ store, workflows: [part, whole], log: silent }, { lingerMs: 10 }).start();
    // More called runs than go at a time, and another run that does not go with them.
    const run = await stemma.run(whole, many);
    await run.result();
    const small = await stemma.fork(run.id, { input: 1 });
    await small.result();
    const forked: string[] = [];
    const seen = whenPruned(store, n, async () => {
      for (const id of [run.id, small.id]) {
        const fork = stemma.fork(id, { input: 2 });
        forked.push(
          await fork.then(
            ({ id: made }) => made,
            (error: { code: string }) => error.code,
          ),
        );
      }
    });
    await new Stemma({ store: seen }).prune({ olderThan: later() });
    expect(forked.length).toBe(2);
    expect((await stemma.verify()).flaws).toEqual([]);
    for (const id of forked) {
      if (id === "run.not_found") continue;
      expect(await (await stemma.get(id)).result()).toBe(2);
      expect(await rest(stemma)).toContain(id);
    }
    expect((await stemma.verify()).flaws).toEqual([]);
    for (const { id } of (await stemma.list({ limit: 200, workflow: "whole" })).runs)
      expect(await (await stemma.fork(id, {})).result()).toBeGreaterThan(0);
  },
);

it("a caller goes in one transaction with all that it called, however many", async () => {
  await using store = fresh();
  await using stemma = await new Stemma({ store, workflows: [part, whole], log: silent }, { lingerMs: 10 }).start();
  const run = await stemma.run(whole, many);
  await run.result();
  const left: number[] = [];
  const seen = around(
    store,
    async ({ method, make }) => {
      const answer = await make();
      if (method === "prune") left.push((await rest(stemma)).length);
      return answer;
    },
    {},
  );
  expect(await new Stemma({ store: seen }).prune({ olderThan: later() })).toMatchObject({ runs: many + 1, kept: 0 });
  expect(left.filter((count) => count !== 0)).toEqual([]);
  expect((await errorOf(stemma.row(run.id))).code).toBe("run.not_found");
});
