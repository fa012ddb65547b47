/**
 * Branches, routes, runs within runs, and who comes first. The numbers in comments are those of the list of behaviours
 * of other systems of this kind. Theirs has a design graph in which tokens travel: edges are routes, joins count what may
 * still come. In a function the code is the route and `ctx.all` is the join, so what is promised of theirs is shown of
 * those here; what can only be said of graphs (the aliases of a route, priorities of edges, tokens that meet without a
 * join) is for the tests of message graphs.
 */
import { describe, expect, it } from "vitest";
import { workflow } from "../../src/index.ts";
import type { Context, Event, Workflow } from "../../src/index.ts";
import { errorOf, fresh, outline, stage, until } from "../stage.ts";

const body = (run: (ctx: Context) => Promise<unknown>, name = "told"): Workflow<undefined> => workflow({ name }, run);
const keyed = (history: readonly Event[], type: string): string[] =>
  history.flatMap((event) => (event.type === type && "key" in event.data ? [event.data.key] : []));

describe("a join", () => {
  // 29. Theirs is tested with one worker and with two; here with one run at a time and with two processes on one store.
  it.each([1, 2])("waits for all that it joins and for nothing else, with %i workers", async (workers) => {
    await using store = fresh();
    const beside = Promise.withResolvers<void>();
    const order: string[] = [];
    const definition = body(async (ctx) => {
      await ctx.step("fork", () => true);
      // It is no branch of the join, and takes longer than all of them.
      const c = ctx.step("c", () => beside.promise);
      const joined = await ctx.all({
        a: () => ctx.step("a", () => order.push("a")),
        b: () => ctx.step("b", () => new Promise((resolve) => setTimeout(() => resolve(order.push("b")), 10))),
      });
      await ctx.step("join", { input: joined }, () => order.push("join"));
      beside.resolve();
      await c;
      return ctx.step("end", () => order.push("end"));
    });
    await using first = await stage([definition], { store, concurrency: 1 });
    await using _second = workers === 2 ? await stage([definition], { store, concurrency: 1 }) : undefined;
    const run = await first.stemma.run(definition, undefined);
    await run.result();
    expect(order).toEqual(["a", "b", "join", "end"]);
  });

  // 30, 32. Theirs counts which branches can still reach a join; here a branch that has ended has ended.
  it("does not wait for a branch that took another way out, and does not hang", async () => {
    const definition = body(async (ctx) => {
      const { a, b } = await ctx.all({
        a: async () => {
          await ctx.step("a", () => true);
          return "left";
        },
        b: async () => {
          await ctx.step("b", () => true);
          return ctx.step("for the join", () => "arrived");
        },
      });
      return [a, b, await ctx.step("end", () => true)];
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    expect(await run.result()).toEqual(["left", "arrived", true]);
  });

  // 35. What stands behind a join is done once; what each branch does by itself is done once for each, under its own key.
  it("lets what is behind it be done once, and what is in its branches once for each of them", async () => {
    const definition = body(async (ctx) => {
      const c = (name: string) => async (): Promise<string> => {
        await ctx.step(name, () => true);
        return ctx.step("c", () => name);
      };
      const parts = await ctx.all({ a: c("a"), b: c("b") });
      return ctx.step("join", { input: parts }, (given) => Object.values(given).toSorted());
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    expect(await run.result()).toEqual(["a", "b"]);
    expect(keyed(await run.history(), "step.succeeded").toSorted()).toEqual(["a/a", "a/c", "b/b", "b/c", "join"]);
  });

  // 35. Theirs applies results in the order in which tasks were begun, and never runs more than it may.
  it("gives the same, whatever of it is done first; and a limit of what runs at a time is kept", async () => {
    const seen: unknown[] = [];
    let [running, most] = [0, 0];
    for (const slow of [0, 1, 2]) {
      const definition = body((ctx) =>
        ctx.map("item", [0, 1, 2], { concurrency: slow === 0 ? 1 : 2 }, async (item) => {
          most = Math.max(most, (running += 1));
          await new Promise((resolve) => setTimeout(resolve, item === slow ? 15 : 1));
          running -= 1;
          return item * 10;
        }),
      );
      await using theatre = await stage([definition]);
      seen.push(await (await theatre.stemma.run(definition, undefined)).result());
      expect(most).toBe(slow === 0 ? 1 : 2);
    }
    expect(seen).toEqual([0, 1, 2].map(() => [0, 10, 20]));
  });
});

describe("a route", () => {
  // 36, 37, 41. Theirs names routes in a result and in predicates, and takes a dead end for a success (defect 8). Here a
  // route is what the code does with a value that is on record, so it is taken again in every recall.
  it("follows what is on record, and is the same when the run is told again", async () => {
    const taken: string[] = [];
    const definition = body(async (ctx) => {
      const names = await ctx.step("gate", () => ["left", "right"]);
      taken.push(names.join());
      await ctx.wait("rest");
      const done = await ctx.all(
        Object.fromEntries(names.map((name) => [name, () => ctx.step("go", { input: name }, (given) => given)])),
      );
      return Object.keys(done);
    });
    await using store = fresh();
    const first = await stage([definition], { store });
    const { id } = await first.stemma.run(definition, undefined);
    await until(async () => (await first.stemma.waits()).waits.length === 1);
    await first.stemma.stop();
    await using second = await stage([definition], { store });
    await second.stemma.resume(id, "rest", 1);
    expect(await (await second.stemma.get(id)).result()).toEqual(["left", "right"]);
    // It was told again at least once; who stops in the midst of going to rest has it told once more.
    expect(taken.length).toBeGreaterThan(1);
    expect(new Set(taken)).toEqual(new Set(["left,right"]));
    expect(keyed(await second.stemma.history(id), "step.succeeded").toSorted()).toEqual([
      "gate",
      "left/go",
      "right/go",
    ]);
  });

  // Defect 8: theirs ends well at a node that names a route which is not there. Here that is an error like any other.
  it("that is not there is an error, and no success", async () => {
    const definition = body(async (ctx) => {
      const name = await ctx.step("gate", () => "nowhere");
      const routes: Record<string, () => Promise<unknown>> = { left: () => ctx.step("left", () => 1) };
      const route = routes[name];
      if (route === undefined) throw new Error(`There is no route ${name}.`);
      return route();
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    expect(await errorOf(run.result())).toMatchObject({ code: "run.failed" });
    expect((await theatre.stemma.row(run.id)).state.error?.message).toBe("There is no route nowhere.");
  });

  // 40. Theirs refuses a cycle that has no exit, by its shape. Of code nobody can tell; one that never ends can be ended.
  it("in a circle is legal, and one without an exit ends when somebody says so", async () => {
    const definition = body(async (ctx) => {
      for (;;) await ctx.step("again", () => new Promise((resolve) => setTimeout(resolve, 1)));
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await until(async () => (await run.history()).length > 20);
    await run.cancel();
    expect(await errorOf(run.result())).toMatchObject({ code: "run.cancelled" });
  });
});

// 38. Theirs makes up a design in a step, and hands the whole state down. Here a workflow is known to whoever works on it,
// and is given what it is given; what became of it is on record of its caller, where theirs has keys in the state.
it("a called run is given what its caller says, and its workflow, run, status and output are on record", async () => {
  const child = workflow({ name: "child" }, async (ctx, input: { seed: number }) =>
    ctx.step("work", { input }, ({ seed }) => ({ childDone: true, seed })),
  );
  const parent = body(async (ctx) => {
    const seed = await ctx.step("seed", () => 7);
    const result = await ctx.call(child, { seed });
    return { ...result, ended: await ctx.step("end", () => true) };
  }, "parent");
  await using theatre = await stage([parent, child]);
  const { stemma } = theatre;
  const run = await stemma.run(parent, undefined);
  expect(await run.result()).toEqual({ childDone: true, seed: 7, ended: true });
  const started = (await run.history()).find(({ type }) => type === "child.started");
  const ended = (await run.history()).find(({ type }) => type === "child.ended");
  const id = started?.type === "child.started" ? started.data.run : "";
  expect(ended?.data).toMatchObject({ run: id, status: "succeeded", output: { inline: { childDone: true, seed: 7 } } });
  expect((await stemma.row(id)).state).toMatchObject({ workflow: "child", status: "succeeded" });
});

// 45, as far as a queue has it: classes and their limits are none here, and what there is no room for waits. 46: budgets
// are none; a step that has used one up waits, like any other (8).
describe("what is due", () => {
  it("is begun by its priority, and a run that is paused before it began is not", async () => {
    const order: string[] = [];
    const definition = workflow({ name: "queued" }, (ctx, name: string) => ctx.step("one", () => order.push(name)));
    await using store = fresh();
    const { stemma } = await stage([], { store });
    await stemma.run(definition, "batch", { priority: 9 });
    const paused = await stemma.run(definition, "paused", { priority: -9 });
    await stemma.run(definition, "foreground", { priority: -1 });
    const usual = await stemma.run(definition, "usual");
    await stemma.pause(paused.id);
    await stemma.stop();
    await using worker = await stage([definition], { store, concurrency: 1 });
    await until(() => order.length === 3);
    expect(order).toEqual(["foreground", "usual", "batch"]);
    await (await worker.stemma.get(usual.id)).result();
    await worker.stemma.unpause(paused.id);
    await (await worker.stemma.get(paused.id)).result();
    expect(order.at(-1)).toBe("paused");
  });

  it("is tried as often as its policy says, and then has failed, with every attempt on record", async () => {
    let entered = 0;
    const definition = body((ctx) =>
      ctx.step("flaky", { retry: { attempts: 2, delay: 1 } }, () => {
        entered += 1;
        throw new Error("busy");
      }),
    );
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    expect(await errorOf(run.result())).toMatchObject({ code: "run.failed", data: { steps: ["flaky"] } });
    expect(entered).toBe(2);
    expect((await outline(run)).filter((line) => line.endsWith(" flaky"))).toEqual([
      "step.attempt_failed flaky",
      "step.failed flaky",
    ]);
  });
});
