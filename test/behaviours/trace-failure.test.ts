/**
 * Failures: what they end, what they leave to finish, and where they are caught. The numbers in comments are those of
 * the list of behaviours of other systems of this kind. Theirs routes a failure by predicates on edges; in a function it
 * is an error, and `catch` is the route.
 */
import { describe, expect, it } from "vitest";
import { workflow } from "../../src/index.ts";
import type { Context, Event, Workflow } from "../../src/index.ts";
import { errorOf, outline, stage, until } from "../stage.ts";

const body = (run: (ctx: Context) => Promise<unknown>): Workflow<undefined> => workflow({ name: "told" }, run);
const fails = (): Promise<never> => Promise.reject(new Error("broken"));

type Ended = { status: string; done: string[]; last: Event | undefined };

async function ended(definition: Workflow<undefined>): Promise<Ended> {
  await using theatre = await stage([definition]);
  const run = await theatre.stemma.run(definition, undefined);
  await run.result().catch(() => undefined);
  const done = (await outline(run)).flatMap((line) => /^step\.succeeded (.*)/u.exec(line)?.[1] ?? []);
  return { status: await run.status(), done, last: (await run.history()).at(-1) };
}

describe("a failure", () => {
  // 9. and 15: nothing that stands behind it is done, be it the only way on.
  it("that nothing catches ends the run, and nothing behind it is done", async () => {
    const definition = body(async (ctx) => {
      await ctx.step("start", () => true);
      await ctx.step("exec", fails);
      return ctx.step("end", () => true);
    });
    expect(await ended(definition)).toMatchObject({ status: "failed", done: ["start"] });
  });

  // 10.
  it("lets what is under way beside it finish, on record, before the run is failed", async () => {
    const latch = Promise.withResolvers<void>();
    const definition = body(async (ctx) => {
      await ctx.all({ fail: () => ctx.step("fail", fails), slow: () => ctx.step("slow", () => latch.promise) });
      return ctx.step("end", () => true);
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await until(async () => (await outline(run)).includes("step.failed fail/fail"));
    expect(await run.status()).toBe("running");
    latch.resolve();
    expect(await errorOf(run.result())).toMatchObject({ code: "run.failed", data: { steps: ["fail/fail"] } });
    const events = await outline(run);
    expect(events).toContain("step.succeeded slow/slow");
    expect(events.at(-1)).toBe("run.failed");
    expect(events.join()).not.toContain("end");
  });

  // 11.
  it("that its branch catches is joined like any other end", async () => {
    const definition = body(async (ctx) => {
      await ctx.all({
        a: async () => {
          await ctx.step("fail", fails).catch(() => ctx.step("downstream", () => true));
        },
        b: () => ctx.step("b", () => true),
      });
      return ctx.step("joined", () => true);
    });
    const { status, done } = await ended(definition);
    expect(status).toBe("succeeded");
    expect(done.toSorted()).toEqual(["a/downstream", "b/b", "joined"]);
  });

  // 12.
  it("that its branch does not catch keeps what stands before and behind the join from being done", async () => {
    const definition = body(async (ctx) => {
      await ctx.all({
        a: async () => {
          await ctx.step("fail", fails);
          await ctx.step("downstream", () => true);
        },
        b: () => ctx.step("b", () => true),
      });
      return ctx.step("joined", () => true);
    });
    expect(await ended(definition)).toMatchObject({ status: "failed", done: ["b/b"] });
  });

  // 13. Theirs depends on what happens to be done first; here the failing step waits for the join.
  it("leaves a join that was reached before it, and keeps what comes behind both from being done", async () => {
    const joined = Promise.withResolvers<void>();
    const definition = body(async (ctx) => {
      const b = ctx.step("b", () => true);
      await ctx.step("c", () => true);
      const both = Promise.all([b, ctx.step("d", () => true)]).then(() => ctx.step("join", () => joined.resolve()));
      const other = ctx.step("e", () => joined.promise).then(() => ctx.step("f", fails));
      await Promise.all([both, other]);
      return ctx.step("end", () => true);
    });
    const { status, done } = await ended(definition);
    expect(status).toBe("failed");
    expect(done.toSorted()).toEqual(["b", "c", "d", "e", "join"]);
  });

  // 14.
  it("that is caught goes on to the end, which is a success", async () => {
    const definition = body(async (ctx) => {
      await ctx.step("exec", fails).catch(() => ctx.step("recover", () => true));
      return ctx.step("end", () => true);
    });
    expect(await ended(definition)).toMatchObject({ status: "succeeded", done: ["recover", "end"] });
  });
});

describe("a function that goes wrong", () => {
  // Defect 2: theirs hangs.
  const wrong: Record<string, () => unknown> = {
    "throws later": fails,
    "throws at once": () => {
      throw new Error("broken");
    },
    "throws what is no error": () => {
      // oxlint-disable-next-line only-throw-error -- that is what this is about
      throw "broken";
    },
    "throws nothing": () => {
      // oxlint-disable-next-line only-throw-error -- that is what this is about
      throw undefined;
    },
    "returns what cannot be recorded": () => 1n,
  };
  it.for(Object.entries(wrong))("and %s fails its step and its run, and does not hang", async ([, go]) => {
    const inStep = await ended(body((ctx) => ctx.step("bad", go)));
    expect(inStep.status).toBe("failed");
    expect(inStep.last?.data).toMatchObject({ frontier: ["bad"] });
    // A workflow's own function is user code as well.
    const inBody = await ended(body(async () => go()));
    expect(inBody.status).toBe("failed");
    expect(inBody.last?.data).toMatchObject({ frontier: [] });
  });

  // Defect 2: None is an error there, and a hang. Here undefined is a value like any other.
  it("and returns undefined has succeeded with undefined, live and in recall alike", async () => {
    const seen: unknown[] = [];
    const definition = body(async (ctx) => {
      seen.push(await ctx.step("nothing", () => undefined));
      await ctx.wait("gate");
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await until(async () => (await theatre.stemma.waits()).waits.length === 1);
    await theatre.stemma.resume(run.id, "gate", undefined);
    expect(await run.result()).toBeUndefined();
    expect(await run.status()).toBe("succeeded");
    expect(seen.every((value) => value === undefined)).toBe(true);
  });

  // Defect 9: theirs keeps what a failing step did to the one shared state.
  it("leaves nothing behind in the values of others: each is given a copy of its own", async () => {
    const given = { list: [1] };
    const kept: { list: number[] } = { list: [0] };
    const definition = body(async (ctx) => {
      const first = await ctx.step("make", () => kept);
      kept.list.push(99);
      first.list.push(98);
      await ctx
        .step("spoil", { input: given }, (input) => {
          input.list.push(97);
          throw new Error("broken");
        })
        .catch(() => undefined);
      const answer = (await ctx.wait("gate", { input: given })) as { list: number[] };
      return { first: first.list, given: given.list, answer: answer.list };
    });
    await using theatre = await stage([definition]);
    const { stemma } = theatre;
    const run = await stemma.run(definition, undefined);
    await until(async () => (await stemma.waits()).waits.length === 1);
    const [open] = (await stemma.waits()).waits;
    expect(open?.input).toEqual({ list: [1] });
    const value = { list: [5] };
    const sent = stemma.resume(run.id, "gate", value);
    value.list.push(96);
    await sent;
    expect(await run.result()).toEqual({ first: [0, 98], given: [1], answer: [5] });
    const made = (await run.history()).find(({ type }) => type === "step.succeeded");
    expect(made?.data).toMatchObject({ output: { inline: { list: [0] } } });
  });
});
