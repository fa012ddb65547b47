/** What an editor infers: no `any` reaches a user, and what comes back from a record has the type of the record. */
import { describe, expectTypeOf, it } from "vitest";
import { z } from "zod";
import type { Context, Log, RunHandle, Stemma, StreamItem, Workflow } from "../src/index.ts";
import { workflow } from "../src/index.ts";

describe("types", () => {
  it("of input and output go from the schema through the run to its result", () => {
    const audit = workflow({ name: "audit", input: z.object({ dir: z.string() }) }, async (ctx, input) => {
      expectTypeOf(input).toEqualTypeOf<{ dir: string }>();
      const files = await ctx.step("list", { input: input.dir }, (dir) => {
        expectTypeOf(dir).toEqualTypeOf<string>();
        return [dir];
      });
      expectTypeOf(files).toEqualTypeOf<string[]>();
      const sizes = await ctx.map("size", files, { concurrency: 2 }, async (file, step) => {
        expectTypeOf(file).toEqualTypeOf<string>();
        expectTypeOf(step.idempotencyKey).toEqualTypeOf<string>();
        expectTypeOf(step.abort).toEqualTypeOf<AbortSignal>();
        return file.length;
      });
      expectTypeOf(sizes).toEqualTypeOf<number[]>();
      return { count: sizes.length };
    });
    type Started = Awaited<ReturnType<typeof start>>;
    const start = (stemma: Stemma) => stemma.run(audit, { dir: "node_modules" });
    expectTypeOf<Started>().toEqualTypeOf<RunHandle<{ count: number }>>();
    // @ts-expect-error the input must fit the schema
    const wrong = (stemma: Stemma) => stemma.run(audit, { dir: 7 });
    expectTypeOf(wrong).toBeFunction();
  });

  it("of a recorded value are those of its JSON: a Date is a string", () => {
    workflow({ name: "dates" }, async (ctx) => {
      const found = await ctx.step("look", () => ({ at: new Date(0), tags: ["a"] as const, none: undefined }));
      expectTypeOf(found.at).toEqualTypeOf<string>();
      expectTypeOf(found.tags).toEqualTypeOf<["a"]>();
    });
  });

  it("of a result are those of its JSON too", () => {
    const when = workflow({ name: "when" }, () => ({ at: new Date(0) }));
    const ask = async (stemma: Stemma) => (await stemma.run(when, undefined)).result();
    expectTypeOf<Awaited<ReturnType<typeof ask>>>().toEqualTypeOf<{ at: string }>();
  });

  it("of what is emitted, set and patched are what they take and give", () => {
    workflow({ name: "says" }, async (ctx) => {
      expectTypeOf(ctx.patched).toEqualTypeOf<(name: string) => boolean>();
      expectTypeOf(ctx.set).toEqualTypeOf<(tags: readonly string[]) => void>();
      expectTypeOf(ctx.emit).toEqualTypeOf<(stream: string, value: unknown) => void>();
      await ctx.step("ask", (_, step) => {
        expectTypeOf(step.emit).toEqualTypeOf<(stream: string, value: unknown) => void>();
        expectTypeOf(step.log).toEqualTypeOf<Log>();
      });
    });
  });

  it("of a stream's items are told apart by reset; without a type of one's own a value is unknown", () => {
    const tokens = (run: RunHandle) => run.stream<string>("tokens");
    expectTypeOf<ReturnType<typeof tokens>>().toEqualTypeOf<AsyncGenerator<StreamItem<string>>>();
    const show = (item: StreamItem<string>) => {
      expectTypeOf(item.position).toEqualTypeOf<number>();
      expectTypeOf(item.step).toEqualTypeOf<string>();
      if (item.reset) expectTypeOf(item.reset).toEqualTypeOf<true>();
      else expectTypeOf(item.value).toEqualTypeOf<string>();
    };
    expectTypeOf(show).toBeFunction();
    const bare = (run: RunHandle) => run.stream("tokens");
    expectTypeOf<ReturnType<typeof bare>>().toEqualTypeOf<AsyncGenerator<StreamItem>>();
  });

  it("of a checkpoint's state are said where ctx is declared, and what is restored has the type of the record", () => {
    type State = { at: Date; found: string[] };
    const crawl = workflow({ name: "crawl" }, async (ctx: Context<State>, input: { url: string }) => {
      expectTypeOf(ctx.restored).toEqualTypeOf<{ at: string; found: string[] } | undefined>();
      expectTypeOf(ctx.checkpoint).parameters.toEqualTypeOf<
        [state: State, options?: { carryWaits?: boolean } | undefined]
      >();
      return [input.url];
    });
    expectTypeOf(crawl).toEqualTypeOf<Workflow<{ url: string }, string[]>>();
    workflow({ name: "loop" }, async (ctx: Context<{ page: number; found: string[] }>) => {
      let state = ctx.restored ?? { page: 0, found: [] };
      expectTypeOf(state).toEqualTypeOf<{ page: number; found: string[] }>();
      const { page, found } = state;
      state = await ctx.step("page", () => ({ page: page + 1, found: [...found, "text"] }));
      await ctx.checkpoint(state);
      // @ts-expect-error the state must be of the type that was said
      await ctx.checkpoint({ page: "1" });
    });
    workflow({ name: "untyped" }, async (ctx) => {
      expectTypeOf(ctx.restored).toEqualTypeOf<unknown>();
      await ctx.checkpoint({ any: "JSON" });
    });
  });

  it("of branches are kept: all gives each its own, race tells them apart by key", () => {
    workflow({ name: "branches" }, async (ctx) => {
      const both = await ctx.all({ n: () => ctx.step("n", () => 1), s: async () => "s" });
      expectTypeOf(both).toEqualTypeOf<{ n: number; s: string }>();
      const won = await ctx.race({ n: () => ctx.step("m", () => 1), nap: () => ctx.sleep("1d") });
      if (won.key === "n") expectTypeOf(won.value).toEqualTypeOf<number>();
      else expectTypeOf(won.value).toEqualTypeOf<void>();
    });
  });
});
