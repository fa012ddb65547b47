/**
 * The invariants that speak of restarts, forks and reuse, each held against one family in which there is everything that
 * a family can have: answers, refused answers, crashes, state checkpoints with several forks from one, failures,
 * restarts of restarts, called runs that were restarted inside of their callers, outputs given, things done once.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { components, trace, workflow } from "../src/index.ts";
import type { Context, Event, RunHandle, Stemma, Store, Trace } from "../src/index.ts";
import { storeAt } from "./place.ts";
import { rowsAt } from "./rows.ts";
import { errorOf, newPlace, stage, until } from "./stage.ts";

type State = { page: number; read: string[] };
const pagesMax = 3;
/** What the steps do just now, and what was entered. */
const world = {
  summary: "breaks",
  score: "breaks",
  entered: [] as string[],
  hangs: undefined as (() => void) | undefined,
};

const score = workflow({ name: "score" }, async (ctx, text: string) => {
  const words = await ctx.step("count", { input: text }, (all) => all.length);
  return ctx.step("weigh", { input: words }, (n) => {
    if (world.score === "breaks") throw new Error("no scales");
    return n * 2;
  });
});

const crawl = workflow({ name: "crawl" }, async (ctx: Context<State>, { site }: { site: string }) => {
  let state = ctx.restored ?? { page: 0, read: [] };
  while (state.page < pagesMax) {
    const { page } = state;
    const read = await ctx.step("read", { input: { site, page } }, () => `${site} ${page} ${"x".repeat(3000)}`);
    state = { page: page + 1, read: [...state.read, read] };
    await ctx.checkpoint(state);
  }
  const ok = await ctx.wait<{ go: boolean }>("ok", { input: site, schema: goSchema });
  const sent = await ctx.step("announce", { input: site, effect: "once" }, (to) => {
    world.entered.push(`announce ${to}`);
    return `told ${to}`;
  });
  const [rated, tags] = await Promise.all([
    ctx.call(score, state.read.join()),
    ctx.map("tag", state.read, (text) => text.slice(0, 4)),
  ]);
  return ctx.step("summarise", { input: { ok, sent, rated, tags } }, async (all) => {
    if (world.hangs !== undefined) await new Promise<void>(() => world.hangs?.());
    if (world.summary === "breaks") throw new Error("no ink");
    return JSON.stringify(all);
  });
});

const goSchema = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value: unknown) =>
      typeof value === "object" && value !== null && "go" in value
        ? { value: value as { go: boolean } }
        : { issues: [{ message: "expected go" }] },
  },
} as const;

const folder = mkdtempSync(join(tmpdir(), "stemma-"));
const place = newPlace(folder);
let skipped = 0;
let store: Store;
let stemma: Stemma;
let leave: () => Promise<void>;
/** The runs of the family by what became of them, in the order in which they were made. */
const runs = new Map<string, RunHandle>();
let stranger: RunHandle;

async function begin(): Promise<void> {
  const work = await stage([crawl, score], { store, lease: "2s" });
  ({ stemma } = work);
  leave = () => work[Symbol.asyncDispose]();
}

/** By a handle of whoever works on it now: the one that it was made with may be of a worker that is gone. */
const ends = async (run: RunHandle): Promise<unknown> => (await stemma.get(run.id)).result().catch(() => undefined);
const made = (name: string): RunHandle => runs.get(name) as RunHandle;

async function answer(run: RunHandle): Promise<void> {
  const open = async (): Promise<string | undefined> =>
    (await stemma.waits()).waits.find((wait) => wait.run === run.id)?.key;
  await until(async () => (await open()) !== undefined);
  const key = (await open()) ?? "";
  expect((await errorOf(stemma.resume(run.id, key, "maybe"))).code).toBe("wait.invalid_answer");
  await stemma.resume(run.id, key, { go: true });
}

const checkpointsOf = async (run: RunHandle): Promise<Event[]> =>
  (await run.history()).filter(({ type }) => type === "checkpoint");

beforeAll(async () => {
  store = storeAt(place, { now: () => Date.now() + skipped });
  await begin();
  const keep = async (name: string, making: Promise<RunHandle>): Promise<RunHandle> => {
    const run = await making;
    runs.set(name, run);
    return run;
  };
  const first = await keep("first", stemma.run(crawl, { site: "a" }));
  await answer(first);
  await ends(first);
  const second = (await checkpointsOf(first))[1]?.seq ?? 0;
  // Twice from one checkpoint, and once from where one of those went on.
  const fork = await keep("fork", stemma.fork(first.id, { checkpoint: second }));
  await keep("fork again", stemma.fork(first.id, { checkpoint: second }));
  await Promise.all(["fork", "fork again"].map((name) => answer(made(name)).then(() => ends(made(name)))));
  await ends(await keep("restart that fails", stemma.restart(first.id)));
  world.score = "works";
  // A worker dies in the midst of it, and another goes on.
  const reached = new Promise<void>((resolve) => (world.hangs = resolve));
  const crashed = await keep("restart that crashes", stemma.restart(made("restart that fails").id));
  await reached;
  stemma.abandon();
  world.hangs = undefined;
  skipped += 60_000;
  await begin();
  await ends(crashed);
  world.summary = "works";
  await ends(await keep("restart", stemma.restart(crashed.id)));
  const last = await keep("fork of the last", stemma.fork(fork.id, { checkpoint: "last" }));
  await answer(last).then(() => ends(last));
  await ends(await keep("given", stemma.fork(made("restart").id, { outputs: { "#3/announce": "told nobody" } })));
  await ends(await keep("cut", stemma.fork(made("given").id, { from: "#3/summarise" })));
  stranger = await stemma.run(score, "other");
  await ends(stranger);
}, 60_000);

afterAll(async () => {
  await leave();
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

const statuses = async (): Promise<string[]> =>
  Promise.all([...runs].map(async ([name, run]) => `${name}: ${await run.status()}`));

it("the family is as it was meant to be", async () => {
  expect(await statuses()).toEqual([
    "first: failed",
    "fork: failed",
    "fork again: failed",
    "restart that fails: failed",
    "restart that crashes: failed",
    "restart: succeeded",
    "fork of the last: succeeded",
    "given: succeeded",
    "cut: succeeded",
  ]);
  const rows = (await stemma.list({ family: made("first").id })).runs;
  expect(rows.filter(({ state }) => state.workflow === "score").length).toBeGreaterThan(3);
  expect(rows.some(({ state }) => state.workflow === "score" && state.origin.kind === "restart")).toBe(true);
});

/** The nodes to which no edge leads. */
function sources({ nodes, edges }: Trace): string[] {
  const led = new Set(edges.map(({ to }) => to));
  return nodes.flatMap(({ id }) => (led.has(id) ? [] : [id]));
}

describe("I1 connected", () => {
  it("the family is one component, also as far as it had come when each of its runs was made", async () => {
    const family = await stemma.trace(made("first").id, { family: true });
    expect(components(family)).toBe(1);
    const members: { run: string; events: Event[] }[] = [];
    for (const { id } of (await stemma.lineage(made("first").id)).runs) {
      members.push({ run: id, events: await stemma.history(id) });
      expect(components(trace(members))).toBe(1);
    }
    expect(new Set(family.nodes.map(({ id }) => id)).size).toBe(family.nodes.length);
    expect(new Set(family.edges.map(({ id }) => id)).size).toBe(family.edges.length);
  });
});

describe("I2 ancestry", () => {
  it("from every checkpoint and every step the parents lead to the root of the family, and nowhere else", async () => {
    const family = await stemma.trace(made("cut").id, { family: true });
    expect(sources(family)).toEqual([`wf_run|${made("first").id}`]);
    const before = Map.groupBy(family.edges, ({ to }) => to);
    for (const { id } of family.nodes.filter(({ kind }) => kind === "checkpoint")) {
      let at = id;
      const way = new Set<string>();
      while (before.has(at)) {
        expect(way.has(at)).toBe(false);
        way.add(at);
        at = before.get(at)?.[0]?.from ?? "";
      }
      expect(at).toBe(`wf_run|${made("first").id}`);
    }
  });

  it("each run names the event that it goes on from, with its hash; those from one checkpoint name the same", async () => {
    const rows = (await stemma.list({ family: made("first").id })).runs;
    expect(rows.length).toBeGreaterThan(runs.size);
    for (const { id, state } of rows) {
      const { origin } = state;
      expect(origin.kind === "new").toBe(id === made("first").id);
      if (origin.kind !== "restart" && origin.kind !== "fork") continue;
      const page = await store.history(origin.run, { after: origin.seq - 1, limit: 1 });
      expect(page?.events[0]).toMatchObject({ seq: origin.seq, hash: origin.hash });
    }
    const [, second, third] = await checkpointsOf(made("first"));
    const [one, other] = await Promise.all([made("fork").history(), made("fork again").history()]);
    for (const [created] of [one, other]) {
      expect(created?.data).toMatchObject({ origin: { run: made("first").id, seq: second?.seq } });
      expect(created?.data).toMatchObject({ start: { run: made("first").id, seq: second?.seq, count: 2 } });
    }
    // Its own checkpoints hang on it, not on those that its source had behind that one.
    const [own] = await checkpointsOf(made("fork"));
    expect(own?.data).toMatchObject({ count: 3 });
    expect(own?.data).not.toEqual({ ...third?.data, state: undefined });
    const { origin } = (await stemma.row(made("fork of the last").id)).state;
    expect(origin).toMatchObject({ run: made("fork").id, seq: own?.seq });
  });

  it("a fresh run has a root of its own", async () => {
    const { state } = await stemma.row(stranger.id);
    expect([state.family, state.origin]).toEqual([stranger.id, { kind: "new" }]);
    const own = await stemma.trace(stranger.id, { family: true });
    expect(sources(own)).toEqual([`wf_run|${stranger.id}`]);
    expect((await stemma.lineage(stranger.id)).runs.map(({ id }) => id)).toEqual([stranger.id]);
  });
});

describe("I4 never twice", () => {
  it("what is to be done once was entered once in the whole family, also where it is behind the cut", () => {
    expect(world.entered.filter((entry) => entry === "announce a")).toHaveLength(1);
  });
});

describe("I6 source immutable", () => {
  it("plan, dry run, compare, lineage, trace and every refusal write nothing at all", async () => {
    const before = await rowsAt(place);
    for (const { id } of runs.values()) {
      await stemma.plan(id);
      await stemma.plan(id, { input: { site: "b" } }, { dryRun: true });
      await stemma.lineage(id);
      await stemma.compare(made("first").id, id);
      await stemma.trace(id, { family: true });
      await errorOf(stemma.restart(id, { from: "nowhere" }));
      await errorOf(stemma.fork(id, { outputs: { nowhere: 1 } }));
    }
    expect(await rowsAt(place)).toEqual(before);
  });

  it("a restart and a fork add rows, and change none that was there", async () => {
    const before = await rowsAt(place);
    for (const name of ["first", "restart", "given"]) {
      await ends(await stemma.restart(made(name).id, { reason: "again", tags: ["later"] }));
      const forks = [
        await stemma.fork(made(name).id, { after: "#3/ok" }),
        await stemma.fork(made(name).id, { patch: { site: name }, allowEffects: ["announce"] }),
      ];
      for (const fork of forks) {
        await until(async () => ["suspended", "succeeded", "failed"].includes(await fork.status()));
        await stemma.cancel(fork.id);
      }
    }
    const after = await rowsAt(place);
    expect([...before].filter((row) => !after.has(row))).toEqual([]);
    expect(after.size).toBeGreaterThan(before.size);
  });
});

describe("I7 honest reuse", () => {
  it("every reused value is the very value of the run and step that it names, and of those who made it", async () => {
    const histories = new Map<string, Event[]>();
    for (const { id } of (await stemma.list({ family: made("first").id, limit: 100 })).runs) {
      histories.set(id, await stemma.history(id));
    }
    let reused = 0;
    for (const event of [...histories.values()].flat()) {
      if (event.type !== "step.reused") continue;
      reused += 1;
      const { from, origin, output } = event.data;
      const found = histories.get(from.run)?.[from.seq];
      expect(outputOf(found)).toEqual(output);
      expect(found?.data).toMatchObject({ key: from.key });
      const first = histories.get(origin.run)?.[origin.seq];
      expect(outputOf(first)).toEqual(output);
      expect(first?.type).not.toBe("step.reused");
    }
    expect(reused).toBeGreaterThan(20);
  });
});

function outputOf(event: Event | undefined): unknown {
  if (event === undefined) return "nothing there";
  if ("output" in event.data) return event.data.output;
  return "value" in event.data ? event.data.value : "no output";
}

describe("I8 one status", () => {
  it("row, handle, lineage and trace say the same of every run of the family", async () => {
    const { runs: members } = await stemma.lineage(made("first").id);
    const { nodes } = await stemma.trace(made("first").id, { family: true });
    for (const { id, status } of members) {
      expect((await stemma.row(id)).state.status).toBe(status);
      expect(await (await stemma.get(id)).status()).toBe(status);
      expect(nodes.find((node) => node.id === `wf_run|${id}`)?.status).toBe(status);
    }
  });
});
