import { afterEach, describe, expect, test } from "vitest";

import type { ErrorCode } from "../core/error.ts";
import type { RunId } from "../core/event.ts";
import { StemmaError } from "../core/error.ts";
import { sqlite } from "../sqlite.ts";
import type { Commit, CommitResult, RunRow, Store } from "../store/store.ts";
import type { Bench, Step } from "../testing/conformance/fixture.ts";
import { after, ended, openBench, started, succeeded } from "../testing/conformance/fixture.ts";
import type { Log } from "./body.ts";
import type { Clock } from "./clock.ts";
import { systemClock } from "./clock.ts";
import type { Source } from "./committer.ts";
import { Committer } from "./committer.ts";

const open: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of open.splice(0)) await cleanup();
});

type World = {
  bench: Bench;
  committer: Committer;
  /** Sizes of the flushes that the store was asked for, and how long was waited between them. */
  flushes: number[];
  waits: number[];
  errors: { message: string; data: Record<string, unknown> | undefined }[];
  /** The next commits of the store fail before it has seen them, one for each error. */
  fail(...errors: unknown[]): void;
  /** What the store does before its next commit. */
  before(call: () => void): void;
};

/** A committer on a real store, whose commits can be made to fail; waiting takes no time, but is written down. */
async function world(): Promise<World> {
  const { bench, cleanup } = await openBench(async ({ now }) => {
    const store = sqlite({ path: ":memory:", now });
    return { store, cleanup: () => store.close() };
  });
  open.push(cleanup);
  const [flushes, waits, errors, faults, first]: [number[], number[], World["errors"], unknown[], (() => void)[]] = [
    [],
    [],
    [],
    [],
    [],
  ];
  const commit = async (parts: readonly Commit[]): Promise<readonly CommitResult[]> => {
    flushes.push(parts.length);
    first.shift()?.();
    if (faults.length > 0) throw faults.shift();
    return bench.store.commit(parts);
  };
  const store = new Proxy(bench.store, {
    get: (real, key) => (key === "commit" ? commit : Reflect.get(real, key, real)),
  });
  const clock: Clock = {
    ...systemClock,
    after(ms, call) {
      waits.push(ms);
      setImmediate(call);
      return () => undefined;
    },
  };
  const quiet = (): void => undefined;
  const log: Log = {
    debug: quiet,
    info: quiet,
    warn: quiet,
    error: (message, data) => void errors.push({ message, data }),
  };
  return {
    bench,
    committer: new Committer(store satisfies Store, clock, log),
    flushes,
    waits,
    errors,
    fail: (...all) => void faults.push(...all),
    before: (call) => void first.push(call),
  };
}

const unavailable = (code: ErrorCode = "store.unavailable"): StemmaError => new StemmaError(code, "not now");

/** One run with events to flush, as an activation has them. */
class Holder implements Source {
  readonly bench: Bench;
  row: RunRow;
  readonly steps: Step[] = [];
  readonly settled: CommitResult[] = [];
  readonly lost: unknown[] = [];
  onSettle: () => void = () => undefined;
  #part: Commit | undefined;
  #done = Promise.withResolvers<void>();

  constructor(bench: Bench, row: RunRow) {
    this.bench = bench;
    this.row = row;
  }

  /** Resolves when the next flush of this run has come to its end. */
  next(): Promise<void> {
    return this.#done.promise;
  }

  take(): Commit | undefined {
    if (this.steps.length === 0) return undefined;
    this.#part = this.bench.part(this.row, this.steps.splice(0));
    return this.#part;
  }

  settle(result: CommitResult): void {
    this.settled.push(result);
    if (result.ok && this.#part !== undefined) this.row = after(this.row, this.#part);
    this.#end();
    this.onSettle();
  }

  lose(error: unknown): void {
    this.lost.push(error);
    this.#end();
  }

  #end(): void {
    this.#done.resolve();
    this.#done = Promise.withResolvers<void>();
  }
}

async function holders(bench: Bench, count: number): Promise<Holder[]> {
  const all: Holder[] = [];
  for (let i = 0; i < count; i += 1) all.push(new Holder(bench, await bench.held({ worker: `worker-${i}` })));
  return all;
}

/** Has each of these runs append one step, if it has nothing else to append, and waits until their flush is through. */
async function flush({ committer }: World, all: readonly Holder[], key = "x"): Promise<void> {
  const done = Promise.all(all.map((holder) => holder.next()));
  for (const holder of all) {
    if (holder.steps.length === 0) holder.steps.push(succeeded(key));
    committer.request(holder);
  }
  await done;
}

const keysOf = async ({ store }: Bench, holder: Holder): Promise<unknown[]> => {
  const page = await store.history(holder.row.id, { after: 0, limit: 100 });
  return page?.events.map((event) => (JSON.parse(event.data) as { key: string }).key) ?? [];
};

describe("a flush", () => {
  test("takes all runs together, once for each turn of the event loop", async () => {
    const it = await world();
    const all = await holders(it.bench, 5);
    await flush(it, all);
    expect(it.flushes).toEqual([5]);
    for (const holder of all) {
      expect(holder.settled).toEqual([{ run: holder.row.id, ok: true, inbox: 0 }]);
      expect(await keysOf(it.bench, holder)).toEqual(["x"]);
    }
  });

  test("takes everything that a run has by then, however often it was asked for", async () => {
    const it = await world();
    const [one] = (await holders(it.bench, 1)) as [Holder];
    for (const key of ["a", "b", "c"]) {
      one.steps.push(succeeded(key));
      it.committer.request(one);
    }
    await one.next();
    expect(it.flushes).toEqual([1]);
    expect(await keysOf(it.bench, one)).toEqual(["a", "b", "c"]);
  });

  test("gathers the next one while it is under way", async () => {
    const it = await world();
    const [one, two, three] = (await holders(it.bench, 3)) as [Holder, Holder, Holder];
    it.before(() => {
      for (const late of [two, three]) {
        late.steps.push(succeeded("late"));
        it.committer.request(late);
      }
    });
    const done = Promise.all([two.next(), three.next()]);
    await flush(it, [one]);
    expect(two.settled).toEqual([]);
    await done;
    expect(it.flushes).toEqual([1, 2]);
    expect(await keysOf(it.bench, two)).toEqual(["late"]);
  });

  test("goes on with what a run appends when it is told that the last went through", async () => {
    const it = await world();
    const [one] = (await holders(it.bench, 1)) as [Holder];
    const last = Promise.withResolvers<void>();
    one.onSettle = () => {
      if (one.settled.length === 4) return last.resolve();
      one.steps.push(succeeded(`x#${one.settled.length + 1}`));
      it.committer.request(one);
    };
    await flush(it, [one]);
    await last.promise;
    expect(await keysOf(it.bench, one)).toEqual(["x", "x#2", "x#3", "x#4"]);
    expect(it.flushes).toEqual([1, 1, 1, 1]);
  });

  test("is not made when nobody has anything", async () => {
    const it = await world();
    const [one] = (await holders(it.bench, 1)) as [Holder];
    it.committer.request(one);
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    expect(it.flushes).toEqual([]);
    await flush(it, [one]);
    expect(it.flushes).toEqual([1]);
  });

  test("holds so many runs at most, those first that have waited longest; the others are in the next", async () => {
    const it = await world();
    const all = await holders(it.bench, 130);
    const settled: Holder[] = [];
    for (const one of all) one.onSettle = () => void settled.push(one);
    await flush(it, all);
    expect(it.flushes).toEqual([128, 2]);
    expect(settled).toEqual(all);
  });

  test("tells everybody who wants to know how runs came to their ends, after the runs themselves, and of no other", async () => {
    const it = await world();
    const [going, over, refused] = (await holders(it.bench, 3)) as [Holder, Holder, Holder];
    refused.row = { ...refused.row, epoch: refused.row.epoch - 1 };
    const all = [going, over, refused];
    const told: [number, RunId, string | undefined][] = [];
    it.committer.onEnded = (commits) => {
      const settled = all.filter((one) => one.settled.length > 0).length;
      for (const { run, events } of commits) told.push([settled, run, events.at(-1)?.type]);
    };
    over.steps.push(started, ended);
    refused.steps.push(started, ended);
    await flush(it, all);
    expect(told).toEqual([[3, over.row.id, ended.type]]);
  });
});

describe("a run that the store refuses", () => {
  test("is told so, and keeps nothing from the others", async () => {
    const it = await world();
    const all = (await holders(it.bench, 3)) as [Holder, Holder, Holder];
    all[1].row = { ...all[1].row, epoch: all[1].row.epoch - 1 };
    await flush(it, all);
    expect(all.map((one) => one.settled[0]?.ok)).toEqual([true, false, true]);
    expect(all[1].settled[0]).toMatchObject({ ok: false, reason: "epoch", epoch: 1 });
    expect(all[1].lost).toEqual([]);
    expect(await keysOf(it.bench, all[1])).toEqual([]);
  });
});

describe("a store that cannot take a flush for now", () => {
  test("gets the same flush again until it can, less and less often, and people are told", async () => {
    const it = await world();
    const all = await holders(it.bench, 2);
    it.fail(...Array.from({ length: 9 }, (_, i) => unavailable(i % 2 === 0 ? "store.busy" : "store.full")));
    await flush(it, all);
    expect(it.flushes).toEqual(Array.from({ length: 10 }, () => 2));
    expect(it.waits).toEqual([50, 100, 200, 400, 800, 1600, 2000, 2000, 2000]);
    expect(it.errors).toHaveLength(9);
    expect(it.errors[0]).toEqual({
      message: "The store cannot take a flush; it is kept and tried again",
      data: { code: "store.busy", runs: 2, retryInMs: 50 },
    });
    for (const one of all) {
      expect(one.settled.map((result) => result.ok)).toEqual([true]);
      expect(one.lost).toEqual([]);
      expect(await keysOf(it.bench, one)).toEqual(["x"]);
    }
  });

  test("is not asked again once this process ends, so that it can end; the runs are told", async () => {
    const it = await world();
    const all = await holders(it.bench, 2);
    it.fail(unavailable(), unavailable(), unavailable(), unavailable(), unavailable(), unavailable());
    it.before(() => setImmediate(() => it.committer.end()));
    await flush(it, all);
    expect(it.flushes.length).toBeLessThan(6);
    for (const one of all) expect(one.lost).toMatchObject([{ code: "store.unavailable" }]);
  });

  test("loses nothing of what comes meanwhile", async () => {
    const it = await world();
    const [one, two] = (await holders(it.bench, 2)) as [Holder, Holder];
    it.fail(unavailable(), unavailable());
    it.before(() => {
      for (const late of [two, one]) {
        late.steps.push(succeeded("late"));
        it.committer.request(late);
      }
    });
    const done = two.next();
    await flush(it, [one]);
    await done;
    expect(await keysOf(it.bench, one)).toEqual(["x", "late"]);
    expect(await keysOf(it.bench, two)).toEqual(["late"]);
    expect(it.flushes).toEqual([1, 1, 1, 2]);
  });
});

describe("a flush that the store refuses for good", () => {
  const corrupt = new StemmaError("engine.bug", "refused");

  test("is taken apart, so that only the run that it is about is lost", async () => {
    const it = await world();
    const all = (await holders(it.bench, 3)) as [Holder, Holder, Holder];
    // Together; then the first alone goes through, the second is the one, the third goes through.
    it.fail(corrupt);
    it.before(() => it.before(() => it.before(() => it.fail(corrupt))));
    await flush(it, all);
    expect(it.flushes).toEqual([3, 1, 1, 1]);
    expect(all.map((one) => one.lost)).toEqual([[], [corrupt], []]);
    expect(all.map((one) => one.settled.map((result) => result.ok))).toEqual([[true], [], [true]]);
    expect(it.waits).toEqual([]);
  });

  test.each([
    ["an error that is none of ours", new TypeError("bug in a store")],
    ["something that is no error", undefined],
  ])("for %s, which may be a bug and not a state: nothing is tried for ever", async (_name, thrown) => {
    const it = await world();
    const [one] = (await holders(it.bench, 1)) as [Holder];
    it.fail(thrown);
    await flush(it, [one]);
    expect(one.lost).toEqual([thrown]);
    expect(it.flushes).toEqual([1]);
    // The committer goes on.
    await flush(it, [one], "y");
    expect(await keysOf(it.bench, one)).toEqual(["y"]);
  });
});

describe("a run that throws when it is told", () => {
  test("is lost alone: the others are told, nothing is committed again, and the committer goes on", async () => {
    const it = await world();
    const all = (await holders(it.bench, 3)) as [Holder, Holder, Holder];
    const broken = new StemmaError("store.busy", "thrown by the run, not by the store");
    all[1].onSettle = () => {
      throw broken;
    };
    await flush(it, all);
    expect(it.flushes).toEqual([3]);
    expect(all.map((one) => one.lost)).toEqual([[], [broken], []]);
    expect(all.map((one) => one.settled.length)).toEqual([1, 1, 1]);
    expect(it.waits).toEqual([]);
    await flush(it, [all[0], all[2]], "y");
    expect(await keysOf(it.bench, all[2])).toEqual(["x", "y"]);
  });
});
