/** Under the matching strategy "earliest": what makes two calls equal, so that both get one outcome. */
import { describe, expect, test } from "vitest";
import { parse } from "../../src/core/json.ts";
import { workflow } from "../../src/index.ts";
import type { Context, RunHandle } from "../../src/index.ts";
import { fresh, stage } from "../stage.ts";
import { World } from "./restart-world.ts";

const earliest = { matching: "earliest" } as const;

async function resultOf(made: Promise<RunHandle>): Promise<unknown> {
  return (await made).result();
}

describe("what makes two calls equal", () => {
  async function entered(first: unknown, second: unknown): Promise<string[]> {
    const world = new World();
    const wf = workflow({ name: "keys" }, (ctx, input: unknown) =>
      ctx.step("call", { input }, () => world.enter("call", 1)),
    );
    await using place = await stage([wf]);
    const run = await place.stemma.run(wf, first);
    await run.result();
    world.since();
    await resultOf(place.stemma.fork(run.id, { ...earliest, input: second }));
    return world.since();
  }

  test.each([
    ["the order of keys", { a: 1, b: 2 }, { b: 2, a: 1 }],
    ["white space and how a number is written", parse('{"a": 1.0}'), parse('{"a":1}')],
    ["the size", { text: "x".repeat(400_000) }, { text: "x".repeat(400_000) }],
  ])("%s does not matter", async (_, first, second) => {
    expect(await entered(first, second)).toEqual([]);
  });

  test.each([
    ["the order of a list", [1, 2], [2, 1]],
    ["null or nothing", { a: 1 }, { a: 1, b: null }],
    ["how a letter is composed", "é".normalize("NFC"), "é".normalize("NFD")],
    ["the last letter of a long text", `${"x".repeat(400_000)}a`, `${"x".repeat(400_000)}b`],
  ])("%s does", async (_, first, second) => {
    expect(await entered(first, second)).toEqual(["call"]);
  });

  test("of a key that is there twice the last counts; a number that is not exact is, here, refused", () => {
    expect(parse('{"a":1,"a":2}')).toEqual({ a: 2 });
    expect(() => parse("9007199254740993")).toThrow(/9007199254740993/);
  });

  test("the context counts for a call where it has one", async () => {
    const world = new World();
    const called = workflow({ name: "called" }, (ctx, n: number) =>
      ctx.step("work", { input: n, context: ["model"] }, () => world.enter("work", ctx.context ?? null)),
    );
    const wf = workflow({ name: "calls" }, async (ctx) => [await ctx.call(called, 1), await ctx.call(called, 1)]);
    await using place = await stage([wf, called]);
    const run = await place.stemma.run(wf, undefined, { context: { model: "x" } });
    await run.result();
    world.since();
    await resultOf(place.stemma.fork(run.id, { ...earliest, context: { model: "x" } }));
    expect(world.since()).toEqual([]);
    const other = await place.stemma.fork(run.id, { ...earliest, context: { model: "y" } });
    expect(await other.result()).toEqual([{ model: "y" }, { model: "y" }]);
  });

  test("code, place, attempt, tags and who asked do not count", async () => {
    const world = new World();
    let attempts = 0;
    let where = 0;
    const body = async (ctx: Context): Promise<void> => {
      await ctx.map("items", [where, where + 1], async () => {});
      for (let i = 0; i < where; i += 1) await ctx.step("before", { input: `before ${i}` }, () => {});
      await ctx.step("call", { input: 1, retry: { attempts: 2, delay: 1 } }, () => {
        attempts += 1;
        if (attempts === 1) throw new Error("once more");
        return world.enter("call", 1);
      });
    };
    const wf = workflow({ name: "elsewhere" }, body);
    await using store = fresh();
    let id: string;
    {
      await using place = await stage([wf], { store });
      const run = await place.stemma.run(wf, undefined, { tags: ["a"] });
      await run.result();
      ({ id } = run);
    }
    world.since();
    where = 3;
    await using place = await stage([{ ...wf, source: "newer code" }], { store });
    await resultOf(place.stemma.restart(id, { ...earliest, tags: ["b"], by: "somebody" }));
    expect(world.since()).toEqual([]);
    expect(attempts).toBe(2);
  });

  test("the version that a step's author gives it does, here, count", async () => {
    const world = new World();
    let version = 1;
    const wf = workflow({ name: "versions" }, (ctx) =>
      ctx.step("call", { input: 1, version }, () => world.enter("call", version)),
    );
    await using place = await stage([wf]);
    const run = await place.stemma.run(wf, undefined);
    await run.result();
    version = 2;
    expect(await resultOf(place.stemma.restart(run.id, earliest))).toBe(2);
  });
});
