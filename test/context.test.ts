/** What a workflow says of itself: tags that the list finds, and log lines that say where they come from. */
import { describe, expect, it } from "vitest";
import type { Log, RunHandle, Stemma, Store } from "../src/index.ts";
import { workflow } from "../src/index.ts";
import { limits } from "../src/core/limits.ts";
import { errorOf, fresh, listening, stage, until } from "./stage.ts";

async function tagged(stemma: Stemma, tag: string): Promise<string[]> {
  return (await stemma.list({ tag })).runs.map(({ id }) => id);
}

async function sets(run: RunHandle): Promise<string[][]> {
  return (await run.history()).flatMap((event) => (event.type === "run.set" ? [event.data.tags] : []));
}

/** A store that dies at a commit which holds a tag: it is applied, or not, and nobody hears of it. */
function dyingAt(store: Store, tag: string, applied: boolean, died: () => void): Store {
  const never = new Promise<never>(() => {});
  let dead = false;
  return new Proxy(store, {
    get(target, method) {
      const value = Reflect.get(target, method) as unknown;
      if (method === "onWake") return undefined;
      if (typeof value !== "function") return value;
      return async (...args: unknown[]) => {
        if (dead) return never;
        dead = method === "commit" && JSON.stringify(args).includes(tag);
        if (dead && applied) await (value as (...a: unknown[]) => Promise<unknown>).apply(target, args);
        if (!dead) return (value as (...a: unknown[]) => unknown).apply(target, args);
        died();
        return never;
      };
    },
  });
}

describe("ctx.set", () => {
  it("replaces the tags of the run, and the list finds it by those it has now", async () => {
    const tags = workflow({ name: "tags" }, async (ctx) => {
      ctx.set(["early", "both", "both"]);
      await ctx.step("one", () => 1);
      ctx.set(["late", "both"]);
    });
    await using theatre = await stage([tags]);
    const run = await theatre.stemma.run(tags, undefined, { tags: ["given"] });
    await run.result();
    expect(await sets(run)).toEqual([
      ["early", "both"],
      ["late", "both"],
    ]);
    expect((await theatre.stemma.row(run.id)).state.tags).toEqual(["late", "both"]);
    for (const tag of ["late", "both"]) expect(await tagged(theatre.stemma, tag)).toEqual([run.id]);
    for (const tag of ["early", "given"]) expect(await tagged(theatre.stemma, tag)).toEqual([]);
  });

  it.each([
    ["before it", "second", false],
    ["behind it", "second", true],
    ["before the last of three in a row", "third", false],
  ])("is recorded once for each call, whatever crashes: %s", async (_, tag, applied) => {
    let skipped = 0;
    const store = fresh({ now: () => Date.now() + skipped });
    const counts = workflow({ name: "counts" }, async (ctx) => {
      ctx.set(["first"]);
      await ctx.step("one", () => 1);
      ctx.set(["second"]);
      await new Promise((resolve) => setImmediate(resolve));
      ctx.set(["third"]);
      ctx.set(["fourth"]);
      await ctx.step("two", () => 2);
      ctx.set(["fifth"]);
    });
    const died = Promise.withResolvers<void>();
    const first = await stage([counts], { store: dyingAt(store, tag, applied, died.resolve) });
    const run = await first.stemma.run(counts, undefined);
    await died.promise;
    first.stemma.abandon();
    skipped = 60_000;
    await using second = await stage([counts], { store });
    await (await second.stemma.get(run.id)).result();
    const found = await second.stemma.get(run.id);
    expect(await sets(found)).toEqual([["first"], ["second"], ["third"], ["fourth"], ["fifth"]]);
  });

  it("refuses what cannot be tags, and too many; so does starting a run", async () => {
    const wrong: unknown[] = ["eu", ["a/b"], [7], [""], Array.from({ length: limits.tagsMax + 1 }, (_, i) => `t${i}`)];
    const refused = workflow({ name: "refused" }, (ctx) =>
      wrong.map((tags) => {
        try {
          ctx.set(tags as string[]);
          return "taken";
        } catch (error) {
          return (error as { code?: string }).code;
        }
      }),
    );
    await using theatre = await stage([refused]);
    const run = await theatre.stemma.run(refused, undefined, { tags: ["kept"] });
    const codes = ["name.invalid", "name.invalid", "name.invalid", "name.invalid", "limit.exceeded"];
    expect(await run.result()).toEqual(codes);
    expect((await theatre.stemma.row(run.id)).state.tags).toEqual(["kept"]);
    for (const [i, tags] of wrong.entries()) {
      const error = await errorOf(theatre.stemma.run(refused, undefined, { tags: tags as string[] }));
      expect(error.code).toBe(codes[i]);
    }
  });
});

describe("a log line", () => {
  it("says run, workflow, step and attempt beside what it is given, and is not written again in recall", async () => {
    let skipped = 0;
    const store = fresh({ now: () => Date.now() + skipped });
    let hang = true;
    const logs = workflow({ name: "logs" }, async (ctx) => {
      ctx.log.info("begin", { n: 1, run: "mine" });
      await ctx.scope("s", () => ctx.step("one", (_, step) => step.log.warn("in it", { m: 2 })));
      ctx.log.debug("between");
      await ctx.step("two", () => (hang ? new Promise(() => {}) : 2));
      ctx.log.error("end");
    });
    const log = listening();
    const first = await stage([logs], { store, log });
    const run = await first.stemma.run(logs, undefined);
    await until(() => log.lines.some((line) => line.startsWith("debug between")));
    first.stemma.abandon();
    [skipped, hang] = [60_000, false];
    await using second = await stage([logs], { store, log });
    await (await second.stemma.get(run.id)).result();
    const from = { run: run.id, workflow: "logs" };
    const own = log.lines.filter((line) => /^\w+ (begin|in it|between|end) /.test(line));
    const line = (text: string, data: object): string => `${text} ${JSON.stringify(data)}`;
    expect(own.map((one) => one.replace(/"step":"s\/one","attempt":1,|"m":2,/g, ""))).toEqual([
      `info begin {"n":1,"run":"${run.id}","workflow":"logs"}`,
      line("warn in it", from),
      line("debug between", from),
      line("error end", from),
    ]);
    const inStep = JSON.parse(own[1]?.slice("warn in it ".length) ?? "") as unknown;
    expect(inStep).toEqual({ m: 2, ...from, step: "s/one", attempt: 1 });
  });

  it("never throws, whatever it is given and whatever the logger does", async () => {
    const hostile = new Proxy(
      {},
      {
        ownKeys: () => {
          throw new Error("no keys");
        },
      },
    );
    const circular: Record<string, unknown> = {};
    circular["self"] = circular;
    const given: unknown[] = [
      hostile,
      circular,
      { n: 1n },
      null,
      "text",
      [1],
      Symbol("s"),
      () => 1,
      {
        get a(): never {
          throw new Error("no a");
        },
      },
    ];
    const throwing = (): never => {
      throw new Error("the disk of the log is full");
    };
    const loggers: (Log | undefined)[] = [
      listening(),
      { debug: throwing, info: throwing, warn: throwing, error: throwing },
    ];
    const says = workflow({ name: "says" }, async (ctx) => {
      for (const data of given) ctx.log.warn("x", data as Record<string, unknown>);
      ctx.log.info(hostile as unknown as string);
      await ctx.step("one", (_, step) => {
        for (const data of given) step.log.error(Symbol("m") as unknown as string, data as Record<string, unknown>);
      });
      return "unharmed";
    });
    for (const log of loggers) {
      await using theatre = await stage([says], log === undefined ? {} : { log });
      expect(await (await theatre.stemma.run(says, undefined)).result()).toBe("unharmed");
    }
  });
});
