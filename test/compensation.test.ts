/**
 * What makes up for steps that succeeded when their run then fails, is cancelled or takes too long: one step for each,
 * the latest success first, its intent on record before it is entered, through any crash.
 */
import { describe, expect, it } from "vitest";
import { components, workflow } from "../src/index.ts";
import type { Context, Event, StepOptions, Workflow } from "../src/index.ts";
import { fakeClock } from "../src/testing.ts";
import { around } from "../src/testing/around.ts";
import type { Call } from "../src/testing/around.ts";
import { asks, hasEnded, lastAbout, playEveryCrash } from "./crashes.ts";
import { crashStride, errorOf, fresh, outline, stage, until } from "./stage.ts";

type Kit = {
  /** `book x`, `undo x` in the order in which functions were entered. */
  entered: string[];
  book(ctx: Context, name: string, options?: Omit<StepOptions<undefined, string>, "input">): Promise<string>;
};

/** Steps that are made up for, and what was entered. */
function kit(): Kit {
  const entered: string[] = [];
  return {
    entered,
    book: (ctx, name, options = {}) =>
      ctx.step(
        name,
        {
          compensate: (output: string) => {
            entered.push(`undo ${output}`);
          },
          ...options,
        },
        () => {
          entered.push(`book ${name}`);
          return name;
        },
      ),
  };
}

/** Ends when it is told to, as `fetch` does. */
const untilAborted = ({ abort }: { abort: AbortSignal }): Promise<never> =>
  new Promise((_resolve, reject) => {
    abort.addEventListener("abort", () => reject(abort.reason as Error));
  });

const makingUp = (history: readonly Event[]): string[] => asks(history).filter((line) => line.includes(" compensate/"));
const oneTree = async (run: { trace(): Promise<Parameters<typeof components>[0]> }): Promise<void> =>
  expect(components(await run.trace())).toBe(1);

const bothMadeUpFor = [
  "step.started compensate/hotel",
  "step.succeeded compensate/hotel",
  "step.started compensate/flight",
  "step.succeeded compensate/flight",
];

describe("steps that succeeded", () => {
  /** Books two, and then does `then`. */
  function trip({ book }: Kit, then: (ctx: Context) => Promise<unknown>, timeout?: string): Workflow<undefined> {
    return workflow({ name: "trip", ...(timeout === undefined ? {} : { timeout }) }, async (ctx) => {
      await book(ctx, "flight");
      await book(ctx, "hotel");
      return then(ctx);
    });
  }

  it("are made up for in reverse order when the run fails, each behind its intent and caused by its success", async () => {
    const given = kit();
    const definition = trip(given, (ctx) =>
      ctx.step("pay", () => {
        throw new Error("declined");
      }),
    );
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    expect((await errorOf(run.result())).message).toContain("declined");
    expect(given.entered).toEqual(["book flight", "book hotel", "undo hotel", "undo flight"]);
    expect(await outline(run)).toEqual([
      "run.created",
      "run.started",
      "step.succeeded flight",
      "step.succeeded hotel",
      "step.failed pay",
      ...bothMadeUpFor,
      "run.failed",
    ]);
    const history = await run.history();
    const causes = history
      .filter(({ type, data }) => type === "step.started" && "key" in data)
      .map((event) => event.causes);
    expect(causes).toEqual([[3], [2]]);
    await oneTree(run);
  });

  it("are made up for when the run is cancelled, and when its time is up", async () => {
    for (const how of ["cancelled", "timed_out"] as const) {
      const given = kit();
      const never = (ctx: Context): Promise<unknown> => ctx.step("pay", (_, step) => untilAborted(step));
      const clock = fakeClock();
      const definition = trip(given, never, how === "timed_out" ? "1h" : undefined);
      await using theatre = await stage([definition], { clock });
      const run = await theatre.stemma.run(definition, undefined);
      await clock.settle();
      expect(given.entered).toEqual(["book flight", "book hotel"]);
      if (how === "cancelled") await theatre.stemma.cancel(run.id);
      await clock.advance("1h");
      await errorOf(run.result());
      expect(given.entered).toEqual(["book flight", "book hotel", "undo hotel", "undo flight"]);
      expect(makingUp(await run.history())).toEqual(bothMadeUpFor);
      expect((await run.history()).at(-1)?.type).toBe(`run.${how}`);
      await oneTree(run);
    }
  });

  it("are left as they are when the run succeeds", async () => {
    const given = kit();
    const definition = trip(given, async () => "there");
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    expect(await run.result()).toBe("there");
    expect(given.entered).toEqual(["book flight", "book hotel"]);
  });

  it("are made up for when the output of the run cannot be recorded, which is a failure too", async () => {
    const given = kit();
    const definition = trip(given, async () => 1n);
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await errorOf(run.result());
    expect(await run.status()).toBe("failed");
    expect(given.entered.slice(2)).toEqual(["undo hotel", "undo flight"]);
  });

  it("in a map and a scope are made up for under their own keys, in reverse order of their successes", async () => {
    const order: string[] = [];
    const definition = workflow({ name: "map" }, async (ctx) => {
      await ctx.map("seat", [3, 1, 2], { compensate: (seat: number) => void order.push(`seat ${seat}`) }, async (n) => {
        await new Promise((resolve) => setTimeout(resolve, n * 25));
        return n;
      });
      await ctx.scope("extras", () => ctx.step("meal", { compensate: () => void order.push("meal") }, () => 1));
      throw new Error("no plane");
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await errorOf(run.result());
    expect(order).toEqual(["meal", "seat 3", "seat 2", "seat 1"]);
    expect(makingUp(await run.history()).filter((line) => line.startsWith("step.succeeded"))).toEqual([
      "step.succeeded compensate/extras/meal",
      "step.succeeded compensate/seat",
      "step.succeeded compensate/seat#3",
      "step.succeeded compensate/seat#2",
    ]);
    await oneTree(run);
  });

  it("while the run was ending are made up for too, and first", async () => {
    const given = kit();
    const definition = workflow({ name: "draining" }, async (ctx) => {
      await given.book(ctx, "flight");
      const late = ctx.step("hotel", { compensate: () => void given.entered.push("undo hotel") }, async (_, step) => {
        await new Promise((resolve) => step.abort.addEventListener("abort", resolve));
        given.entered.push("book hotel");
        return "hotel";
      });
      const fails = ctx.step("pay", () => Promise.reject(new Error("declined")));
      return Promise.all([late, fails]);
    });
    // With a store that takes its time, the last success is on its way when nothing runs any more.
    for (const commitMs of [0, 20]) {
      given.entered.length = 0;
      const slow = async ({ method, make }: Call): Promise<unknown> => {
        if (method === "commit") await new Promise((resolve) => setTimeout(resolve, commitMs));
        return make();
      };
      const store = around(fresh(), slow, {});
      await using theatre = await stage([definition], { store });
      const run = await theatre.stemma.run(definition, undefined);
      await errorOf(run.result());
      expect(given.entered).toEqual(["book flight", "book hotel", "undo hotel", "undo flight"]);
      expect(makingUp(await run.history())).toEqual(bothMadeUpFor);
      await theatre.stemma.stop();
      await store.close();
    }
  });

  it("by somebody's decision are made up for like others, also where the run is cancelled at once", async () => {
    const undone: unknown[] = [];
    const definition = workflow({ name: "decided" }, async (ctx) => {
      const paid = await ctx.step(
        "pay",
        { effect: "once", compensate: (output: string) => void undone.push(output) },
        () => {
          throw new Error("connection lost");
        },
      );
      await ctx.wait("approval");
      return paid;
    });
    for (const when of ["running", "at rest"] as const) {
      undone.length = 0;
      const store = fresh();
      const first = await stage([definition], { store });
      const run = await first.stemma.run(definition, undefined);
      await until(async () => (await first.stemma.row(run.id)).state.reason === "in_doubt");
      if (when === "at rest") await first.stemma.stop();
      await first.stemma.decide(run.id, "pay", { record: "receipt 7" });
      if (when === "running") await until(async () => lastAbout(await run.history(), "approval") === "wait.opened");
      if (when === "running") await first.stemma.stop();
      await first.stemma.cancel(run.id);
      await using second = await stage([definition], { store });
      await until(async () => hasEnded(await run.history()));
      expect(await run.status()).toBe("cancelled");
      expect(undone).toEqual(["receipt 7"]);
      await second.stemma.stop();
      await store.close();
    }
  });

  it("before a checkpoint are settled; those behind it are made up for", async () => {
    const given = kit();
    const definition = workflow({ name: "segments" }, async (ctx) => {
      await given.book(ctx, "flight");
      await ctx.checkpoint({ flown: true });
      await given.book(ctx, "hotel");
      throw new Error("no more money");
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await errorOf(run.result());
    expect(given.entered).toEqual(["book flight", "book hotel", "undo hotel"]);
  });
});

describe("what makes up for a step", () => {
  it("is tried again by the policy of the step, and what fails for good is on record and keeps nothing from the others", async () => {
    const tries: string[] = [];
    const flaky =
      (name: string, failures: number) =>
      (_: unknown, { attempt }: { attempt: number }): void => {
        tries.push(`${name} ${attempt}`);
        if (attempt <= failures) throw new Error(`${name} cannot be undone yet`);
      };
    const definition = workflow({ name: "flaky" }, async (ctx) => {
      const retry = { attempts: 3, delay: 1 };
      await ctx.step("a", { retry, compensate: flaky("a", 2) }, () => 1);
      await ctx.step("b", { retry, compensate: flaky("b", 9) }, () => 1);
      await ctx.step("c", { compensate: flaky("c", 9) }, () => 1);
      throw new Error("no");
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    expect((await errorOf(run.result())).message).toContain("no");
    expect(tries).toEqual(["c 1", "b 1", "b 2", "b 3", "a 1", "a 2", "a 3"]);
    const history = await run.history();
    expect(["a", "b", "c"].map((name) => lastAbout(history, `compensate/${name}`))).toEqual([
      "step.succeeded",
      "step.failed",
      "step.failed",
    ]);
    expect(history.find((event) => event.type === "step.failed")?.data.error.message).toBe("c cannot be undone yet");
    await oneTree(run);
  });

  it("holds no process while it backs off for long, and counts its attempts through the death of all", async () => {
    const clock = fakeClock();
    const store = fresh();
    const tries: number[] = [];
    const definition = workflow({ name: "patient" }, async (ctx) => {
      const compensate = (_: unknown, { attempt }: { attempt: number }): void => {
        tries.push(attempt);
        throw new Error("not yet");
      };
      await ctx.step("a", { retry: { attempts: 3, delay: "1h", factor: 1, jitter: 0 }, compensate }, () => 1);
      throw new Error("no");
    });
    const first = await stage([definition], { store, clock });
    const run = await first.stemma.run(definition, undefined);
    await clock.advance("1m");
    expect((await first.stemma.row(run.id)).worker).toBeUndefined();
    expect((await first.stemma.row(run.id)).state.status).toBe("suspended");
    first.stemma.abandon();
    await using second = await stage([definition], { store, clock });
    await clock.advance("1h");
    expect(tries).toEqual([1, 2]);
    await clock.advance("1h");
    expect(tries).toEqual([1, 2, 3]);
    expect(await run.status()).toBe("failed");
    await oneTree(run);
    await second.stemma.stop();
    await store.close();
  });

  it("that a stopping worker cuts off has not failed: the next one enters it again", async () => {
    const store = fresh();
    let entered = 0;
    const definition = workflow({ name: "stopped" }, async (ctx) => {
      const compensate = (_: unknown, { abort }: { abort: AbortSignal }): Promise<void> => {
        entered += 1;
        return entered > 1 ? Promise.resolve() : untilAborted({ abort });
      };
      await ctx.step("a", { compensate }, () => 1);
      throw new Error("no");
    });
    const first = await stage([definition], { store });
    const run = await first.stemma.run(definition, undefined);
    await until(() => entered === 1);
    await first.stemma.stop({ timeout: 0 });
    await using second = await stage([definition], { store });
    await until(async () => hasEnded(await run.history()));
    expect(entered).toBe(2);
    expect(lastAbout(await run.history(), "compensate/a")).toBe("step.succeeded");
    await second.stemma.stop();
    await store.close();
  });
});

describe("a crash at any commit", () => {
  /** What was entered, and what the record says of it, after each crash. */
  async function crashing(
    definition: (given: Kit) => Workflow<undefined>,
    end: string,
    act: Parameters<typeof playEveryCrash>[1] = async () => {},
  ): Promise<number> {
    const given = kit();
    return playEveryCrash(
      definition(given),
      act,
      () => given.entered.splice(0),
      ({ history, fault }) => {
        const where = `${JSON.stringify(fault)}: ${given.entered.join(", ")}; ${asks(history).join(", ")}`;
        expect(history.at(-1)?.type, where).toBe(end);
        for (const name of ["flight", "hotel"]) {
          const succeeded = history.some((event) => event.type === "step.succeeded" && event.data.key === name);
          const madeUpFor = history.filter(({ data, type }) => {
            return type === "step.succeeded" && "key" in data && data.key === `compensate/${name}`;
          });
          expect(madeUpFor.length, where).toBe(succeeded ? 1 : 0);
          const undone = given.entered.filter((line) => line === `undo ${name}`).length;
          // One crash: it is entered once more at most, and only if its outcome was not on record.
          expect(undone, where).toBeLessThanOrEqual(2);
          const intents = history.filter(({ type, data }) => {
            return type === "step.started" && "key" in data && data.key === `compensate/${name}`;
          });
          expect(intents.length, where).toBeGreaterThanOrEqual(undone);
        }
        const undone = given.entered.filter((line) => line.startsWith("undo"));
        const firsts = [...new Set(undone)];
        expect(["undo hotel,undo flight", "undo flight", ""], where).toContain(firsts.join(","));
        expect(undone.length - firsts.length, where).toBeLessThanOrEqual(1);
      },
    );
  }

  it("of a run that fails", async () => {
    const crashes = await crashing(
      ({ book }) =>
        workflow({ name: "fails" }, async (ctx) => {
          await book(ctx, "flight");
          await book(ctx, "hotel");
          await ctx.step("pay", () => Promise.reject(new Error("declined")));
        }),
      "run.failed",
    );
    expect(crashes).toBeGreaterThan(10 / crashStride);
  });

  it("of a run that fails after plain work of its own", async () => {
    const crashes = await crashing(
      ({ book }) =>
        workflow({ name: "works" }, async (ctx) => {
          await Promise.all([book(ctx, "flight"), book(ctx, "hotel")]);
          await ctx.step("pay", () => Promise.reject(new Error("declined"))).catch(() => undefined);
          await new Promise((resolve) => setTimeout(resolve, 2));
          throw new Error("declined");
        }),
      "run.failed",
    );
    expect(crashes).toBeGreaterThan(10 / crashStride);
  });

  it("of a run that is cancelled while it waits: nothing new is entered", async () => {
    const crashes = await crashing(
      ({ book, entered }) =>
        workflow({ name: "waits" }, async (ctx) => {
          await book(ctx, "flight");
          await book(ctx, "hotel");
          await ctx.wait("approval", { expires: "30d" });
          entered.push("went on");
        }),
      "run.cancelled",
      async ({ stemma, run, history }) => {
        if (history.at(-1)?.type === "run.suspended") await stemma.cancel(run.id, { by: "ada" });
      },
    );
    expect(crashes).toBeGreaterThan(10 / crashStride);
  });

  it("of a run whose time is up while it waits", async () => {
    const crashes = await crashing(
      ({ book }) =>
        workflow({ name: "late", timeout: "1h" }, async (ctx) => {
          await book(ctx, "flight");
          await book(ctx, "hotel");
          await ctx.wait("approval");
        }),
      "run.timed_out",
      ({ clock }) => clock.advance("1h"),
    );
    expect(crashes).toBeGreaterThan(10 / crashStride);
  });
});

describe("a run that is cancelled while nobody holds it", () => {
  it("recalls its body for what has to be made up for, and enters nothing else", async () => {
    const given = kit();
    const store = fresh();
    let gate = Promise.withResolvers<void>();
    const definition = workflow({ name: "gated" }, async (ctx) => {
      await given.book(ctx, "flight");
      const [, next] = await Promise.all([
        ctx.step("long", () => {
          given.entered.push("long");
          return gate.promise;
        }),
        given.book(ctx, "hotel").then(() => ctx.step("never begun", () => void given.entered.push("never begun"))),
      ]);
      return next;
    });
    const paused = await stage([definition], { store });
    const run = await paused.stemma.run(definition, undefined);
    await until(() => given.entered.includes("long"));
    // Stopped in the middle: it has steps in flight, which the next activation would enter again.
    await paused.stemma.stop({ timeout: 0 });
    gate.resolve();
    const before = given.entered.filter((line) => !line.startsWith("undo"));
    await paused.stemma.cancel(run.id);
    gate = Promise.withResolvers();
    await using theatre = await stage([definition], { store });
    await until(async () => hasEnded(await run.history()));
    expect(await run.status()).toBe("cancelled");
    expect(given.entered.filter((line) => !line.startsWith("undo"))).toEqual(before);
    expect(given.entered.at(-1)).toBe("undo flight");
    await theatre.stemma.stop();
    await store.close();
  });

  it("while it is paused, ends all the same", async () => {
    const given = kit();
    const definition = workflow({ name: "paused" }, async (ctx) => {
      await given.book(ctx, "flight");
      await ctx.wait("approval");
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await until(async () => (await run.status()) === "suspended");
    await theatre.stemma.pause(run.id);
    await until(
      async () => (await run.status()) === "paused" && (await theatre.stemma.row(run.id)).worker === undefined,
    );
    await theatre.stemma.cancel(run.id);
    await until(async () => hasEnded(await run.history()));
    expect(await run.status()).toBe("cancelled");
    expect(given.entered).toEqual(["book flight", "undo flight"]);
  });
});
