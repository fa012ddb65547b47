/**
 * Random families, pruned at random: every run that stays verifies, replays and can be forked, nothing that something leads
 * to is lost, and nothing else stays.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Stemma, workflow } from "../src/index.ts";
import type { Context, RunId, Store } from "../src/index.ts";
import { payloadRefsOf } from "../src/core/references.ts";
import type { Commit, NewRun, Payload, RunRow } from "../src/store/store.ts";
import { replay } from "../src/testing.ts";
import { around } from "../src/testing/around.ts";
import { errorOf, fresh, onPostgres, silent } from "./stage.ts";

type Input = { n: number; fails: boolean };

const leaf = workflow({ name: "leaf" }, (ctx, n: number) => ctx.step("leaf", { input: n }, () => `${n} `.repeat(1500)));
const tree = workflow({ name: "tree" }, async (ctx: Context<{ big: string }>, input: Input) => {
  if (ctx.restored === undefined) {
    const shared = await ctx.step("shared", { input: 0 }, () => "the same in all ".repeat(200));
    await ctx.step("own", { input: input.n }, () => `${input.n}: ${shared}`);
    const called = await ctx.call(leaf, input.n % 3);
    await ctx.checkpoint({ big: `${called}${input.n}` });
  }
  return ctx.step("end", { input }, () => {
    if (input.fails) throw new Error("as it was told");
    return input.n;
  });
});

type Move = { how: "run" | "restart" | "fork"; from: number; n: number; fails: boolean; old: boolean; golden: boolean };
const moves = fc.array(
  fc.record<Move>({
    how: fc.constantFrom("run", "restart", "fork", "fork"),
    from: fc.nat(20),
    n: fc.nat(4),
    fails: fc.boolean(),
    old: fc.boolean(),
    golden: fc.nat(9).map((n) => n === 0),
  }),
  { minLength: 1, maxLength: 8 },
);

const later = (): Date => new Date(Date.now() + 3_600_000);

async function rowsOf(store: Store): Promise<RunRow[]> {
  return [...(await store.list({ limit: 200 })).runs];
}

async function grow(stemma: Stemma, list: readonly Move[]): Promise<void> {
  const made: RunId[] = [];
  for (const { how, from, n, fails, old, golden } of list) {
    const source = made[from % Math.max(made.length, 1)];
    const tags = old ? ["old"] : ["new"];
    const change = { tags, reason: "because" };
    const run =
      source === undefined || how === "run"
        ? await stemma.run(tree, { n, fails }, { tags })
        : how === "restart"
          ? await stemma.restart(source, change)
          : await stemma.fork(source, { ...change, input: { n, fails } });
    await run.result().catch(() => {});
    made.push(run.id);
    if (golden) await stemma.golden(run.id, { name: `golden ${made.length}` });
  }
}

/** The tags that a run is taken by: its own, or of a called one those of its caller. */
function tagsOf({ state }: RunRow, rows: readonly RunRow[]): readonly string[] {
  const { origin } = state;
  const caller = origin.kind === "child" ? origin.run : "caller" in origin ? origin.caller?.run : undefined;
  const above = rows.find(({ id }) => id === caller);
  return above === undefined ? state.tags : tagsOf(above, rows);
}

/** Those that must stay, found by going from each that stays to all that it needs, again and again. */
function expectedOf(rows: readonly RunRow[]): Set<RunId> {
  const goes = (row: RunRow): boolean => tagsOf(row, rows).includes("old");
  const stays = new Set(rows.filter((row) => !goes(row)).map(({ id }) => id));
  for (let before = -1; before !== stays.size;) {
    before = stays.size;
    for (const { id, state } of rows) {
      const { origin } = state;
      if (!("run" in origin)) continue;
      if (stays.has(id)) stays.add(origin.run);
      const caller = origin.kind === "child" ? origin.run : "caller" in origin ? origin.caller?.run : undefined;
      if (caller !== undefined && stays.has(id)) stays.add(caller);
      if (caller !== undefined && stays.has(caller)) stays.add(id);
    }
  }
  return stays;
}

/** What stays is whole: it verifies, what has a body fits its history, and it can be forked. */
async function expectWhole(stemma: Stemma, store: Store, stays: ReadonlySet<RunId>): Promise<void> {
  const rows = await rowsOf(store);
  expect(new Set(rows.map(({ id }) => id))).toEqual(stays);
  expect(await stemma.verify()).toMatchObject({ ok: true, flaws: [] });
  const living = rows.filter(({ state }) => state.workflow === "tree").map(({ id }) => id);
  if (living.length === 0) return;
  expect((await replay({ store, runs: living }, tree)).findings).toEqual([]);
  for (const id of living) {
    const fork = await stemma.fork(id, { input: { n: 1, fails: false }, tags: ["fork"] });
    expect(await fork.result()).toBe(1);
  }
  expect((await stemma.verify()).flaws).toEqual([]);
}

/** A store of which is known which values each run brought to it. */
function noting<S extends Store>(store: S): { store: S; brought: Map<RunId, Set<string>> } {
  const brought = new Map<RunId, Set<string>>();
  const note = (run: RunId, payloads: readonly Payload[]): void => {
    const known = brought.get(run) ?? new Set();
    for (const { digest } of payloads) known.add(digest);
    brought.set(run, known);
  };
  const noted = around(
    store,
    ({ method, args: [given], make }) => {
      const created = method === "create" ? (given as NewRun[]) : [];
      for (const part of method === "commit" ? (given as Commit[]) : []) {
        note(part.run, part.payloads);
        created.push(...(part.create ?? []));
      }
      for (const { id, payloads } of created) note(id, payloads);
      return make();
    },
    {},
  );
  return { store: noted, brought };
}

/** Of all values that ever were, those are there that a run which is there brought or names. */
async function expectOwned(stemma: Stemma, store: Store, brought: ReadonlyMap<RunId, Set<string>>): Promise<void> {
  const owned = new Set<string>();
  for (const { id } of await rowsOf(store)) {
    for (const digest of brought.get(id) ?? []) owned.add(digest);
    for (const event of await stemma.history(id)) for (const { digest } of payloadRefsOf(event)) owned.add(digest);
  }
  const all = new Set([...brought.values()].flatMap((digests) => [...digests]));
  const found = await store.payloads([...all]);
  expect([...found.keys()].toSorted()).toEqual([...owned].toSorted());
}

describe("prune", () => {
  it("property: takes exactly what nothing that stays leads to, and gives all of its space back", async () => {
    await fc.assert(
      fc.asyncProperty(moves, async (list) => {
        await using under = fresh();
        const { store, brought } = noting(under);
        await using stemma = await new Stemma(
          { store, workflows: [leaf, tree], log: silent },
          { lingerMs: 10 },
        ).start();
        await grow(stemma, list);
        const before = await rowsOf(store);
        const stays = expectedOf(before);
        const counted = await stemma.prune({ olderThan: later(), tag: "old", dryRun: true });
        expect(await rowsOf(store)).toHaveLength(before.length);
        const pruned = await stemma.prune({ olderThan: later(), tag: "old" });
        expect(pruned.runs).toBe(before.length - stays.size);
        expect(counted).toEqual(pruned);
        await expectOwned(stemma, store, brought);
        await expectWhole(stemma, store, stays);
        for (const { run } of await stemma.goldens()) await stemma.ungolden({ run });
        await stemma.prune({ olderThan: later() });
        expect(await rowsOf(store)).toEqual([]);
        await expectOwned(stemma, store, brought);
      }),
      { numRuns: onPostgres ? 4 : 25 },
    );
  });

  it("refuses statuses of runs that have not ended, and what is no time", async () => {
    await using store = fresh();
    const stemma = new Stemma({ store });
    expect((await errorOf(stemma.prune({ olderThan: "1d", status: ["running"] }))).code).toBe("usage.invalid");
    expect((await errorOf(stemma.prune({ olderThan: "soon" }))).code).toBe("duration.invalid");
    expect(await stemma.prune({ olderThan: "1d" })).toEqual({ runs: 0, events: 0, payloadBytes: 0, kept: 0 });
  });
});
