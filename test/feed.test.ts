/** The feed as programs follow it: every event once, in one order, from any place, whoever writes and whoever restarts. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { Stemma, reduceAll, workflow } from "../src/index.ts";
import type { FeedEntry, FeedOptions, RunHandle } from "../src/index.ts";
import { storeAt } from "./place.ts";
import { errorOf, newPlace, silent, stage, until } from "./stage.ts";

const folder = mkdtempSync(join(tmpdir(), "stemma-feed-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const leaf = workflow({ name: "leaf" }, (ctx) => ctx.step("leaf", () => "x".repeat(2000)));
const busy = workflow({ name: "busy" }, async (ctx, n: number) => {
  await ctx.map("item", [1, 2, 3], (item) => item * n);
  await ctx.call(leaf, undefined);
  return ctx.step("last", () => n);
});
const asking = workflow({ name: "asking" }, (ctx) => ctx.wait("open"));

/** All that is there now. */
async function all(stemma: Stemma, options: FeedOptions = {}): Promise<FeedEntry[]> {
  const entries: FeedEntry[] = [];
  for await (const entry of stemma.feed({ ...options, once: true })) entries.push(entry);
  return entries;
}

/** Every event of every run, by the histories themselves. */
async function histories(stemma: Stemma): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>();
  let cursor: string | undefined;
  do {
    const page = await stemma.list({ limit: 200, ...(cursor === undefined ? {} : { cursor }) });
    for (const { id } of page.runs)
      found.set(
        id,
        (await stemma.history(id)).map(({ hash }) => hash),
      );
    cursor = page.cursor;
  } while (cursor !== undefined);
  return found;
}

/** By run, in the order of the feed. */
function byRun(entries: readonly FeedEntry[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const { run, event } of entries) found.set(run, [...(found.get(run) ?? []), event.hash]);
  return found;
}

function expectOnce(entries: readonly FeedEntry[], expected: Map<string, string[]>): void {
  expect(byRun(entries)).toEqual(expected);
  const positions = entries.map(({ position }) => position);
  expect(positions).toEqual([...new Set(positions)].toSorted((a, b) => a - b));
}

describe("the feed", () => {
  it("gives every event of all runs once and in order to whoever follows while it happens", async () => {
    await using theatre = await stage([busy, leaf]);
    const { stemma } = theatre;
    const controller = new AbortController();
    const followed: FeedEntry[] = [];
    const following = (async () => {
      for await (const entry of stemma.feed({ signal: controller.signal })) followed.push(entry);
    })();
    const runs = await Promise.all(Array.from({ length: 30 }, (_, n) => stemma.run(busy, n)));
    await Promise.all(runs.map((run) => run.result()));
    const expected = await histories(stemma);
    const count = [...expected.values()].flat().length;
    await until(() => followed.length >= count);
    controller.abort();
    await following;
    expectOnce(followed, expected);
    expect(await all(stemma)).toEqual(followed);
  });

  it("goes on behind any position, also when the store was closed and opened again meanwhile", async () => {
    const place = newPlace(folder);
    const seen: FeedEntry[] = [];
    for (let life = 0; life < 4; life += 1) {
      await using store = storeAt(place);
      await using stemma = await new Stemma({ store, workflows: [busy, leaf], log: silent }).start();
      const run = await stemma.run(busy, life);
      // It stops in the middle of what is there, and keeps the position of the last that it has dealt with.
      for await (const entry of stemma.feed({ after: seen.at(-1)?.position ?? 0 })) {
        seen.push(entry);
        if (seen.length >= (life + 1) * 7) break;
      }
      await run.result();
    }
    await using store = storeAt(place);
    const stemma = new Stemma({ store, log: silent });
    const whole = await all(stemma);
    expectOnce([...seen, ...(await all(stemma, { after: seen.at(-1)?.position ?? 0 }))], await histories(stemma));
    for (const [i, { position }] of whole.entries())
      expect(await all(stemma, { after: position })).toEqual(whole.slice(i + 1));
  });

  it("misses and repeats nothing while two processes write to one place", async () => {
    const place = newPlace(folder);
    await using store = storeAt(place);
    const stemma = new Stemma({ store, log: silent });
    const writers = ["one", "two"].map(async (name) => {
      const child = spawn(process.execPath, [join(import.meta.dirname, "feed/worker.ts"), place, name, "40"]);
      let err = "";
      child.stderr.on("data", (chunk: Buffer) => (err += chunk.toString()));
      const code = await new Promise((resolve) => child.on("close", resolve));
      expect([name, code, err]).toEqual([name, 0, ""]);
    });
    const controller = new AbortController();
    const followed: FeedEntry[] = [];
    const following = (async () => {
      for await (const entry of stemma.feed({ signal: controller.signal })) followed.push(entry);
    })();
    // Another one breaks off and goes on again and again.
    const broken: FeedEntry[] = [];
    const ends = (entries: readonly FeedEntry[]): number =>
      entries.filter(({ event }) => event.type === "run.succeeded").length;
    while (ends(broken) < 160) {
      let left = 1 + (broken.length % 13);
      for await (const entry of stemma.feed({ after: broken.at(-1)?.position ?? 0 })) {
        broken.push(entry);
        left -= 1;
        if (left === 0 || ends(broken) === 160) break;
      }
    }
    await Promise.all(writers);
    const expected = await histories(stemma);
    expect(expected.size).toBe(160);
    const count = [...expected.values()].flat().length;
    await until(() => followed.length >= count);
    controller.abort();
    await following;
    expectOnce(followed, expected);
    const rest = await all(stemma, { after: broken.at(-1)?.position ?? 0 });
    expect([...broken, ...rest]).toEqual(followed);
  });

  it("of a run, a family or a workflow has its events and no others", async () => {
    await using theatre = await stage([busy, leaf]);
    const { stemma } = theatre;
    const [a, b] = await Promise.all([stemma.run(busy, 1), stemma.run(busy, 2)]);
    await Promise.all([a.result(), b.result()]);
    const whole = await all(stemma);
    const family = new Set((await stemma.list({ family: a.id })).runs.map(({ id }) => id));
    expect(family.size).toBe(2);
    expect(await all(stemma, { run: a.id })).toEqual(whole.filter(({ run }) => run === a.id));
    expect(await all(stemma, { family: a.id })).toEqual(whole.filter(({ run }) => family.has(run)));
    const leaves = new Set((await stemma.list({ workflow: "leaf" })).runs.map(({ id }) => id));
    expect(await all(stemma, { workflow: "leaf" })).toEqual(whole.filter(({ run }) => leaves.has(run)));
    const [middle] = whole.slice(whole.length / 2);
    expect(await all(stemma, { run: b.id, after: middle?.position ?? 0 })).toEqual(
      whole.filter(({ run, position }) => run === b.id && position > (middle?.position ?? 0)),
    );
  });

  it("of one run ends with the run, whenever it is begun", async () => {
    await using theatre = await stage([asking]);
    const { stemma } = theatre;
    const run = await stemma.run(asking, undefined);
    const types: string[] = [];
    const following = (async () => {
      for await (const { event } of stemma.feed({ run: run.id })) types.push(event.type);
    })();
    await until(() => types.includes("wait.opened"));
    await stemma.resume(run.id, "open", 1);
    await following;
    expect(types).toEqual((await run.history()).map(({ type }) => type));
    expect(types.at(-1)).toBe("run.succeeded");
    const late: FeedEntry[] = [];
    for await (const entry of stemma.feed({ run: run.id })) late.push(entry);
    expect(late.map(({ event }) => event.type)).toEqual(types);
    const behind: FeedEntry[] = [];
    for await (const entry of stemma.feed({ run: run.id, after: late.at(-1)?.position ?? 0 })) behind.push(entry);
    expect(behind).toEqual([]);
  });

  it("of a run that is not there, or from no position, is an error and no silence", async () => {
    await using theatre = await stage([asking]);
    const { stemma } = theatre;
    expect(await errorOf(all(stemma, { run: `run_${"0".repeat(26)}` }))).toMatchObject({ code: "run.not_found" });
    expect(await errorOf(all(stemma, { run: "mine" }))).toMatchObject({ code: "run.invalid_id" });
    for (const after of [-1, 0.5, Number.NaN, Infinity])
      expect(await errorOf(all(stemma, { after }))).toMatchObject({ code: "usage.invalid" });
  });

  it("ends when it is aborted: while it waits, in the middle of a page, and before it begins", async () => {
    await using theatre = await stage([busy, leaf, asking]);
    const { stemma } = theatre;
    const gone = new AbortController();
    gone.abort();
    await (await stemma.run(busy, 1)).result();
    for await (const entry of stemma.feed({ signal: gone.signal })) expect.unreachable(JSON.stringify(entry));
    const middle = new AbortController();
    let count = 0;
    for await (const entry of stemma.feed({ signal: middle.signal })) {
      expect(entry.position).toBeGreaterThan(0);
      count += 1;
      if (count === 3) middle.abort();
    }
    expect(count).toBe(3);
    const waiting = new AbortController();
    const seen: FeedEntry[] = [];
    const following = (async () => {
      for await (const entry of stemma.feed({ signal: waiting.signal })) seen.push(entry);
    })();
    const total = (await all(stemma)).length;
    await until(() => seen.length === total);
    waiting.abort();
    await following;
    await (await stemma.run(busy, 1)).result();
    expect(seen).toHaveLength(total);
  });
});

describe("stateAt", () => {
  const states = async (stemma: Stemma, run: RunHandle): Promise<string[]> => {
    const { length } = await run.history();
    return Promise.all(Array.from({ length }, async (_, seq) => (await stemma.stateAt(run.id, seq)).status));
  };

  it("is what the run was when an event had happened, and writes nothing", async () => {
    await using theatre = await stage([asking]);
    const { stemma } = theatre;
    const run = await stemma.run(asking, undefined);
    await until(async () => (await run.status()) === "suspended");
    await stemma.resume(run.id, "open", 1);
    await run.result();
    const before = [await stemma.row(run.id), await all(stemma)];
    const history = await run.history();
    for (const [seq, event] of history.entries()) {
      const state = await stemma.stateAt(run.id, seq);
      expect(state).toEqual(reduceAll(history.slice(0, seq + 1)));
      expect(state.seq).toBe(event.seq);
    }
    expect(await stemma.stateAt(run.id, history.length - 1)).toEqual((await stemma.row(run.id)).state);
    expect(new Set(await states(stemma, run))).toEqual(new Set(["queued", "running", "suspended", "succeeded"]));
    expect([await stemma.row(run.id), await all(stemma)]).toEqual(before);
  });

  it("of a place that the run has not is refused", async () => {
    await using theatre = await stage([asking]);
    const { stemma } = theatre;
    const run = await stemma.run(asking, undefined);
    for (const seq of [-1, 1000, 0.5, Number.NaN])
      expect(await errorOf(stemma.stateAt(run.id, seq))).toMatchObject({ code: "usage.invalid" });
    expect(await errorOf(stemma.stateAt(`run_${"0".repeat(26)}`, 0))).toMatchObject({ code: "run.not_found" });
  });
});
