/** Whatever a user hands in that cannot be right gets a clear error with a code, and nothing is lost or half done. */
import { describe, expect, it } from "vitest";
import { z } from "zod";
import type { Context } from "../src/index.ts";
import { Stemma, StepError, workflow } from "../src/index.ts";
import { fingerprintOf } from "../src/engine/fingerprint.ts";
import { errorOf, fresh, listening, outline, silent, stage } from "./stage.ts";

/** A workflow that records one good step, and then does something bad in a second. */
function second(run: (ctx: Context) => Promise<unknown>) {
  return workflow({ name: "second" }, async (ctx) => {
    await ctx.step("good", () => "kept");
    return run(ctx);
  });
}

async function failureOf(run: (ctx: Context) => Promise<unknown>) {
  const definition = second(run);
  await using theatre = await stage([definition]);
  const handle = await theatre.stemma.run(definition, undefined);
  const error = await errorOf(handle.result());
  return { error, cause: error.cause as StepError, outline: await outline(handle), status: await handle.status() };
}

describe("an output that JSON would lose", () => {
  const bad: [string, () => unknown, string][] = [
    ["a Map", () => ({ found: new Map() }), "$.found"],
    ["a bigint", () => [1, 2n], "$[1]"],
    ["NaN", () => ({ price: Number.NaN }), "$.price"],
    ["a lone surrogate", () => ({ text: "\ud800" }), "$.text"],
    ["a function", () => ({ call() {} }), "$.call"],
    ["an Error", () => new Error("returned, not thrown"), "$"],
    [
      "a cycle",
      () => {
        const a: Record<string, unknown> = {};
        a["self"] = a;
        return a;
      },
      "$.self",
    ],
  ];
  for (const [what, make, path] of bad) {
    it(`is refused with its path: ${what}`, async () => {
      const { error, cause, outline: events, status } = await failureOf((ctx) => ctx.step("bad", make));
      expect(status).toBe("failed");
      expect(error).toMatchObject({ code: "run.failed", data: { steps: ["bad"] } });
      expect(cause).toMatchObject({ code: "json.not_serializable" });
      expect(cause.message).toContain(path);
      expect(cause.message).toContain("output of step bad");
      expect(events).toContain("step.succeeded good");
      expect(events).toContain("step.failed bad");
    });
  }

  it("is refused when it is nested 5,000,000 deep, and the process goes on", async () => {
    const deep = (): unknown => {
      let value: unknown = 1;
      for (let i = 0; i < 5_000_000; i += 1) value = [value];
      return value;
    };
    const { cause, status } = await failureOf((ctx) => ctx.step("deep", deep));
    expect(cause.code).toBe("json.too_deep");
    expect(status).toBe("failed");
  });

  it("is refused beyond the limit of bytes, with both figures", async () => {
    const { cause } = await failureOf((ctx) => ctx.step("large", () => "x".repeat(2_100_000)));
    expect(cause.code).toBe("payload.too_large");
    expect(cause.message).toMatch(/2097152.*2100002/);
  });

  it("is refused as the output of a run too, and its steps stay on record", async () => {
    const { error, outline: events } = await failureOf(async () => new Set([1]));
    expect((error.cause as StepError).code).toBe("json.not_serializable");
    expect(events).toEqual(["run.created", "run.started", "step.succeeded good", "run.failed"]);
  });
});

describe("text that databases stumble over", () => {
  it("comes back as it was: NUL, quotes, emoji, markup, 1 MB", async () => {
    const text = `\u0000 ' " \\ \u{1F600} </script> ${"é".repeat(500_000)}`;
    const definition = workflow({ name: "text" }, async (ctx) => {
      const back = await ctx.step("say", () => ({ text, __proto__x: text.slice(0, 20) }));
      return back.text === text;
    });
    await using theatre = await stage([definition]);
    expect(await (await theatre.stemma.run(definition, undefined)).result()).toBe(true);
  });

  it("never reaches a prototype", async () => {
    const definition = workflow({ name: "pollute" }, async (ctx) =>
      ctx.step(
        "parse",
        () => JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}') as object,
      ),
    );
    await using theatre = await stage([definition]);
    const back = await (await theatre.stemma.run(definition, undefined)).result();
    expect(Object.keys(back)).toEqual(["__proto__", "constructor"]);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });
});

describe("input", () => {
  const typed = workflow({ name: "typed", input: z.object({ n: z.number() }) }, async (_ctx, { n }) => n);

  it("that does not fit the schema starts no run, and the error has the paths", async () => {
    await using theatre = await stage([typed]);
    const error = await errorOf(theatre.stemma.run(typed, { n: "seven" } as never));
    expect(error).toMatchObject({ code: "workflow.invalid_input", data: { issues: [{ path: "$.n" }] } });
    expect((await theatre.stemma.list()).runs).toEqual([]);
  });

  it("that JSON would lose starts no run", async () => {
    const loose = workflow({ name: "loose" }, async (_ctx, input: unknown) => input);
    await using theatre = await stage([loose]);
    expect((await errorOf(theatre.stemma.run(loose, { at: [undefined] }))).message).toContain("$.at[0]");
    expect((await theatre.stemma.list()).runs).toEqual([]);
  });

  it("given twice with one key is one run; another input with that key is refused", async () => {
    await using theatre = await stage([typed]);
    const first = await theatre.stemma.run(typed, { n: 1 }, { idempotencyKey: "order 7" });
    const again = await theatre.stemma.run(typed, { n: 1 }, { idempotencyKey: "order 7" });
    expect(again.id).toBe(first.id);
    const error = await errorOf(theatre.stemma.run(typed, { n: 2 }, { idempotencyKey: "order 7" }));
    expect(error).toMatchObject({ code: "run.conflict", data: { run: first.id } });
    expect((await theatre.stemma.list()).runs).toHaveLength(1);
  });
});

describe("a step that throws", () => {
  for (const [what, thrown] of [
    ["a string", "boom"],
    ["null", null],
    ["undefined", undefined],
    ["an object", { reason: "boom" }],
    ["a symbol", Symbol("boom")],
    [
      "an object that cannot be looked at",
      new Proxy(
        {},
        {
          get() {
            throw new Error("no");
          },
          ownKeys() {
            throw new Error("no");
          },
          getPrototypeOf() {
            throw new Error("no");
          },
        },
      ),
    ],
  ] as const) {
    it(`something that is no Error fails with a record of it: ${what}`, async () => {
      const { error, cause } = await failureOf((ctx) =>
        ctx.step("throws", () => {
          throw thrown;
        }),
      );
      expect(error).toMatchObject({ code: "run.failed", data: { steps: ["throws"] } });
      expect(cause).toBeInstanceOf(StepError);
      expect(cause.message.length).toBeGreaterThan(0);
    });
  }

  it("is caught as a StepError with name, code, data and cause, and the run goes on", async () => {
    const definition = second(async (ctx) => {
      try {
        await ctx.step("pay", () => {
          throw Object.assign(new TypeError("declined", { cause: new Error("card") }), {
            code: "CARD",
            data: { left: 3 },
          });
        });
      } catch (error) {
        const { name, message, code, data, cause, step } = error as StepError;
        return { name, message, code, data, cause: (cause as StepError).message, step, is: error instanceof StepError };
      }
      return "not thrown";
    });
    await using theatre = await stage([definition]);
    expect(await (await theatre.stemma.run(definition, undefined)).result()).toEqual({
      name: "TypeError",
      message: "declined",
      code: "CARD",
      data: { left: 3 },
      cause: "card",
      step: "pay",
      is: true,
    });
  });
});

describe("ctx in the wrong place", () => {
  it("inside a step is step.nested, and says what to use", async () => {
    const { cause } = await failureOf((ctx) => ctx.step("outer", () => ctx.step("inner", () => 1)));
    expect(cause.code).toBe("step.nested");
    expect(cause.message).toContain("ctx.scope");
  });

  it("outside its run is step.outside", async () => {
    let kept: Context | undefined;
    const definition = workflow({ name: "leaks" }, async (ctx) => {
      kept = ctx;
      return ctx.step("one", () => 1);
    });
    await using theatre = await stage([definition]);
    await (await theatre.stemma.run(definition, undefined)).result();
    expect(await errorOf((kept as Context).step("late", () => 2))).toMatchObject({ code: "step.outside" });
  });

  it("with a bad name, function, effect or list fails before anything is entered", async () => {
    for (const [call, code] of [
      [(ctx: Context) => ctx.step("", () => 1), "name.invalid"],
      [(ctx: Context) => ctx.step("a/b", () => 1), "name.invalid"],
      [(ctx: Context) => ctx.step("a", "not a function" as never), "step.invalid"],
      [(ctx: Context) => ctx.step("a", { effect: "twice" as never }, () => 1), "step.invalid"],
      [(ctx: Context) => ctx.map("a", "abc" as never, () => 1), "step.invalid"],
      [(ctx: Context) => ctx.map("a", [1], { concurrency: 0 }, () => 1), "step.invalid"],
      [(ctx: Context) => ctx.race({}), "step.invalid"],
      [(ctx: Context) => ctx.sleep("soon"), "duration.invalid"],
      [(ctx: Context) => ctx.sleep(new Date(Number.NaN)), "duration.invalid"],
    ] as const) {
      const { error, outline: events } = await failureOf(call);
      expect((error.cause as StepError).code).toBe(code);
      expect(events).toEqual(["run.created", "run.started", "step.succeeded good", "run.failed"]);
    }
  });
});

describe("workflows", () => {
  it("with one name and version are given once", () => {
    const one = workflow({ name: "one" }, async () => 1);
    const store = fresh();
    expect(() => new Stemma({ store, workflows: [one, one] })).toThrow(
      expect.objectContaining({ code: "workflow.duplicate" }),
    );
  });

  it("that are not known are named together with those that are", () => {
    const known = workflow({ name: "known" }, async () => 1);
    const stemma = new Stemma({ store: fresh(), workflows: [known], log: silent });
    expect(() => stemma.workflow("unknown")).toThrow(
      expect.objectContaining({ code: "workflow.not_found", message: expect.stringContaining("known") as string }),
    );
  });

  it("have a legal name, a whole version and a function", () => {
    expect(() => workflow({ name: "a|b" }, async () => 1)).toThrow(expect.objectContaining({ code: "name.invalid" }));
    expect(() => workflow({ name: "a", version: 1.5 }, async () => 1)).toThrow(
      expect.objectContaining({ code: "workflow.invalid" }),
    );
    expect(() => workflow({ name: "a" }, undefined as never)).toThrow(
      expect.objectContaining({ code: "workflow.invalid" }),
    );
  });

  it("whose version no worker has wait, and are worked on when one comes", async () => {
    const store = fresh();
    const client = new Stemma({ store, log: silent });
    const wanted = workflow({ name: "later", version: 2 }, async () => "done");
    const run = await client.run(wanted, undefined);
    {
      await using _old = await stage([workflow({ name: "later", version: 1 }, async () => "wrong")], { store });
      expect(await run.status()).toBe("queued");
    }
    await using _new = await stage([wanted], { store });
    expect(await run.result()).toBe("done");
    await client.stop();
  });
});

describe("options", () => {
  it("that would bring everything to a silent standstill are refused at once", async () => {
    const store = fresh();
    for (const [options, code] of [
      [{}, "usage.invalid"],
      [{ store, concurrency: 0 }, "usage.invalid"],
      [{ store, concurrency: Number.NaN }, "usage.invalid"],
      [{ store, lease: "1ms" }, "duration.invalid"],
      [{ store, workflows: [{}] }, "workflow.invalid"],
    ] as const) {
      expect(() => new Stemma(options as never)).toThrow(expect.objectContaining({ code }));
    }
    const stemma = new Stemma({ store, log: silent });
    const good = workflow({ name: "good" }, async () => 1);
    expect(await errorOf(stemma.run(undefined as never, undefined))).toMatchObject({ code: "workflow.invalid" });
    expect(await errorOf(stemma.run(good, undefined, { priority: Number.NaN }))).toMatchObject({
      code: "usage.invalid",
    });
    expect(await errorOf(stemma.run(good, undefined, { delay: "soon" }))).toMatchObject({ code: "duration.invalid" });
    expect((await stemma.list()).runs).toEqual([]);
  });
});

describe("a run", () => {
  it("that is not there is run.not_found, and what is no id is run.invalid_id", async () => {
    const stemma = new Stemma({ store: fresh(), log: silent });
    expect(await errorOf(stemma.get("run_00000000000000000000000000"))).toMatchObject({ code: "run.not_found" });
    for (const bad of ["", "run_1", "'; drop table runs; --", "run_0000000000000000000000000u"]) {
      expect(await errorOf(stemma.get(bad))).toMatchObject({ code: "run.invalid_id" });
    }
  });

  it("whose code no longer fits stops as a divergence, says what differs, and goes on when fitting code comes", async () => {
    let skipped = 0;
    const store = fresh({ now: () => Date.now() + skipped });
    let entered = 0;
    const gate = Promise.withResolvers<void>();
    const build = (first: string, input: number) =>
      workflow({ name: "changing" }, async (ctx) => {
        await ctx.step(first, { input: { n: input } }, () => (entered += 1));
        await gate.promise;
        return ctx.step("last", () => `${first} ${input}`);
      });
    const original = build("first", 1);
    const renamed = { ...build("renamed", 1), source: "renamed" };
    const reinput = { ...build("first", 2), source: "reinput" };
    const log = listening();
    const seams = { recallGraceMs: 50 };
    const one = await stage([original], { store }, seams);
    const run = await one.stemma.run(original, undefined);
    await waitFor(async () => (await run.history()).some((event) => event.type === "step.succeeded"));
    one.stemma.abandon();
    // The lease of the one that is gone runs out.
    skipped += 60_000;
    for (const [wrong, path] of [
      [renamed, undefined],
      [reinput, "$.n"],
    ] as const) {
      await using _other = await stage([wrong], { store, log }, seams);
      await waitFor(async () => (await store.list({ ids: [run.id] })).runs[0]?.state.refused === fingerprintOf(wrong));
      const last = (await run.history()).at(-1);
      expect(last).toMatchObject({
        type: "run.suspended",
        data: { reason: "divergence", detail: { recorded: ["first"] } },
      });
      if (path !== undefined)
        expect(last).toMatchObject({ data: { detail: { differences: [{ key: "first", path }] } } });
    }
    expect(entered).toBe(1);
    gate.resolve();
    expect(await errorOf(run.result())).toMatchObject({ code: "engine.stopped" });
    await using fitting = await stage([original], { store }, seams);
    expect(await (await fitting.stemma.get(run.id)).result()).toBe("first 1");
    expect(entered).toBe(1);
  });
});

async function waitFor(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5));
}
