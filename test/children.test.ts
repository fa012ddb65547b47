/** Runs that runs call: each call is one run, connected to its caller, and what becomes of it is what the call gives. */
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { StepError, Stemma, components, workflow } from "../src/index.ts";
import type { Context, RunHandle, Workflow } from "../src/index.ts";
import type { Store } from "../src/store/store.ts";
import { around } from "../src/testing/around.ts";
import { fakeClock } from "../src/testing.ts";
import { atEveryCommit, childrenOf, endsOf, familyOf, faultsOf, statusesOf } from "./family.ts";
import { crashStride, errorOf, fresh, outline, silent, stage, until } from "./stage.ts";

function body<I = undefined, O = unknown>(name: string, run: (ctx: Context, input: I) => Promise<O>): Workflow<I, O> {
  return workflow({ name }, run) as Workflow<I, O>;
}

const isSuspended = async (run: RunHandle): Promise<void> => until(async () => (await run.status()) === "suspended");

const square = body<number, number>("square", async (ctx, n) => ctx.step("multiply", { input: n }, (x) => x * x));

describe("a call", () => {
  it("starts a run and gives its output; n calls are n runs, in one connected trace", async () => {
    const parent = body("parent", async (ctx) => {
      const side = await Promise.all([1, 2, 2].map((n) => ctx.call(square, n)));
      return [...side, await ctx.call(square, 9)];
    });
    await using theatre = await stage([parent, square]);
    const { stemma } = theatre;
    const run = await stemma.run(parent, undefined);
    expect(await run.result()).toEqual([1, 4, 4, 81]);
    const children = await childrenOf(stemma, run.id);
    expect(children.map(({ state }) => state.origin)).toMatchObject(
      ["square", "square#2", "square#3", "square#4"].map((key) => ({ kind: "child", run: run.id, key })),
    );
    const trace = await stemma.trace(run.id, { family: true });
    expect(components(trace)).toBe(1);
    expect(trace.edges.filter(({ kind }) => kind === "child_run")).toHaveLength(4);
    expect(await faultsOf(stemma, run.id)).toEqual([]);
  });

  it("gives the called run its context, and what the options say", async () => {
    const told = body<number>("told", async (ctx, n) => [n, ctx.context]);
    const parent = body("parent", async (ctx) => [
      await ctx.call(told, 1),
      await ctx.call(told, 2, { name: "second", tags: ["eu", "big"], timeout: "1h", context: { tenant: "b" } }),
      await ctx.call(told, 3, { context: null }),
    ]);
    await using theatre = await stage([parent, told]);
    const context = { tenant: "a", large: "x".repeat(5000) };
    const run = await theatre.stemma.run(parent, undefined, { context });
    expect(await run.result()).toEqual([
      [1, context],
      [2, { tenant: "b" }],
      [3, null],
    ]);
    const children = await childrenOf(theatre.stemma, run.id);
    expect(children.map(({ state }) => state.origin)).toMatchObject([
      { key: "told" },
      { key: "second" },
      { key: "told#2" },
    ]);
    expect(children.map(({ state }) => state.tags)).toEqual([[], ["eu", "big"], []]);
    const [created] = await theatre.stemma.history(children[1]?.id ?? "");
    expect(created?.data).toMatchObject({ timeoutMs: 3_600_000 });
  });

  it("gives and takes values of any size, and undefined", async () => {
    const echo = body<unknown>("echo", async (_ctx, input) => input);
    const large = { text: "é".repeat(40_000) };
    const parent = body("parent", async (ctx) => [
      await ctx.call(echo, large),
      (await ctx.call(echo, undefined)) === undefined,
      await ctx.call(echo, null),
    ]);
    await using theatre = await stage([parent, echo]);
    expect(await (await theatre.stemma.run(parent, undefined)).result()).toEqual([large, true, null]);
  });

  it("whose input does not fit starts nothing, and the caller can catch it", async () => {
    const strict = workflow({ name: "strict", input: z.object({ n: z.number() }) }, async (_ctx, { n }) => n);
    const parent = body("parent", async (ctx) => {
      try {
        return await ctx.call(strict, { n: "1" } as never);
      } catch (error) {
        return (error as { code: string }).code;
      }
    });
    await using theatre = await stage([parent, strict]);
    const run = await theatre.stemma.run(parent, undefined);
    expect(await run.result()).toBe("workflow.invalid_input");
    expect(await childrenOf(theatre.stemma, run.id)).toEqual([]);
  });

  it("of a run that fails throws what it failed with, and the caller can go on", async () => {
    const fails = body<string>("fails", async (ctx, kind) => {
      const failure = Object.assign(new RangeError("no more money"), { code: "E_MONEY", data: { left: 0 } });
      if (kind === "step") await ctx.step("pay", () => Promise.reject(failure));
      throw failure;
    });
    const parent = body("parent", async (ctx) => {
      const seen: unknown[] = [];
      for (const kind of ["step", "body"]) {
        try {
          await ctx.call(fails, kind);
        } catch (error) {
          const { name, message, code, data, step } = error as StepError;
          seen.push([error instanceof StepError, name, message, code, data, step]);
        }
      }
      return [seen, await ctx.step("after", () => "went on")];
    });
    await using theatre = await stage([parent, fails]);
    const run = await theatre.stemma.run(parent, undefined);
    const failure = [true, "RangeError", "no more money", "E_MONEY", { left: 0 }];
    expect(await run.result()).toEqual([
      [
        [...failure, "fails"],
        [...failure, "fails#2"],
      ],
      "went on",
    ]);
    expect(await statusesOf(theatre.stemma, run.id)).toEqual(["parent succeeded", "fails failed", "fails failed"]);
  });

  it("that nobody catches fails the caller, which names the call as the step that ended it", async () => {
    const fails = body("fails", async () => Promise.reject(new Error("broken")));
    const parent = body("parent", (ctx) => ctx.call(fails, undefined, { name: "delegate" }));
    await using theatre = await stage([parent, fails]);
    const error = await errorOf((await theatre.stemma.run(parent, undefined)).result());
    expect(error).toMatchObject({ code: "run.failed", data: { steps: ["delegate"] }, cause: { message: "broken" } });
  });

  it("of a run that is cancelled or takes too long throws that", async () => {
    const clock = fakeClock();
    const waits = body("waits", (ctx) => ctx.wait("ever"));
    const parent = body("parent", async (ctx) => {
      const codes: unknown[] = [];
      for (const timeout of ["1h", "2h"]) {
        try {
          await ctx.call(waits, undefined, { timeout });
        } catch (error) {
          codes.push([error instanceof StepError, (error as StepError).code, (error as StepError).data]);
        }
      }
      return codes;
    });
    await using theatre = await stage([parent, waits], { clock });
    const { stemma } = theatre;
    const run = await stemma.run(parent, undefined);
    await clock.advance("2h");
    const [first, second] = await childrenOf(stemma, run.id);
    expect(first?.state.status).toBe("timed_out");
    await stemma.cancel(second?.id ?? "", { by: "ada", reason: "too slow" });
    await clock.settle();
    expect(await run.result()).toEqual([
      [true, "run.timed_out", { run: first?.id, limitMs: 3_600_000 }],
      [true, "run.cancelled", { run: second?.id, by: "ada", reason: "too slow" }],
    ]);
    expect(await faultsOf(stemma, run.id)).toEqual([]);
  });

  it("inside of a step is refused: it could not be recorded there", async () => {
    const parent = body("parent", (ctx) => ctx.step("outer", () => ctx.call(square, 2)));
    await using theatre = await stage([parent, square]);
    const error = await errorOf((await theatre.stemma.run(parent, undefined)).result());
    expect((error.cause as StepError).code).toBe("step.nested");
  });
});

describe("a called run that waits", () => {
  const leaf = body("leaf", (ctx) => ctx.wait("question"));
  const middle = body("middle", (ctx) => ctx.call(leaf, undefined));
  const root = body("root", async (ctx) => ctx.step("end", { input: await ctx.call(middle, undefined) }, (x) => x));

  it("suspends those above it, however many; no process holds any of them, and the answer brings all on", async () => {
    await using theatre = await stage([leaf, middle, root]);
    const { stemma } = theatre;
    const run = await stemma.run(root, undefined);
    const all = ["root suspended", "middle suspended", "leaf suspended"];
    await until(async () => String(await statusesOf(stemma, run.id)) === String(all));
    const rows = await familyOf(stemma, run.id);
    expect(rows.map(({ worker, dueAt, state }) => [worker, dueAt, state.reason, state.family])).toEqual(
      rows.map(() => [undefined, null, "waiting", run.id]),
    );
    await stemma.resume(rows[2]?.id ?? "", "question", 42);
    expect(await run.result()).toBe(42);
    expect(await endsOf(stemma, run.id)).toEqual(["leaf run.succeeded", "middle run.succeeded", "root run.succeeded"]);
    expect(await faultsOf(stemma, run.id)).toEqual([]);
  });

  it("goes on in another process than the one that called it", async () => {
    await using store = fresh();
    const one = new Stemma({ store, workflows: [root, middle], log: silent }, { lingerMs: 10 });
    await one.start();
    const run = await one.run(root, undefined);
    await until(async () => (await familyOf(one, run.id)).length === 3);
    const [, , row] = await familyOf(one, run.id);
    expect(row).toMatchObject({ state: { status: "queued" }, offered: false });
    await isSuspended(run);
    const other = await new Stemma({ store, workflows: [leaf], log: silent }, { lingerMs: 10 }).start();
    await until(async () => (await other.row(row?.id ?? "")).state.status === "suspended");
    await other.resume(row?.id ?? "", "question", "from afar");
    expect(await run.result()).toBe("from afar");
    await one.stop();
    await other.stop();
  });
});

describe("a run that is about to be suspended", () => {
  it.each(["child.ended", "wait.answered"])("is not while a %s is on its way to the store", async (type) => {
    await using memory = fresh();
    // The store takes its time for that very event, so it is under way when the caller has been quiet for long enough.
    const store = around(
      memory,
      async (call) => {
        const commits = call.method === "commit" ? (call.args[0] as Parameters<Store["commit"]>[0]) : [];
        if (commits.some(({ events }) => events.some((event) => event.type === type)))
          await new Promise((resolve) => setTimeout(resolve, 100));
        return call.make();
      },
      {},
    );
    const child = body("child", (ctx) => ctx.step("short", () => "child"));
    const parent = body("parent", (ctx) =>
      type === "child.ended" ? ctx.call(child, undefined) : ctx.wait("question"),
    );
    await using theatre = await stage([parent, child], { store }, { lingerMs: 50 });
    const { stemma } = theatre;
    const run = await stemma.run(parent, undefined);
    if (type === "wait.answered") {
      await until(async () => (await stemma.waits()).waits.length === 1);
      await stemma.resume(run.id, "question", "answer");
    }
    expect(await run.result()).toBe(type === "child.ended" ? "child" : "answer");
    await stemma.stop();
  });
});

describe("whatever crashes", () => {
  it("a child exists once, and its end reaches its caller once", async () => {
    const grand = body<number, number>("grand", async (ctx, n) => ctx.step("one", () => n));
    const child = body<number, number>("child", async (ctx, n) => {
      const [a, b] = await Promise.all([ctx.call(grand, n), ctx.call(grand, n + 1)]);
      return a + b;
    });
    const parent = body("parent", async (ctx) => {
      const sums = await Promise.all([1, 2].map((n) => ctx.call(child, n)));
      return ctx.step("sum", () => sums.reduce((a, b) => a + b));
    });
    const story = async (stemma: Stemma, clock: { advance(d: string): Promise<void> }): Promise<string> => {
      const run = await stemma.run(parent, undefined, { idempotencyKey: "one" });
      await clock.advance("1m");
      return run.id;
    };
    const crashes = await atEveryCommit([grand, child, parent], story, async (stemma, run, where) => {
      expect(await (await stemma.get(run)).result(), where).toBe(8);
      expect(await faultsOf(stemma, run), where).toEqual([]);
      expect(await familyOf(stemma, run), where).toHaveLength(7);
      const lines = await outline(await stemma.get(run));
      expect(
        lines.filter((line) => line.startsWith("child.ended")),
        where,
      ).toHaveLength(2);
    });
    expect(crashes).toBeGreaterThan(8 / crashStride);
  });
});

describe("a run that ends while its calls are open", () => {
  const waits = body("waits", (ctx) => ctx.wait("ever"));

  it.each(["returns", "fails"])("and %s has them cancelled, and ends behind them", async (how) => {
    const parent = body("parent", async (ctx) => {
      void ctx.call(waits, undefined);
      void ctx.call(waits, undefined);
      await ctx.step("look", () => 1);
      if (how === "fails") throw new Error("no");
      return "done";
    });
    await using theatre = await stage([parent, waits]);
    const { stemma } = theatre;
    const run = await stemma.run(parent, undefined);
    const end = how === "fails" ? "run.failed" : "run.succeeded";
    await (how === "fails" ? errorOf(run.result()) : run.result());
    expect(await endsOf(stemma, run.id)).toEqual(["waits run.cancelled", "waits run.cancelled", `parent ${end}`]);
    const [child] = await childrenOf(stemma, run.id);
    const cancelled = (await stemma.history(child?.id ?? "")).at(-1);
    expect(cancelled?.data).toMatchObject({ by: run.id });
    const lines = (await outline(run)).slice(-3);
    expect(lines.toSorted()).toEqual(["child.ended waits", "child.ended waits#2", end]);
    expect(lines.at(-1)).toBe(end);
    expect(await faultsOf(stemma, run.id)).toEqual([]);
  });

  it("ends also when nobody offers the workflow that it called", async () => {
    const nobody = body("nobody", async () => 1);
    const parent = body("parent", async (ctx) => {
      void ctx.call(nobody, undefined);
      await ctx.step("look", () => 1);
      return "done";
    });
    await using theatre = await stage([parent]);
    const run = await theatre.stemma.run(parent, undefined);
    expect(await run.result()).toBe("done");
    expect(await statusesOf(theatre.stemma, run.id)).toEqual(["parent succeeded", "nobody cancelled"]);
    expect(await faultsOf(theatre.stemma, run.id)).toEqual([]);
  });

  it("waits without a process for one that takes its time", async () => {
    const clock = fakeClock();
    const busy = body("busy", (ctx) => ctx.step("deaf", () => new Promise(() => {})));
    const parent = body("parent", async (ctx) => {
      void ctx.call(busy, undefined);
      await ctx.sleep("1s");
      return "done";
    });
    await using theatre = await stage([parent, busy], { clock });
    const run = await theatre.stemma.run(parent, undefined);
    await clock.advance("3s");
    expect(await theatre.stemma.row(run.id)).toMatchObject({ state: { status: "suspended", reason: "waiting" } });
    expect((await theatre.stemma.row(run.id)).worker).toBeUndefined();
    await clock.advance("5s");
    expect(await run.result()).toBe("done");
    expect(await endsOf(theatre.stemma, run.id)).toEqual(["busy run.cancelled", "parent run.succeeded"]);
  });
});

describe("a race with a call", () => {
  const waits = body("waits", (ctx) => ctx.wait("ever"));

  it("that is lost cancels the called run, and the caller goes on at once", async () => {
    const clock = fakeClock();
    const parent = body("parent", async (ctx) => {
      const { key, value } = await ctx.race({
        call: () => ctx.call(waits, undefined),
        time: async () => {
          await ctx.sleep("1s");
          return "late";
        },
      });
      return [key, value, await ctx.step("after", () => "on")];
    });
    await using theatre = await stage([parent, waits], { clock });
    const run = await theatre.stemma.run(parent, undefined);
    await clock.advance("1m");
    expect(await run.result()).toEqual(["time", "late", "on"]);
    expect(await statusesOf(theatre.stemma, run.id)).toEqual(["parent succeeded", "waits cancelled"]);
    const lines = await outline(run);
    expect(lines.indexOf("step.succeeded after")).toBeLessThan(lines.indexOf("run.succeeded"));
    expect(await faultsOf(theatre.stemma, run.id)).toEqual([]);
  });

  it("that is lost lets a checkpoint come behind the end of the called run", async () => {
    const clock = fakeClock();
    const parent = workflow({ name: "parent" }, async (ctx: Context<{ at: number }>) => {
      if (ctx.restored !== undefined) return ctx.restored.at;
      await ctx.race({ call: () => ctx.call(waits, undefined), time: () => ctx.sleep("1s") });
      await ctx.checkpoint({ at: 1 });
      return "the same life";
    });
    await using theatre = await stage([parent, waits], { clock });
    const run = await theatre.stemma.run(parent, undefined);
    await clock.advance("1m");
    expect(await run.status()).toBe("succeeded");
    const lines = await outline(run);
    expect(lines.slice(-3)).toEqual(["child.ended call/waits", "checkpoint", "run.succeeded"]);
  });

  it("that is won by the call has its output, live and when it is told again", async () => {
    const clock = fakeClock();
    const seen: unknown[] = [];
    const parent = body("parent", async (ctx) => {
      const won = await ctx.race({ slow: () => ctx.sleep("1d"), call: () => ctx.call(square, 3) });
      seen.push(won);
      await ctx.sleep("1h");
      return won;
    });
    await using theatre = await stage([parent, square], { clock, warm: 0 });
    const run = await theatre.stemma.run(parent, undefined);
    await clock.advance("2h");
    expect(await run.result()).toEqual({ key: "call", value: 9 });
    expect(seen.length).toBeGreaterThan(1);
    for (const one of seen) expect(one).toEqual({ key: "call", value: 9 });
  });
});
