/** Cancelling: who asked and why is on record, what is in flight gets its grace, and the end comes from the leaves on. */
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { Stemma, workflow } from "../src/index.ts";
import type { Context, RunHandle, StepTools, Workflow } from "../src/index.ts";
import { around } from "../src/testing/around.ts";
import type { Commit } from "../src/store/store.ts";
import { fakeClock } from "../src/testing.ts";
import type { FakeClock } from "../src/testing.ts";
import { childrenOf, endsOf, familyOf, faultsOf, statusesOf } from "./family.ts";
import { errorOf, fresh, listening, outline, silent, stage, until } from "./stage.ts";

function body(name: string, run: (ctx: Context) => Promise<unknown>, timeout?: string): Workflow<undefined> {
  return workflow({ name, ...(timeout === undefined ? {} : { timeout }) }, run);
}

const deaf = (): Promise<never> => new Promise(() => {});

/** Settles when the attempt is told to stop, as `fetch` does. */
const obedient = (_: unknown, { abort }: StepTools): Promise<never> =>
  new Promise((_resolve, reject) => {
    abort.addEventListener("abort", () => reject(abort.reason as Error));
  });

const waits = body("waits", (ctx) => ctx.wait("ever"));

describe("cancel", () => {
  it("puts on record who asked and why, once, and the run's result says so", async () => {
    const clock = fakeClock();
    await using theatre = await stage([waits], { clock });
    const { stemma } = theatre;
    const run = await stemma.run(waits, undefined);
    await clock.advance("1m");
    const by = { by: "ada", reason: "not needed" };
    expect(await run.cancel(by)).toMatchObject({ accepted: true });
    expect(await stemma.cancel(run.id, { by: "bob", reason: "nor wanted" })).toMatchObject({ accepted: true });
    await clock.settle();
    expect((await run.history()).slice(-3)).toMatchObject([
      { type: "cancel.requested", data: by },
      { type: "wait.withdrawn", data: { key: "ever" } },
      { type: "run.cancelled", data: by },
    ]);
    expect(await errorOf(run.result())).toMatchObject({
      code: "run.cancelled",
      data: { run: run.id, status: "cancelled" },
    });
    const before = await run.history();
    expect(await stemma.cancel(run.id)).toEqual({ accepted: false, status: "cancelled" });
    await clock.advance("1m");
    expect(await run.history()).toEqual(before);
    expect(await faultsOf(stemma, run.id)).toEqual([]);
  });

  it("leaves a run that has ended as it is, and refuses what comes to it later", async () => {
    const clock = fakeClock();
    const done = body("done", async () => 1);
    const fails = body("fails", async () => Promise.reject(new Error("no")));
    const late = body("late", (ctx) => ctx.wait("ever"), "1s");
    await using theatre = await stage([done, fails, late, waits], { clock });
    const { stemma } = theatre;
    for (const [definition, status] of [
      [done, "succeeded"],
      [fails, "failed"],
      [late, "timed_out"],
      [waits, "cancelled"],
    ] as const) {
      const run = await stemma.run(definition, undefined);
      await clock.advance("2s");
      if (status === "cancelled") await run.cancel();
      await clock.settle();
      expect(await run.status()).toBe(status);
      const before = await run.history();
      expect(await run.cancel({ by: "ada" })).toEqual({ accepted: false, status });
      expect(await errorOf(stemma.pause(run.id))).toMatchObject({ code: "run.ended" });
      expect(await errorOf(stemma.unpause(run.id))).toMatchObject({ code: "run.ended" });
      expect(await errorOf(stemma.signal(run.id, "a", 1))).toMatchObject({ code: "run.ended" });
      expect(await errorOf(stemma.resume(run.id, "ever", 1))).toMatchObject({ code: "wait.not_open" });
      await clock.advance("1m");
      expect(await run.history()).toEqual(before);
    }
  });

  it("ends a queued run that nobody offers at once", async () => {
    await using store = fresh();
    const client = new Stemma({ store, log: silent });
    for (const before of ["nothing", "a pause", "a signal"]) {
      const run = await client.run(waits, undefined);
      if (before === "a pause") await client.pause(run.id);
      if (before === "a signal") await client.signal(run.id, "a", 1);
      expect(await run.cancel({ by: "ada" }), before).toEqual({ accepted: true, status: "cancelled" });
      expect(await outline(run), before).toEqual(["run.created", "cancel.requested", "run.cancelled"]);
      expect((await client.row(run.id)).state.cancel).toEqual({ by: "ada" });
      expect(await faultsOf(client, run.id)).toEqual([]);
    }
  });

  it("ends a run that is not due yet", async () => {
    const clock = fakeClock();
    await using theatre = await stage([waits], { clock });
    const run = await theatre.stemma.run(waits, undefined, { delay: "1d" });
    await run.cancel();
    await clock.settle();
    expect(await outline(run)).toEqual(["run.created", "cancel.requested", "run.cancelled"]);
  });

  it("does not run the body of a suspended run again, and none of its catch and finally", async () => {
    const clock = fakeClock();
    const heard: string[] = [];
    const definition = body("cleans", async (ctx) => {
      heard.push("begins");
      try {
        await ctx.wait("ever");
      } catch {
        heard.push("catch");
      } finally {
        heard.push("finally");
        await ctx.step("cleanup", () => heard.push("cleanup"));
      }
    });
    await using theatre = await stage([definition], { clock });
    const run = await theatre.stemma.run(definition, undefined);
    await clock.advance("1m");
    await run.cancel();
    await clock.advance("1m");
    expect(heard).toEqual(["begins"]);
    expect(await outline(run)).toEqual([
      "run.created",
      "run.started",
      "wait.opened ever",
      "run.suspended",
      "cancel.requested",
      "wait.withdrawn ever",
      "run.cancelled",
    ]);
  });

  it.each(["cancelled", "timed_out"] as const)(
    "closes what is open on record in a run that is %s, whether somebody holds it or nobody does",
    async (how) => {
      for (const when of ["in hand", "at rest", "after a crash"]) {
        const clock = fakeClock();
        const log = listening();
        await using store = fresh();
        let pays = 0;
        const pay = (): Promise<never> => {
          pays += 1;
          return deaf();
        };
        const definition = body(
          "busy",
          (ctx) =>
            Promise.all([
              ctx.wait("approval"),
              ctx.sleep("1d"),
              ctx.signal("news", { schema: z.object({ n: z.number() }) }),
              ctx.step("slow", { retry: { attempts: 9, delay: "1d", jitter: 0 } }, () =>
                Promise.reject(new Error("busy")),
              ),
              when === "after a crash" ? ctx.step("pay", { effect: "once" }, pay) : undefined,
              when === "after a crash" ? ctx.step("work", deaf) : undefined,
            ]),
          how === "timed_out" ? "1h" : "2d",
        );
        const first = await stage([definition], { store, clock, log, abortGrace: "1s" }, { lingerMs: 30_000 });
        const run = await first.stemma.run(definition, undefined);
        await clock.advance(when === "at rest" ? "2m" : "5s");
        if (when === "after a crash") first.stemma.abandon();
        await using second = when === "after a crash" ? await stage([definition], { store, clock, log }) : first;
        if (how === "cancelled") await second.stemma.cancel(run.id);
        await clock.advance("2h");
        const row = await second.stemma.row(run.id);
        expect([when, row.state.status, row.state.waits]).toEqual([when, how, undefined]);
        const last = new Map((await outline(run)).map((line) => line.split(" ").toReversed() as [string, string]));
        const withdrawn = ["approval", "sleep", "news"].map((key) => last.get(key));
        expect([when, ...withdrawn]).toEqual([when, "wait.withdrawn", "wait.withdrawn", "wait.withdrawn"]);
        expect([when, last.get("slow")]).toEqual([when, "step.cancelled"]);
        if (when === "after a crash") {
          // It was begun, and nobody knows what came of it; what may be done twice is merely over.
          expect([last.get("pay"), last.get("work"), pays]).toEqual(["step.in_doubt", "step.cancelled", 1]);
        }
        expect(await faultsOf(second.stemma, run.id)).toEqual([]);
        expect(log.lines.filter((line) => line.startsWith("error"))).toEqual([]);
      }
    },
  );

  it("does not let the body begin anything, although it listens to ctx.abort", async () => {
    let cleaned = 0;
    const definition = body("listens", async (ctx) => {
      const told = new Promise((resolve) => ctx.abort.addEventListener("abort", resolve));
      await Promise.race([ctx.step("work", obedient), told]);
      await ctx.step("cleanup", () => {
        cleaned += 1;
      });
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await until(async () => (await run.status()) === "running");
    await run.cancel();
    await errorOf(run.result());
    expect(cleaned).toBe(0);
    expect((await outline(run)).filter((line) => line.includes("cleanup"))).toEqual([]);
  });

  it.each([
    ["sleeping", (ctx: Context) => ctx.sleep("1d"), "wait.opened sleep"],
    [
      "retrying",
      (ctx: Context) =>
        ctx.step("call", { retry: { attempts: 9, delay: "1d" } }, () => Promise.reject(new Error("busy"))),
      "step.attempt_failed call",
    ],
  ])("ends a run with a %s step, held or not", async (_name, work, line) => {
    for (const wait of ["0s", "1h"]) {
      const clock = fakeClock();
      const definition = body("idle", async (ctx) => work(ctx));
      await using theatre = await stage([definition], { clock }, { lingerMs: 1000 });
      const run = await theatre.stemma.run(definition, undefined);
      await clock.advance(wait);
      expect(await outline(run)).toContain(line);
      expect(await run.status()).toBe(wait === "0s" ? "running" : "suspended");
      await run.cancel();
      await clock.settle();
      expect(await run.status()).toBe("cancelled");
      const before = await run.history();
      await clock.advance("10d");
      expect(await run.history()).toEqual(before);
    }
  });

  it("in the middle of a map aborts what runs, and what waits for a place is never entered", async () => {
    const clock = fakeClock();
    let entered = 0;
    const definition = body("maps", (ctx) =>
      ctx.map("item", [1, 2, 3, 4, 5], { concurrency: 2 }, (item, tools) => {
        entered += 1;
        return obedient(item, tools);
      }),
    );
    await using theatre = await stage([definition], { clock });
    const run = await theatre.stemma.run(definition, undefined);
    await clock.settle();
    await run.cancel();
    await clock.settle();
    expect(await run.status()).toBe("cancelled");
    expect(entered).toBe(2);
    expect((await outline(run)).slice(-4)).toEqual([
      "cancel.requested",
      "step.cancelled item",
      "step.cancelled item#2",
      "run.cancelled",
    ]);
  });
});

describe("a step that runs when its run is cancelled", () => {
  async function cancelled(
    work: (input: unknown, tools: StepTools) => Promise<unknown>,
    clock: FakeClock,
    log = silent,
    effect: "once" | "idempotent" = "idempotent",
  ): Promise<{ run: RunHandle; [Symbol.asyncDispose](): Promise<void> }> {
    const definition = body("works", (ctx) => ctx.step("work", { effect }, work));
    const theatre = await stage([definition], { clock, log });
    const run = await theatre.stemma.run(definition, undefined);
    await clock.settle();
    await run.cancel({ by: "ada" });
    await clock.settle();
    return { run, [Symbol.asyncDispose]: () => theatre[Symbol.asyncDispose]() };
  }

  it("and obeys is recorded as cancelled, and the run ends at once", async () => {
    await using theatre = await cancelled(obedient, fakeClock());
    expect((await outline(theatre.run)).slice(-3)).toEqual([
      "cancel.requested",
      "step.cancelled work",
      "run.cancelled",
    ]);
  });

  it("and returns within the grace is kept on record", async () => {
    const clock = fakeClock();
    const gate = Promise.withResolvers<string>();
    await using theatre = await cancelled(() => gate.promise, clock);
    expect(await theatre.run.status()).toBe("running");
    await clock.advance("4s");
    gate.resolve("paid");
    await clock.settle();
    expect((await outline(theatre.run)).slice(-2)).toEqual(["step.succeeded work", "run.cancelled"]);
    const succeeded = (await theatre.run.history()).find(({ type }) => type === "step.succeeded");
    expect(succeeded?.data).toMatchObject({ output: { inline: "paid" } });
  });

  it("and ignores its signal is given up after the grace and no later; what it still comes to is refused", async () => {
    const clock = fakeClock();
    const gate = Promise.withResolvers<string>();
    const log = listening();
    await using theatre = await cancelled(() => gate.promise, clock, log);
    await clock.advance(4999);
    expect(await theatre.run.status()).toBe("running");
    await clock.advance(1);
    expect(await theatre.run.status()).toBe("cancelled");
    const before = await theatre.run.history();
    expect(before.at(-2)).toMatchObject({ type: "step.cancelled", data: { key: "work", reason: "abandoned" } });
    gate.resolve("late");
    await clock.advance("1m");
    expect(await theatre.run.history()).toEqual(before);
    expect(log.lines.join("\n")).toContain("did not end when it was aborted");
  });

  it("and may not run twice stays in doubt on record, and holds up nothing", async () => {
    const clock = fakeClock();
    await using theatre = await cancelled(deaf, clock, silent, "once");
    await clock.advance("5s");
    expect((await outline(theatre.run)).slice(-3)).toEqual(["cancel.requested", "step.in_doubt work", "run.cancelled"]);
  });

  it("and has its intent on its way to the store is not entered any more, and is not in doubt", async () => {
    let entered = 0;
    const onItsWay = Promise.withResolvers<void>();
    await using origin = fresh();
    const definition = body("races", async (ctx) => {
      await ctx.race({
        once: () =>
          ctx.step("charge", { effect: "once" }, () => {
            entered += 1;
          }),
        other: () => onItsWay.promise,
      });
      return "won";
    });
    const store = around(
      origin,
      async ({ method, args, make }) => {
        const commits = method === "commit" ? (args[0] as Commit[]) : [];
        const isIntent = commits.some(({ events }) => events.some(({ type }) => type === "step.started"));
        if (isIntent) {
          onItsWay.resolve();
          // The other branch wins before the intent is durable.
          for (let turns = 0; turns < 5; turns += 1) await new Promise((resolve) => setImmediate(resolve));
        }
        return make();
      },
      {},
    );
    await using theatre = await stage([definition], { store });
    const run = await theatre.stemma.run(definition, undefined);
    expect(await run.result()).toBe("won");
    expect(entered).toBe(0);
    expect((await outline(run)).filter((line) => line.includes("charge"))).toEqual([
      "step.started once/charge",
      "step.cancelled once/charge",
    ]);
  });
});

describe("the runs that a cancelled run called", () => {
  const leaf = body("leaf", (ctx) => ctx.step("work", obedient));
  const middle = body("middle", (ctx) => ctx.call(leaf, undefined));
  const root = body("root", (ctx) => Promise.all([ctx.call(middle, undefined), ctx.call(waits, undefined)]));

  it("are cancelled too, and end before it, the leaf first", async () => {
    const clock = fakeClock();
    await using theatre = await stage([leaf, middle, root, waits], { clock });
    const { stemma } = theatre;
    const run = await stemma.run(root, undefined);
    await clock.settle();
    expect(await familyOf(stemma, run.id)).toHaveLength(4);
    await run.cancel({ by: "ada", reason: "enough" });
    await clock.advance("1m");
    const order = await endsOf(stemma, run.id);
    expect(order.toSorted()).toEqual(["leaf", "middle", "root", "waits"].map((name) => `${name} run.cancelled`));
    expect(order.filter((line) => !line.startsWith("waits"))).toEqual(
      ["leaf", "middle", "root"].map((name) => `${name} run.cancelled`),
    );
    expect(order.at(-1)).toBe("root run.cancelled");
    const [, child] = await familyOf(stemma, run.id);
    expect((await stemma.row(child?.id ?? "")).state.cancel).toMatchObject({ by: run.id });
    expect(await faultsOf(stemma, run.id)).toEqual([]);
  });

  it("hold it up no longer than the grace when they ignore their signals", async () => {
    const clock = fakeClock();
    const stubborn = body("stubborn", (ctx) => ctx.step("work", deaf));
    const parent = body("parent", (ctx) => ctx.call(stubborn, undefined));
    await using theatre = await stage([stubborn, parent], { clock });
    const run = await theatre.stemma.run(parent, undefined);
    await clock.settle();
    await run.cancel();
    await clock.advance(4999);
    expect(await run.status()).not.toBe("cancelled");
    await clock.advance(1);
    expect(await endsOf(theatre.stemma, run.id)).toEqual(["stubborn run.cancelled", "parent run.cancelled"]);
  });

  it("are ended although nobody offers them, and one that is cancelled itself is an error for its caller", async () => {
    const clock = fakeClock();
    const parent = body("parent", async (ctx) => {
      try {
        await ctx.call(waits, undefined);
      } catch (error) {
        await ctx.step("caught", () => (error as { code: string }).code);
      }
      return ctx.call(waits, undefined);
    });
    await using theatre = await stage([parent], { clock });
    const { stemma } = theatre;
    const run = await stemma.run(parent, undefined);
    await clock.advance("1m");
    const [first] = await childrenOf(stemma, run.id);
    expect(first?.offered).toBe(false);
    expect(await stemma.cancel(first?.id ?? "", { by: "bob" })).toEqual({ accepted: true, status: "cancelled" });
    await clock.advance("1m");
    expect(await outline(run)).toContain("step.succeeded caught");
    expect(await statusesOf(stemma, run.id)).toEqual(["parent suspended", "waits cancelled", "waits queued"]);
    await run.cancel();
    await clock.advance("1m");
    expect(await endsOf(stemma, run.id)).toEqual([
      "waits run.cancelled",
      "waits run.cancelled",
      "parent run.cancelled",
    ]);
    expect(await faultsOf(stemma, run.id)).toEqual([]);
  });

  it("are cancelled when its time is up, and end before it is timed out", async () => {
    const clock = fakeClock();
    const parent = body("parent", (ctx) => ctx.call(middle, undefined), "1h");
    for (const where of ["held", "suspended"]) {
      const below = where === "held" ? [leaf, middle] : [body("leaf", (ctx) => ctx.wait("ever")), middle];
      await using theatre = await stage([parent, ...below], { clock });
      const run = await theatre.stemma.run(parent, undefined);
      await clock.advance("59m");
      expect(await statusesOf(theatre.stemma, run.id)).toContain(where === "held" ? "leaf running" : "leaf suspended");
      await clock.advance("1m");
      expect(await endsOf(theatre.stemma, run.id)).toEqual([
        "leaf run.cancelled",
        "middle run.cancelled",
        "parent run.timed_out",
      ]);
      expect(await errorOf(run.result())).toMatchObject({ code: "run.timed_out" });
      expect(await faultsOf(theatre.stemma, run.id)).toEqual([]);
    }
  });
});

describe("behind the acknowledgement of a cancel", () => {
  /** Takes steps for as long as it lives, and counts them. */
  function busy() {
    const entered = { count: 0 };
    const steps = body("busy", async (ctx) => {
      for (;;) await ctx.step("one", () => void (entered.count += 1));
    });
    return { entered, steps };
  }

  it("nothing more begins where the process that asked has the run", async () => {
    const { entered, steps } = busy();
    await using theatre = await stage([steps]);
    for (let round = 0; round < 10; round += 1) {
      const run = await theatre.stemma.run(steps, undefined);
      const before = entered.count;
      await until(() => entered.count > before + 3);
      await run.cancel();
      const acknowledged = entered.count;
      expect(await errorOf(run.result())).toMatchObject({ code: "run.cancelled" });
      expect(entered.count).toBe(acknowledged);
    }
  });

  it("a busy worker elsewhere hears of it with what it records next, and needs no heartbeat for it", async () => {
    const { entered, steps } = busy();
    await using store = fresh();
    await using theatre = await stage([steps], { store, lease: "10h" });
    const run = await theatre.stemma.run(steps, undefined);
    await until(() => entered.count > 3);
    const elsewhere = new Stemma({ store, log: silent });
    await elsewhere.cancel(run.id);
    expect(await errorOf(run.result())).toMatchObject({ code: "run.cancelled" });
  });
});
