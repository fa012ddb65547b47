/** What happens between the start and the end of a run: side by side, losers, leftovers, sleeps, stops. */
import { describe, expect, it } from "vitest";
import { Stemma, workflow } from "../src/index.ts";
import type { StepError } from "../src/index.ts";
import { fakeClock } from "../src/testing.ts";
import { errorOf, fresh, outline, silent, stage, until } from "./stage.ts";

const later = (ms: number, signal?: AbortSignal): Promise<string> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(`after ${ms}`), ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason as Error)));
  });

describe("work side by side", () => {
  it("a map never runs more than its concurrency, and gives results in the order of its items", async () => {
    let running = 0;
    let most = 0;
    const definition = workflow({ name: "map" }, async (ctx) =>
      ctx.map("item", [5, 1, 4, 2, 3], { concurrency: 2 }, async (item) => {
        most = Math.max(most, (running += 1));
        await later(item);
        running -= 1;
        return item * 10;
      }),
    );
    await using theatre = await stage([definition]);
    expect(await (await theatre.stemma.run(definition, undefined)).result()).toEqual([50, 10, 40, 20, 30]);
    expect(most).toBe(2);
  });

  it("a map settles all items before it throws, and names every failed one", async () => {
    const definition = workflow({ name: "partly" }, async (ctx) =>
      ctx.map("item", [1, 2, 3, 4], { concurrency: 1, key: (n) => `n${n}` }, (n) => {
        if (n % 2 === 0) throw new Error(`no ${n}`);
        return n;
      }),
    );
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    expect(await errorOf(run.result())).toMatchObject({ data: { steps: ["item/n2", "item/n4"] } });
    expect(await outline(run)).toEqual([
      "run.created",
      "run.started",
      "step.succeeded item/n1",
      "step.failed item/n2",
      "step.succeeded item/n3",
      "step.failed item/n4",
      "scope.closed",
      "run.failed",
    ]);
  });

  it("items of a map are caused by the call, and what follows by the one event that closes it", async () => {
    const definition = workflow({ name: "causes" }, async (ctx) => {
      await ctx.step("first", () => 1);
      await ctx.map("item", [1, 2, 3, 4, 5], (n) => n);
      await ctx.all({ left: () => ctx.step("l", () => 1), right: () => ctx.step("r", () => 2) });
      return ctx.step("last", () => 9);
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await run.result();
    const causes = Object.fromEntries(
      (await run.history()).map((event) => [
        "key" in event.data ? event.data.key : `${event.type} ${event.seq}`,
        event.causes,
      ]),
    );
    expect(causes).toMatchObject({
      first: [0],
      item: [2],
      "item#5": [2],
      "scope.closed 8": [3, 4, 5, 6, 7],
      "left/l": [8],
      "right/r": [8],
      "scope.closed 11": [9, 10],
      last: [11],
    });
  });

  it("asks with the same many causes store them once", async () => {
    const definition = workflow({ name: "wide" }, async (ctx) => {
      await Promise.all([1, 2, 3, 4, 5].map((n) => ctx.step(`a${n}`, () => n)));
      await Promise.all([1, 2, 3].map((n) => ctx.step(`b${n}`, () => n)));
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await run.result();
    const steps = (await run.history()).filter((event) => event.type === "step.succeeded").slice(5);
    expect(steps.map((event) => event.causes)).toEqual([[2, 3, 4, 5, 6], { same: 7 }, { same: 7 }]);
  });

  it("the losers of a race are aborted and settled on record; their late results reach nobody", async () => {
    let aborted = false;
    const definition = workflow({ name: "race" }, async (ctx) => {
      const won = await ctx.race({
        slow: () =>
          ctx.step("slow", (_, step) => {
            step.abort.addEventListener("abort", () => (aborted = true));
            return later(10_000, step.abort);
          }),
        nap: () => ctx.sleep("1d"),
        fast: async () => {
          await ctx.step("fast", () => later(5));
          return ctx.step("faster", () => "won");
        },
      });
      return { won, next: await ctx.step("next", () => 1) };
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    expect(await run.result()).toEqual({ won: { key: "fast", value: "won" }, next: 1 });
    expect(aborted).toBe(true);
    const events = await outline(run);
    expect(events).toContain("step.cancelled slow/slow");
    expect(events).toContain("wait.withdrawn nap/sleep");
  });
});

describe("a concurrency limit", () => {
  it("is not blocked by items that were taken back while they waited", async () => {
    const definition = workflow({ name: "gate" }, async (ctx) => {
      const shared = { concurrency: 1 };
      const won = await ctx.race({
        many: () => ctx.map("slow", [1, 2, 3], shared, (_, step) => later(10_000, step.abort)),
        quick: () => ctx.step("quick", () => later(5)),
      });
      return [won.key, await ctx.map("then", [1, 2, 3], shared, (n) => n)];
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    expect(await run.result()).toEqual(["quick", [1, 2, 3]]);
    expect((await outline(run)).filter((line) => line.includes("slow"))).toEqual(["step.cancelled many/slow"]);
  });

  it("counts what is not on record yet, so a crash repeats at most as many items as the limit", async () => {
    const inner = fresh();
    const unrecorded: number[] = [];
    let open = 0;
    // A store that takes its time: items end while the flush of others is under way.
    const store = new Proxy(inner, {
      get: (target, key) => {
        const value = Reflect.get(target, key) as unknown;
        if (key !== "commit") return typeof value === "function" ? (value as () => void).bind(target) : value;
        return async (parts: Parameters<typeof inner.commit>[0]) => {
          await later(4);
          const results = await inner.commit(parts);
          open -= parts.flatMap((part) => part.events).filter((event) => event.type === "step.succeeded").length;
          return results;
        };
      },
    });
    const definition = workflow({ name: "at-risk" }, async (ctx) =>
      ctx.map("item", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], { concurrency: 3 }, async (n) => {
        unrecorded.push((open += 1));
        await later(n % 3);
        return n;
      }),
    );
    await using theatre = await stage([definition], { store });
    await (await theatre.stemma.run(definition, undefined)).result();
    expect(unrecorded).toHaveLength(12);
    expect(Math.max(...unrecorded)).toBe(3);
  });

  it("holds while a run is drained: what waited for its turn is begun by the next worker", async () => {
    const store = fresh();
    const entered: number[] = [];
    const gate = Promise.withResolvers<void>();
    const definition = workflow({ name: "drained" }, async (ctx) =>
      ctx.map("item", [1, 2, 3], { concurrency: 1 }, async (n) => {
        entered.push(n);
        await gate.promise;
        return n;
      }),
    );
    const one = await stage([definition], { store });
    const run = await one.stemma.run(definition, undefined);
    await until(() => entered.length === 1);
    const stopping = one.stemma.stop();
    gate.resolve();
    await stopping;
    expect(entered).toEqual([1]);
    await using two = await stage([definition], { store });
    expect(await (await two.stemma.get(run.id)).result()).toEqual([1, 2, 3]);
    expect(entered).toEqual([1, 2, 3]);
  });
});

describe("leftovers", () => {
  it("a step nobody awaits is aborted when the body returns, and recorded cancelled", async () => {
    let aborted = false;
    const definition = workflow({ name: "leftover" }, async (ctx) => {
      void ctx.step("left", (_, step) => {
        step.abort.addEventListener("abort", () => (aborted = true));
        return later(60_000, step.abort);
      });
      await ctx.step("main", () => later(5));
      return "done";
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    expect(await run.result()).toBe("done");
    expect(aborted).toBe(true);
    expect((await run.history()).find((event) => event.type === "step.cancelled")?.data).toMatchObject({
      key: "left",
      reason: "not awaited",
    });
  });

  it("an aborted step that does not listen is abandoned after the grace, and its late result is refused", async () => {
    const gate = Promise.withResolvers<string>();
    const definition = workflow({ name: "deaf" }, async (ctx) => {
      void ctx.step("deaf", () => gate.promise);
      return ctx.step("main", () => 1);
    });
    await using theatre = await stage([definition], { abortGrace: 20 });
    const run = await theatre.stemma.run(definition, undefined);
    expect(await run.result()).toBe(1);
    const before = await run.history();
    expect(before.find((event) => event.type === "step.cancelled")?.data).toMatchObject({ reason: "abandoned" });
    gate.resolve("late");
    await later(20);
    expect(await run.history()).toEqual(before);
  });

  it("a failure waits for its siblings: what succeeds within the grace is on record before the run is failed", async () => {
    const definition = workflow({ name: "drain" }, async (ctx) => {
      await Promise.all([ctx.step("paid", () => later(30)), ctx.step("bad", () => Promise.reject(new Error("no")))]);
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    expect(await errorOf(run.result())).toMatchObject({ data: { steps: ["bad"] } });
    expect((await outline(run)).slice(-3)).toEqual(["step.failed bad", "step.succeeded paid", "run.failed"]);
  });

  it("a failing step that nobody awaits does not end the process", async () => {
    const definition = workflow({ name: "ignored" }, async (ctx) => {
      void ctx.step("bad", () => Promise.reject(new Error("no")));
      return ctx.step("main", () => later(10));
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    expect(await run.result()).toBe("after 10");
    expect(await outline(run)).toContain("step.failed bad");
  });
});

describe("failures", () => {
  it("one that was caught does not fail the run, and one that was wrapped is still found as the cause", async () => {
    const caught = workflow({ name: "caught" }, async (ctx) => {
      try {
        await ctx.step("bad", () => Promise.reject(new Error("no")));
      } catch (error) {
        return (error as StepError).step;
      }
      return "none";
    });
    const wrapped = workflow({ name: "wrapped" }, async (ctx) => {
      await ctx.step("fine", () => 1);
      try {
        await ctx.step("bad", () => Promise.reject(new Error("no")));
      } catch (error) {
        throw new Error("the import failed", { cause: error });
      }
    });
    const own = workflow({ name: "own" }, async (ctx) => {
      await ctx.step("fine", () => 1);
      throw new RangeError("my own bug");
    });
    await using theatre = await stage([caught, wrapped, own]);
    expect(await (await theatre.stemma.run(caught, undefined)).result()).toBe("bad");
    const error = await errorOf((await theatre.stemma.run(wrapped, undefined)).result());
    expect(error).toMatchObject({
      code: "run.failed",
      data: { steps: ["bad"] },
      cause: { message: "the import failed" },
    });
    const other = await errorOf((await theatre.stemma.run(own, undefined)).result());
    expect(other).toMatchObject({ data: { steps: [] }, cause: { name: "RangeError", message: "my own bug" } });
  });
});

describe("sleeping", () => {
  it("a long sleep gives the run back with its time on record, and any worker wakes it", async () => {
    const clock = fakeClock();
    const store = fresh();
    const definition = workflow({ name: "sleeper" }, async (ctx) => {
      const before = ctx.now();
      await ctx.sleep("rest", "2h");
      return { slept: ctx.now() - before, name: await ctx.step("after", () => "woken") };
    });
    const run = await (async () => {
      await using first = await stage([definition], { store, clock });
      const started = await first.stemma.run(definition, undefined);
      await clock.advance("1m");
      expect(await started.status()).toBe("suspended");
      return started;
    })();
    const [row] = (await store.list({ ids: [run.id] })).runs;
    expect(row).not.toHaveProperty("worker");
    expect(row?.state).toMatchObject({ reason: "waiting", until: row?.dueAt });
    await using second = await stage([definition], { store, clock });
    await clock.advance("2h");
    expect(await (await second.stemma.get(run.id)).result()).toEqual({ slept: 7_200_000, name: "woken" });
    expect(await outline(run)).toEqual([
      "run.created",
      "run.started",
      "wait.opened rest",
      "run.suspended",
      "run.started",
      "wait.answered rest",
      "step.succeeded after",
      "run.succeeded",
    ]);
  });

  it("a sleep in the past and one of nothing go on at once", async () => {
    const definition = workflow({ name: "short" }, async (ctx) => {
      await ctx.sleep(new Date(0));
      await ctx.sleep(0);
      return "awake";
    });
    await using theatre = await stage([definition]);
    expect(await (await theatre.stemma.run(definition, undefined)).result()).toBe("awake");
  });
});

describe("stopping", () => {
  it("lets running steps finish, begins nothing new, and gives every run back for others to continue", async () => {
    const store = fresh();
    const gate = Promise.withResolvers<string>();
    const entered: string[] = [];
    const definition = workflow({ name: "stopped" }, async (ctx) => {
      const first = await ctx.step("first", () => {
        entered.push("first");
        return gate.promise;
      });
      return ctx.step("second", () => (entered.push("second"), `${first} second`));
    });
    const one = await stage([definition], { store });
    const run = await one.stemma.run(definition, undefined);
    await until(() => entered.length === 1);
    const stopping = one.stemma.stop();
    await later(10);
    gate.resolve("first");
    await stopping;
    expect(entered).toEqual(["first"]);
    const [row] = (await store.list({ ids: [run.id] })).runs;
    expect(row).not.toHaveProperty("worker");
    expect(await outline(run)).toContain("step.succeeded first");
    await using two = await stage([definition], { store });
    expect(await (await two.stemma.get(run.id)).result()).toBe("first second");
    expect(entered).toEqual(["first", "second"]);
  });

  it("does not wait for ever for a step that does not listen", async () => {
    const store = fresh();
    const definition = workflow({ name: "stuck" }, async (ctx) => ctx.step("stuck", () => new Promise(() => {})));
    const one = await stage([definition], { store });
    const run = await one.stemma.run(definition, undefined);
    await until(async () => (await run.status()) === "running");
    await one.stemma.stop({ timeout: 10 });
    expect((await store.list({ ids: [run.id] })).runs[0]).not.toHaveProperty("worker");
  });

  it("a stopped object says so to those who wait for a result", async () => {
    const definition = workflow({ name: "waits" }, async () => 1);
    const client = new Stemma({ store: fresh(), log: silent });
    const run = await client.run(definition, undefined);
    const result = errorOf(run.result());
    await client.stop();
    expect(await result).toMatchObject({ code: "engine.stopped" });
  });
});

describe("derived values", () => {
  it("time, random numbers and UUIDs are the same after a crash", async () => {
    const clock = fakeClock();
    const store = fresh();
    const seen: unknown[] = [];
    let entered = 0;
    const definition = workflow({ name: "derived" }, async (ctx) => {
      await ctx.step("one", () => 1);
      seen.push([ctx.now(), ctx.random(), ctx.random(), ctx.uuid(), await ctx.scope("inner", () => ctx.random())]);
      await ctx.step("two", () => ((entered += 1) === 1 ? new Promise(() => {}) : 2));
    });
    const first = await stage([definition], { store, clock });
    const run = await first.stemma.run(definition, undefined);
    await until(() => entered === 1);
    first.stemma.abandon();
    await using second = await stage([definition], { store, clock });
    await clock.advance("15s");
    await (await second.stemma.get(run.id)).result();
    expect(seen).toHaveLength(2);
    expect(seen[1]).toEqual(seen[0]);
    const [, a, b, uuid, inner] = seen[0] as [number, number, number, string, number];
    expect(new Set([a, b, inner]).size).toBe(3);
    expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });
});

describe("a slow step", () => {
  it("is on record while it runs, so that people see what takes time", async () => {
    const gate = Promise.withResolvers<number>();
    const definition = workflow({ name: "slow" }, async (ctx) =>
      ctx.step("slow", { input: { n: 1 } }, () => gate.promise),
    );
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await until(async () => (await outline(run)).includes("step.started slow"));
    gate.resolve(7);
    expect(await run.result()).toBe(7);
    const graph = await run.trace();
    expect(graph.nodes.filter((node) => node.kind === "step")).toMatchObject([
      { n: 0, key: "slow", status: "succeeded" },
    ]);
  });
});
