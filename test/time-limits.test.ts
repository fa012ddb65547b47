/**
 * Limits of time: of an attempt, of a step with all its attempts, of a run. A function that never settles and ignores
 * its signal holds up none of them beyond the grace.
 */
import { describe, expect, it } from "vitest";
import { Stemma, isStemmaError, notDone, workflow } from "../src/index.ts";
import type { Context, RunHandle, StepTools, Workflow } from "../src/index.ts";
import { fakeClock } from "../src/testing.ts";
import { errorOf, fresh, listening, outline, silent, stage, until } from "./stage.ts";

const never = (): Promise<never> => new Promise(() => {});

/** Settles when the attempt is told to stop, as `fetch` does. */
const obedient = (_: unknown, { abort }: StepTools): Promise<never> =>
  new Promise((_resolve, reject) => {
    abort.addEventListener("abort", () => reject(abort.reason as Error));
  });

function body(run: (ctx: Context) => Promise<unknown>, timeout?: string | number): Workflow<undefined> {
  return workflow({ name: "limited", ...(timeout === undefined ? {} : { timeout }) }, run);
}

const code = (error: { cause?: unknown }): unknown => (error.cause as { code?: string }).code;

describe("an attempt whose time is up", () => {
  it("is told so, and its failure can be caught by the body", async () => {
    const definition = body(async (ctx) => {
      try {
        return await ctx.step("call", { timeout: 20 }, obedient);
      } catch (error) {
        return (error as { code: string }).code;
      }
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    expect(await run.result()).toBe("step.timed_out");
    const failed = (await run.history()).find((event) => event.type === "step.failed");
    expect(failed?.data.error).toMatchObject({ data: { step: "call", attempt: 1, limitMs: 20 } });
  });

  it("is followed by another one if the step has a policy", async () => {
    const definition = body((ctx) =>
      ctx.step("call", { timeout: 20, retry: { attempts: 2, delay: 1 } }, (input, step) =>
        step.attempt === 1 ? obedient(input, step) : "second",
      ),
    );
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    expect(await run.result()).toBe("second");
    expect(await outline(run)).toContain("step.attempt_failed call");
  });

  it("that returns within the grace has succeeded: what it did is not lost", async () => {
    const definition = body((ctx) =>
      ctx.step("call", { timeout: 10 }, async (_, { abort }) => {
        await new Promise((resolve) => abort.addEventListener("abort", resolve));
        return "paid, a little late";
      }),
    );
    await using theatre = await stage([definition]);
    expect(await (await theatre.stemma.run(definition, undefined)).result()).toBe("paid, a little late");
  });

  it("and that does not listen is given up after the grace; what it still comes to is refused", async () => {
    const gate = Promise.withResolvers<string>();
    const definition = body((ctx) =>
      ctx.step("call", { timeout: 10, retry: { attempts: 2, delay: 1 } }, (_, step) =>
        step.attempt === 1 ? gate.promise : "second",
      ),
    );
    const log = listening();
    await using theatre = await stage([definition], { abortGrace: 20, log });
    const run = await theatre.stemma.run(definition, undefined);
    expect(await run.result()).toBe("second");
    const before = await run.history();
    const failed = before.find((event) => event.type === "step.attempt_failed");
    expect(failed?.data.error).toMatchObject({ code: "step.timed_out", data: { abandoned: true } });
    gate.resolve("late");
    await until(() => log.lines.length >= 1);
    expect(await run.history()).toEqual(before);
    expect(log.lines[0]).toMatch(/did not end when it was aborted/);
  });

  it("leaves a once step in doubt, unless it says that nothing was done", async () => {
    const once = (run: (input: unknown, step: StepTools) => Promise<unknown>): Workflow<undefined> =>
      body((ctx) => ctx.step("call", { timeout: 10, effect: "once" }, run));
    const polite = (_: unknown, { abort }: StepTools): Promise<never> =>
      new Promise((_resolve, reject) => {
        abort.addEventListener("abort", () => reject(notDone(new Error("not sent"))));
      });
    for (const [run, status] of [
      [obedient, "suspended"],
      [never, "suspended"],
      [polite, "failed"],
    ] as const) {
      const definition = once(run);
      await using theatre = await stage([definition], { abortGrace: 10 });
      const handle = await theatre.stemma.run(definition, undefined);
      await until(async () => (await handle.status()) !== "queued" && (await handle.status()) !== "running");
      expect(await handle.status()).toBe(status);
    }
  });
});

describe("a step whose time is up", () => {
  it("fails although attempts are left: the limit counts them all and the delays between them", async () => {
    let entered = 0;
    const definition = body((ctx) =>
      ctx.step("call", { timeout: { step: 60 }, retry: { attempts: 1000, delay: 5, factor: 1, jitter: 0 } }, () => {
        entered += 1;
        throw new Error("busy");
      }),
    );
    await using theatre = await stage([definition]);
    const error = await errorOf((await theatre.stemma.run(definition, undefined)).result());
    // The last attempt failed, or came too late to be made.
    expect(error.message).toMatch(/busy|Expected step call to end within 60 ms/);
    // On a slow machine the first may be the last; were the limit one of each attempt, there would be a thousand.
    expect(entered).toBeGreaterThan(0);
    expect(entered).toBeLessThan(20);
  });

  it("is aborted in the middle of an attempt", async () => {
    const definition = body((ctx) => ctx.step("call", { timeout: { attempt: "1h", step: 20 }, retry: 3 }, obedient));
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    const error = await errorOf(run.result());
    expect(code(error)).toBe("step.timed_out");
    expect(error.message).toContain("Expected step call to end within 20 ms");
    expect((await outline(run)).filter((line) => line.includes("call"))).toEqual(["step.failed call"]);
  });

  it("is counted from its first attempt, through a crash", async () => {
    await using store = fresh();
    let entered = 0;
    const definition = body((ctx) =>
      ctx.step("call", { timeout: { step: 250 }, retry: { attempts: 9, delay: 200, factor: 1, jitter: 0 } }, () => {
        entered += 1;
        throw new Error("busy");
      }),
    );
    const clock = fakeClock();
    const first = await new Stemma({ store, workflows: [definition], log: silent, clock }).start();
    const { id } = await first.run(definition, undefined);
    await clock.settle();
    expect((await first.history(id)).length).toBe(3);
    first.abandon();
    const second = await new Stemma({ store, workflows: [definition], log: silent, clock }).start();
    await clock.advance("1m");
    expect(code(await errorOf((await second.get(id)).result()))).toBe("step.timed_out");
    expect(entered).toBe(1);
    await second.stop();
  });
});

describe("a run whose time is up", () => {
  const ended = async (run: RunHandle): Promise<string[]> => {
    const error = await errorOf(run.result());
    expect(isStemmaError(error, "run.timed_out")).toBe(true);
    expect(await run.status()).toBe("timed_out");
    return (await outline(run)).slice(2);
  };

  it("ends, with a step that never settles and does not listen given up after the grace", async () => {
    const definition = body((ctx) => ctx.step("deaf", never), 30);
    await using theatre = await stage([definition], { abortGrace: 20 });
    expect(await ended(await theatre.stemma.run(definition, undefined))).toEqual([
      "step.cancelled deaf",
      "run.timed_out",
    ]);
  });

  it("ends, and its body hears nothing of it: no catch and no finally runs", async () => {
    const heard: string[] = [];
    const definition = body(async (ctx) => {
      try {
        await ctx.step("call", obedient);
      } catch {
        heard.push("catch");
      } finally {
        heard.push("finally");
      }
    }, 20);
    await using theatre = await stage([definition]);
    expect(await ended(await theatre.stemma.run(definition, undefined))).toEqual([
      "step.cancelled call",
      "run.timed_out",
    ]);
    expect(heard).toEqual([]);
  });

  it("keeps what a step returns within the grace", async () => {
    const definition = body(
      (ctx) =>
        ctx.step("paid", async (_, { abort }) => {
          await new Promise((resolve) => abort.addEventListener("abort", resolve));
          return "kept";
        }),
      20,
    );
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    expect(await ended(run)).toEqual(["step.succeeded paid", "run.timed_out"]);
  });

  it("ends while it is suspended and nobody holds it", async () => {
    const clock = fakeClock();
    const definition = body((ctx) => ctx.sleep("1d"), "1h");
    await using theatre = await stage([definition], { clock });
    const run = await theatre.stemma.run(definition, undefined);
    await clock.advance("1m");
    const row = await theatre.stemma.row(run.id);
    expect([row.state.status, row.worker]).toEqual(["suspended", undefined]);
    expect(row.state.until).toBeDefined();
    await clock.advance("1h");
    await ended(run);
  });

  it("ends when a worker comes after its time, without its body being run again", async () => {
    const clock = fakeClock();
    await using store = fresh();
    let bodies = 0;
    const definition = body(async (ctx) => {
      bodies += 1;
      await ctx.sleep("1d");
    }, "1h");
    const first = await new Stemma({ store, workflows: [definition], log: silent, clock }).start();
    const { id } = await first.run(definition, undefined);
    await clock.settle();
    expect(bodies).toBe(1);
    first.abandon();
    await clock.advance("2h");
    const second = await new Stemma({ store, workflows: [definition], log: silent, clock }).start();
    await clock.advance("1m");
    await ended(await second.get(id));
    expect(bodies).toBe(1);
    await second.stop();
  });

  it("is given its limit by whoever starts it, in place of its workflow's", async () => {
    const definition = body((ctx) => ctx.step("call", obedient), "1h");
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined, { timeout: 20 });
    await ended(run);
    expect((await run.history()).at(-1)?.data).toEqual({ limitMs: 20 });
  });

  it("that is done in time is not disturbed", async () => {
    const definition = body((ctx) => ctx.step("call", () => "done"), "1h");
    await using theatre = await stage([definition]);
    expect(await (await theatre.stemma.run(definition, undefined)).result()).toBe("done");
  });

  it.each([0, -1, "soon", Number.NaN])("a limit of %j is refused before anything is recorded", async (timeout) => {
    const definition = body((ctx) => ctx.step("call", () => "done"));
    await using theatre = await stage([definition]);
    expect(await errorOf(theatre.stemma.run(definition, undefined, { timeout }))).toMatchObject({
      code: "duration.invalid",
    });
    expect((await theatre.stemma.list()).runs).toEqual([]);
  });
});
