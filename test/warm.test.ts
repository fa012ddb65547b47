/** Runs at rest that are kept in memory: they go on as if they had been read again, and only where that is the truth. */
import { describe, expect, it } from "vitest";
import { Stemma, workflow } from "../src/index.ts";
import type { Context, Workflow } from "../src/index.ts";
import { sqlite } from "../src/sqlite.ts";
import type { Commit } from "../src/store/store.ts";
import { around } from "../src/testing/around.ts";
import { fakeClock } from "../src/testing.ts";
import { outline, silent, stage, until } from "./stage.ts";

/** A body that says each time that it begins. */
function counted(run: (ctx: Context) => Promise<unknown>): { definition: Workflow<undefined>; begun: () => number } {
  let begun = 0;
  const definition = workflow({ name: "counted" }, async (ctx: Context) => {
    begun += 1;
    return run(ctx);
  });
  return { definition, begun: () => begun };
}

const asks = async (ctx: Context): Promise<unknown> => {
  const first = await ctx.wait("first");
  await ctx.sleep("1h");
  return [first, await ctx.wait("second", { expires: "1d", default: "nobody" })];
};

describe("a run at rest", () => {
  it("goes on without being told again what it did, through answers, timers and expiries", async () => {
    const clock = fakeClock();
    const { definition, begun } = counted(asks);
    await using theatre = await stage([definition], { clock, warm: 8 });
    const run = await theatre.stemma.run(definition, undefined);
    await clock.advance("1h");
    await theatre.stemma.resume(run.id, "first", 1);
    await clock.advance("3d");
    expect(await run.result()).toEqual([1, "nobody"]);
    expect(begun()).toBe(1);
  });

  it("has the same history as one that is read again each time", async () => {
    const histories = [];
    for (const warm of [0, 8]) {
      const clock = fakeClock();
      const { definition, begun } = counted(asks);
      await using theatre = await stage([definition], { clock, warm });
      const run = await theatre.stemma.run(definition, undefined);
      await clock.advance("1h");
      await theatre.stemma.resume(run.id, "first", 1);
      await clock.advance("3d");
      await run.result();
      expect(begun()).toBe(warm === 0 ? 4 : 1);
      histories.push(await outline(run));
    }
    expect(histories[0]).toEqual(histories[1]);
  });

  it("is read again where more runs rest than are kept", async () => {
    const clock = fakeClock();
    const { definition, begun } = counted(asks);
    await using theatre = await stage([definition], { clock, warm: 1 });
    const runs = [
      await theatre.stemma.run(definition, undefined),
      await theatre.stemma.run(definition, undefined),
      await theatre.stemma.run(definition, undefined),
    ];
    await clock.advance("1m");
    for (const run of runs) await theatre.stemma.resume(run.id, "first", run.id);
    await clock.advance("3d");
    for (const run of runs) expect(await run.result()).toEqual([run.id, "nobody"]);
    expect(begun()).toBeGreaterThan(runs.length);
  });

  it("is read again when another process held it meanwhile", async () => {
    const clock = fakeClock();
    await using store = sqlite(":memory:");
    const seen: string[] = [];
    const definition = workflow({ name: "moves" }, async (ctx) => {
      const here = String(seen.length);
      seen.push(here);
      for (let i = 0; i < 3; i += 1) await ctx.signal("next");
      return await ctx.step("last", () => here);
    });
    const one = await new Stemma({ store, workflows: [definition], clock, log: silent }).start();
    const run = await one.run(definition, undefined);
    await clock.advance("1m");
    // The first process does not hear of the signal: it has stopped asking for work, and still remembers the run.
    const client = new Stemma({ store, clock, log: silent });
    const two = new Stemma({ store, workflows: [definition], clock, log: silent });
    await two.start();
    for (let i = 0; i < 3; i += 1) {
      await client.signal(run.id, "next", i);
      await clock.advance("1m");
    }
    // Whoever of the two took it each time, no event was lost, and none came twice.
    const lines = await outline(run);
    expect(lines.filter((line) => line.startsWith("wait.answered")).length).toBe(3);
    expect(lines.at(-1)).toBe("run.succeeded");
    expect(await run.result()).toBe(seen.at(-1));
    await one.stop();
    await two.stop();
    await client.stop();
  });

  it("is read again when its body went on by itself meanwhile, and nothing of that is on record", async () => {
    const clock = fakeClock();
    const asked = Promise.withResolvers<void>();
    let lives = 0;
    const definition = workflow({ name: "plain" }, async (ctx) => {
      lives += 1;
      const own = async (): Promise<void> => {
        if (lives === 1) await asked.promise;
        ctx.set(["went on"]);
      };
      return ctx.all({ wait: () => ctx.wait("answer"), own });
    });
    await using theatre = await stage([definition], { clock, warm: 8 });
    const run = await theatre.stemma.run(definition, undefined);
    await clock.advance("1m");
    expect(await run.status()).toBe("suspended");
    asked.resolve();
    await clock.advance("1m");
    expect(await outline(run)).toEqual(["run.created", "run.started", "wait.opened wait/answer", "run.suspended"]);
    await theatre.stemma.resume(run.id, "wait/answer", 1);
    await clock.advance("1m");
    expect(await run.status()).toBe("succeeded");
    expect(lives).toBe(2);
    expect(await outline(run)).toContain("run.set");
  });

  it("is read again when it heard something while it was being given back", async () => {
    await using origin = sqlite(":memory:");
    const held = Promise.withResolvers<void>();
    const arrived = Promise.withResolvers<void>();
    // The suspend takes longer than the wait has time, and is refused in the end, because a message came.
    const store = around(
      origin,
      async ({ method, args, make }) => {
        const rests = method === "commit" && (args[0] as Commit[]).some(({ state }) => state.status === "suspended");
        if (rests) {
          arrived.resolve();
          await held.promise;
        }
        return make();
      },
      {},
    );
    const { definition } = counted((ctx) => ctx.wait("short", { expires: 60, default: "late" }));
    const stemma = await new Stemma({ store, workflows: [definition], log: silent }, { lingerMs: 5 }).start();
    const client = new Stemma({ store: origin, log: silent });
    const run = await stemma.run(definition, undefined);
    await arrived.promise;
    await client.signal(run.id, "unrelated", 1);
    await new Promise((resolve) => setTimeout(resolve, 100));
    held.resolve();
    await until(async () => (await run.status()) === "succeeded");
    expect(await run.result()).toBe("late");
    await stemma.stop();
    await client.stop();
  });

  it("is paused, cancelled and compensated as one that is read again", async () => {
    const told: string[][] = [];
    for (const warm of [0, 8]) {
      const clock = fakeClock();
      const definition = workflow({ name: "made-up-for" }, async (ctx) => {
        await ctx.step("book", { compensate: () => "cancelled" }, () => "booked");
        return ctx.wait("answer");
      });
      await using theatre = await stage([definition], { clock, warm });
      const run = await theatre.stemma.run(definition, undefined);
      await clock.advance("1m");
      await theatre.stemma.pause(run.id);
      await clock.advance("1m");
      await theatre.stemma.unpause(run.id);
      await clock.advance("1m");
      await run.cancel();
      await clock.advance("1m");
      expect(await run.status()).toBe("cancelled");
      told.push(await outline(run));
    }
    expect(told[0]).toEqual(told[1]);
    expect(told[0]).toContain("step.succeeded compensate/book");
  });

  it("ends when its time is up", async () => {
    const clock = fakeClock();
    const { definition, begun } = counted((ctx) => ctx.wait("answer"));
    await using theatre = await stage([definition], { clock, warm: 8 });
    const run = await theatre.stemma.run(definition, undefined, { timeout: "2h" });
    await clock.advance("3h");
    expect(await run.status()).toBe("timed_out");
    expect(begun()).toBe(1);
  });
});

it("how many are kept is a number from 0", () => {
  expect(() => new Stemma({ store: sqlite(":memory:"), warm: -1 })).toThrow(/warm/);
});
