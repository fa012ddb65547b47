/**
 * What a step is reused by, as users of other systems know it, with the outcomes of this one; the better outcome where
 * one was asked for. The numbers are those of the list of their behaviours; restart and fork themselves (B) are in
 * `control-plane-restart`. Their marker, a step of the source before whose start in time one reuses, is here `from`: what
 * counts is cause and not the clock, so A2 comes out as A3, and B8 as it should.
 *
 *     A1   same step, same input                A8   failed or cancelled             A15  a restart of a restart
 *     A2   began after the marker (see B8)      A9   another step, same input        A16  whole numbers beyond 2^53
 *     A3   the same, with everything offered    A10  an unknown mode                 A17  null, undefined, {}, 0, "", false
 *     A4   reuse none                           A11  at the marker itself            A18  who looks late
 *     A5   the root                             A12  several with one key            A19  values withheld
 *     A6   a marker that is not there           A13  equal asks: n-th for n-th       A20  what a success sets off
 *     A7   what makes two inputs the same       A14  through three levels of calls
 */
import { describe, expect, test } from "vitest";
import { errorCodes } from "../../src/core/error.ts";
import { parse } from "../../src/core/json.ts";
import { components, workflow } from "../../src/index.ts";
import type { Change, RunHandle } from "../../src/index.ts";
import { fakeClock } from "../../src/testing.ts";
import { around } from "../../src/testing/around.ts";
import { errorOf, fresh, stage, until } from "../stage.ts";
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

  test("A5: the body of a run is never reused itself, also where all that it asks for is: it is asked, and may be another", async () => {
    const world = new World();
    let ends = "!";
    const wf = workflow({ name: "rooted" }, async (ctx, input: number) => {
      world.enter("body", 0);
      return `${await ctx.step("a", { input }, (n) => world.enter("a", n))}${ends}`;
    });
    const caller = workflow({ name: "caller" }, (ctx) => ctx.call(wf, 2));
    await using place = await stage([wf, caller]);
    const { stemma } = place;
    const run = await stemma.run(wf, 1);
    expect(await run.result()).toBe("1!");
    world.since();
    ends = "?";
    expect(await (await stemma.restart(run.id)).result()).toBe("1?");
    expect(world.since()).toEqual(["body"]);
    // A called run is a step of its caller, and reused as one; named itself it is a root like any other.
    const called = await stemma.run(caller, undefined);
    expect(await called.result()).toBe("2?");
    world.since();
    ends = ".";
    expect(await (await stemma.restart(called.id)).result()).toBe("2?");
    expect(world.since()).toEqual([]);
    const { runs } = await stemma.list({ family: called.id });
    const child = runs.find(({ state }) => state.origin.kind === "child");
    expect(await (await stemma.restart(child?.id ?? "")).result()).toBe("2.");
    expect(world.since()).toEqual(["body"]);
  });

  test("A6: a marker that the source does not have is refused; without one the whole run is offered", async () => {
    const world = new World();
    const wf = workflow({ name: "marked" }, async (ctx) => {
      const a = await ctx.step("a", { input: 1 }, () => world.enter("a", 1));
      return ctx.step("b", { input: a }, () => world.enter("b", 2));
    });
    await using place = await stage([wf]);
    const { stemma } = place;
    const run = await stemma.run(wf, undefined);
    const other = await stemma.run(wf, undefined);
    await Promise.all([run.result(), other.result()]);
    world.since();
    for (const change of [{ from: "c" }, { after: "c" }, { from: run.id }, { from: "A" }]) {
      const error = await errorOf(stemma.restart(run.id, change));
      expect(error).toMatchObject({ code: "step.not_found", data: { run: run.id } });
    }
    expect((await stemma.list()).runs).toHaveLength(2);
    await (await stemma.restart(run.id)).result();
    expect(world.since()).toEqual([]);
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

  test("A10: a mode that there is not is refused, and there is no run, no event and no message of it", async () => {
    const wf = workflow({ name: "moded" }, (ctx) => ctx.step("a", { input: 1 }, () => 1));
    await using place = await stage([wf]);
    const { stemma } = place;
    const run = await stemma.run(wf, undefined);
    await run.result();
    const events = async (): Promise<number> => {
      let count = 0;
      for await (const entry of stemma.feed({ once: true })) count = entry.position;
      return count;
    };
    const before = await events();
    for (const reuse of ["some", "succeeded-before", "", "NONE", null, 1, true]) {
      for (const make of [stemma.restart(run.id, { reuse } as Change), stemma.plan(run.id, { reuse } as Change)]) {
        const { code, message } = await errorOf(make);
        expect(code).toBe("usage.invalid");
        expect(message).toContain(JSON.stringify(reuse));
      }
    }
    expect(errorCodes["usage.invalid"].status).toBe(400);
    expect((await stemma.list()).runs).toHaveLength(1);
    expect(await events()).toBe(before);
  });

  test("A11: the step at the marker runs again, and none that began at the same moment", async () => {
    const world = new World();
    const clock = fakeClock();
    const wf = workflow({ name: "same moment" }, async (ctx) => {
      const first = await ctx.step("first", { input: 0 }, () => world.enter("first", 0));
      const step = (name: string): Promise<string> => ctx.step(name, { input: name }, () => world.enter(name, name));
      return ctx.step("last", { input: [first, ...(await Promise.all([step("a"), step("b")]))] }, () =>
        world.enter("last", 1),
      );
    });
    await using store = fresh({ now: () => clock.now() });
    await using place = await stage([wf], { clock, store });
    const { stemma } = place;
    const run = await stemma.run(wf, undefined);
    await run.result();
    expect(new Set((await run.history()).map(({ at }) => at)).size).toBe(1);
    const entered = async (change: Change): Promise<string[]> => {
      world.since();
      await (await stemma.restart(run.id, change)).result();
      return world.since();
    };
    expect(await entered({ from: "a" })).toEqual(["a", "last"]);
    expect(await entered({ from: "b" })).toEqual(["b", "last"]);
    expect(await entered({ after: "a" })).toEqual(["last"]);
    expect(await entered({ from: "last" })).toEqual(["last"]);
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
    expect(parse(`{"amount":${b}}`)).toEqual({ amount: 2 ** 53 });
    const wf = workflow({ name: "big" }, (ctx, n: string) => ctx.step("pay", { input: n }, (m) => m));
    await using place = await stage([wf]);
    const { stemma } = place;
    const run = await stemma.run(wf, a);
    await run.result();
    const other = await stemma.fork(run.id, { input: b });
    expect(await other.result()).toBe(b);
    expect(await reusedKeys(other)).toEqual([]);
    // The two next to each other that numbers can tell apart, and the type that could tell all apart.
    const numbers = workflow({ name: "numbers" }, (ctx, n: number) => ctx.step("pay", { input: n }, (m) => m));
    await using desk = await stage([numbers]);
    const first = await desk.stemma.run(numbers, 2 ** 53);
    await first.result();
    const second = await desk.stemma.fork(first.id, { input: 2 ** 53 + 2 });
    expect(await second.result()).toBe(2 ** 53 + 2);
    expect(await reusedKeys(second)).toEqual([]);
    const exact = desk.stemma.fork(first.id, { input: 2n ** 53n + 1n });
    expect((await errorOf(exact)).code).toBe("json.not_serializable");
    expect((await desk.stemma.list()).runs).toHaveLength(2);
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

  test.each([[null], [undefined], [0], [""]])(
    "A17: %j is an answer, and what a called run returns, like any other",
    async (value) => {
      const world = new World();
      const child = workflow({ name: "child" }, () => world.enter("child", value));
      const wf = workflow({ name: "empty" }, async (ctx) => {
        const told = [await ctx.wait("ok"), await ctx.call(child, undefined)];
        return told.map((each) => (each === undefined ? "undefined" : each));
      });
      await using place = await stage([wf, child]);
      const { stemma } = place;
      const run = await stemma.run(wf, undefined);
      await until(async () => (await stemma.waits()).waits.length === 1);
      await stemma.resume(run.id, "ok", value);
      const result = await run.result();
      world.since();
      const again = await stemma.restart(run.id);
      expect(await again.result()).toEqual(result);
      expect(world.since()).toEqual([]);
      expect(await reusedKeys(again)).toEqual(["ok", "child"]);
    },
  );

  test("A18: whoever follows a run that has everything already gets its result", async () => {
    const wf = workflow({ name: "quick" }, (ctx) => ctx.step("a", { input: 1 }, () => "done"));
    await using place = await stage([wf]);
    const run = await place.stemma.run(wf, undefined);
    await run.result();
    const again = await place.stemma.restart(run.id);
    await until(async () => (await again.status()) === "succeeded");
    expect(await (await place.stemma.get(again.id)).result()).toBe("done");
  });

  test("A19: that something was reused, and from where, is on record beside the value, so also where values are withheld", async () => {
    const secret = "secret ".repeat(600);
    const wf = workflow({ name: "private" }, (ctx) => ctx.step("read", { input: 1 }, () => secret));
    await using store = fresh();
    let withheld = false;
    const guarded = around(
      store,
      async ({ method, make }) => (method === "payloads" && withheld ? new Map() : make()),
      {},
    );
    await using place = await stage([wf], { store: guarded });
    const { stemma } = place;
    const run = await stemma.run(wf, undefined);
    await run.result();
    const again = await stemma.restart(run.id);
    await again.result();
    withheld = true;
    const [made] = (await run.history()).flatMap((event) =>
      event.type === "step.succeeded" ? [event.data.output] : [],
    );
    const history = await again.history();
    expect(history.find(({ type }) => type === "step.reused")?.data).toMatchObject({
      from: { run: run.id, key: "read" },
      origin: { run: run.id, key: "read" },
      output: made,
    });
    expect(JSON.stringify(history)).not.toContain("secret");
    const trace = await stemma.trace(again.id, { family: true });
    expect(trace.edges.map(({ kind }) => kind)).toContain("reused_from");
    expect((await stemma.plan(run.id)).totals.reuse).toBe(1);
    expect((await stemma.compare(run.id, again.id)).totals).toMatchObject({ same: 1, changed: 0 });
    await expect(again.result()).rejects.toMatchObject({ code: "payload.missing" });
  });

  test("A20: what a step sets off happens once, however often it is reused: what it does, emits, and tells others", async () => {
    const world = new World();
    const told = workflow({ name: "told" }, (ctx, n: number) =>
      ctx.step("tell", { input: n }, () => world.enter("tell", n)),
    );
    const wf = workflow({ name: "teller" }, async (ctx) => {
      const sent = await ctx.step("send", { input: 1, effect: "once" }, (_, { emit }) => {
        emit("letters", "dear all");
        return world.enter("send", 1);
      });
      const x = await ctx.call(told, sent);
      return ctx.step("last", { input: x }, () => world.enter("last", 1));
    });
    await using place = await stage([wf, told]);
    const { stemma } = place;
    world.broken.add("last");
    const line = [await stemma.run(wf, undefined)];
    for (let i = 0; i < 3; i += 1) {
      await ended(line[i] as RunHandle);
      if (i === 2) world.broken.clear();
      line.push(await stemma.restart(line[i]?.id ?? ""));
    }
    await line[3]?.result();
    expect(world.since()).toEqual(["last", "last", "last", "last", "send", "tell"]);
    const emitted = await Promise.all(
      line.map(async ({ id }) => (await stemma.store.feed({ run: id, stream: "letters", after: 0, limit: 9 })).values),
    );
    expect(emitted.map((values) => values?.length ?? 0)).toEqual([1, 0, 0, 0]);
    const { runs } = await stemma.list({ family: line[0]?.id ?? "" });
    expect(runs.filter(({ state }) => state.workflow === "told")).toHaveLength(1);
  });
});
