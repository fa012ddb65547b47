/** What follows a failed attempt: another one, in time, however often the process dies in between; or the end. */
import { describe, expect, it } from "vitest";
import { StepError, Stemma, fatal, notDone, retryAfter, workflow } from "../src/index.ts";
import type { Event, StepOptions, Workflow } from "../src/index.ts";
import { fakeClock } from "../src/testing.ts";
import { errorOf, fresh, outline, silent, stage, until } from "./stage.ts";

const soon = { attempts: 5, delay: 1 } as const;

/** A workflow of one step that fails as the script says, and then succeeds; `entered` has the attempts it was given. */
function failing(
  script: readonly unknown[],
  options: Omit<StepOptions<undefined>, "input">,
): { definition: Workflow<undefined>; entered: number[]; keys: Set<string> } {
  const entered: number[] = [];
  const keys = new Set<string>();
  const definition = workflow({ name: "failing" }, (ctx) =>
    ctx.step("call", options, (_, step) => {
      keys.add(step.idempotencyKey);
      const error = script[entered.length];
      entered.push(step.attempt);
      if (error !== undefined) throw error as Error;
      return "done";
    }),
  );
  return { definition, entered, keys };
}

function attempts(history: readonly Event[]): (Event & { type: "step.attempt_failed" })[] {
  return history.filter((event) => event.type === "step.attempt_failed");
}

/** Digest of the value that an event keeps for people. */
function keptBy(event: Event | undefined): string {
  const { kept } = (event?.data ?? {}) as { kept?: { digest?: string } };
  return kept?.digest ?? "nothing was kept";
}

describe("a step that fails", () => {
  it("without a policy fails at once", async () => {
    const { definition, entered } = failing([new Error("no")], {});
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    expect(await errorOf(run.result())).toMatchObject({ code: "run.failed", data: { steps: ["call"] } });
    expect(entered).toEqual([1]);
  });

  it("is tried again with the same key, and each failed attempt is on record with its error and the next time", async () => {
    const { definition, entered, keys } = failing([new Error("first"), new RangeError("second")], { retry: soon });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    expect(await run.result()).toBe("done");
    expect(entered).toEqual([1, 2, 3]);
    expect(keys.size).toBe(1);
    expect(await outline(run)).toEqual([
      "run.created",
      "run.started",
      "step.attempt_failed call",
      "step.attempt_failed call",
      "step.succeeded call",
      "run.succeeded",
    ]);
    const history = await run.history();
    expect(attempts(history).map(({ data }) => [data.attempt, data.error.name, data.error.message])).toEqual([
      [1, "Error", "first"],
      [2, "RangeError", "second"],
    ]);
    // No attempt ends before the time that the one before it named. (A note can be written when that time is over.)
    const times = attempts(history).map(({ data }) => data.retryAt ?? Infinity);
    expect(times.every((time, i) => time <= (history[i + 3]?.at ?? 0))).toBe(true);
    // Each attempt is caused by the one before it, and the outcome by the last.
    expect(history.slice(2, 5).map((event) => event.causes)).toEqual([[0], [2], [3]]);
    expect(history[4]?.data).toMatchObject({ attempt: 3 });
  });

  it("fails with the error of its last attempt", async () => {
    const { definition, entered } = failing(
      [1, 2, 3, 4].map((n) => new Error(`no ${n}`)),
      { retry: { ...soon, attempts: 3 } },
    );
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    expect((await errorOf(run.result())).message).toContain("no 3");
    expect(entered).toEqual([1, 2, 3]);
  });

  it("stops at what is fatal, with the step's own error", async () => {
    class Declined extends Error {
      readonly code = "CARD";
    }
    const { definition, entered } = failing([fatal(new Declined("declined"))], { retry: soon });
    await using theatre = await stage([definition]);
    const error = await errorOf((await theatre.stemma.run(definition, undefined)).result());
    expect(error.cause).toBeInstanceOf(StepError);
    expect(error.cause).toMatchObject({ message: "declined", code: "CARD" });
    expect(entered).toEqual([1]);
  });

  it("is tried again only where retryIf says so; it is asked with the error itself and the attempt", async () => {
    const asked: unknown[] = [];
    const errors = [new TypeError("again"), new Error("enough")];
    const { definition, entered } = failing(errors, {
      retry: {
        ...soon,
        retryIf: (error, attempt) => {
          asked.push([error, attempt]);
          return error instanceof TypeError;
        },
      },
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    expect((await errorOf(run.result())).message).toContain("enough");
    expect(asked).toEqual([
      [errors[0], 1],
      [errors[1], 2],
    ]);
    expect(entered).toEqual([1, 2]);
  });

  it("fails, and says so, where retryIf throws", async () => {
    const retryIf = (): boolean => {
      throw new Error("oops");
    };
    const { definition } = failing([new Error("no")], { retry: { ...soon, retryIf } });
    await using theatre = await stage([definition]);
    const error = await errorOf((await theatre.stemma.run(definition, undefined)).result());
    expect(error.cause).toMatchObject({ code: "step.invalid", cause: { message: "no" } });
    expect(error.message).toContain("retryIf of step call threw: oops");
  });

  it("chooses its own delay with retryAfter", async () => {
    const clock = fakeClock();
    const { definition } = failing([retryAfter("10m", new Error("busy"))], { retry: { attempts: 2, delay: "1d" } });
    await using theatre = await stage([definition], { clock });
    const run = await theatre.stemma.run(definition, undefined);
    await clock.advance("11m");
    expect(await run.result()).toBe("done");
    const [failed] = attempts(await run.history());
    expect((failed?.data.retryAt ?? 0) - (failed?.at ?? 0)).toBe(600_000);
  });

  it("whose output cannot be recorded is not tried again, for it would only return the like again", async () => {
    let entered = 0;
    const definition = workflow({ name: "bigint" }, (ctx) =>
      ctx.step("call", { retry: soon }, () => {
        entered += 1;
        return { paid: 10n };
      }),
    );
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    expect((await errorOf(run.result())).cause).toMatchObject({ code: "json.not_serializable" });
    expect(entered).toBe(1);
    // What it returned may have been paid for: it is kept for people.
    expect((await run.history()).find((event) => event.type === "step.failed")?.data).toMatchObject({
      kept: { inline: "{ paid: 10n }" },
    });
  });
});

describe("a long delay", () => {
  it("holds no process, survives the death of all, and its attempts are counted on", async () => {
    const clock = fakeClock();
    await using store = fresh();
    const { definition, entered } = failing([new Error("a"), new Error("b")], {
      retry: { ...soon, delay: "1h", factor: 1, jitter: 0 },
    });
    const first = new Stemma({ store, workflows: [definition], log: silent, clock }, { lingerMs: 10 });
    await first.start();
    const { id } = await first.run(definition, undefined);
    await clock.advance("1m");
    const row = await first.row(id);
    expect(row.state.status).toBe("suspended");
    const [failed] = attempts(await first.history(id));
    expect([row.worker, row.dueAt, row.state.reason]).toEqual([undefined, failed?.data.retryAt, "waiting"]);
    first.abandon();

    const second = new Stemma({ store, workflows: [definition], log: silent, clock }, { lingerMs: 10 });
    await second.start();
    await clock.advance("3h");
    expect(await (await second.get(id)).result()).toBe("done");
    expect(entered).toEqual([1, 2, 3]);
    expect(attempts(await second.history(id)).map(({ data }) => data.attempt)).toEqual([1, 2]);
    await second.stop();
  });

  it("gives its place in a map to others", async () => {
    const order: string[] = [];
    const definition = workflow({ name: "places" }, (ctx) =>
      ctx.map(
        "item",
        ["slow", "b", "c"],
        { concurrency: 1, retry: { attempts: 2, delay: "1h", jitter: 0 } },
        (item, step) => {
          order.push(`${item} ${step.attempt}`);
          if (item === "slow" && step.attempt === 1) throw new Error("busy");
          return item;
        },
      ),
    );
    const clock = fakeClock();
    await using theatre = await stage([definition], { clock });
    const run = await theatre.stemma.run(definition, undefined);
    await clock.advance("2h");
    expect(await run.result()).toEqual(["slow", "b", "c"]);
    expect(order).toEqual(["slow 1", "b 1", "c 1", "slow 2"]);
  });
});

describe("a step with effect once", () => {
  it("is tried again only where it certainly did not happen, each time behind a new intent", async () => {
    const { definition, entered } = failing([notDone(new Error("503")), notDone(new Error("503"))], {
      effect: "once",
      retry: soon,
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    expect(await run.result()).toBe("done");
    expect(entered).toEqual([1, 2, 3]);
    expect((await outline(run)).slice(2)).toEqual([
      "step.started call",
      "step.attempt_failed call",
      "step.started call",
      "step.attempt_failed call",
      "step.started call",
      "step.succeeded call",
      "run.succeeded",
    ]);
  });

  it("fails with what did not happen when its attempts are used up", async () => {
    const { definition } = failing([notDone(new Error("503"))], { effect: "once" });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    expect(await errorOf(run.result())).toMatchObject({ code: "run.failed", data: { steps: ["call"] } });
  });

  it("that throws anything else is in doubt, retries or not", async () => {
    const { definition, entered } = failing([new Error("connection lost")], { effect: "once", retry: soon });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await until(async () => (await run.status()) === "suspended");
    expect(entered).toEqual([1]);
    expect((await theatre.stemma.row(run.id)).state).toMatchObject({ reason: "in_doubt" });
  });

  it("between two attempts is not in doubt: after a crash it goes on", async () => {
    await using store = fresh();
    const { definition, entered } = failing([notDone(new Error("503"))], {
      effect: "once",
      retry: { attempts: 2, delay: 300, jitter: 0 },
    });
    const first = new Stemma({ store, workflows: [definition], log: silent, lease: 100 }, { lingerMs: 10_000 });
    await first.start();
    const { id } = await first.run(definition, undefined);
    await until(async () => attempts(await first.history(id)).length === 1);
    first.abandon();
    const second = new Stemma({ store, workflows: [definition], log: silent });
    await second.start();
    expect(await (await second.get(id)).result()).toBe("done");
    expect(entered).toEqual([1, 2]);
    await second.stop();
  });

  it("whose output cannot be recorded is in doubt with what it returned kept for the decision", async () => {
    const definition = workflow({ name: "once-large" }, (ctx) =>
      ctx.step("call", { effect: "once" }, () => "x".repeat(3_000_000)),
    );
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await until(async () => (await run.status()) === "suspended");
    const doubt = (await run.history()).find((event) => event.type === "step.in_doubt");
    expect(doubt?.data).toMatchObject({ error: { code: "payload.too_large" }, kept: { bytes: 3_000_002 } });
    const digest = keptBy(doubt);
    expect((await theatre.stemma.store.payloads([digest])).get(digest)).toHaveLength(3_000_002);
  });
});

describe("an output that is too large", () => {
  it("is kept whole, and the failure says where", async () => {
    const large = { pages: ["é".repeat(1_500_000)] };
    const definition = workflow({ name: "large" }, (ctx) => ctx.step("call", () => large));
    await using store = fresh();
    const stemma = new Stemma({ store, workflows: [definition], log: silent });
    await stemma.start();
    const run = await stemma.run(definition, undefined);
    expect((await errorOf(run.result())).cause).toMatchObject({ code: "payload.too_large" });
    const failed = (await run.history()).find((event) => event.type === "step.failed");
    const digest = keptBy(failed);
    expect(JSON.parse((await store.payloads([digest])).get(digest) ?? "")).toEqual(large);
    await stemma.stop();
  });
});

it("attempts that a crash cut off are numbered on, where they were on record", async () => {
  await using store = fresh();
  const entered: number[] = [];
  const definition = workflow({ name: "cut" }, (ctx) =>
    ctx.step("call", { effect: "pure" }, async (_, step) => {
      entered.push(step.attempt);
      if (step.attempt < 3) await new Promise(() => {});
      return step.attempt;
    }),
  );
  let id = "";
  for (const life of [1, 2, 3]) {
    const stemma = new Stemma({ store, workflows: [definition], log: silent, lease: 100 }, { lingerMs: 10 });
    await stemma.start();
    if (life === 1) ({ id } = await stemma.run(definition, undefined));
    if (life === 3) expect(await (await stemma.get(id)).result()).toBe(3);
    else {
      const started = async (): Promise<number> =>
        (await stemma.history(id)).filter((event) => event.type === "step.started").length;
      await until(async () => (await started()) === life);
    }
    stemma.abandon();
  }
  expect(entered).toEqual([1, 2, 3]);
});
