import { describe, expect, it } from "vitest";
import type { Context, Log, RunHandle, Workflow } from "../index.ts";
import { Stemma, workflow } from "../index.ts";
import { sqlite } from "../sqlite.ts";
import type { Store } from "../store/store.ts";
import type { Bench } from "./conformance/fixture.ts";
import { claim, leaseMs, message, openBench, succeeded } from "./conformance/fixture.ts";
import { fakeClock } from "./fake-clock.ts";
import type { FaultPoint, Faults } from "./faults.ts";
import { faultPoints, faults } from "./faults.ts";
import { storeConformance } from "./store-conformance.ts";

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

describe("a store with nothing armed, on a fake clock,", () => {
  storeConformance({
    describe,
    it,
    async create({ now }) {
      const store = sqlite({ path: ":memory:", now });
      return { store: fakeClock().attach(faults(store)), cleanup: () => store.close() };
    },
  });
});

type Case = {
  /** Makes the call at `store`, after what it needs was made at the bench. */
  call(store: Store, bench: Bench): Promise<() => Promise<unknown>>;
  /** Whether the call was carried out, seen from another life. */
  isDone?(bench: Bench): Promise<boolean>;
};

const row = async ({ store }: Bench) => (await store.list({})).runs[0];

/** Each method, called once. */
const cases: Record<string, Case> = {
  create: {
    call: async (store, bench) => () => store.create([bench.newRun()]),
    isDone: async (bench) => (await row(bench)) !== undefined,
  },
  claim: {
    async call(store, bench) {
      await bench.created();
      return () => claim(store, "worker-a");
    },
    isDone: async (bench) => (await row(bench))?.worker === "worker-a",
  },
  heartbeat: {
    async call(store, bench) {
      await bench.held();
      bench.clock.advance(leaseMs - 1);
      return () => store.heartbeat({ worker: "worker-a", leaseMs });
    },
    async isDone(bench) {
      bench.clock.advance(2);
      await claim(bench.store, "worker-b");
      return (await row(bench))?.worker === "worker-a";
    },
  },
  commit: {
    async call(store, bench) {
      const held = await bench.held();
      return () => store.commit([bench.part(held, [succeeded("a")])]);
    },
    isDone: async (bench) => (await row(bench))?.state.seq === 1,
  },
  send: {
    async call(store, bench) {
      const { id } = await bench.created();
      return () => store.send([message(id, "m")]);
    },
    isDone: async (bench) => (await row(bench))?.inbox === 1,
  },
  prune: {
    call: async (store, bench) => () => store.prune({ endedBefore: bench.clock.now(), limit: 1 }),
    // There was nothing to remove, so nobody can tell; that it was called is told by the others.
  },
  history: { call: async (store) => () => store.history("run_1", { after: -1, limit: 1 }) },
  packs: { call: async (store) => async () => store.packs?.("run_1", { from: 0, limit: 1 }) },
  payloads: { call: async (store) => () => store.payloads([]) },
  list: { call: async (store) => () => store.list({}) },
  reusable: { call: async (store) => () => store.reusable("run_1", []) },
  feed: { call: async (store) => () => store.feed({ after: 0, limit: 1 }) },
};

async function onBench(body: (bench: Bench, faulty: Store & Faults<Store>) => Promise<void>): Promise<void> {
  const { bench, cleanup } = await openBench(async ({ now }) => {
    const store = sqlite({ path: ":memory:", now });
    return { store, cleanup: () => store.close() };
  });
  await body(bench, faults(bench.store));
  await cleanup();
}

/** Whether a promise is still open after some turns. */
async function isOpen(promise: Promise<unknown>): Promise<boolean> {
  let open = true;
  void promise.then(
    () => (open = false),
    () => (open = false),
  );
  for (let i = 0; i < 5; i += 1) await new Promise((resolve) => setImmediate(resolve));
  return open;
}

const methodOf = (point: FaultPoint): Case => cases[point.split(".")[0] ?? ""] as Case;

describe("a fault", () => {
  it.each(faultPoints)("at %s that is a crash: no answer, then or later, and the next life goes on", (point) =>
    onBench(async (bench, faulty) => {
      const { call, isDone } = methodOf(point);
      const make = await call(faulty, bench);
      faulty.crash(point);
      const answer = make();
      expect(await faulty.crashed).toBe(point);
      expect(faulty.dead).toBe(true);
      if (isDone !== undefined) expect(await isDone(bench)).toBe(point.endsWith(".after"));
      expect(await isOpen(answer)).toBe(true);
      const before = (await bench.store.list({})).runs.length;
      expect(await isOpen(faulty.create([bench.newRun()]))).toBe(true);
      expect((await bench.store.list({})).runs).toHaveLength(before);
      const next = faulty.next();
      expect(next.dead).toBe(false);
      expect(await isOpen(next.list({}))).toBe(false);
      expect(next.unreached()).toEqual([]);
    }),
  );

  it.each(faultPoints)("at %s that is an error: it is thrown once, and the call was made or not, as it says", (point) =>
    onBench(async (bench, faulty) => {
      const { call, isDone } = methodOf(point);
      const make = await call(faulty, bench);
      faulty.fail(point, "store.busy");
      await expect(make()).rejects.toMatchObject({ code: "store.busy", retryable: true, data: { point } });
      if (isDone !== undefined) expect(await isDone(bench)).toBe(point.endsWith(".after"));
      await make();
      expect(faulty.dead).toBe(false);
    }),
  );

  it("is for an occurrence, for calls that fit, for some of them, or for all until it is taken back", () =>
    onBench(async (_, faulty) => {
      const fails = async (workflows: readonly string[]): Promise<number[]> => {
        const failed: number[] = [];
        for (const [i, one] of workflows.entries())
          await faulty.list({ workflow: one }).catch(() => failed.push(i + 1));
        return failed;
      };
      const same = Array.from({ length: 5 }, () => "a");
      const taken = [faulty.fail("list", "store.full", 3)];
      expect(await fails(same)).toEqual([3]);
      taken.push(faulty.fail("list", "store.full", { at: 2, times: 2 }));
      expect(await fails(same)).toEqual([2, 3]);
      taken.push(faulty.fail("list", "store.full", (query) => query.workflow === "b"));
      expect(await fails(["a", "b", "b"])).toEqual([2]);
      taken.push(faulty.fail("list", "store.full", { if: (query) => query.workflow === "b", at: 2 }));
      expect(await fails(["b", "a", "a", "b", "b"])).toEqual([4]);
      const all = faulty.fail("list", "store.full", { times: Infinity });
      expect(await fails(same)).toEqual([1, 2, 3, 4, 5]);
      all();
      for (const take of taken) take();
      expect(await fails(same)).toEqual([]);
      expect(faulty.unreached()).toEqual([]);
    }));

  it("that was armed and never happened can be asked for, in every life", () =>
    onBench(async (_, faulty) => {
      faulty.crash("list", 2);
      faulty.fail("commit.after", "store.full", 3);
      await faulty.list({});
      const next = faulty.next();
      next.fail("history", "store.busy", { times: 2 });
      await next.history("run_1", { after: -1, limit: 1 }).catch(() => undefined);
      expect(next.unreached()).toEqual([
        "crash at list, occurrence 2: such a call came 1 times",
        "store.full at commit.after, occurrence 3: such a call came 0 times",
        "store.busy at history, occurrence 1, 2 times: happened 1 times",
      ]);
      expect(faulty.unreached()).toEqual(next.unreached());
    }));

  it("at a point that there is not, or with a code or an occurrence that cannot be, is refused with those that can", () => {
    const faulty = faults(sqlite(":memory:"));
    const refusal = (arm: () => unknown): unknown => {
      try {
        return arm();
      } catch (error) {
        return error;
      }
    };
    const typo = refusal(() => faulty.crash("commit.during" as FaultPoint));
    expect(typo).toMatchObject({
      code: "usage.invalid",
      message: expect.stringContaining("commit.before, commit.after"),
    });
    const code = refusal(() => faulty.fail("list", "run.failed" as "store.busy"));
    expect(code).toMatchObject({ code: "usage.invalid", message: expect.stringContaining("store.busy") });
    for (const at of [0, -1, 1.5, Number.NaN, Infinity]) {
      expect(refusal(() => faulty.crash("list", at))).toMatchObject({ code: "usage.invalid" });
    }
    expect(refusal(() => faulty.fail("list", "store.busy", { times: 0 }))).toMatchObject({ code: "usage.invalid" });
    expect(faulty.unreached()).toEqual([]);
  });
});

describe("an error of which nobody knows whether the call went through", () => {
  it("of a commit: the same commit is accepted when it comes again, and another one is not", () =>
    onBench(async (bench, faulty) => {
      const held = await bench.held();
      const part = bench.part(held, [succeeded("a")]);
      faulty.fail("commit.after", "store.unavailable", { times: 2 });
      await expect(faulty.commit([part])).rejects.toThrow("commit.after");
      await expect(faulty.commit([part])).rejects.toThrow("commit.after");
      expect(await faulty.commit([part])).toMatchObject([{ run: held.id, ok: true }]);
      expect(await faulty.commit([part])).toMatchObject([{ ok: false, reason: "seq" }]);
      faulty.fail("commit.after", "store.unavailable");
      const second = { ...held, state: part.state, hash: part.events[0]?.hash ?? "" };
      await expect(faulty.commit([bench.part(second, [succeeded("b")])])).rejects.toThrow("commit.after");
      expect(await faulty.commit([bench.part(second, [succeeded("c")])])).toMatchObject([{ ok: false, reason: "seq" }]);
    }));

  it("of a claim: the runs are given to the same worker again, no more than it asks for, and to no other", () =>
    onBench(async (bench, faulty) => {
      const ids = [];
      for (let i = 0; i < 3; i += 1) ids.push((await bench.created()).id);
      faulty.fail("claim.after", "store.unavailable");
      await expect(claim(faulty, "worker-a", { limit: 2 })).rejects.toThrow("claim.after");
      expect((await claim(faulty, "worker-b", { limit: 0 })).runs).toEqual([]);
      const given: string[] = [];
      for (let i = 0; i < 4; i += 1) {
        const { runs } = await claim(faulty, "worker-a", { limit: 1 });
        expect(runs.length).toBeLessThan(2);
        given.push(...runs.map(({ id }) => id));
      }
      expect(given.toSorted()).toEqual(ids.toSorted());
    }));

  it("of a heartbeat: that the lease had run out is said at the next one", () =>
    onBench(async (bench, faulty) => {
      await bench.held();
      bench.clock.advance(leaseMs + 1);
      await claim(bench.store, "worker-b");
      faulty.fail("heartbeat.after", "store.unavailable");
      const beat = () => faulty.heartbeat({ worker: "worker-a", leaseMs });
      await expect(beat()).rejects.toThrow("heartbeat.after");
      expect((await beat()).expired).toBe(true);
      expect((await beat()).expired).toBe(false);
    }));
});

/** Ten steps that say when they are entered, and what was recorded of them when the last life ended. */
function witness(): { steps: Workflow<undefined, number>; recorded: Set<string>; twice: string[]; entered: string[] } {
  const [recorded, twice, entered] = [new Set<string>(), [] as string[], [] as string[]];
  const steps = workflow({ name: "ten" }, async (ctx: Context) => {
    let sum = 0;
    for (let i = 0; i < 10; i += 1) {
      sum += await ctx.step(`s${i}`, () => {
        entered.push(`s${i}`);
        if (recorded.has(`s${i}`)) twice.push(`s${i}`);
        return i;
      });
      if (i === 4) await ctx.sleep("nap", "1d");
    }
    return sum;
  });
  return { steps, recorded, twice, entered };
}

async function noteRecorded(run: RunHandle, recorded: Set<string>): Promise<void> {
  for (const event of await run.history()) if (event.type === "step.succeeded") recorded.add(event.data.key);
}

describe("a workflow of ten steps", () => {
  /** Lives with a crash at each commit in turn, until there is none left to crash at. Gives the number of crashes. */
  async function crashAtEach(point: "commit.before" | "commit.after"): Promise<number> {
    for (let commit = 1; ; commit += 1) {
      const clock = fakeClock();
      const { steps, recorded, twice } = witness();
      const first = faults(sqlite(":memory:"));
      first.crash(point, commit);
      const dying = await new Stemma({ store: first, workflows: [steps], clock, log: silent }).start();
      const run = await dying.run(steps, undefined);
      await clock.advance("2d");
      dying.abandon();
      if (!first.dead) {
        expect(first.unreached()).toHaveLength(1);
        return commit - 1;
      }
      const next = first.next();
      await using stemma = await new Stemma({ store: next, workflows: [steps], clock, log: silent }).start();
      const there = await stemma.get<number>(run.id);
      await noteRecorded(there, recorded);
      await clock.advance("2d");
      expect(await there.result()).toBe(45);
      expect(twice).toEqual([]);
      expect(next.unreached()).toEqual([]);
    }
  }

  it.each(["commit.before", "commit.after"] as const)(
    "ends with the same result after a crash at any commit (%s), and no completed step is entered again",
    async (point) => {
      // Ten steps, the wait and its suspension, its answer, the end.
      expect(await crashAtEach(point)).toBeGreaterThanOrEqual(12);
    },
  );

  const codes = ["store.busy", "store.full", "store.unavailable"] as const;
  it.each(faultPoints.filter((point) => !point.startsWith("create") && !point.startsWith("list")))(
    "ends with the same result, each step entered once, whatever %s throws",
    async (point) => {
      for (const code of codes) {
        for (const at of [1, 2, 3]) {
          const clock = fakeClock();
          const { steps, entered } = witness();
          const store = sqlite(":memory:");
          const faulty = faults(store);
          const client = new Stemma({ store, clock, log: silent });
          await using _working = await new Stemma({ store: faulty, workflows: [steps], clock, log: silent }).start();
          faulty.fail(point, code, { at, times: 2 });
          const run = await client.run(steps, undefined);
          await clock.advance("3d");
          expect(await run.status()).toBe("succeeded");
          expect(entered).toHaveLength(10);
          await client.stop();
        }
      }
    },
  );

  it("has a flush that the store could not take on record when it is tried again, to the millisecond", async () => {
    const clock = fakeClock();
    const { steps } = witness();
    const faulty = faults(sqlite(":memory:"));
    await using stemma = await new Stemma({ store: faulty, workflows: [steps], clock, log: silent }).start();
    const run = await stemma.run(steps, undefined);
    faulty.fail("commit.before", "store.full", { times: 3 });
    await clock.advance("1h");
    expect(faulty.unreached()).toEqual([]);
    const second = (await run.history()).find((event) => "key" in event.data && event.data.key === "s1");
    // Tried again after 50, 100 and 200 ms; the next step is entered when the one before is on record.
    expect((second?.at ?? 0) - Date.UTC(2026, 0, 1)).toBe(350);
  });
});
