/**
 * What a step is reused by, as users of other systems know it, with the outcomes of this one; the better outcome where
 * one was asked for.
 */
import { describe, expect, test } from "vitest";
import { parse } from "../../src/core/json.ts";
import { components, workflow } from "../../src/index.ts";
import type { Change } from "../../src/index.ts";
import { stage, until } from "../stage.ts";
import { World, ended, reusedKeys, reusedOf } from "./restart-world.ts";

describe("A: what is reused", () => {
  test("A1: the same step with the same input is not entered; its output is equal, and says where it comes from", async () => {
    const world = new World();
    const wf = workflow({ name: "one" }, (ctx, input: number) =>
      ctx.step("plan", { input }, (n) => world.enter("plan", { n })),
    );
    await using place = await stage([wf]);
    const { stemma } = place;
    const run = await stemma.run(wf, 1);
    await run.result();
    world.since();
    const again = await stemma.restart(run.id);
    expect(await again.result()).toEqual({ n: 1 });
    expect(world.since()).toEqual([]);
    const reused = await reusedOf(again, "plan");
    expect(reused).toMatchObject({ from: { run: run.id, key: "plan" }, origin: { run: run.id, key: "plan" } });
    expect((await again.history()).find(({ type }) => type === "step.reused")?.data).not.toHaveProperty("ms");
  });

  test("A2, A3, B8: what a sibling did is reused, also where it began after the step that is restarted from", async () => {
    const world = new World();
    const gate = Promise.withResolvers<void>();
    let waits = true;
    const wf = workflow({ name: "fan" }, async (ctx) => {
      const a = ctx.step("a", { input: 1 }, () => world.enter("a", "a"));
      const b = ctx.step("b", { input: 2 }, async () => {
        if (waits) await gate.promise;
        return world.enter("b", "b");
      });
      await a;
      const c = ctx.step("c", { input: 3 }, () => world.enter("c", "c"));
      await c;
      gate.resolve();
      return [await a, await b, await c];
    });
    await using place = await stage([wf]);
    const { stemma } = place;
    world.broken.add("b");
    const run = await stemma.run(wf, undefined);
    await ended(run);
    world.broken.clear();
    waits = false;
    world.since();
    const again = await stemma.restart(run.id, { from: "b" });
    expect(await again.result()).toEqual(["a", "b", "c"]);
    expect(world.since()).toEqual(["b"]);
    expect((await reusedKeys(again)).toSorted()).toEqual(["a", "c"]);
  });

  test("A4, B3: with reuse none everything runs, and no step names a source; that is on record", async () => {
    const world = new World();
    const wf = workflow({ name: "two" }, async (ctx) => {
      await ctx.step("a", { input: 1 }, () => world.enter("a", 1));
      await ctx.step("b", { input: 2 }, () => world.enter("b", 2));
    });
    await using place = await stage([wf]);
    const run = await place.stemma.run(wf, undefined);
    await run.result();
    world.since();
    const again = await place.stemma.restart(run.id, { reuse: "none" });
    await again.result();
    expect(world.since()).toEqual(["a", "b"]);
    expect(await reusedKeys(again)).toEqual([]);
    expect((await again.history())[0]?.data).toMatchObject({ reuse: "none", origin: { kind: "restart", run: run.id } });
  });

  test("A7: the order of keys does not matter; the order of a list, null or nothing, and the context that is read do", async () => {
    const world = new World();
    const wf = workflow({ name: "keys" }, async (ctx, input: unknown) => {
      await ctx.step("plan", { input }, () => world.enter("plan", 1));
      await ctx.step("tune", { input: 1, context: ["model"] }, () => world.enter("tune", 1));
    });
    await using place = await stage([wf]);
    const { stemma } = place;
    const run = await stemma.run(wf, { a: 1, b: [1, 2] }, { context: { model: "x", tenant: 1 } });
    await run.result();
    const entered = async (change: Change): Promise<string[]> => {
      world.since();
      await (await stemma.fork(run.id, change)).result();
      return world.since();
    };
    expect(await entered({ input: { b: [1, 2], a: 1 } })).toEqual([]);
    expect(await entered({ input: { a: 1, b: [2, 1] } })).toEqual(["plan"]);
    expect(await entered({ input: { a: 1, b: [1, 2], c: null } })).toEqual(["plan"]);
    expect(await entered({ context: { model: "x", tenant: 2 } })).toEqual([]);
    expect(await entered({ context: { model: "y", tenant: 1 } })).toEqual(["tune"]);
  });

  test("A8, A9: what failed or was cancelled is not reused, nor what another step did with the same input", async () => {
    const world = new World();
    let name = "a";
    const wf = workflow({ name: "names" }, async (ctx) => {
      await ctx.step(name, { input: 1 }, () => world.enter(name, 1));
      await ctx.step("last", { input: 1 }, () => world.enter("last", 1));
    });
    await using place = await stage([wf]);
    const { stemma } = place;
    world.broken.add("last");
    const run = await stemma.run(wf, undefined);
    await ended(run);
    world.since();
    world.broken.clear();
    await (await stemma.restart(run.id)).result();
    expect(world.since()).toEqual(["last"]);
    name = "b";
    await (await stemma.restart(run.id)).result();
    expect(world.since()).toEqual(["b", "last"]);
  });

  test("A12, A13: the n-th of equal calls gets the n-th outcome, and a call more than there were runs", async () => {
    let count = 0;
    let times = 3;
    const wf = workflow({ name: "equal" }, async (ctx) => {
      const found: number[] = [];
      for (let i = 0; i < times; i += 1) found.push(await ctx.step("poll", { input: "x" }, () => (count += 1)));
      return found;
    });
    await using place = await stage([wf]);
    const { stemma } = place;
    const run = await stemma.run(wf, undefined);
    expect(await run.result()).toEqual([1, 2, 3]);
    expect(await (await stemma.restart(run.id)).result()).toEqual([1, 2, 3]);
    times = 4;
    const more = await stemma.restart(run.id);
    expect(await more.result()).toEqual([1, 2, 3, 4]);
    times = 2;
    expect(await (await stemma.restart(more.id)).result()).toEqual([1, 2]);
  });

  test("A14: through three levels of called runs: what succeeded is reused, what failed runs, and its successes are", async () => {
    const world = new World();
    const leaf = workflow({ name: "leaf" }, async (ctx, n: number) => {
      const a = await ctx.step("read", { input: n }, (m) => world.enter(`read ${m}`, m));
      return ctx.step("write", { input: a }, (m) => world.enter(`write ${m}`, m * 10));
    });
    const branch = workflow({ name: "branch" }, async (ctx, n: number) => {
      const planned = await ctx.step("plan", { input: n }, (m) => world.enter(`plan ${m}`, m));
      return ctx.call(leaf, planned);
    });
    const root = workflow({ name: "root" }, async (ctx) => [await ctx.call(branch, 1), await ctx.call(branch, 2)]);
    await using place = await stage([root, branch, leaf]);
    const { stemma } = place;
    world.broken.add("write 2");
    const run = await stemma.run(root, undefined);
    await ended(run);
    world.broken.clear();
    world.since();
    const again = await stemma.restart(run.id);
    expect(await again.result()).toEqual([10, 20]);
    expect(world.since()).toEqual(["write 2"]);
    expect(components(await stemma.trace(again.id, { family: true }))).toBe(1);
    const { runs } = await stemma.list({ family: run.id });
    const remade = runs.filter(({ state }) => state.origin.kind === "restart" && state.workflow !== "root");
    expect(remade.map(({ state }) => state.workflow).toSorted()).toEqual(["branch", "leaf"]);
  });

  test("A15: a restart of a restart reuses what was reused, and names both where it found it and who really made it", async () => {
    const world = new World();
    const wf = workflow({ name: "three" }, async (ctx) => {
      await ctx.step("a", { input: 1 }, () => world.enter("a", 1));
      return ctx.step("b", { input: 2 }, () => world.enter("b", 2));
    });
    await using place = await stage([wf]);
    const { stemma } = place;
    world.broken.add("b");
    const first = await stemma.run(wf, undefined);
    await ended(first);
    const second = await stemma.restart(first.id);
    await ended(second);
    world.broken.clear();
    world.since();
    const third = await stemma.restart(second.id);
    await third.result();
    expect(world.since()).toEqual(["b"]);
    expect(await reusedOf(third, "a")).toMatchObject({ from: { run: second.id }, origin: { run: first.id } });
  });

  test("A16: a whole number that a JSON number cannot hold is refused as text, so two of them are never one", async () => {
    const [a, b] = ["9007199254740993", "9007199254740992"];
    expect(() => parse(`{"amount":${a}}`)).toThrow(/9007199254740993/);
    const wf = workflow({ name: "big" }, (ctx, n: string) => ctx.step("pay", { input: n }, (m) => m));
    await using place = await stage([wf]);
    const { stemma } = place;
    const run = await stemma.run(wf, a);
    await run.result();
    const other = await stemma.fork(run.id, { input: b });
    expect(await other.result()).toBe(b);
    expect(await reusedKeys(other)).toEqual([]);
  });

  test.each([[null], [undefined], [{}], [0], [""], [false]])("A17: %j is an output like any other", async (output) => {
    let entered = 0;
    const wf = workflow({ name: "empty" }, async (ctx) => {
      const value = await ctx.step("a", { input: 1 }, () => {
        entered += 1;
        return output;
      });
      const bare = await ctx.step("b", () => {
        entered += 1;
        return output;
      });
      return [value === undefined ? "undefined" : value, bare === undefined ? "undefined" : bare];
    });
    await using place = await stage([wf]);
    const run = await place.stemma.run(wf, undefined);
    const result = await run.result();
    expect(await (await place.stemma.restart(run.id)).result()).toEqual(result);
    expect(entered).toBe(2);
  });

  test("A18: whoever follows a run that has everything already gets its result", async () => {
    const wf = workflow({ name: "quick" }, (ctx) => ctx.step("a", { input: 1 }, () => "done"));
    await using place = await stage([wf]);
    const run = await place.stemma.run(wf, undefined);
    await run.result();
    const again = await place.stemma.restart(run.id);
    await until(async () => (await again.status()) === "succeeded");
    expect(await (await place.stemma.get(again.id)).result()).toBe("done");
  });
});
