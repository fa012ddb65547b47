/**
 * What a restart or fork is, as users of other systems know it, with the outcomes of this one; the better outcome where
 * one was asked for. The numbers are those of the list of their behaviours; what is reused (A) is in
 * `control-plane-replay`.
 *
 *     B1   a failed run or a failed called run restarted      here, and control-plane-family (a called run alone)
 *     B2   only one node                                      control-plane-family: a called run by itself, or `from`
 *     B3   reuse none                                         control-plane-replay, with A4
 *     B4   what cannot be meant                               here; every code of a refusal: test/refused.test.ts
 *     B5   fork or restart                                    here
 *     B6   another input                                      here
 *     B7   the run whose body failed, named itself            here; theirs reuses nothing there
 *     B8   what began after the step restarted from           control-plane-replay, with A2
 *     B9   what is inherited                                  here, with B1 (there are no webhooks yet)
 *     B10  a source that goes on                              here: refused; theirs accepts it
 *     B11  one idempotency key                                here; from two processes: test/restart-crashes.test.ts
 *     B12  a refusal leaves nothing                           here
 *     B13  the calls are exactly those that are needed        here
 *     B14  where it comes from, and why, wherever it is shown control-plane-family
 *     B15  another output of one step                         here
 *     B16  ancestors and descendants                          control-plane-family
 *     B17  a source is removed                                here, before and while another is made from it
 *     B18  steps in the process                               here
 */
import { describe, expect, test } from "vitest";
import { components, workflow } from "../../src/index.ts";
import type { Event, Stemma } from "../../src/index.ts";
import { around } from "../../src/testing/around.ts";
import { errorOf, fresh, stage, until } from "../stage.ts";
import { World, ended, reusedKeys } from "./restart-world.ts";

describe("B: restart and fork", () => {
  test("B1, B7: a run whose body failed is restarted by naming it: what succeeded before is reused, its input is there", async () => {
    const world = new World();
    const wf = workflow({ name: "body" }, async (ctx, input: { n: number }) => {
      const a = await ctx.step("a", { input: input.n }, (n) => world.enter("a", n));
      await ctx.step("b", () => world.enter("b", 1));
      if (world.broken.has("body")) throw new Error("a bug behind all steps");
      return a;
    });
    await using place = await stage([wf]);
    const { stemma } = place;
    world.broken.add("body");
    const run = await stemma.run(wf, { n: 7 }, { tags: ["eu"], context: { tenant: 3 } });
    await ended(run);
    world.broken.clear();
    world.since();
    const again = await stemma.restart(run.id, { reason: "fixed", by: "ada" });
    expect(await again.result()).toBe(7);
    expect(world.since()).toEqual([]);
    // B9: what was given with the source is given with it, and B14: it says where it comes from, and why.
    expect((await again.history())[0]?.data).toMatchObject({
      origin: { kind: "restart", run: run.id },
      input: { inline: { n: 7 } },
      context: { inline: { tenant: 3 } },
      tags: ["eu"],
      reason: "fixed",
      by: "ada",
    });
    expect((await stemma.list({ tag: "eu" })).runs).toHaveLength(2);
  });

  test("B4: what cannot be meant is refused with a code, and leaves no run behind", async () => {
    const wf = workflow({ name: "strict" }, (ctx) => ctx.step("a", { input: 1 }, () => 1));
    await using place = await stage([wf]);
    const { stemma } = place;
    const run = await stemma.run(wf, undefined);
    await run.result();
    const code = async (change: object): Promise<string | undefined> =>
      (await errorOf(stemma.fork(run.id, change))).code;
    expect(await code({ reuse: "some" })).toBe("usage.invalid");
    expect(await code({ form: "a" })).toBe("usage.invalid");
    expect(await code({ from: "a", after: "a" })).toBe("usage.invalid");
    expect(await code({ input: 1, patch: {} })).toBe("usage.invalid");
    expect(await code({ from: "b" })).toBe("step.not_found");
    expect(await code({ after: "b" })).toBe("step.not_found");
    expect(await code({ checkpoint: "last" })).toBe("checkpoint.not_found");
    expect(await code({ checkpoint: 1 })).toBe("checkpoint.not_found");
    expect(await code({ outputs: { b: 1 } })).toBe("override.unused");
    expect(await code({ outputs: { a: 1n } })).toBe("json.not_serializable");
    const stranger = `run_${"0".repeat(26)}`;
    expect((await errorOf(stemma.restart(stranger))).code).toBe("run.not_found");
    expect((await stemma.list()).runs.map(({ id }) => id)).toEqual([run.id]);
  });

  test("B5, B6: another input makes a fork; what it does not reach is reused, and what it does runs", async () => {
    const world = new World();
    const wf = workflow({ name: "inputs" }, async (ctx, input: { a: number; b: number }) => {
      const one = await ctx.step("one", { input: input.a }, (n) => world.enter("one", n));
      const two = await ctx.step("two", { input: input.b }, (n) => world.enter("two", n));
      return ctx.step("sum", { input: [one, two] }, ([x = 0, y = 0]) => world.enter("sum", x + y));
    });
    await using place = await stage([wf]);
    const { stemma } = place;
    const run = await stemma.run(wf, { a: 1, b: 2 });
    await run.result();
    world.since();
    const fork = await stemma.restart(run.id, { patch: { b: 5 } });
    expect(await fork.result()).toBe(6);
    expect(world.since()).toEqual(["sum", "two"]);
    expect((await fork.history())[0]?.data).toMatchObject({
      origin: { kind: "fork" },
      input: { inline: { a: 1, b: 5 } },
    });
    const why = (await fork.history()).flatMap(({ data }) => ("why" in data ? [`${data.key}: ${data.why}`] : []));
    expect(why).toEqual(["two: input changed at $", "sum: input changed at $[1]"]);
  });

  test("B10: a run that goes on is not restarted; a fork of it has what it had done, and no more", async () => {
    const world = new World();
    const wf = workflow({ name: "going" }, async (ctx) => {
      await ctx.step("a", { input: 1 }, () => world.enter("a", 1));
      await ctx.wait("ok", { prompt: "ok?" });
      return ctx.step("b", { input: 1 }, () => world.enter("b", 2));
    });
    await using place = await stage([wf]);
    const { stemma } = place;
    const run = await stemma.run(wf, undefined);
    await until(async () => (await stemma.waits()).waits.length === 1);
    expect((await errorOf(stemma.restart(run.id))).code).toBe("run.not_terminal");
    const fork = await stemma.fork(run.id);
    await stemma.resume(run.id, "ok", true);
    await run.result();
    await until(async () => (await stemma.waits()).waits.length === 1);
    world.since();
    await stemma.resume(fork.id, "ok", true);
    await fork.result();
    // What the source did since is not what this was made from.
    expect(world.since()).toEqual(["b"]);
  });

  test("B11: asked for twice at once with one key, it is one run; with the same key for something else, it is refused", async () => {
    const wf = workflow({ name: "keyed" }, (ctx, n: number) => ctx.step("a", { input: n }, (m) => m));
    await using place = await stage([wf]);
    const { stemma } = place;
    const run = await stemma.run(wf, 1);
    await run.result();
    const same = await Promise.all(
      Array.from({ length: 8 }, () => stemma.restart(run.id, { idempotencyKey: "ticket 1" })),
    );
    expect(new Set(same.map(({ id }) => id)).size).toBe(1);
    expect((await stemma.list()).runs).toHaveLength(2);
    const other = stemma.fork(run.id, { input: 2, idempotencyKey: "ticket 1" });
    expect((await errorOf(other)).code).toBe("run.conflict");
    // The step from which it runs again is a part of what is asked for; why it is asked for is not.
    const from = await stemma.restart(run.id, { from: "a", idempotencyKey: "ticket 2", reason: "a is wrong" });
    const again = await stemma.restart(run.id, { from: "a", idempotencyKey: "ticket 2", reason: "asked again" });
    expect(again.id).toBe(from.id);
    for (const change of [{}, { after: "a" }, { reuse: "none" }, { from: "a", allowEffects: ["a"] }] as const) {
      const another = stemma.restart(run.id, { ...change, idempotencyKey: "ticket 2" });
      expect((await errorOf(another)).code).toBe("run.conflict");
    }
    expect((await stemma.list()).runs).toHaveLength(3);
  });

  test("B12: an input that the workflow refuses leaves no run behind", async () => {
    const schema = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: (value: unknown) =>
          typeof value === "number" ? { value } : { issues: [{ message: "not a number" }] },
      },
    } as const;
    const wf = workflow({ name: "schema", input: schema }, (ctx, n: number) => ctx.step("a", { input: n }, (m) => m));
    await using place = await stage([wf]);
    const { stemma } = place;
    const run = await stemma.run(wf, 1);
    await run.result();
    expect((await errorOf(stemma.fork(run.id, { input: "one" }))).code).toBe("workflow.invalid_input");
    expect((await stemma.list()).runs).toHaveLength(1);
  });

  test("B13: plan, two assessments, a synthesis that fails once, a check: calls are exactly those that are needed", async () => {
    const world = new World();
    const wf = workflow({ name: "root" }, async (ctx) => {
      world.enter("root", 0);
      const plan = await ctx.step("plan", { input: "q" }, () => world.enter("plan", ["x", "y"]));
      const found = await Promise.all(
        plan.map((part) => ctx.step(`assess-${part}`, { input: part }, (p) => world.enter(`assess ${p}`, p))),
      );
      const text = await ctx.step("synthesize", { input: found }, (all) => world.enter("synthesize", all.join()));
      return ctx.step("verify", { input: text }, (t) => world.enter("verify", `${t}!`));
    });
    await using place = await stage([wf]);
    const { stemma } = place;
    world.broken.add("synthesize");
    const run = await stemma.run(wf, undefined);
    await ended(run);
    world.broken.clear();
    const again = await stemma.restart(run.id, { from: "synthesize" });
    expect(await again.result()).toBe("x,y!");
    const calls = Object.entries(Object.groupBy(world.since(), (name) => name)).map(
      ([name, all]) => `${name} ${all?.length}`,
    );
    expect(calls.toSorted()).toEqual(["assess x 1", "assess y 1", "plan 1", "root 2", "synthesize 2", "verify 1"]);
    expect((await reusedKeys(again)).toSorted()).toEqual(["assess-x", "assess-y", "plan"]);
  });

  test("B15: with the output of one step replaced, what is before and beside it is reused, and what is behind it runs", async () => {
    const world = new World();
    const wf = workflow({ name: "deep" }, async (ctx) => {
      const { left, right } = await ctx.all({
        left: async () => {
          const a = await ctx.step("a", { input: 1 }, () => world.enter("a", 1));
          return ctx.step("b", { input: a }, (n) => world.enter("b", n + 1));
        },
        right: () => ctx.step("c", { input: 3 }, () => world.enter("c", 3)),
      });
      return ctx.step("d", { input: left + right }, (n) => world.enter("d", n));
    });
    await using place = await stage([wf]);
    const { stemma } = place;
    const run = await stemma.run(wf, undefined);
    expect(await run.result()).toBe(5);
    world.since();
    const fork = await stemma.fork(run.id, { outputs: { "left/b": 10 }, by: "ada", reason: "what if" });
    expect(await fork.result()).toBe(13);
    expect(world.since()).toEqual(["d"]);
    expect((await fork.history()).find(({ type }) => type === "step.overridden")?.data).toMatchObject({
      key: "left/b",
      by: "ada",
      reason: "what if",
      output: { inline: 10 },
    });
    // What was given stands in what is made from it.
    const third = await stemma.restart(fork.id);
    expect(await third.result()).toBe(13);
    expect(world.since()).toEqual([]);
  });

  test("B17: a run that another was made from is not removed before that one", async () => {
    const wf = workflow({ name: "kept" }, (ctx) => ctx.step("a", { input: 1 }, () => "a".repeat(3000)));
    await using place = await stage([wf]);
    const { stemma } = place;
    const run = await stemma.run(wf, undefined);
    await run.result();
    const again = await stemma.restart<string>(run.id);
    await again.result();
    const pruned = await stemma.store.prune({ endedBefore: Date.now() + 60_000, limit: 1 });
    expect(pruned.runs).toEqual([again.id]);
    expect(await (await stemma.restart<string>(run.id)).result()).toHaveLength(3000);
  });

  test("B17: a run that is removed while another is made from it leaves that one not made", async () => {
    const wf = workflow({ name: "gone" }, (ctx) => ctx.step("a", { input: 1 }, () => "a".repeat(3000)));
    await using inner = fresh();
    let prunes = true;
    const store = around(
      inner,
      async ({ method, make }) => {
        if (method === "create" && prunes) await inner.prune({ endedBefore: Date.now() + 60_000, limit: 9 });
        return make();
      },
      {},
    );
    await using place = await stage([wf], { store });
    const { stemma } = place;
    const run = await stemma.run(wf, undefined);
    await run.result();
    expect(await errorOf(stemma.restart(run.id))).toMatchObject({ code: "run.not_found", data: { run: run.id } });
    expect((await stemma.list()).runs).toEqual([]);
    prunes = false;
  });

  test("B17: a called run that failed and was removed is called anew where its caller is restarted", async () => {
    const world = new World();
    const child = workflow({ name: "child" }, (ctx, n: number) =>
      ctx.step("work", { input: n }, () => world.enter(`work ${n}`, "x".repeat(3000))),
    );
    const wf = workflow({ name: "caller" }, async (ctx) => {
      const [a, b] = [await ctx.call(child, 1), await ctx.call(child, 2)];
      return a.length + b.length;
    });
    await using store = fresh();
    const before = await stage([wf, child], { store });
    world.broken.add("work 2");
    const run = await before.stemma.run(wf, undefined);
    await ended(run);
    await before.stemma.stop();
    world.broken.clear();
    world.since();
    // Nobody works on the restart yet, so nothing comes from the called runs.
    const { id } = await before.stemma.restart(run.id);
    expect((await store.prune({ endedBefore: Date.now() + 60_000, limit: 9 })).runs).toHaveLength(2);
    await using place = await stage([wf, child], { store });
    expect(await (await place.stemma.get(id)).result()).toBe(6000);
    expect(world.since()).toEqual(["work 2"]);
    expect(components(await place.stemma.trace(id, { family: true }))).toBe(1);
  });

  test("B18: steps in the same process and called runs are reused alike", async () => {
    const world = new World();
    const child = workflow({ name: "child" }, (ctx, n: number) =>
      ctx.step("work", { input: n }, (m) => world.enter(`work ${m}`, m)),
    );
    const wf = workflow({ name: "mixed" }, async (ctx) => [
      await ctx.step("local", { input: 1 }, () => world.enter("local", 1)),
      await ctx.call(child, 2),
    ]);
    await using place = await stage([wf, child]);
    const { stemma } = place;
    const run = await stemma.run(wf, undefined);
    await run.result();
    world.since();
    const again = await stemma.restart(run.id);
    expect(await again.result()).toEqual([1, 2]);
    expect(world.since()).toEqual([]);
    expect(await reusedKeys(again)).toEqual(["local", "child"]);
    expect(components(await stemma.trace(again.id, { family: true }))).toBe(1);
  });
});

/** Runs a workflow whose outputs were given for something that it does not ask for. */
async function unasked(stemma: Stemma, run: string): Promise<Event[]> {
  const fork = await stemma.fork(run, { outputs: { nowhere: 1 }, allowUnused: true });
  await fork.result();
  return fork.history();
}

test("an output that nobody asks for is a warning on record", async () => {
  const wf = workflow({ name: "warned" }, (ctx) => ctx.step("a", { input: 1 }, () => 1));
  await using place = await stage([wf]);
  const run = await place.stemma.run(wf, undefined);
  await run.result();
  const warned = (await unasked(place.stemma, run.id)).find(({ type }) => type === "run.warned");
  expect(warned?.data).toMatchObject({ code: "override.unused", data: { keys: ["nowhere"] } });
});
