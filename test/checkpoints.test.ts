/**
 * `ctx.checkpoint`: a run continues from its last state, at a cost that does not depend on how long it has been at
 * work; what is stored is what changed; and nothing of the history is lost.
 */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { components } from "../src/core/trace.ts";
import type { Digest } from "../src/core/event.ts";
import { reduceAll, workflow } from "../src/index.ts";
import type { Context, RunHandle, Store, Workflow } from "../src/index.ts";
import { utf8Length } from "../src/core/json.ts";
import { sha256 } from "../src/engine/hash.ts";
import { sqlite } from "../src/sqlite.ts";
import { fakeClock, faults } from "../src/testing.ts";
import type { FaultPoint } from "../src/testing.ts";
import { around } from "../src/testing/around.ts";
import type { Method } from "../src/testing/around.ts";
import { place } from "./environment.ts";
import { crashStride, errorOf, fresh, onPostgres, outline, stage, until } from "./stage.ts";

type Found = { page: number; found: string[] };

/** Text of a length, another one for each number. */
function noise(n: number, chars: number): string {
  let text = "";
  for (let i = 0; text.length < chars; i += 1) text += sha256(`${n} ${i}`);
  return text.slice(0, chars);
}

/** Reads pages, each a text of `chars`, with a checkpoint behind each. At `door` it stays until somebody crashes it. */
function crawl(pages: number, chars: number, door?: number, entered: number[] = []): Workflow<undefined, Found> {
  return workflow({ name: "crawl" }, async (ctx: Context<Found>) => {
    let state = ctx.restored ?? { page: 0, found: [] };
    while (state.page < pages) {
      const { page } = state;
      const text = await ctx.step("read", async () => {
        entered.push(page);
        if (page === door) await new Promise(() => {});
        return noise(page, chars);
      });
      state = { page: page + 1, found: [...state.found, text] };
      await ctx.checkpoint(state);
    }
    return state;
  });
}

/** What a run of `crawl` comes to. */
function crawled(pages: number, chars: number): Found {
  return { page: pages, found: Array.from({ length: pages }, (_, page) => noise(page, chars)) };
}

type Read = { calls: number; events: number; texts: number };
type Resumed = Read & { written: number };

/** The store, and how often and how much is read from it. */
function counting(store: Store): { store: Store; read: Read; written: Map<Digest, number> } {
  const read: Read = { calls: 0, events: 0, texts: 0 };
  const written = new Map<Digest, number>();
  const reading: readonly Method[] = ["history", "payloads", "feed"];
  const counted = around(
    store,
    async (call) => {
      const answer = await call.make();
      if (reading.includes(call.method)) read.calls += 1;
      if (call.method === "history") read.events += (answer as { events: unknown[] } | undefined)?.events.length ?? 0;
      if (call.method === "payloads") read.texts += (answer as Map<unknown, unknown>).size;
      if (call.method === "commit") {
        for (const { payloads } of call.args[0] as { payloads: { digest: Digest; text: string }[] }[]) {
          for (const { digest, text } of payloads) written.set(digest, utf8Length(text));
        }
      }
      return answer;
    },
    {},
  );
  return { store: counted, read, written };
}

/**
 * Lets a run of `crawl` get to a page in one process, and gives what the next one reads until it enters that page, and
 * what it writes for that page and the checkpoint behind it.
 */
async function resumedAt(page: number, chars: number): Promise<Resumed> {
  const [clock, store, first] = [fakeClock(), fresh(), [] as number[]];
  const dying = await stage([crawl(page + 1, chars, page, first)], { store, clock });
  const { id } = await dying.stemma.run(crawl(page + 1, chars), undefined);
  await until(() => first.at(-1) === page);
  dying.stemma.abandon();
  const entered: number[] = [];
  const seen = counting(store);
  await using next = await stage([crawl(page + 1, chars, undefined, entered)], { store: seen.store, clock });
  await clock.advance("15s");
  await until(() => entered.length > 0);
  const read = { ...seen.read };
  expect(await (await next.stemma.get(id)).result()).toEqual(crawled(page + 1, chars));
  expect(entered).toEqual([page]);
  const written = [...seen.written.values()].reduce((sum, bytes) => sum + bytes, 0);
  return { ...read, written };
}

describe("a run with checkpoints", () => {
  it("ends the same wherever it crashes, and enters no step again that is behind a checkpoint", async () => {
    const [pages, chars] = [4, 700];
    let [commit, unreached] = [1 - crashStride, 0];
    while (unreached < 2) {
      [commit, unreached] = [commit + crashStride, 0];
      for (const point of ["commit.before", "commit.after"] satisfies FaultPoint[]) {
        const [clock, first, entered] = [fakeClock(), faults(fresh()), [] as number[]];
        const definition = crawl(pages, chars, undefined, entered);
        first.crash(point, commit);
        const dying = await stage([definition], { store: first, clock });
        const run = await dying.stemma.run(definition, undefined);
        const ended = await Promise.race([run.result(), first.crashed]);
        dying.stemma.abandon();
        if (typeof ended !== "string") {
          unreached += 1;
          continue;
        }
        const store = first.next();
        await using next = await stage([definition], { store, clock });
        await clock.advance("15s");
        const found = await next.stemma.get(run.id);
        expect(await found.result(), `${point} ${commit}`).toEqual(crawled(pages, chars));
        expect(entered.toSorted().filter((page, i, all) => page !== all[i - 1])).toEqual([0, 1, 2, 3]);
        expect(entered.length, "at most the step in flight runs again").toBeLessThanOrEqual(pages + 1);
        const events = await found.history();
        expect(events.filter(({ type }) => type === "checkpoint")).toHaveLength(pages);
        expect(reduceAll(events).checkpoint?.count).toBe(pages);
        expect(components(await found.trace())).toBe(1);
        await store.close();
      }
    }
    expect(commit, "each step and each checkpoint is a commit of its own").toBeGreaterThan(2 * pages);
  });

  it("goes on behind a checkpoint in the same activation: steps, scopes and draws are counted anew, as after a crash", async () => {
    const said: unknown[][] = [];
    let entered = 0;
    const definition = workflow({ name: "counts" }, async (ctx: Context<{ n: number }>) => {
      for (let n = ctx.restored?.n ?? 0; n < 3; n += 1) {
        await ctx.step("a", () => n);
        await ctx.scope("s", () => ctx.step("a", () => n));
        await ctx.all({ x: () => ctx.step("b", () => n), y: () => ctx.step("b", () => n) });
        const drawn = [n, ctx.random(), ctx.uuid(), ctx.now()];
        await ctx.step("last", async () => {
          entered += 1;
          said.push(drawn);
          if (entered === 3) await new Promise(() => {});
        });
        await ctx.checkpoint({ n: n + 1 });
      }
    });
    const [clock, store] = [fakeClock(), fresh()];
    const dying = await stage([definition], { store, clock });
    const run = await dying.stemma.run(definition, undefined);
    await until(() => entered === 3);
    dying.stemma.abandon();
    await using next = await stage([definition], { store, clock });
    await clock.advance("15s");
    const found = await next.stemma.get(run.id);
    await found.result();
    const labels = (root: string): string[] =>
      ["a", "s/a", "x/b", "y/b", "last"].map((key) => `step.succeeded ${root}${key}`);
    const recorded = (await outline(found)).filter((line) => line.startsWith("step.succeeded"));
    expect(recorded).toEqual(["", "#1/", "#2/"].flatMap(labels));
    const events = await found.history();
    for (const [i, event] of events.entries()) {
      if (event.type === "checkpoint")
        expect(events.slice(i + 1).find(({ type }) => type !== "run.started")?.causes).toEqual([i]);
    }
    expect(said).toHaveLength(4);
    expect(said[3]).toEqual(said[2]);
    expect(new Set(said.map(([, random]) => random)).size).toBe(3);
    expect(components(await found.trace())).toBe(1);
  });

  it("is given its state as it was recorded: JSON, and never what the code did to it since", async () => {
    const restored: unknown[] = [];
    let entered = 0;
    const padding = noise(1, 4000);
    type State = { at: Date; list: number[]; padding: string; __proto__?: string };
    const definition = workflow({ name: "decoded" }, async (ctx: Context<State>) => {
      restored.push(ctx.restored);
      if (ctx.restored === undefined) {
        const state: State = { at: new Date(0), list: [1], padding };
        Object.defineProperty(state, "__proto__", { value: "own", enumerable: true });
        const recorded = ctx.checkpoint(state);
        state.list.push(2);
        await recorded;
      }
      await ctx.step("stay", () => ((entered += 1) === 1 ? new Promise(() => {}) : 1));
      return Object.keys(ctx.restored ?? {});
    });
    const [clock, store] = [fakeClock(), fresh()];
    const dying = await stage([definition], { store, clock });
    const run = await dying.stemma.run(definition, undefined);
    await until(() => entered === 1);
    dying.stemma.abandon();
    await using next = await stage([definition], { store, clock });
    await clock.advance("15s");
    expect(await (await next.stemma.get(run.id)).result()).toEqual(["__proto__", "at", "list", "padding"]);
    expect(restored[0]).toBeUndefined();
    expect(JSON.parse(JSON.stringify(restored[1]))).toEqual(
      JSON.parse(JSON.stringify({ at: "1970-01-01T00:00:00.000Z", list: [1], padding, ["__proto__"]: "own" })),
    );
    await store.close();
  });

  it("waits for the losers of a race, so that their ends are on record before it", async () => {
    const definition = workflow({ name: "races" }, async (ctx: Context<number>) => {
      if (ctx.restored !== undefined) return ctx.restored;
      const { key } = await ctx.race({
        slow: () =>
          ctx.step("slow", async (_, { abort }) => {
            await new Promise((resolve) => abort.addEventListener("abort", resolve));
            await new Promise((resolve) => setTimeout(resolve, 30));
          }),
        fast: () => ctx.step("fast", () => 1),
      });
      await ctx.checkpoint(1);
      return key;
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    expect(await run.result()).toBe("fast");
    const lines = await outline(run);
    const slow = lines.findLastIndex((line) => line.endsWith(" slow/slow"));
    expect(slow).toBeGreaterThan(0);
    expect(lines.indexOf("checkpoint")).toBeGreaterThan(slow);
  });
});

describe("a checkpoint is refused", () => {
  const never = (): Promise<never> => new Promise(() => {});
  const cases: [string, string[], (ctx: Context) => Promise<void>][] = [
    [
      "a step",
      ["busy"],
      async (ctx) => {
        void ctx.step("busy", never);
        await ctx.checkpoint(1);
      },
    ],
    [
      "a sleep",
      ["nap"],
      async (ctx) => {
        void ctx.sleep("nap", "1d");
        await ctx.checkpoint(1);
      },
    ],
    [
      "a scope in which nothing is asked for",
      ["quiet"],
      async (ctx) => {
        void ctx.scope("quiet", never);
        await ctx.checkpoint(1);
      },
    ],
    [
      "branches in which nothing is asked for",
      ["left, right"],
      async (ctx) => {
        void ctx.all({ left: never, right: never });
        await ctx.checkpoint(1);
      },
    ],
    ["the scope that it is asked for in", ["inner"], (ctx) => ctx.scope("inner", () => ctx.checkpoint(1))],
    [
      "the branch that it is asked for in",
      ["one"],
      async (ctx) => {
        await ctx.race({ one: () => ctx.checkpoint(1) });
      },
    ],
    [
      "another checkpoint",
      ["checkpoint"],
      async (ctx) => {
        void ctx.checkpoint(1);
        await ctx.checkpoint(2);
      },
    ],
  ];

  it.each(cases)("while something is open, and says what: %s", async (_, open, body) => {
    const definition = workflow({ name: "early" }, async (ctx) => {
      const error = await errorOf(body(ctx));
      return { code: error.code, open: error.data?.["open"], message: error.message };
    });
    await using theatre = await stage([definition], { abortGrace: 10 });
    const result = await (await theatre.stemma.run(definition, undefined)).result();
    expect(result).toMatchObject({ code: "checkpoint.not_quiescent", open });
    expect((result as { message: string }).message).toContain(open[0]);
  });

  it("and so is what is asked for, set or opened before it is on record: no later activation would ask for it", async () => {
    const asks: [string, (ctx: Context) => unknown][] = [
      ["step", (ctx) => ctx.step("late", () => 1)],
      ["map", (ctx) => ctx.map("late", [1], () => 1)],
      ["sleep", (ctx) => ctx.sleep(1)],
      ["scope", (ctx) => ctx.scope("late", () => 1)],
      ["set", (ctx) => ctx.set(["late"])],
      ["patched", (ctx) => ctx.patched("late")],
    ];
    const definition = workflow({ name: "hasty" }, async (ctx) => {
      const recorded = ctx.checkpoint(1);
      const codes: unknown[] = [];
      for (const [, ask] of asks) codes.push((await errorOf((async () => ask(ctx))())).code);
      await recorded;
      await ctx.step("after", () => 1);
      return codes;
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    expect(await run.result()).toEqual(asks.map(() => "checkpoint.not_quiescent"));
    expect((await outline(run)).filter((line) => /late|set|patched/.test(line))).toEqual([]);
  });

  it("in the code of a branch that has lost its race", async () => {
    const late = Promise.withResolvers<void>();
    const definition = workflow({ name: "loser" }, async (ctx) => {
      let refused: Promise<string | undefined> | undefined;
      const loser = async (): Promise<void> => {
        refused = late.promise.then(async () => (await errorOf(ctx.checkpoint("lost"))).code);
        await refused;
      };
      await ctx.race({ loser, winner: () => ctx.step("win", () => 1) });
      late.resolve();
      return refused;
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    expect(await run.result()).toBe("checkpoint.not_quiescent");
    expect(await outline(run)).not.toContain("checkpoint");
  });

  it("inside a step and an item of a map, and in the code of another run", async () => {
    let other: Context | undefined;
    const codes: (string | undefined)[] = [];
    const lender = workflow({ name: "lender" }, async (ctx) => {
      other = ctx;
      await ctx.sleep("1d");
    });
    const borrower = workflow({ name: "borrower" }, async (ctx) => {
      const note = async (call: () => Promise<void>): Promise<void> => void codes.push((await errorOf(call())).code);
      await ctx.step("in", () => note(() => ctx.checkpoint(1)));
      await ctx.map("each", [1], () => note(() => ctx.checkpoint(1)));
      await note(() => (other as Context).checkpoint(1));
      await note(() => ctx.checkpoint(1n));
      await note(() => ctx.checkpoint("x".repeat(33_554_431)));
    });
    await using theatre = await stage([lender, borrower]);
    const lent = await theatre.stemma.run(lender, undefined);
    await until(() => other !== undefined);
    await (await theatre.stemma.run(borrower, undefined)).result();
    expect(codes).toEqual(["step.nested", "step.nested", "step.outside", "json.not_serializable", "payload.too_large"]);
    expect(await outline(lent)).not.toContain("checkpoint");
  });
});

describe("a later activation", () => {
  it("costs the same after 2 checkpoints and after 200: it loads the last segment alone", async () => {
    const few = await resumedAt(2, 0);
    const many = await resumedAt(200, 0);
    expect(many.calls).toBeLessThanOrEqual(few.calls + 2);
    expect(many.events).toBeLessThanOrEqual(few.events);
    // What there is of the state is read: 200 empty texts are a few hundred bytes.
    expect(many.texts).toBeLessThanOrEqual(few.texts + 1);
  });

  it("reads a state of many parts in few calls, only what the current state consists of, and writes none of it again", async () => {
    const { calls, texts, written } = await resumedAt(600, 1000);
    expect(texts).toBeGreaterThan(600);
    expect(texts).toBeLessThan(1000);
    expect(calls).toBeLessThan(25);
    // The output of the run is the whole state once more.
    expect(written - 601 * 1003).toBeLessThan(5000);
  });

  it("does not forget the history: it is there from the first event to the last", async () => {
    await using theatre = await stage([crawl(50, 10)]);
    const run = await theatre.stemma.run(crawl(50, 10), undefined);
    await run.result();
    const events = await run.history();
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i));
    expect(events.filter(({ type }) => type === "step.succeeded")).toHaveLength(50);
    expect(components(await run.trace())).toBe(1);
  });
});

describe("what a run of 1,000 checkpoints stores", () => {
  it("is at most twice the useful bytes, each checkpoint appending 1 KB, and each is what its event says", async () => {
    const pages = onPostgres ? 200 : 1000;
    const [clock, seen] = [fakeClock(), counting(fresh())];
    const entered: number[] = [];
    const definition = crawl(pages, 1000, pages - 1, entered);
    const dying = await stage([definition], { store: seen.store, clock });
    const run = await dying.stemma.run(definition, undefined);
    await until(() => entered.length === pages);
    dying.stemma.abandon();
    const stored = [...seen.written.values()].reduce((sum, bytes) => sum + bytes, 0);
    expect(stored).toBeLessThanOrEqual(2 * 1000 * pages);
    await using next = await stage([crawl(pages, 1000)], { store: seen.store, clock });
    await clock.advance("15s");
    const found = await next.stemma.get(run.id);
    expect(await found.result()).toEqual(crawled(pages, 1000));
    const events = await found.history();
    const states = events.flatMap((event) => (event.type === "checkpoint" ? [event.data.state] : []));
    expect(states).toHaveLength(pages);
    for (const state of states.slice(2)) expect(JSON.stringify(state).length).toBeLessThan(150);
  });
});

describe("the parts of a state", () => {
  /** A file with a run that crashed behind its third checkpoint, whose state is of several parts. */
  async function crashed(): Promise<{ path: string; id: string }> {
    const path = join(place(), "stemma.db");
    const [store, entered] = [sqlite(path), [] as number[]];
    const theatre = await stage([crawl(4, 3000, 3, entered)], { store });
    const { id } = await theatre.stemma.run(crawl(4, 3000), undefined);
    await until(() => entered.length === 4);
    await theatre.stemma.stop({ timeout: 10 });
    await store.close();
    return { path, id };
  }

  async function resumed(path: string, id: string): Promise<{ run: RunHandle; detail: unknown; status: string }> {
    const store = sqlite(path);
    await using theatre = await stage([crawl(4, 3000)], { store });
    const run = await theatre.stemma.get(id);
    await until(async () => ["suspended", "succeeded"].includes(await run.status()));
    const last = (await run.history()).at(-1);
    const status = await run.status();
    return { run, status, detail: last?.type === "run.suspended" ? last.data.detail : undefined };
  }

  it("are found when all is well", async () => {
    const { path, id } = await crashed();
    expect(await resumed(path, id)).toMatchObject({ status: "succeeded" });
  });

  it.each([
    ["that is missing is payload.missing", "payload.missing", "delete from payloads where n = ?"],
    [
      "that was changed is store.corrupt",
      "store.corrupt",
      "update payloads set text = replace(text, '1', '2') where n = ?",
    ],
  ])("one of them %s, and the run is set aside", async (_, code, change) => {
    const { path, id } = await crashed();
    const file = new DatabaseSync(path);
    const all = file.prepare("select n, text from payloads").all();
    expect(all.length).toBeGreaterThan(5);
    // Large outputs of steps before the last checkpoint are payloads too, and nobody reads them again.
    const outputs = new Set(Array.from({ length: 4 }, (_none, page) => JSON.stringify(noise(page, 3000))));
    const parts = all.filter(({ text }) => !outputs.has(text as string)).map(({ n }) => n as number);
    file.prepare(change).run(parts.at(-1) as number);
    file.close();
    expect(await resumed(path, id)).toMatchObject({ status: "suspended", detail: { code } });
  });

  it("stay while a run remains that needs them, also one that wrote none of them first; then they go", async () => {
    const [clock, store] = [fakeClock(), fresh()];
    const entered: number[] = [];
    await using theatre = await stage([crawl(5, 3000, 4, entered)], { store, clock });
    const ended = workflow({ name: "ended" }, async (ctx: Context<Found>) => {
      for (let page = 1; page <= 4; page += 1) await ctx.checkpoint(crawled(page, 3000));
    });
    await using other = await stage([ended], { store, clock });
    const first = await other.stemma.run(ended, undefined);
    await first.result();
    const second = await theatre.stemma.run(crawl(5, 3000), undefined);
    await until(() => entered.length === 5);
    theatre.stemma.abandon();
    await clock.advance("1m");
    const all = await store.prune({ endedBefore: clock.now(), limit: 10, dryRun: true });
    expect(all.runs).toEqual([first.id]);
    await store.prune({ endedBefore: clock.now(), limit: 10 });
    {
      await using next = await stage([crawl(5, 3000)], { store, clock });
      await clock.advance("15s");
      expect(await (await next.stemma.get(second.id)).result()).toEqual(crawled(5, 3000));
    }
    await clock.advance("1m");
    const { runs, payloadBytes } = await store.prune({ endedBefore: clock.now(), limit: 10 });
    expect(runs).toEqual([second.id]);
    expect(payloadBytes).toBeGreaterThan(15_000);
    expect(await leftOver(store)).toBe(0);
    await store.close();
  });

  /** What is left of payloads that the store once had, by their digests. */
  async function leftOver(store: Store): Promise<number> {
    const digests = Array.from({ length: 5 }, (_, page) => sha256(JSON.stringify(noise(page, 3000))));
    return (await store.payloads(digests)).size;
  }
});
