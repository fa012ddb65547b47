/**
 * Steps with `effect: "once"` of which nobody knows whether they happened: the run waits, and goes on when somebody, or
 * the step itself, says what became of it. Without a recorded decision no such function is entered twice.
 */
import { describe, expect, it } from "vitest";
import { components, notDone, workflow } from "../src/index.ts";
import type { Context, Decision, Stemma } from "../src/index.ts";
import { fakeClock } from "../src/testing.ts";
import { asks, lastAbout, playEveryCrash } from "./crashes.ts";
import { decidedRun, doubtful, entriesOf, inDoubt } from "./doubt.ts";
import { crashStride, errorOf, fresh, inTurn, listening, outline, stage, until } from "./stage.ts";

describe("a decision about a step in doubt", () => {
  const decisions: [string, Decision, string[], unknown][] = [
    [
      "that it happened",
      { record: "seen in the books" },
      ["step.decided charge", "step.succeeded charge"],
      "seen in the books",
    ],
    [
      "that it may be entered again",
      "run",
      ["step.decided charge", "step.started charge", "step.succeeded charge"],
      "charged by the step",
    ],
    [
      "that it has failed",
      { fail: new RangeError("declined") },
      ["step.decided charge", "step.failed charge"],
      "declined",
    ],
  ];

  it.each(decisions)(
    "%s is on record with who decided and why, and the run goes on",
    async (_, decision, then, end) => {
      const { definition, entered } = doubtful();
      await using theatre = await stage([definition]);
      const run = await theatre.stemma.run(definition, undefined);
      await inDoubt(theatre.stemma, run, "charge");
      await theatre.stemma.decide(run.id, "charge", decision, { by: "ada", reason: "asked the bank" });
      const result = await run.result().catch((error: unknown) => (error as Error & { cause: Error }).cause.message);
      expect(result).toBe(end);
      expect(asks(await run.history())).toEqual(["step.started charge", "step.in_doubt charge", ...then]);
      expect(entered).toEqual(decision === "run" ? [1, 2] : [1]);
      const history = await run.history();
      expect(history.find((event) => event.type === "step.decided")?.data).toMatchObject({
        by: "ada",
        reason: "asked the bank",
      });
      // Each event is caused by the one before it, so the trace shows how it came about.
      const about = history.filter((event) => "key" in event.data);
      expect(about.slice(1).map(({ causes }) => causes)).toEqual(about.slice(0, -1).map(({ seq }) => [seq]));
      expect(components(await run.trace())).toBe(1);
    },
  );

  it.each(decisions)(
    "%s holds through a crash at any commit, and enters nothing by itself",
    async (_, decision, _then, end) => {
      let entries = 0;
      const definition = workflow({ name: "crashing" }, async (ctx) => {
        await ctx.step("before", () => 1);
        try {
          return await ctx.step("charge", { effect: "once" }, () => {
            entries += 1;
            if (entries === 1) throw new Error("connection lost");
            return "charged by the step";
          });
        } catch (error) {
          return (error as Error).message;
        }
      });
      const crashes = await playEveryCrash(
        definition,
        async ({ stemma, run, history }) => {
          if (lastAbout(history, "charge") === "step.in_doubt") await stemma.decide(run.id, "charge", decision);
        },
        () => (entries = 0),
        ({ history, fault }) => {
          const where = JSON.stringify(fault);
          expect(entries, where).toBeLessThanOrEqual(1 + decidedRun(history));
          expect(entries, where).toBeLessThanOrEqual(entriesOf(history, "charge"));
          expect(history.filter((event) => event.type === "step.decided").length, where).toBeGreaterThanOrEqual(1);
          expect(history.at(-1), where).toMatchObject({ type: "run.succeeded", data: { output: { inline: end } } });
        },
      );
      expect(crashes).toBeGreaterThan(8 / crashStride);
    },
  );

  it("reaches a run that no worker holds, after a crash between intent and outcome", async () => {
    const clock = fakeClock();
    const store = fresh();
    let entered = 0;
    const definition = workflow({ name: "cut" }, (ctx) =>
      ctx.step("charge", { effect: "once" }, () => {
        entered += 1;
        return entered === 1 ? new Promise<string>(() => {}) : "charged";
      }),
    );
    const first = await stage([definition], { store, clock });
    const run = await first.stemma.run(definition, undefined);
    await until(() => entered === 1);
    first.stemma.abandon();
    await using second = await stage([definition], { store, clock });
    await clock.advance("1m");
    await inDoubt(second.stemma, run, "charge");
    await second.stemma.stop();
    await second.stemma.decide(run.id, "charge", "run");
    await using third = await stage([definition], { store, clock });
    await clock.advance("1m");
    expect(await (await third.stemma.get(run.id)).result()).toBe("charged");
    expect(entered).toBe(2);
  });

  it("that it may be entered again gives the step its time anew", async () => {
    const clock = fakeClock();
    const { definition, entered } = doubtful({ timeout: { step: "1m" } });
    await using theatre = await stage([definition], { clock });
    const run = await theatre.stemma.run(definition, undefined);
    await clock.advance("10m");
    await theatre.stemma.decide(run.id, "charge", "run");
    await clock.advance("1s");
    expect(await run.result()).toBe("charged by the step");
    expect(entered).toEqual([1, 2]);
  });

  it("about a paused run is on record at once, and reaches the body when the run goes on", async () => {
    for (const decision of [{ record: "by hand" }, "run"] as const) {
      const { definition, entered } = doubtful();
      await using theatre = await stage([definition]);
      const run = await theatre.stemma.run(definition, undefined);
      await inDoubt(theatre.stemma, run, "charge");
      await theatre.stemma.pause(run.id);
      await until(
        async () => (await run.status()) === "paused" && (await theatre.stemma.row(run.id)).worker === undefined,
      );
      await theatre.stemma.decide(run.id, "charge", decision);
      await until(async () => (await run.history()).some(({ type }) => type === "step.decided"));
      expect(entered).toEqual([1]);
      await theatre.stemma.unpause(run.id);
      expect(await run.result()).toBe(decision === "run" ? "charged by the step" : "by hand");
      expect(entered).toEqual(decision === "run" ? [1, 2] : [1]);
    }
  });

  it("that it happened, read together with the word to go on, does not enter it", async () => {
    const store = fresh();
    const { definition, entered } = doubtful();
    const first = await stage([definition], { store });
    const run = await first.stemma.run(definition, undefined);
    await inDoubt(first.stemma, run, "charge");
    await first.stemma.pause(run.id);
    await until(async () => (await run.status()) === "paused");
    await first.stemma.stop();
    await first.stemma.decide(run.id, "charge", { record: "by hand" });
    await first.stemma.unpause(run.id);
    await using second = await stage([definition], { store });
    expect(await (await second.stemma.get(run.id)).result()).toBe("by hand");
    expect(entered).toEqual([1]);
    await second.stemma.stop();
    await store.close();
  });

  it("is not needed for an attempt that was not entered because the step's time was up", async () => {
    const clock = fakeClock();
    const store = fresh();
    let entered = 0;
    const options = {
      effect: "once",
      timeout: { step: "10s" },
      retry: { attempts: 3, delay: "5s", jitter: 0 },
    } as const;
    const definition = workflow({ name: "late" }, (ctx) =>
      ctx.step("charge", options, () => {
        entered += 1;
        throw notDone(new Error("503"));
      }),
    );
    const first = await stage([definition], { store, clock });
    const run = await first.stemma.run(definition, undefined);
    await clock.advance("1s");
    first.stemma.abandon();
    await clock.advance("1m");
    await using second = await stage([definition], { store, clock });
    await clock.advance("1m");
    const error = await errorOf((await second.stemma.get(run.id)).result());
    expect(error.cause).toMatchObject({ code: "step.timed_out" });
    expect(entered).toBe(1);
    await second.stemma.stop();
    await store.close();
  });

  it("about a step that is not in doubt is refused and changes nothing", async () => {
    const { definition } = doubtful();
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await inDoubt(theatre.stemma, run, "charge");
    const refused = async (key: string): Promise<unknown> =>
      (await errorOf(theatre.stemma.decide(run.id, key, { record: "wrong" }))).code;
    expect(await refused("other")).toBe("step.not_in_doubt");
    await theatre.stemma.decide(run.id, "charge", { record: "right" });
    expect(await run.result()).toBe("right");
    const before = await outline(run);
    expect(await refused("charge")).toBe("step.not_in_doubt");
    // Who asks again because the answer was lost is told what they were told.
    await theatre.stemma.decide(run.id, "charge", { record: "right" });
    expect(await outline(run)).toEqual(before);
  });

  it("about one that nobody waits for any more is refused and says why, also after a crash", async () => {
    const clock = fakeClock();
    const log = listening();
    await using store = fresh();
    const leaf = workflow({ name: "leaf" }, (ctx) => ctx.step("work", () => new Promise(() => {})));
    const definition = workflow({ name: "unwanted" }, async (ctx) => {
      const charge = (): Promise<unknown> =>
        ctx.step("charge", { effect: "once" }, () => Promise.reject(new Error("connection lost")));
      const word = await ctx.signal("word");
      if (word === "not awaited" || word === "cancelled") {
        void ctx.call(leaf, undefined);
        void charge();
        await ctx.sleep("1m");
        return word === "cancelled" ? ctx.wait("more") : word;
      }
      await ctx.race({ charge, time: () => ctx.sleep("1m") });
      return ctx.wait("more");
    });
    const first = await stage([definition, leaf], { store, clock, log, abortGrace: "1h" });
    const charged: string[] = [];
    for (const word of ["lost race", "not awaited", "cancelled"]) {
      const run = await first.stemma.run(definition, undefined);
      await first.stemma.signal(run.id, "word", word);
      await clock.advance("90s");
      if (word === "cancelled") await first.stemma.cancel(run.id);
      await clock.advance("1s");
      charged.push(run.id);
    }
    const refusals = async (stemma: Stemma): Promise<unknown> =>
      Promise.all(
        charged.map(async (run, i) => {
          const key = i === 0 ? "charge/charge" : "charge";
          const { code, message, data } = await errorOf(stemma.decide(run, key, "run"));
          return [code, /nobody waits for it any more \((.*)\)/u.exec(message)?.[1], data?.["inDoubt"]];
        }),
      );
    const expected = ["lost race", "not awaited", "run ended"].map((why) => ["step.not_in_doubt", why, []]);
    expect(await refusals(first.stemma)).toEqual(expected);
    first.stemma.abandon();
    await using second = await stage([definition, leaf], { store, clock, log });
    await clock.advance("10m");
    await second.stemma.resume(charged[0] ?? "", "more", 1).catch(() => undefined);
    await clock.advance("10m");
    expect(await refusals(second.stemma)).toEqual(expected);
    for (const run of charged) {
      const said = (await second.stemma.history(run)).filter(({ type }) => type === "step.in_doubt");
      expect(said.map(({ data }) => "unwanted" in data)).toEqual([false, true]);
    }
    expect(log.lines.filter((line) => line.includes("decision"))).toEqual([]);
  });

  it("is one, the first: who decides otherwise at the same time is told what was decided, and by whom", async () => {
    const { definition } = doubtful();
    await using store = fresh();
    await using theatre = await stage([definition], { store: inTurn(store) });
    const { stemma } = theatre;
    const run = await stemma.run(definition, undefined);
    await inDoubt(stemma, run, "charge");
    const told = await Promise.allSettled([
      stemma.decide(run.id, "charge", { record: "right" }, { by: "ada" }),
      stemma.decide(run.id, "charge", { fail: new Error("no") }, { by: "bob" }),
      stemma.decide(run.id, "charge", { record: "right" }, { by: "ada" }),
      stemma.decide(run.id, "charge", { record: "another" }, { by: "bob" }),
    ]);
    expect(told).toMatchObject([
      { status: "fulfilled" },
      {
        status: "rejected",
        reason: { code: "step.not_in_doubt", data: { step: "charge", decision: "record", by: "ada" } },
      },
      { status: "fulfilled" },
      { status: "rejected", reason: { code: "step.not_in_doubt", data: { decision: "record", by: "ada" } } },
    ]);
    expect(await run.result()).toBe("right");
    expect((await outline(run)).filter((line) => line === "step.decided charge")).toHaveLength(1);
  });

  it.each([{}, "again", undefined, { record: 1, fail: new Error("no") }, { recorded: 1 }])(
    "that says nothing clear is refused: %j",
    async (decision) => {
      const { definition } = doubtful();
      await using theatre = await stage([definition]);
      const run = await theatre.stemma.run(definition, undefined);
      await inDoubt(theatre.stemma, run, "charge");
      const error = await errorOf(theatre.stemma.decide(run.id, "charge", decision as never));
      expect(error.code).toBe("usage.invalid");
      expect(asks(await run.history())).toEqual(["step.started charge", "step.in_doubt charge"]);
    },
  );
});

describe("steps in doubt beside others", () => {
  const pay = (ctx: Context, name: string): Promise<string> =>
    ctx.step(name, { effect: "once" }, (): string => {
      throw new Error(`${name} is uncertain`);
    });

  it("two at the same time are both named, and each is decided by itself", async () => {
    const definition = workflow({ name: "two" }, (ctx) => Promise.all([pay(ctx, "a"), pay(ctx, "b")]));
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await inDoubt(theatre.stemma, run, "a", "b");
    await theatre.stemma.decide(run.id, "a", { record: "A" });
    await until(async () => lastAbout(await run.history(), "a") === "step.succeeded");
    await inDoubt(theatre.stemma, run, "b");
    await theatre.stemma.decide(run.id, "b", { record: "B" });
    expect(await run.result()).toEqual(["A", "B"]);
  });

  it("in a map and an all the others go on, and the run waits for the one", async () => {
    const definition = workflow({ name: "map" }, (ctx) =>
      ctx.map("pay", ["a", "b", "c"], { effect: "once", key: (one) => one }, (one): string => {
        if (one === "b") throw new Error("uncertain");
        return one.toUpperCase();
      }),
    );
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await inDoubt(theatre.stemma, run, "pay/b");
    expect(lastAbout(await run.history(), "pay/c")).toBe("step.succeeded");
    await theatre.stemma.decide(run.id, "pay/b", { record: "paid" });
    expect(await run.result()).toEqual(["A", "paid", "C"]);
  });

  it("one that loses a race stays in doubt on record, through a crash at any commit, and is not entered again", async () => {
    let entries = 0;
    const definition = workflow({ name: "race" }, async (ctx) => {
      const winner = await ctx.race({
        slow: () =>
          ctx.step("charge", { effect: "once" }, (_, step) => {
            entries += 1;
            return new Promise<string>((_resolve, reject) => {
              step.abort.addEventListener("abort", () => reject(new Error("aborted")));
            });
          }),
        quick: async () => {
          await ctx.step("quick", () => 1);
          await ctx.sleep("a while", "1s");
          return "quick";
        },
      });
      await ctx.step("after", () => 1);
      await ctx.sleep("rest", "1m");
      return winner;
    });
    await playEveryCrash(
      definition,
      async () => {},
      () => (entries = 0),
      ({ history, fault }) => {
        const where = `${JSON.stringify(fault)} ${asks(history).join(", ")}`;
        expect(history.at(-1)?.type, where).toBe("run.succeeded");
        expect(entries, where).toBeLessThanOrEqual(1);
        if (entries === 1) expect(lastAbout(history, "slow/charge"), where).toBe("step.in_doubt");
      },
    );
  });

  it("one that says nothing was done when it loses is cancelled, not in doubt", async () => {
    const definition = workflow({ name: "undone" }, (ctx) =>
      ctx.race({
        slow: () =>
          ctx.step("charge", { effect: "once" }, (_, step) => {
            return new Promise<string>((_resolve, reject) => {
              step.abort.addEventListener("abort", () => reject(notDone(new Error("not sent"))));
            });
          }),
        quick: () => ctx.sleep("a while", 60).then(() => "quick"),
      }),
    );
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await run.result();
    expect(lastAbout(await run.history(), "slow/charge")).toBe("step.cancelled");
  });

  it("a run that is cancelled ends, and what was in doubt stays so: also what a crash cut off", async () => {
    let entries = 0;
    const definition = workflow({ name: "cancelled" }, async (ctx) => {
      await ctx.step("before", { compensate: () => {} }, () => 1);
      return ctx.step("charge", { effect: "once" }, () => {
        entries += 1;
        return new Promise<never>(() => {});
      });
    });
    const clock = fakeClock();
    const store = fresh();
    const first = await stage([definition], { store, clock });
    const run = await first.stemma.run(definition, undefined);
    await until(() => entries === 1);
    first.stemma.abandon();
    await using second = await stage([definition], { store, clock });
    await second.stemma.cancel(run.id);
    await clock.advance("1m");
    expect(await run.status()).toBe("cancelled");
    expect(lastAbout(await run.history(), "charge")).toBe("step.in_doubt");
    expect(entries).toBe(1);
    await store.close();
  });
});

describe("a worker that stops", () => {
  it("before an attempt has ended, records no failure of it: it is entered again, or in doubt if it is once", async () => {
    const store = fresh();
    const entered: string[] = [];
    const definition = workflow({ name: "stopped" }, (ctx) => {
      const run =
        (name: string) =>
        (_: unknown, { abort }: { abort: AbortSignal }): Promise<string> => {
          entered.push(name);
          if (entered.filter((one) => one === name).length > 1) return Promise.resolve(name);
          return new Promise((_resolve, reject) => {
            abort.addEventListener("abort", () => reject(abort.reason as Error));
          });
        };
      return Promise.all([ctx.step("a", run("a")), ctx.step("b", { effect: "once" }, run("b"))]);
    });
    const log = listening();
    const first = await stage([definition], { store, log });
    const run = await first.stemma.run(definition, undefined);
    await until(() => entered.length === 2);
    await first.stemma.stop({ timeout: 0 });
    expect(asks(await run.history())).toEqual(["step.started b"]);
    await using second = await stage([definition], { store });
    await inDoubt(second.stemma, run, "b");
    await second.stemma.decide(run.id, "b", { record: "B" });
    expect(await (await second.stemma.get(run.id)).result()).toEqual(["a", "B"]);
    expect(entered).toEqual(["a", "b", "a"]);
    await second.stemma.stop();
    await store.close();
  });
});
