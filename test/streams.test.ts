/** Streams of a run: what steps and bodies emit reaches whoever follows, resumable, with a reset where a step begins anew. */
import { describe, expect, it } from "vitest";
import type { Store, StreamItem } from "../src/index.ts";
import { workflow } from "../src/index.ts";
import { limits } from "../src/core/limits.ts";
import { errorOf, fresh, stage, until } from "./stage.ts";

/** A store whose clock can be moved on, so that the lease of a worker that is gone runs out. */
function movable(): { store: Store; skip(ms: number): void } {
  let skipped = 0;
  return {
    store: fresh({ now: () => Date.now() + skipped }),
    skip: (ms) => void (skipped += ms),
  };
}

async function all<T>(items: AsyncIterable<StreamItem<T>>): Promise<StreamItem<T>[]> {
  const found: StreamItem<T>[] = [];
  for await (const item of items) found.push(item);
  return found;
}

/** What is said at a glance: who emitted what. */
const shown = (item: StreamItem): string =>
  `${item.step}/${item.attempt} ${item.reset === true ? "reset" : JSON.stringify(item.value)}`;

async function stored(store: Store, run: string): Promise<number> {
  return ((await store.feed({ run, stream: "tokens", after: 0, limit: 99 })).values ?? []).length;
}

describe("a stream", () => {
  it("gives what the body and its steps emit, with the step and the attempt, in order, until the run ends", async () => {
    const talks = workflow({ name: "talks" }, async (ctx) => {
      ctx.emit("tokens", "begin");
      await ctx.step("ask", (_, step) => {
        for (const token of ["a", { b: 1 }, null]) step.emit("tokens", token);
      });
      await ctx.scope("more", () => ctx.step("ask", (_, step) => step.emit("other", true)));
      ctx.emit("tokens", "end");
    });
    await using theatre = await stage([talks]);
    const run = await theatre.stemma.run(talks, undefined);
    const items = await all(run.stream("tokens"));
    expect(items.map(shown)).toEqual(['/1 "begin"', 'ask/1 "a"', 'ask/1 {"b":1}', "ask/1 null", '/1 "end"']);
    expect((await all(run.stream("other"))).map(shown)).toEqual(["more/ask/1 true"]);
    expect(await all(run.stream("nothing"))).toEqual([]);
    for (const [i, { position }] of items.entries()) {
      expect(await all(run.stream("tokens", { after: position }))).toEqual(items.slice(i + 1));
    }
  });

  it("is read while the run works, and nobody waits for its values", async () => {
    const gate = Promise.withResolvers<void>();
    const slow = workflow({ name: "slow" }, (ctx) =>
      ctx.step("ask", async (_, step) => {
        step.emit("tokens", 1);
        await gate.promise;
        step.emit("tokens", 2);
      }),
    );
    await using theatre = await stage([slow]);
    const run = await theatre.stemma.run(slow, undefined);
    const items = run.stream<number>("tokens");
    expect((await items.next()).value).toMatchObject({ value: 1 });
    gate.resolve();
    expect((await items.next()).value).toMatchObject({ value: 2 });
    expect((await items.next()).done).toBe(true);
  });

  it("says reset before what a step emits that a crash cut off, although nothing of it was on record", async () => {
    const { store, skip } = movable();
    let entered = 0;
    const gone = Promise.withResolvers<void>();
    const cut = workflow({ name: "cut" }, async (ctx) => {
      ctx.emit("tokens", "body");
      await ctx.step("ask", async (_, step) => {
        entered += 1;
        step.emit("tokens", `half of ${entered}`);
        if (entered === 1) await gone.promise;
        step.emit("tokens", `whole of ${entered}`);
      });
      ctx.emit("tokens", "body again");
    });
    const first = await stage([cut], { store });
    const run = await first.stemma.run(cut, undefined);
    await until(async () => (await stored(store, run.id)) === 2);
    first.stemma.abandon();
    // A process that has lost its run may work on for a while; nobody hears of it any more.
    gone.resolve();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect((await run.history()).map((event) => event.type)).toEqual(["run.created", "run.started"]);
    skip(60_000);
    await using second = await stage([cut], { store });
    const items = await all((await second.stemma.get(run.id)).stream("tokens"));
    expect(items.map(shown)).toEqual([
      '/1 "body"',
      'ask/1 "half of 1"',
      "ask/1 reset",
      'ask/1 "half of 2"',
      'ask/1 "whole of 2"',
      '/1 "body again"',
    ]);
  });

  it("keeps its latest values, also of those that wait for a store; a reader goes on where it was", async () => {
    const many = workflow({ name: "many" }, (ctx) =>
      ctx.step("ask", (_, step) => {
        step.emit("other", "few");
        for (let i = 0; i < 3 * limits.streamValuesMax; i += 1) step.emit("tokens", i);
      }),
    );
    await using theatre = await stage([many]);
    const run = await theatre.stemma.run(many, undefined);
    const values = (await all(run.stream<number>("tokens"))).map((item) => item.value);
    const { streamValuesMax: max } = limits;
    expect(values).toEqual(Array.from({ length: max }, (_, i) => 2 * max + i));
    expect((await all(run.stream("other"))).map(shown)).toEqual(['ask/1 "few"']);
  });

  it("refuses what is no JSON, and what cannot be a name, at the call; caught there, the step goes on", async () => {
    const wrong: [unknown, unknown, string][] = [
      ["tokens", undefined, "json.not_serializable"],
      ["tokens", Number.NaN, "json.not_serializable"],
      ["tokens", () => 1, "json.not_serializable"],
      ["tokens", "x".repeat(limits.payloadBytesMax), "payload.too_large"],
      ["a/b", 1, "name.invalid"],
      [7, 1, "name.invalid"],
    ];
    const tries = workflow({ name: "tries" }, async (ctx) => {
      const codes = (emit: (stream: string, value: unknown) => void): unknown[] =>
        wrong.map(([stream, value]) => {
          try {
            emit(stream as string, value);
            return "taken";
          } catch (error) {
            return (error as { code?: string }).code;
          }
        });
      return [await ctx.step("ask", (_, step) => codes(step.emit)), codes(ctx.emit)];
    });
    await using theatre = await stage([tries]);
    const expected = wrong.map(([, , code]) => code);
    const run = await theatre.stemma.run(tries, undefined);
    expect(await run.result()).toEqual([expected, expected]);
    expect(await all(run.stream("tokens"))).toEqual([]);
  });

  it("takes nothing from a step that is over, nor from a run that is", async () => {
    const ended = Promise.withResolvers<void>();
    const said: string[] = [];
    const leaves = workflow({ name: "leaves" }, async (ctx) => {
      let late = (_stream: string, _value: unknown): void => {};
      await ctx.step("ask", (_, step) => {
        late = step.emit;
        late("tokens", "in time");
      });
      late("tokens", "after the step");
      void ended.promise.then(() => {
        late("tokens", "after the end");
        ctx.emit("tokens", "after the end");
        said.push("both");
      });
    });
    await using theatre = await stage([leaves]);
    const run = await theatre.stemma.run(leaves, undefined);
    await run.result();
    ended.resolve();
    await until(() => said.length > 0);
    // What was taken would come with the next flush, and this run is behind it.
    await (await theatre.stemma.run(leaves, undefined)).result();
    expect((await all(run.stream("tokens"))).map(shown)).toEqual(['ask/1 "in time"']);
  });

  it("of a step is the step's own: ctx.emit inside it says so", async () => {
    const nested = workflow({ name: "nested" }, (ctx) => ctx.step("ask", () => ctx.emit("tokens", 1)));
    await using theatre = await stage([nested]);
    const error = await errorOf((await theatre.stemma.run(nested, undefined)).result());
    expect(error.cause).toMatchObject({ code: "step.nested", message: expect.stringContaining("step.emit") as string });
  });

  it("of no run, under no name, or behind no position is an error", async () => {
    await using theatre = await stage([]);
    const quiet = workflow({ name: "quiet" }, () => 1);
    const run = await theatre.stemma.run(quiet, undefined);
    expect(() => run.stream("a/b")).toThrow(expect.objectContaining({ code: "name.invalid" }));
    expect(() => run.stream("tokens", { after: -1 })).toThrow(expect.objectContaining({ code: "usage.invalid" }));
  });
});
