import { afterEach, describe, expect, it } from "vitest";
import type { Context, Event, Log, RunHandle, StemmaOptions, Workflow } from "../index.ts";
import { Stemma, workflow } from "../index.ts";
import { sqlite } from "../sqlite.ts";
import type { Pack, Store } from "../store/store.ts";
import { around } from "./around.ts";
import type { FakeClock } from "./fake-clock.ts";
import { fakeClock } from "./fake-clock.ts";

const start = Date.UTC(2026, 0, 1);
const dayMs = 86_400_000;

const open: Stemma[] = [];
afterEach(async () => {
  for (const stemma of open.splice(0)) await stemma.stop({ timeout: 1000 });
});

function listening(): Log & { lines: string[] } {
  const lines: string[] = [];
  const write = (message: string): void => void lines.push(message);
  return { lines, debug: write, info: write, warn: write, error: write };
}

const silent = listening();

async function working(clock: FakeClock, options: Partial<StemmaOptions> & { workflows: Workflow[] }): Promise<Stemma> {
  const stemma = new Stemma({ store: sqlite(":memory:"), clock, log: silent, ...options });
  open.push(stemma);
  return stemma.start();
}

/** `type key day` of each event, days counted from the start of the clock. */
async function days(run: RunHandle): Promise<string[]> {
  return (await run.history()).map((event) => `${named(event)} ${(event.at - start) / dayMs}`);
}

function named(event: Event): string {
  return "key" in event.data ? `${event.type} ${event.data.key}` : event.type;
}

const naps = workflow({ name: "naps" }, async (ctx: Context) => {
  await ctx.sleep("first", "14d");
  const at = await ctx.step("between", () => "rested");
  await ctx.sleep("second", "14d");
  return at;
});

describe("timers", () => {
  it("ring in the order in which they fall due, each at its time, and so do those that they set", async () => {
    const clock = fakeClock();
    const rang: [string, number][] = [];
    const note = (name: string) => (): void => void rang.push([name, clock.now() - start]);
    clock.after(30, note("c"));
    clock.after(10, () => {
      note("a")();
      clock.after(5, note("b"));
      clock.after(0, note("a0"));
    });
    clock.after(30, note("d"));
    const taken = clock.after(20, note("taken back"));
    clock.after(15, () => taken());
    clock.after(31, note("late"));
    await clock.advance(30);
    expect(rang).toEqual([
      ["a", 10],
      ["a0", 10],
      ["b", 15],
      ["c", 30],
      ["d", 30],
    ]);
    expect(clock.now()).toBe(start + 30);
    expect(clock.monotonic() - start).toBe(30);
  });

  it("that are due ring when the clock settles, and no time passes", async () => {
    const clock = fakeClock({ now: new Date(5000) });
    let rang = 0;
    clock.after(0, () => (rang += 1));
    clock.after(1, () => (rang += 1));
    await clock.settle();
    expect([rang, clock.now()]).toEqual([1, 5000]);
  });

  it("ring for one movement after the other, also when nobody waited for the first", async () => {
    const clock = fakeClock();
    const rang: number[] = [];
    for (const ms of [5, 15]) clock.after(ms, () => rang.push(clock.now() - start));
    await Promise.all([clock.advance(10), clock.advance(10)]);
    expect(rang).toEqual([5, 15]);
    expect(clock.now()).toBe(start + 20);
  });

  it("that throw make the movement fail, and the next one goes on", async () => {
    const clock = fakeClock();
    clock.after(5, () => {
      throw new Error("planted");
    });
    await expect(clock.advance(10)).rejects.toThrow("planted");
    await clock.advance(5);
    expect(clock.now()).toBe(start + 10);
  });

  it("need a time that is one", async () => {
    for (const now of [Number.NaN, 0.5, -1, new Date("no date")]) {
      expect(() => fakeClock({ now })).toThrow(expect.objectContaining({ code: "usage.invalid" }));
    }
    await expect(fakeClock().advance("soon")).rejects.toMatchObject({ code: "duration.invalid" });
  });
});

describe("a run on a fake clock", () => {
  it("has every event at its exact time, however far time is moved at once", async () => {
    const clock = fakeClock();
    const stemma = await working(clock, { workflows: [naps] });
    const run = await stemma.run(naps, undefined);
    await clock.advance("30d");
    expect(await run.result()).toBe("rested");
    const linger = 250 / dayMs;
    expect(await days(run)).toEqual([
      "run.created 0",
      "run.started 0",
      "wait.opened first 0",
      `run.suspended ${linger}`,
      "run.started 14",
      "wait.answered first 14",
      "step.succeeded between 14",
      "wait.opened second 14",
      `run.suspended ${14 + linger}`,
      "run.started 28",
      "wait.answered second 28",
      "run.succeeded 28",
    ]);
    expect(clock.now()).toBe(start + 30 * dayMs);
  });

  it("is not a millisecond ahead of its time", async () => {
    const clock = fakeClock();
    const stemma = await working(clock, { workflows: [naps] });
    const run = await stemma.run(naps, undefined);
    await clock.advance(28 * dayMs - 1);
    expect(await run.status()).toBe("suspended");
    await clock.advance(1);
    expect(await run.status()).toBe("succeeded");
  });

  it("is recalled at one point in time, however long its history", async () => {
    const clock = fakeClock();
    const long = workflow({ name: "long" }, async (ctx) => {
      for (let i = 0; i < 60; i += 1) await ctx.step("add", () => i);
      await ctx.sleep("nap", "14d");
      await ctx.sleep("again", "14d");
    });
    const stemma = await working(clock, { workflows: [long] });
    const run = await stemma.run(long, undefined);
    await clock.advance("90d");
    expect((await days(run)).at(-1)).toBe("run.succeeded 28");
  });

  it("may sleep for centuries, far beyond the longest timer of the platform", async () => {
    const clock = fakeClock();
    const slow = workflow({ name: "slow" }, async (ctx) => {
      await ctx.sleep(`${400 * 365}d`);
      return ctx.now();
    });
    const stemma = await working(clock, { workflows: [slow] });
    const run = await stemma.run(slow, undefined);
    await clock.advance(`${400 * 365}d`);
    expect(await run.result()).toBe(start + 400 * 365 * dayMs);
  });

  it("begins when its delay is over", async () => {
    const clock = fakeClock();
    const stemma = await working(clock, { workflows: [naps] });
    const run = await stemma.run(naps, undefined, { delay: "36h" });
    await clock.advance("35h");
    expect(await run.status()).toBe("queued");
    await clock.advance("2h");
    expect((await days(run)).slice(0, 2)).toEqual(["run.created 0", "run.started 1.5"]);
  });

  it("tells its events to whoever watches, as time goes on", async () => {
    const clock = fakeClock();
    const stemma = await working(clock, { workflows: [naps] });
    const run = await stemma.run(naps, undefined);
    const seen: string[] = [];
    const watched = (async () => {
      for await (const event of run.events()) seen.push(named(event));
    })();
    await clock.advance("14d");
    expect(seen).toContain("step.succeeded between");
    expect(seen).not.toContain("wait.answered second");
    await clock.advance("14d");
    await watched;
    expect(seen.at(-1)).toBe("run.succeeded");
  });

  it("races by that time: the branch that is due first wins, whatever was set first", async () => {
    const clock = fakeClock();
    const racing = workflow({ name: "racing" }, async (ctx) => {
      const won = await ctx.race({ late: () => ctx.sleep("3d"), early: () => ctx.sleep("2d") });
      return [won.key, (ctx.now() - start) / dayMs];
    });
    const stemma = await working(clock, { workflows: [racing] });
    const run = await stemma.run(racing, undefined);
    await clock.advance("1w");
    expect(await run.result()).toEqual(["early", 2]);
  });

  it("waits for what is real in a step, and only timers of the engine ring meanwhile", async () => {
    const clock = fakeClock();
    const real = Promise.withResolvers<string>();
    const calls = workflow({ name: "calls" }, async (ctx) => {
      const answer = await ctx.step("ask", () => real.promise);
      await ctx.sleep("nap", "1d");
      return answer;
    });
    const stemma = await working(clock, { workflows: [calls] });
    const run = await stemma.run(calls, undefined);
    await clock.advance("2d");
    expect((await days(run)).slice(1)).toEqual(["run.started 0", `step.started ask ${1000 / dayMs}`]);
    real.resolve("heard");
    await clock.advance("1d");
    expect(await run.result()).toBe("heard");
    expect((await days(run)).at(-1)).toBe("run.succeeded 3");
  });

  it("is waited for in recall, where code may do plain I/O between what is recorded", async () => {
    const clock = fakeClock();
    const reads = workflow({ name: "reads" }, async (ctx) => {
      await ctx.step("one", () => 1);
      await new Promise((resolve) => setTimeout(resolve, 30));
      await ctx.sleep("nap", "14d");
      return ctx.now();
    });
    const stemma = await working(clock, { workflows: [reads] });
    const run = await stemma.run(reads, undefined);
    // Live, the I/O is real and the test waits for it.
    while ((await run.history()).at(-1)?.type !== "wait.opened") await new Promise((resolve) => setTimeout(resolve, 1));
    await clock.advance("30d");
    expect(await run.result()).toBe(start + 14 * dayMs);
  });

  it("that changed code does not fit is found to, when the grace of recall has passed", async () => {
    const clock = fakeClock();
    const store = sqlite(":memory:");
    const first = await working(clock, { store, workflows: [naps] });
    const run = await first.run(naps, undefined);
    await clock.settle();
    await first.stop();
    const changed = { ...workflow({ name: "naps" }, (ctx: Context) => ctx.sleep("other", "1d")), source: "changed" };
    const second = await working(clock, { store, workflows: [changed] });
    await clock.advance("15d");
    expect((await second.row(run.id)).state.reason).toBe("divergence");
  });
});

describe("workers on a fake clock", () => {
  it("keep their leases whatever time passes, in a few calls of the store", async () => {
    const clock = fakeClock();
    const calls: string[] = [];
    const counted = around(
      sqlite(":memory:"),
      (call) => {
        calls.push(call.method);
        return call.make();
      },
      {},
    );
    const log = listening();
    const both = [1, 2].map(() => working(clock, { store: counted, workflows: [naps], log }));
    const [one, two] = await Promise.all(both);
    const runs = [await one?.run(naps, undefined), await two?.run(naps, undefined)];
    await clock.advance("14d");
    calls.length = 0;
    await clock.advance("10d");
    expect(calls.length).toBeLessThan(40);
    await clock.advance("100d");
    for (const run of runs) expect(await run?.result()).toBe("rested");
    expect(log.lines).toEqual([]);
  });

  it("hold a run for as long as its step takes, and no other worker gets it", async () => {
    const clock = fakeClock();
    const store = sqlite(":memory:");
    const gate = Promise.withResolvers<string>();
    let entered = 0;
    const long = workflow({ name: "long" }, (ctx) =>
      ctx.step("work", () => {
        entered += 1;
        return gate.promise;
      }),
    );
    const one = await working(clock, { store, workflows: [long] });
    await working(clock, { store, workflows: [long] });
    const run = await one.run(long, undefined);
    await clock.advance("30d");
    gate.resolve("done");
    await clock.settle();
    expect(await run.result()).toBe("done");
    expect(entered).toBe(1);
  });

  it("wake a run that another one suspended, at its time", async () => {
    const clock = fakeClock();
    const store = sqlite(":memory:");
    const one = await working(clock, { store, workflows: [naps] });
    const run = await one.run(naps, undefined);
    await clock.advance("1d");
    const two = await working(clock, { store, workflows: [naps] });
    await one.stop();
    await clock.advance("30d");
    const there = await two.get(run.id);
    expect((await days(there)).at(-1)).toBe("run.succeeded 28");
  });

  it("work on what others create and wait for", async () => {
    const clock = fakeClock();
    const store = sqlite(":memory:");
    const client = new Stemma({ store, clock });
    open.push(client);
    await working(clock, { store, workflows: [naps] });
    const run = await client.run(naps, undefined);
    const result = run.result();
    await clock.advance("28d");
    expect(await result).toBe("rested");
    expect((await days(run))[1]).toBe("run.started 0");
  });

  it("take over from one that fell silent when its lease ends, and not when time was moved to", async () => {
    const clock = fakeClock();
    const store = sqlite(":memory:");
    let hangs = true;
    const once = workflow({ name: "hangs" }, async (ctx) => {
      await ctx.sleep("nap", "2d");
      return ctx.step("work", () => (hangs ? new Promise<string>(() => undefined) : "done"));
    });
    const one = await working(clock, { store, workflows: [once], lease: "40s" });
    const run = await one.run(once, undefined);
    await clock.advance(2 * dayMs + 10_000);
    one.abandon();
    hangs = false;
    const two = await working(clock, { store, workflows: [once] });
    await clock.advance("30d");
    const there = await two.get(run.id);
    expect(await there.result()).toBe("done");
    // The last heartbeat was when the clock stood still for the last time.
    expect((await days(there)).at(-1)).toBe(`run.succeeded ${2 + 50_000 / dayMs}`);
  });

  it("that are all gone take in no answer, and who sent it hears so: while time stands still, and while it is moved", async () => {
    const clock = fakeClock();
    const asks = workflow({ name: "asks" }, (ctx) => ctx.wait("approval"));
    const stemma = await working(clock, { workflows: [asks] });
    const runs = [await stemma.run(asks, undefined), await stemma.run(asks, undefined)] as const;
    await clock.settle();
    await stemma.stop({ timeout: 1000 });
    expect(await stemma.resume(runs[0].id, "approval", true)).toEqual({ state: "sent" });
    const heard: unknown[] = [];
    void stemma.resume(runs[1].id, "approval", true).then((answered) => heard.push(answered));
    while (heard.length === 0) await clock.advance("1h");
    expect(heard).toEqual([{ state: "sent" }]);
  });

  it("stop in the real time that they are given, since nobody moves the clock then", async () => {
    const clock = fakeClock();
    const hangs = workflow({ name: "hangs" }, (ctx) => ctx.step("work", () => new Promise<void>(() => undefined)));
    const stemma = await working(clock, { workflows: [hangs] });
    const run = await stemma.run(hangs, undefined);
    await clock.settle();
    await stemma.stop({ timeout: 20 });
    expect((await stemma.row(run.id)).worker).toBeUndefined();
  });
});

describe("a store on a fake clock", () => {
  it("may take its time to answer: everything is still at its exact time", async () => {
    const clock = fakeClock();
    const far = (store: Store): Store =>
      around(
        store,
        async (call) => {
          await new Promise((resolve) => setTimeout(resolve, 1));
          const answer = await call.make();
          await new Promise((resolve) => setTimeout(resolve, 2));
          return answer;
        },
        {},
      );
    const store = far(sqlite(":memory:"));
    const stemma = await working(clock, { store, workflows: [naps] });
    await working(clock, { store, workflows: [naps] });
    const run = await stemma.run(naps, undefined);
    await clock.advance("30d");
    expect(await run.status()).toBe("succeeded");
    expect((await days(run)).at(-1)).toBe("run.succeeded 28");
  });

  it("is waited for also while it reads packs", async () => {
    const clock = fakeClock();
    let answered = false;
    const packs = async (): Promise<readonly Pack[]> => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      return [];
    };
    const store = clock.attach(Object.assign(sqlite(":memory:"), { packs }));
    void store.packs?.("run_0", { from: 0, limit: 1 }).then(() => (answered = true));
    await clock.advance("1d");
    expect(answered).toBe(true);
    await store.close();
  });

  it("takes its time from it, unless it was given another; one store has one clock", async () => {
    const clock = fakeClock();
    const store = sqlite(":memory:");
    const stemma = new Stemma({ store, clock, log: silent });
    open.push(stemma, new Stemma({ store, clock, log: silent }));
    expect((await stemma.store.claim({ worker: "w", offers: [], limit: 1, leaseMs: 1000 })).now).toBe(start);
    const second = (): Stemma => new Stemma({ store, clock: fakeClock(), log: silent });
    expect(second).toThrow(expect.objectContaining({ code: "usage.invalid" }));
    const own = sqlite({ path: ":memory:", now: () => 7 });
    const other = new Stemma({ store: own, clock, log: silent });
    open.push(other);
    expect((await own.claim({ worker: "w", offers: [], limit: 1, leaseMs: 1000 })).now).toBe(7);
  });
});
