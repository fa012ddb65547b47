/** Pausing: what runs finishes, nothing else begins, what comes from outside is kept, and unpausing brings all of it on. */
import { describe, expect, it } from "vitest";
import { Stemma, workflow } from "../src/index.ts";
import type { Context, RunHandle, Workflow } from "../src/index.ts";
import { fakeClock } from "../src/testing.ts";
import { endsOf, faultsOf } from "./family.ts";
import { errorOf, fresh, listening, outline, silent, stage } from "./stage.ts";

function body(name: string, run: (ctx: Context) => Promise<unknown>, timeout?: string): Workflow<undefined> {
  return workflow({ name, ...(timeout === undefined ? {} : { timeout }) }, run);
}

const count = async (run: RunHandle, type: string): Promise<number> =>
  (await run.history()).filter((event) => event.type === type).length;

/** A paused run that nobody holds. */
async function expectAtRest(stemma: Stemma, run: RunHandle): Promise<void> {
  const { state, worker } = await stemma.row(run.id);
  expect([state.status, worker]).toEqual(["paused", undefined]);
}

describe("pause", () => {
  it("lets steps in flight finish and be recorded, begins nothing new, and holds no process", async () => {
    const clock = fakeClock();
    const gates = [Promise.withResolvers<number>(), Promise.withResolvers<number>()];
    const entered: string[] = [];
    const definition = body("works", async (ctx) => {
      const values = await Promise.all(
        gates.map((gate, i) =>
          ctx.step(`first ${i}`, () => {
            entered.push(`first ${i}`);
            return gate.promise;
          }),
        ),
      );
      return ctx.step("second", { input: values }, (given) => {
        entered.push("second");
        return given;
      });
    });
    await using theatre = await stage([definition], { clock });
    const { stemma } = theatre;
    const run = await stemma.run(definition, undefined);
    await clock.settle();
    await stemma.pause(run.id, { by: "ada", reason: "look at it" });
    await clock.settle();
    expect((await run.history()).at(-1)).toMatchObject({
      type: "run.paused",
      data: { by: "ada", reason: "look at it" },
    });
    expect((await stemma.row(run.id)).worker).toBeDefined();
    for (const [i, gate] of gates.entries()) gate.resolve(i);
    await clock.advance("10m");
    await expectAtRest(stemma, run);
    expect(entered).toEqual(["first 0", "first 1"]);
    expect(await count(run, "step.succeeded")).toBe(2);
    await stemma.unpause(run.id, { by: "bob" });
    await clock.settle();
    expect(await run.result()).toEqual([0, 1]);
    expect((await run.history()).find(({ type }) => type === "run.unpaused")?.data).toEqual({ by: "bob" });
    expect(entered).toEqual(["first 0", "first 1", "second"]);
    expect(await faultsOf(stemma, run.id)).toEqual([]);
  });

  it("and unpause said twice are said once on record", async () => {
    const clock = fakeClock();
    const definition = body("waits", (ctx) => ctx.wait("question"));
    await using theatre = await stage([definition], { clock });
    const { stemma } = theatre;
    const run = await stemma.run(definition, undefined);
    await clock.advance("1s");
    for (let i = 0; i < 2; i += 1) {
      await stemma.unpause(run.id);
      await clock.advance("1s");
    }
    expect(await count(run, "run.unpaused")).toBe(0);
    for (const kind of ["pause", "pause", "unpause", "unpause"] as const) {
      await stemma[kind](run.id, { by: "ada" });
      await clock.advance("1s");
    }
    expect([await count(run, "run.paused"), await count(run, "run.unpaused")]).toEqual([1, 1]);
    expect(await run.status()).toBe("suspended");
    for (const kind of ["pause", "unpause", "pause"] as const) await stemma[kind](run.id);
    await clock.advance("1s");
    await expectAtRest(stemma, run);
  });

  it("of a queued run that nobody offered begins nothing when somebody does", async () => {
    const clock = fakeClock();
    await using store = fresh();
    let entered = 0;
    const definition = body("works", (ctx) => ctx.step("one", () => (entered += 1)));
    const client = new Stemma({ store, clock, log: silent });
    const run = await client.run(definition, undefined);
    await client.pause(run.id);
    expect(await run.status()).toBe("queued");
    await using _worker = await stage([definition], { store, clock });
    await clock.advance("1h");
    await expectAtRest(client, run);
    expect(entered).toBe(0);
    await client.unpause(run.id);
    await clock.advance("1s");
    expect(await run.result()).toBe(1);
  });

  it("of a suspended run keeps it: answers and signals are on record, and reach the body when it is unpaused", async () => {
    const clock = fakeClock();
    const seen: unknown[] = [];
    const definition = body("asks", async (ctx) => {
      const got = await Promise.all([
        ctx.wait("a"),
        ctx.signal("s"),
        ctx.wait("b").catch((error: Error) => error.message),
      ]);
      await ctx.step("after", () => void seen.push(got));
      return [...got, await ctx.signal("later")];
    });
    await using theatre = await stage([definition], { clock });
    const { stemma } = theatre;
    const run = await stemma.run(definition, undefined);
    await clock.advance("1s");
    await stemma.pause(run.id);
    await clock.advance("1s");
    await expectAtRest(stemma, run);
    const answered = stemma.resume(run.id, "a", 1, { by: "ada" });
    await clock.advance("2s");
    expect(await answered).toMatchObject({ state: "recorded", value: 1 });
    await stemma.signal(run.id, "s", 2);
    await stemma.signal(run.id, "later", 4);
    const failed = stemma.fail(run.id, "b", new Error("3"));
    await clock.advance("2s");
    expect(await failed).toMatchObject({ state: "recorded", error: { message: "3" } });
    await clock.advance("1h");
    await expectAtRest(stemma, run);
    expect([
      await count(run, "wait.answered"),
      await count(run, "wait.failed"),
      await count(run, "signal.received"),
    ]).toEqual([2, 1, 1]);
    expect(seen).toEqual([]);
    expect((await stemma.waits()).waits).toEqual([]);
    await stemma.unpause(run.id);
    await clock.advance("1s");
    expect(await run.result()).toEqual([1, 2, "3", 4]);
    expect(seen).toEqual([[1, 2, "3"]]);
    expect(await faultsOf(stemma, run.id)).toEqual([]);
  });

  it("holds back the next attempt of a step, and items of a map that wait for a place", async () => {
    const clock = fakeClock();
    const entered: string[] = [];
    const gate = Promise.withResolvers<void>();
    const definition = body("works", (ctx) =>
      Promise.all([
        ctx.step("retries", { retry: { attempts: 3, delay: "1m" } }, (_, { attempt }) => {
          entered.push(`attempt ${attempt}`);
          if (attempt < 2) throw new Error("busy");
          return attempt;
        }),
        ctx.map("item", [1, 2, 3], { concurrency: 1 }, async (item) => {
          entered.push(`item ${item}`);
          await gate.promise;
          return item;
        }),
      ]),
    );
    await using theatre = await stage([definition], { clock });
    const { stemma } = theatre;
    const run = await stemma.run(definition, undefined);
    await clock.settle();
    await stemma.pause(run.id);
    await clock.settle();
    gate.resolve();
    await clock.advance("1h");
    expect(entered).toEqual(["attempt 1", "item 1"]);
    await expectAtRest(stemma, run);
    await stemma.unpause(run.id);
    await clock.advance("1s");
    expect(await run.result()).toEqual([2, [1, 2, 3]]);
    expect(entered).toEqual(["attempt 1", "item 1", "attempt 2", "item 2", "item 3"]);
  });

  it("lets an attempt that is due wait, and unpausing before it is due lets it be due", async () => {
    const clock = fakeClock();
    const entered: number[] = [];
    const definition = body("works", (ctx) =>
      ctx.step("retries", { retry: { attempts: 3, delay: "10m", jitter: 0 } }, (_, { attempt }) => {
        entered.push(clock.now());
        if (attempt < 2) throw new Error("busy");
        return attempt;
      }),
    );
    await using theatre = await stage([definition], { clock });
    const { stemma } = theatre;
    const start = clock.now();
    const run = await stemma.run(definition, undefined);
    await clock.settle();
    await stemma.pause(run.id);
    await clock.advance("5m");
    await stemma.unpause(run.id);
    await clock.advance("10m");
    expect(await run.result()).toBe(2);
    expect(entered).toEqual([start, start + 600_000]);
  });

  it("lets no timer bring the body on; what was due meanwhile is due at once when it is unpaused", async () => {
    const clock = fakeClock();
    let went = 0;
    const definition = body("sleeps", async (ctx) => {
      const expired = ctx.wait("question", { expires: "1m", default: "nobody" });
      await ctx.sleep("1m");
      await ctx.step("after", () => (went += 1));
      return expired;
    });
    await using theatre = await stage([definition], { clock });
    const { stemma } = theatre;
    const run = await stemma.run(definition, undefined);
    await clock.advance("1s");
    await stemma.pause(run.id);
    await clock.advance("1h");
    await expectAtRest(stemma, run);
    expect(went).toBe(0);
    await stemma.unpause(run.id);
    await clock.advance("1s");
    expect(await run.result()).toBe("nobody");
    expect(went).toBe(1);
  });

  it("survives the death of the process, in flight and at rest, and so does what came meanwhile", async () => {
    const clock = fakeClock();
    await using store = fresh();
    const entered: string[] = [];
    const definition = body("works", async (ctx) => {
      await ctx.step("long", () => {
        entered.push("long");
        return entered.length === 1 ? new Promise(() => {}) : 1;
      });
      return ctx.signal("go");
    });
    const first = await stage([definition], { store, clock });
    const run = await first.stemma.run(definition, undefined);
    await clock.settle();
    await first.stemma.pause(run.id);
    await clock.settle();
    first.stemma.abandon();
    const second = await stage([definition], { store, clock });
    await clock.advance("1h");
    await expectAtRest(second.stemma, run);
    expect(entered).toEqual(["long"]);
    await second.stemma.signal(run.id, "go", "went");
    await clock.advance("1m");
    await expectAtRest(second.stemma, run);
    await second.stemma.stop();
    await using third = await stage([definition], { store, clock });
    await clock.advance("1h");
    await expectAtRest(third.stemma, run);
    await third.stemma.unpause(run.id);
    await clock.advance("1s");
    expect(await (await third.stemma.get(run.id)).result()).toBe("went");
    expect(entered).toEqual(["long", "long"]);
    expect(await faultsOf(third.stemma, run.id)).toEqual([]);
  });

  it("keeps a run that is stopped with its worker paused", async () => {
    const clock = fakeClock();
    await using store = fresh();
    const gate = Promise.withResolvers<number>();
    const definition = body("works", async (ctx) => (await ctx.step("long", () => gate.promise)) + 1);
    const first = await stage([definition], { store, clock });
    const run = await first.stemma.run(definition, undefined);
    await clock.settle();
    await first.stemma.pause(run.id);
    await clock.settle();
    const stopped = first.stemma.stop();
    gate.resolve(1);
    await stopped;
    await using second = await stage([definition], { store, clock });
    await clock.advance("1h");
    await expectAtRest(second.stemma, run);
    await second.stemma.unpause(run.id);
    await clock.advance("1s");
    expect(await (await second.stemma.get(run.id)).result()).toBe(2);
  });

  it("holds back the end of a run: a body that ends meanwhile ends it when it is unpaused", async () => {
    const clock = fakeClock();
    for (const how of ["returns", "throws"]) {
      const gate = Promise.withResolvers<void>();
      const definition = body("ends", async (ctx) => {
        await ctx.step("one", () => 1);
        await gate.promise;
        void ctx.step("not awaited", () => 1);
        if (how === "throws") throw new Error("no");
        return "done";
      });
      await using theatre = await stage([definition], { clock });
      const { stemma } = theatre;
      const run = await stemma.run(definition, undefined);
      await clock.settle();
      await stemma.pause(run.id);
      await clock.settle();
      gate.resolve();
      await clock.advance("1h");
      await expectAtRest(stemma, run);
      await stemma.unpause(run.id);
      await clock.advance("1m");
      expect(await run.status()).toBe(how === "throws" ? "failed" : "succeeded");
      expect((await outline(run)).filter((line) => line.includes("not awaited"))).toEqual([]);
      expect(await faultsOf(stemma, run.id)).toEqual([]);
    }
  });

  it("that comes when a run is on its way to its end comes too late, and that is said", async () => {
    const clock = fakeClock();
    const log = listening();
    const gate = Promise.withResolvers<void>();
    const definition = body("ends", async (ctx) => {
      void ctx.step("not awaited", () => gate.promise);
      await ctx.step("one", () => 1);
      if ((await ctx.signal("go")) !== "on") return "done";
      return ctx.wait("never");
    });
    await using theatre = await stage([definition], { clock, log, abortGrace: "1h" });
    const { stemma } = theatre;
    const returns = await stemma.run(definition, undefined);
    const cancelled = await stemma.run(definition, undefined);
    await clock.settle();
    await stemma.signal(returns.id, "go");
    await stemma.cancel(cancelled.id);
    await clock.settle();
    for (const run of [returns, cancelled]) {
      await stemma.pause(run.id);
      await clock.settle();
      expect(await run.status()).toBe("running");
      expect(await count(run, "run.paused")).toBe(0);
      const said = log.lines.filter((line) => line.includes("asked to pause when it was on its way to its end"));
      expect(said.filter((line) => line.includes(run.id))).toHaveLength(1);
    }
    gate.resolve();
    await clock.settle();
    expect([await returns.status(), await cancelled.status()]).toEqual(["succeeded", "cancelled"]);
  });

  it("holds back the end of a run whose answer came while it was paused, however often it is told again", async () => {
    const clock = fakeClock();
    const definition = body("asks", (ctx) => ctx.wait("question"));
    await using theatre = await stage([definition], { clock });
    const { stemma } = theatre;
    const run = await stemma.run(definition, undefined);
    await clock.advance("1s");
    await stemma.pause(run.id);
    await clock.advance("1s");
    const answered = stemma.resume(run.id, "question", "yes");
    await clock.advance("2s");
    await answered;
    for (let i = 0; i < 3; i += 1) {
      await stemma.signal(run.id, "noise", i);
      await clock.advance("1m");
      await expectAtRest(stemma, run);
    }
    await stemma.unpause(run.id);
    await clock.advance("1s");
    expect(await run.result()).toBe("yes");
  });

  it("of a run that is in doubt does not keep it from a decision", async () => {
    const clock = fakeClock();
    let entered = 0;
    const definition = body("pays", (ctx) =>
      ctx.step("charge", { effect: "once" }, () => {
        entered += 1;
        return entered % 2 === 1 ? Promise.reject(new Error("reset")) : "again";
      }),
    );
    await using theatre = await stage([definition], { clock });
    const { stemma } = theatre;
    for (const [decision, end, times] of [
      [{ record: "paid" }, "paid", 1],
      ["run", "again", 2],
      [{ fail: new Error("no") }, "no", 1],
    ] as const) {
      entered = 0;
      const run = await stemma.run(definition, undefined);
      await clock.advance("1s");
      await stemma.pause(run.id);
      await clock.advance("1s");
      await stemma.decide(run.id, "charge", decision);
      await clock.advance("1m");
      await expectAtRest(stemma, run);
      expect([entered, await count(run, "step.decided")]).toEqual([1, 1]);
      await stemma.unpause(run.id);
      await clock.advance("1s");
      if (end === "no") expect((await errorOf(run.result())).message).toContain("no");
      else expect(await run.result()).toBe(end);
      expect(entered).toBe(times);
    }
  });

  it("ends when the run's time is up: a paused run is timed out, and the runs that it called before it", async () => {
    const clock = fakeClock();
    const waits = body("waits", (ctx) => ctx.wait("ever"));
    const definition = body("parent", (ctx) => ctx.call(waits, undefined), "1h");
    await using theatre = await stage([definition, waits], { clock });
    const run = await theatre.stemma.run(definition, undefined);
    await clock.advance("1m");
    await theatre.stemma.pause(run.id);
    await clock.advance("58m");
    await expectAtRest(theatre.stemma, run);
    await clock.advance("1m");
    expect(await endsOf(theatre.stemma, run.id)).toEqual(["waits run.cancelled", "parent run.timed_out"]);
    expect(await errorOf(run.result())).toMatchObject({ code: "run.timed_out" });
    expect(await faultsOf(theatre.stemma, run.id)).toEqual([]);
  });

  it("stays when the code does not fit any more; the run says so, and goes on with code that does", async () => {
    const clock = fakeClock();
    await using store = fresh();
    const make = (name: string): Workflow<undefined> =>
      body("changes", async (ctx) => {
        await ctx.step(name, () => 1);
        return ctx.wait("question");
      });
    const first = await stage([make("one")], { store, clock });
    const run = await first.stemma.run(make("one"), undefined);
    await clock.advance("1s");
    await first.stemma.pause(run.id);
    await clock.advance("1s");
    await first.stemma.stop();
    const second = await stage([body("changes", async (ctx) => ctx.step("other", () => 1))], { store, clock });
    await second.stemma.signal(run.id, "noise", 1);
    await clock.advance("1m");
    expect((await second.stemma.row(run.id)).state).toMatchObject({ status: "paused", reason: "divergence" });
    await second.stemma.unpause(run.id);
    await clock.advance("1m");
    expect(await second.stemma.row(run.id)).toMatchObject({ state: { status: "paused" } });
    await second.stemma.stop();
    await using third = await stage([make("one")], { store, clock });
    await clock.advance("1m");
    expect((await third.stemma.row(run.id)).state.status).toBe("suspended");
    const answered = third.stemma.resume(run.id, "question", "yes");
    await clock.advance("2s");
    await answered;
    expect(await (await third.stemma.get(run.id)).result()).toBe("yes");
    expect(await faultsOf(third.stemma, run.id)).toEqual([]);
  });
});
