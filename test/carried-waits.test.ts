/** Checkpoints with waits open: the wait goes along, the body asks again, and it is one question with one answer. */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { describe, expect, it } from "vitest";
import { components } from "../src/core/trace.ts";
import { Executor, executor, handler, responseHandler, WorkflowBuilder } from "../src/graph.ts";
import type { WorkflowContext } from "../src/graph.ts";
import { workflow } from "../src/index.ts";
import type { Context, RunHandle, Stemma, Workflow } from "../src/index.ts";
import { fakeClock, faults } from "../src/testing.ts";
import { crashStride, errorOf, fresh, outline, stage, until } from "./stage.ts";

type State = { round: number };
const carryWaits = true;

/** Works in rounds while it waits for one answer: which it ends with, and the round in which it came. */
function rounds(many: number, options: Parameters<Context["wait"]>[1] = {}): Workflow<undefined> {
  return workflow({ name: "rounds" }, async (ctx: Context<State>) => {
    let state = ctx.restored ?? { round: 0 };
    for (;;) {
      const answer = ctx.wait("approval", options);
      if (state.round === many) return answer;
      await ctx.step("work", () => state.round);
      state = { round: state.round + 1 };
      await ctx.checkpoint(state, { carryWaits });
    }
  });
}

async function checkpoints(run: RunHandle): Promise<number> {
  return (await run.history()).filter(({ type }) => type === "checkpoint").length;
}

async function about(run: RunHandle, key: string): Promise<string[]> {
  return (await run.history()).flatMap(({ type, data }) => ("key" in data && data.key === key ? [type] : []));
}

describe("a wait that is open at a checkpoint with carryWaits", () => {
  it("is one wait under one key however many checkpoints it crosses, and what follows knows its answer", async () => {
    await using theatre = await stage([rounds(5)]);
    const { stemma } = theatre;
    const run = await stemma.run(rounds(5), undefined);
    await until(async () => (await checkpoints(run)) === 5);
    const { waits } = await stemma.waits();
    expect(waits.map(({ key, name }) => [key, name])).toEqual([["approval", "approval"]]);
    expect(await stemma.resume(run.id, "approval", "yes")).toMatchObject({ state: "recorded", value: "yes" });
    expect(await run.result()).toBe("yes");
    expect(await about(run, "approval")).toEqual(["wait.opened", "wait.answered"]);
    expect(components(await run.trace())).toBe(1);
    expect(await stemma.resume(run.id, "approval", "no")).toMatchObject({ state: "recorded", value: "yes" });
  });

  it("is the same in a process that knows only what is behind the last checkpoint, and its expiry is the first", async () => {
    const [clock, store] = [fakeClock(), fresh()];
    const expires = { expires: "1h", default: "nobody" } as const;
    const first = await stage([rounds(3, expires)], { store, clock });
    const run = await first.stemma.run(rounds(3, expires), undefined);
    const [{ until: end } = {}] = await opened(first.stemma);
    await until(async () => (await checkpoints(run)) === 3);
    first.stemma.abandon();
    await clock.advance("30m");
    await using second = await stage([rounds(3, expires)], { store, clock });
    await clock.advance("20s");
    expect((await opened(second.stemma)).map((wait) => [wait.key, wait.until])).toEqual([["approval", end]]);
    await clock.advance("30m");
    expect(await (await second.stemma.get(run.id)).result()).toBe("nobody");
    expect(clock.now()).toBeLessThan((end as number) + 60_000);
    await store.close();
  });

  it("that is not asked again before anything else is closed, and who asks then asks anew", async () => {
    const late = workflow({ name: "late" }, async (ctx: Context<State>) => {
      if (ctx.restored === undefined) {
        void ctx.wait("a");
        void ctx.wait("b", { input: 1 });
        void ctx.wait("b", { input: 2 });
        await ctx.step("one", () => 1);
        await ctx.checkpoint({ round: 1 }, { carryWaits });
      }
      const again = ctx.wait("b", { input: 2 });
      await ctx.step("two", () => 2);
      return [await ctx.wait("a"), await again];
    });
    await using theatre = await stage([late]);
    const { stemma } = theatre;
    const run = await stemma.run(late, undefined);
    await until(async () => (await stemma.waits()).waits.map(({ key }) => key).join() === "b#2,#1/a");
    for (const closed of ["a", "b"]) {
      expect(await about(run, closed)).toEqual(["wait.opened", "wait.withdrawn"]);
      expect(await errorOf(stemma.resume(run.id, closed, 0))).toMatchObject({ code: "wait.not_open" });
    }
    await stemma.resume(run.id, "b#2", "first");
    await stemma.resume(run.id, "#1/a", "second");
    expect(await run.result()).toEqual(["second", "first"]);
  });

  it("and that nobody asked again when the body ends is closed", async () => {
    const gone = workflow({ name: "gone" }, async (ctx: Context<State>) => {
      if (ctx.restored === undefined) {
        void ctx.wait("a");
        await ctx.checkpoint({ round: 1 }, { carryWaits });
      }
      return "done";
    });
    await using theatre = await stage([gone]);
    const run = await theatre.stemma.run(gone, undefined);
    expect(await run.result()).toBe("done");
    expect(await about(run, "a")).toEqual(["wait.opened", "wait.withdrawn"]);
  });

  it("whose answer is being looked at meanwhile gives it to the body that asks again, once", async () => {
    const looked = Promise.withResolvers<void>();
    const looking = Promise.withResolvers<void>();
    const validate = async (value: unknown): Promise<StandardSchemaV1.Result<unknown>> => {
      looking.resolve();
      await looked.promise;
      return { value };
    };
    const schema = { "~standard": { version: 1, vendor: "test", validate } } as const;
    const heard: unknown[] = [];
    let answer: Promise<unknown> | undefined;
    const slow = workflow({ name: "slow" }, async (ctx: Context<State>) => {
      const ask = (): Promise<unknown> => {
        const wait = ctx.wait("a", { schema });
        void wait.then((value) => heard.push(value));
        return wait;
      };
      if (ctx.restored === undefined) {
        void ask();
        await ctx.step("answered", async () => {
          await opened(theatre.stemma);
          answer = theatre.stemma.resume(run.id, "a", { large: "x".repeat(50_000) });
          await looking.promise;
        });
        setTimeout(() => looked.resolve(), 20);
        await ctx.checkpoint({ round: 1 }, { carryWaits });
      }
      return ask();
    });
    await using theatre = await stage([slow]);
    const run = await theatre.stemma.run(slow, undefined);
    expect(await run.result()).toEqual({ large: "x".repeat(50_000) });
    expect(await answer).toMatchObject({ state: "recorded" });
    expect(heard).toHaveLength(1);
    expect((await outline(run)).filter((line) => !line.includes("step"))).toEqual([
      "run.created",
      "run.started",
      "wait.opened a",
      "wait.answered a",
      "checkpoint",
      "run.succeeded",
    ]);
    expect(components(await run.trace())).toBe(1);
  });

  it("does not hold up a cancel, and is closed by it", async () => {
    const stuck = workflow({ name: "stuck" }, async (ctx: Context<State>) => {
      void ctx.wait("a");
      await ctx.checkpoint({ round: 1 }, { carryWaits });
      // Its own code, which no engine sees.
      await new Promise(() => {});
    });
    await using theatre = await stage([stuck]);
    const { stemma } = theatre;
    const run = await stemma.run(stuck, undefined);
    await until(async () => (await checkpoints(run)) === 1);
    const answer = stemma.resume(run.id, "a", 1);
    await stemma.cancel(run.id);
    expect(await errorOf(run.result())).toMatchObject({ code: "run.cancelled" });
    expect(await about(run, "a")).toEqual(["wait.opened", "wait.withdrawn"]);
    await answer;
  });

  it("does not take others along: a step, a timer, a call, and a wait in a scope are refused as before", async () => {
    const child = workflow({ name: "child" }, async (ctx) => ctx.wait("never"));
    const asks: ((ctx: Context) => Promise<unknown>)[] = [
      (ctx) => ctx.step("s", () => new Promise((resolve) => setTimeout(resolve, 50))),
      (ctx) => ctx.sleep("nap", "1h"),
      (ctx) => ctx.call(child, undefined),
    ];
    const mixed = workflow({ name: "mixed" }, async (ctx: Context, which: number) => {
      void ctx.wait("a");
      void asks[which]?.(ctx);
      // The input of a call is looked at before it is asked for.
      await new Promise((resolve) => setImmediate(resolve));
      return ctx.checkpoint({}, { carryWaits }).catch((error: { code: string; data: unknown }) => error.data);
    });
    await using theatre = await stage([mixed, child]);
    const open = await Promise.all([0, 1, 2].map(async (n) => (await theatre.stemma.run(mixed, n)).result()));
    expect(open).toEqual([{ open: ["s"] }, { open: ["nap"] }, { open: ["child"] }]);
  });

  it("without carryWaits keeps a checkpoint from being taken", async () => {
    const plain = workflow({ name: "plain" }, async (ctx) => {
      void ctx.wait("a");
      return ctx.checkpoint({}).catch((error: { code: string }) => error.code);
    });
    await using theatre = await stage([plain]);
    expect(await (await theatre.stemma.run(plain, undefined)).result()).toBe("checkpoint.not_quiescent");
  });
});

type Taken = { round: number; got?: string };

/** Works in rounds with two waits open: one that is answered in the midst of the second round, and one in the end. */
function story(work: (round: number) => Promise<void>): Workflow<undefined> {
  return workflow({ name: "story" }, async (ctx: Context<Taken>) => {
    let state: Taken = ctx.restored ?? { round: 0 };
    for (;;) {
      let { got } = state;
      const open = got === undefined ? ctx.wait("approval") : undefined;
      const end = ctx.wait("end");
      void open?.then((value) => (got = value as string));
      if (state.round === 4) return [got ?? (await open), await end];
      const { round } = state;
      await ctx.step("work", () => work(round));
      state = { round: round + 1, ...(got === undefined ? {} : { got }) };
      await ctx.checkpoint(state, { carryWaits });
    }
  });
}

describe("a crash at any commit", () => {
  it.each(["commit.before", "commit.after"] as const)(
    "leaves each wait one wait with one answer (%s)",
    async (point) => {
      let reached = true;
      for (let commit = 1; reached; commit += crashStride) {
        const [clock, first] = [fakeClock(), faults(fresh())];
        const entered: number[] = [];
        let answering: { resume: Stemma["resume"] };
        let id = "";
        const definition = story(async (round) => {
          entered.push(round);
          if (round === 1) void answering.resume(id, "approval", "yes").catch(() => {});
        });
        first.crash(point, commit);
        const dying = await stage([definition], { store: first, clock });
        answering = dying.stemma;
        const run = await dying.stemma.run(definition, undefined);
        ({ id } = run);
        const rested = until(async () => (await checkpoints(run)) === 4);
        rested.catch(() => {});
        const ended = await Promise.race([rested.then(() => "rested"), first.crashed]);
        reached = ended !== "rested";
        dying.stemma.abandon();
        const store = first.next();
        await using next = await stage([definition], { store, clock });
        answering = next.stemma;
        await clock.advance("15s");
        const found = await next.stemma.get(run.id);
        await until(async () => (await checkpoints(found)) === 4);
        await found.status();
        for (const key of ["approval", "end"]) await next.stemma.resume(id, key, key === "end" ? "over" : "yes");
        expect(await found.result(), `${point} ${commit}`).toEqual(["yes", "over"]);
        const events = await found.history();
        expect(
          events.filter(({ type }) => type === "wait.opened").map(({ data }) => (data as { key: string }).key),
        ).toEqual(["approval", "end"]);
        const answers = events.flatMap(({ type, data }) => (type === "wait.answered" ? [data.key] : []));
        expect(new Set(answers)).toEqual(new Set(["approval", "end"]));
        expect(events.some(({ type }) => type === "wait.withdrawn")).toBe(false);
        expect(entered.length, "at most the step in flight runs again").toBeLessThanOrEqual(5);
        expect(components(await found.trace())).toBe(1);
        await store.close();
      }
    },
  );
});

async function opened(stemma: { waits(): Promise<{ waits: { key: string; until?: number }[] }> }) {
  await until(async () => (await stemma.waits()).waits.length > 0);
  return (await stemma.waits()).waits;
}

class Asking extends Executor {
  readonly handlers = [handler({}, (_, ctx: WorkflowContext<unknown, unknown>) => ctx.requestInfo("which?"))];
  override readonly responseHandlers = [
    responseHandler({}, (_, response, ctx: WorkflowContext<unknown, unknown>) => ctx.yieldOutput(response)),
  ];
}

describe("a graph on the engine", () => {
  it("takes a checkpoint at every superstep while a request is pending, and is read from the last one", async () => {
    const many = 6;
    const entered: number[] = [];
    const start = executor<unknown, unknown, unknown>("start", (_, ctx) => ctx.sendMessage(0));
    const loop = executor<unknown, unknown, unknown>("loop", (round, ctx) => {
      entered.push(round as number);
      if ((round as number) < many) ctx.sendMessage((round as number) + 1);
      else ctx.yieldOutput("looped");
    });
    const graph = new WorkflowBuilder({ name: "pending", start })
      .addFanOutEdges(start, [new Asking("ask"), loop])
      .addEdge(loop, loop)
      .build()
      .durable();
    const [clock, store] = [fakeClock(), fresh()];
    const first = await stage([graph], { store, clock });
    const run = await first.stemma.run(graph, "x");
    await until(async () => (await checkpoints(run)) === many + 2);
    await clock.advance("1s");
    await until(async () => (await run.status()) === "suspended");
    const [wait] = await opened(first.stemma);
    first.stemma.abandon();
    await using second = await stage([graph], { store, clock });
    await clock.advance("20s");
    const [again] = await opened(second.stemma);
    expect(again).toEqual(wait);
    await second.stemma.resume(run.id, wait?.key ?? "", "this");
    const found = await second.stemma.get(run.id);
    expect(await found.result()).toEqual(["looped", "this"]);
    expect(entered).toHaveLength(many + 1);
    expect(await about(found, wait?.key ?? "")).toEqual(["wait.opened", "wait.answered"]);
    expect(components(await found.trace())).toBe(1);
    await store.close();
  });
});
