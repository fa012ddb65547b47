/** What random lives have found, each as a small life of its own, so that it stays found. */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { Stemma, workflow } from "../../src/index.ts";
import type { Context, Store, Workflow } from "../../src/index.ts";
import { fakeClock } from "../../src/testing.ts";
import type { FakeClock } from "../../src/testing.ts";
import { around } from "../../src/testing/around.ts";
import type { Commit } from "../../src/store/store.ts";
import { fresh, listening, outline, silent, stage, until } from "../stage.ts";

function body(run: (ctx: Context) => Promise<unknown>, name = "found"): Workflow<undefined> {
  return workflow({ name }, run);
}

/** A schema that takes everything, in its own time. */
function slow(look: () => Promise<void>): StandardSchemaV1<unknown, unknown> {
  const validate = async (value: unknown): Promise<{ value: unknown }> => {
    await look();
    return { value };
  };
  return { "~standard": { version: 1, vendor: "slow", validate } };
}

/** Lives on one store, one process behind the other. */
function lives(store: Store, clock?: FakeClock): (workflows: Workflow[]) => Promise<Stemma> {
  const options = { store, log: silent, lease: 100, ...(clock === undefined ? {} : { clock }) };
  return (workflows) => new Stemma({ ...options, workflows }, { lingerMs: 10 }).start();
}

describe("a message", () => {
  it("that comes right before the end is on record, and the end comes behind it", async () => {
    await using store = fresh();
    const definition = body(async (ctx) => ctx.step("a", () => 1));
    let sent = false;
    const late = around(
      store,
      async ({ method, args, make }) => {
        const ends = method === "commit" && (args[0] as Commit[]).some(({ state }) => state.status === "succeeded");
        if (ends && !sent) {
          sent = true;
          const run = (args[0] as Commit[])[0]?.run ?? "";
          await store.send([{ run, key: "k", kind: "signal", body: JSON.stringify({ name: "late", text: "1" }) }]);
        }
        return make();
      },
      {},
    );
    await using theatre = await stage([definition], { store: late });
    const run = await theatre.stemma.run(definition, undefined);
    expect(await run.result()).toBe(1);
    expect((await outline(run)).slice(-1)).toEqual(["run.succeeded"]);
    expect(await outline(run)).toContain("signal.received");
    const row = await theatre.stemma.row(run.id);
    expect(row.inboxDone).toBe(row.inbox);
  });

  it("whose schema still looks at it when the process dies is looked at by the next one", async () => {
    await using store = fresh();
    const [looked, step] = [Promise.withResolvers<void>(), Promise.withResolvers<number>()];
    let looks = 0;
    const schema = slow(async () => {
      if ((looks += 1) > 1) return;
      looked.resolve();
      // The process dies while it looks.
      await new Promise(() => undefined);
    });
    const definition = body((ctx) => Promise.all([ctx.wait("w", { schema }), ctx.step("s", () => step.promise)]));
    const first = await lives(store)([definition]);
    const run = await first.run(definition, undefined);
    await until(async () => (await outline(run)).includes("wait.opened w"));
    const answered = first.resume(run.id, "w", "yes");
    await looked.promise;
    // What is committed meanwhile must not say that the answer was taken in.
    step.resolve(1);
    await until(async () => (await outline(run)).includes("step.succeeded s"));
    first.abandon();
    const second = await lives(store)([definition]);
    expect(await (await second.get(run.id)).result()).toEqual(["yes", 1]);
    await answered;
    await second.stop();
  });

  it("that its schema refused leaves the wait open for another one, without a key of its own", async () => {
    const schema = z.string().refine(async (value) => value === "good", "not good");
    const definition = body((ctx) => ctx.wait("w", { schema }));
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await until(async () => (await outline(run)).includes("wait.opened w"));
    for (const value of ["bad", "worse"])
      await expect(theatre.stemma.resume(run.id, "w", value)).rejects.toMatchObject({ code: "wait.invalid_answer" });
    await theatre.stemma.resume(run.id, "w", "good");
    expect(await run.result()).toBe("good");
  });

  it("under a key of its own that was refused is refused again", async () => {
    const schema = z.string().refine(async (value) => value === "good", "not good");
    const definition = body((ctx) => ctx.wait("w", { schema }));
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await until(async () => (await outline(run)).includes("wait.opened w"));
    for (let i = 0; i < 2; i += 1) {
      const answer = theatre.stemma.resume(run.id, "w", "bad", { idempotencyKey: "mine" });
      await expect(answer).rejects.toMatchObject({ code: "wait.invalid_answer" });
    }
    expect((await outline(run)).filter((line) => line === "wait.refused w")).toHaveLength(1);
  });

  it("whose wait was over before its schema had looked at it is kept if it is a signal, and said if it is an answer", async () => {
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let looks = 0;
    const schema = slow(async () => gates[looks++]?.promise);
    const definition = body(async (ctx) => {
      const first = await ctx.signal("a", { schema, expires: "1h", default: "nobody" });
      const second = await ctx.signal("a");
      const third = await ctx.wait("w", { schema, expires: "1h", default: "nobody" });
      return [first, second, third];
    });
    const log = listening();
    const clock = fakeClock();
    await using theatre = await stage([definition], { log, clock });
    const run = await theatre.stemma.run(definition, undefined);
    const has = (line: string) => until(async () => (await outline(run)).includes(line));
    await has("wait.opened a");
    await theatre.stemma.signal(run.id, "a", "kept");
    await until(() => looks === 1);
    await clock.advance("1h");
    await has("wait.expired a");
    gates[0]?.resolve();
    await has("wait.opened w");
    const answer = theatre.stemma.resume(run.id, "w", "late").catch(() => undefined);
    await until(() => looks === 2);
    await clock.advance("1h");
    await has("wait.expired w");
    gates[1]?.resolve();
    expect(await run.result()).toEqual(["nobody", "kept", "nobody"]);
    await answer;
    expect(log.lines.filter((line) => line.includes("answers nothing that is open"))).toHaveLength(1);
  });
});

describe("a run that is quiet", () => {
  it("is not put to rest while an attempt runs that came due meanwhile", async () => {
    const definition = body((ctx) =>
      ctx.step("s", { retry: { attempts: 2, delay: 20, jitter: 0 } }, async (_input, { attempt }) => {
        if (attempt === 1) throw new Error("not yet");
        await new Promise((resolve) => setTimeout(resolve, 60));
        return "done";
      }),
    );
    // The attempt comes due while the run is quiet, and a moment later the run would rest.
    await using theatre = await stage([definition], {}, { lingerMs: 30 });
    const run = await theatre.stemma.run(definition, undefined);
    expect(await run.result()).toBe("done");
    expect(await outline(run)).not.toContain("run.suspended");
  });

  it("takes its checkpoint when the end of a call that lost a race is on record", async () => {
    const child = body((ctx) => ctx.wait("forever"), "child");
    const definition = body(async (ctx) => {
      await ctx.race({ fast: () => ctx.step("s", () => 1), slow: () => ctx.call(child, undefined) });
      await ctx.checkpoint({ at: 1 });
      return "behind it";
    });
    await using theatre = await stage([definition, child]);
    const run = await theatre.stemma.run(definition, undefined);
    expect(await run.result()).toBe("behind it");
    const lines = await outline(run);
    expect(lines.indexOf("checkpoint")).toBeGreaterThan(lines.indexOf("child.ended slow/child"));
  });
});

describe("a paused run", () => {
  it("whose body comes to its end stays paused, and ends when it goes on", async () => {
    for (const fails of [false, true]) {
      const [gate, step] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const definition = body(async (ctx) => {
        const last = ctx.step("last", () => step.promise);
        await gate.promise;
        if (fails) throw new Error("in the end");
        await Promise.race([last, Promise.resolve()]);
        return "in the end";
      });
      await using theatre = await stage([definition]);
      const run = await theatre.stemma.run(definition, undefined);
      await until(async () => (await run.status()) === "running");
      await theatre.stemma.pause(run.id);
      await until(async () => (await run.status()) === "paused");
      // The body ends while its step is in flight.
      gate.resolve();
      await new Promise((resolve) => setTimeout(resolve, 30));
      step.resolve();
      await until(async () => (await theatre.stemma.row(run.id)).worker === undefined);
      expect(await run.status()).toBe("paused");
      await theatre.stemma.unpause(run.id);
      await until(async () => (await run.status()) === (fails ? "failed" : "succeeded"));
    }
  });

  it("that its code does not fit stays paused, says so, and goes on with the code that fits", async () => {
    await using store = fresh();
    const begin = lives(store);
    const fitting = body(async (ctx) => [await ctx.step("a", () => 1), await ctx.wait("w")]);
    const other = body(async (ctx) => [await ctx.step("b", () => 1), await ctx.wait("w")]);
    const first = await begin([fitting]);
    const run = await first.run(fitting, undefined);
    await until(async () => (await outline(run)).includes("wait.opened w"));
    await first.pause(run.id);
    await until(async () => (await run.status()) === "paused" && (await first.row(run.id)).worker === undefined);
    await first.stop();
    const second = await new Stemma({ store, workflows: [other], log: silent }, { recallGraceMs: 20 }).start();
    await second.signal(run.id, "anything");
    await until(async () => (await second.row(run.id)).state.reason === "divergence");
    expect((await second.row(run.id)).state.status).toBe("paused");
    await second.stop();
    const third = await begin([fitting]);
    await third.unpause(run.id);
    await third.resume(run.id, "w", 2);
    expect(await (await third.get(run.id)).result()).toEqual([1, 2]);
    await third.stop();
  });

  it("hears a decision about its step in doubt, also one that came together with the pause", async () => {
    for (const first of ["pause", "decide"] as const) {
      await using store = fresh();
      let entered = 0;
      const definition = body((ctx) =>
        ctx.step("pay", { effect: "once" }, () => {
          entered += 1;
          if (entered === 1) throw new Error("perhaps");
          return "paid";
        }),
      );
      const begin = lives(store);
      const before = await begin([definition]);
      const run = await before.run(definition, undefined);
      await until(async () => (await before.row(run.id)).state.reason === "in_doubt");
      await before.stop();
      const client = new Stemma({ store, log: silent });
      if (first === "pause") await client.pause(run.id);
      await client.decide(run.id, "pay", "run");
      if (first === "decide") await client.pause(run.id);
      const after = await begin([definition]);
      await until(async () => (await after.row(run.id)).state.status === "paused");
      await until(async () => (await outline(run)).includes("step.decided pay"));
      await after.unpause(run.id);
      expect(await (await after.get(run.id)).result()).toBe("paid");
      expect(entered).toBe(2);
      await after.stop();
    }
  });
});

describe("a once step", () => {
  it("is not entered by a worker that hears of its intent only when another one has settled it", async () => {
    await using store = fresh();
    let entered = 0;
    const definition = body((ctx) =>
      ctx.step("pay", { effect: "once", reconcile: () => ({ record: "found" }) }, () => {
        entered += 1;
        return "entered";
      }),
    );
    const [written, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let stalled = false;
    const tardy = around(
      store,
      async ({ method, args, make }) => {
        if (stalled) await gate.promise;
        const answer = await make();
        const isIntent = ({ events }: Commit): boolean => events.some(({ type }) => type === "step.started");
        if (method !== "commit" || !(args[0] as Commit[]).some(isIntent)) return answer;
        stalled = true;
        written.resolve();
        await gate.promise;
        return answer;
      },
      {},
    );
    const first = await lives(tardy)([definition]);
    const run = await first.run(definition, undefined);
    await written.promise;
    const second = await lives(store)([definition]);
    expect(await (await second.get(run.id)).result()).toBe("found");
    gate.resolve();
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(entered).toBe(0);
    await first.stop({ timeout: 100 });
    await second.stop();
  });
});

describe("a run", () => {
  it("that went to other hands while a stalled worker was about to read it is lost to that worker, and not damaged", async () => {
    await using store = fresh();
    const definition = body(async (ctx) => {
      await ctx.step("a", () => 1);
      await ctx.sleep("nap", 150);
      return ctx.step("b", () => 2);
    });
    const [toRead, toRenew] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let stalled = false;
    const reading = Promise.withResolvers<void>();
    const tardy = around(
      store,
      async ({ method, make }) => {
        if (method === "history") {
          stalled = true;
          reading.resolve();
          await toRead.promise;
        } else if (stalled) await toRenew.promise;
        return make();
      },
      {},
    );
    const log = listening();
    const begun = new Stemma({ store: tardy, workflows: [definition], log, lease: 100 }, { lingerMs: 10 });
    const run = await begun.run(definition, undefined);
    const starting = begun.start();
    await reading.promise;
    const second = await lives(store)([definition]);
    expect(await (await second.get(run.id)).result()).toBe(2);
    // It reads on before its heartbeat tells it that its lease has run out.
    toRead.resolve();
    await new Promise((resolve) => setTimeout(resolve, 60));
    toRenew.resolve();
    const first = await starting;
    await first.stop({ timeout: 100 });
    await second.stop();
    expect(log.lines.filter((line) => line.startsWith("error"))).toEqual([]);
  });
});

describe("what has to be made up for", () => {
  it("is all there is to do for a run that was stopped and then unpaused: nothing else begins", async () => {
    const clock = fakeClock();
    await using store = fresh();
    const entered: string[] = [];
    const gate = Promise.withResolvers<void>();
    const definition = body(async (ctx) => {
      await ctx.step("book", { compensate: () => void entered.push("undo") }, () => gate.promise);
      await ctx.step("next", () => void entered.push("next"));
    });
    const begin = lives(store, clock);
    const first = await begin([definition]);
    const run = await first.run(definition, undefined, { timeout: "1h" });
    await clock.settle();
    expect(await run.status()).toBe("running");
    await first.pause(run.id);
    await clock.advance("1s");
    expect(await run.status()).toBe("paused");
    gate.resolve();
    await clock.advance("1s");
    expect((await first.row(run.id)).worker).toBeUndefined();
    await first.stop();
    const client = new Stemma({ store, clock, log: silent });
    await client.unpause(run.id);
    await clock.advance("1h");
    const second = await begin([definition]);
    await clock.advance("1m");
    expect((await second.row(run.id)).state.status).toBe("timed_out");
    expect(entered).toEqual(["undo"]);
    await second.stop();
  });

  it("is, when the time limit of the run passed while nobody worked on it", async () => {
    const clock = fakeClock();
    await using store = fresh();
    const undone: unknown[] = [];
    const definition = body(async (ctx) => {
      await ctx.step("book", { compensate: (output) => void undone.push(output) }, () => "room 7");
      await ctx.wait("w");
    });
    const begin = lives(store, clock);
    const first = await begin([definition]);
    const run = await first.run(definition, undefined, { timeout: "1h" });
    await clock.settle();
    expect(await outline(run)).toContain("step.succeeded book");
    await first.stop();
    await clock.advance("1h");
    expect(undone).toEqual([]);
    const second = await begin([definition]);
    await clock.advance("1m");
    expect((await second.row(run.id)).state.status).toBe("timed_out");
    expect(undone).toEqual(["room 7"]);
    await second.stop();
  });

  it("is, also what succeeded although it was told to stop", async () => {
    const gate = Promise.withResolvers<void>();
    const undone: unknown[] = [];
    const definition = body((ctx) =>
      ctx.step("book", { compensate: (output) => void undone.push(output) }, async (_input, { abort }) => {
        abort.addEventListener("abort", () => gate.resolve());
        await gate.promise;
        return "room 7";
      }),
    );
    await using store = fresh();
    // Flushes take their time, so the success is not on record at once.
    const tardy = around(
      store,
      async ({ method, make }) => {
        if (method === "commit") await new Promise((resolve) => setTimeout(resolve, 20));
        return make();
      },
      {},
    );
    await using theatre = await stage([definition], { store: tardy });
    const run = await theatre.stemma.run(definition, undefined);
    await until(async () => (await run.status()) === "running");
    await theatre.stemma.cancel(run.id);
    await until(async () => (await run.status()) === "cancelled");
    expect(undone).toEqual(["room 7"]);
    expect((await outline(run)).slice(-3)).toEqual([
      "step.started compensate/book",
      "step.succeeded compensate/book",
      "run.cancelled",
    ]);
  });
});
