/** Graphs whose state grows: what is stored is what is new, and every checkpoint is whole whatever happens to others. */
import { expect, test } from "vitest";
import { Stemma } from "../src/index.ts";
import { executor, fileCheckpoints, memoryCheckpoints, storeCheckpoints, WorkflowBuilder } from "../src/graph.ts";
import type { CheckpointStorage, Workflow, WorkflowContext } from "../src/graph.ts";
import { fakeClock, faults } from "../src/testing.ts";
import { folder } from "./behaviours/graph.ts";
import { fresh, stage } from "./stage.ts";

type Ctx = WorkflowContext<number, number>;
const kilobyte = (n: number): string => `${n}:`.padEnd(1024, `${n} `);

/** Two executors that send a number back and forth, each time with a kilobyte more of shared state. */
function pingPong(supersteps: number): Workflow<number, number> {
  const turn = (n: number, ctx: Ctx): void => {
    ctx.setState("log", kilobyte(n));
    if (n + 1 < supersteps) ctx.sendMessage(n + 1);
    else ctx.yieldOutput((ctx.getState("log") as string[]).length);
  };
  const [ping, pong] = [executor<number, number, number>("ping", turn), executor<number, number, number>("pong", turn)];
  return new WorkflowBuilder({ name: "grows", start: ping, state: { log: "append" }, maxSupersteps: supersteps })
    .addEdge(ping, pong)
    .addEdge(pong, ping)
    .build();
}

const lines = Array.from({ length: 400 }, (_, n) => kilobyte(n));
const whole = (supersteps: number): string[] => lines.slice(0, supersteps);

/** Checkpoints that are there, each with as much of the log as there was. */
async function expectWhole(storage: CheckpointStorage): Promise<number> {
  const ids = await storage.listCheckpointIds({ workflowName: "grows" });
  for (const id of ids) {
    const { state, iterationCount } = await storage.load(id);
    const log = (state.shared["log"] ?? []) as string[];
    // A matcher that looks for a difference takes far longer; it is asked where there is one.
    if (log.length !== iterationCount || log.some((line, n) => line !== lines[n])) {
      expect(log).toEqual(whole(iterationCount));
    }
  }
  return ids.length;
}

test("X24: what checkpoints of a state that grows take is in proportion to what is new in them", async () => {
  const [few, many] = [memoryCheckpoints(), memoryCheckpoints()];
  expect((await pingPong(50).run(0, { checkpointStorage: few })).outputs).toEqual([50]);
  expect((await pingPong(400).run(0, { checkpointStorage: many })).outputs).toEqual([400]);
  expect(many.bytes / 400).toBeLessThan((few.bytes / 50) * 1.3);
  expect(many.bytes / 400).toBeLessThan(4096);
  expect(await expectWhole(many)).toBe(401);
});

test("X24: in a store too, and what has been written of the run is neither written nor read again", async () => {
  await using store = fresh();
  let [written, read] = [0, 0];
  const counted = new Proxy(store, {
    get(target, name) {
      const found: unknown = Reflect.get(target, name, target);
      if (typeof found !== "function") return found;
      return (...args: unknown[]): unknown => {
        if (name === "payloads") read += 1;
        if (name === "create") written += JSON.stringify(args[0]).length;
        return Reflect.apply(found, target, args) as unknown;
      };
    },
  });
  const storage = storeCheckpoints(counted);
  expect((await pingPong(150).run(0, { checkpointStorage: storage })).outputs).toEqual([150]);
  expect(read).toBe(0);
  expect(written / 150).toBeLessThan(8192);
  expect(await expectWhole(storage)).toBe(151);
  // Whoever comes later, and remembers nothing, reads it, and builds on it.
  const [later, last] = [storeCheckpoints(counted), (await storage.getLatest({ workflowName: "grows" }))!];
  const [before, change] = [written, { state: { more: 1 } }];
  await pingPong(150).run({ checkpointId: last.checkpointId, fork: change }, { checkpointStorage: later });
  expect(written - before).toBeLessThan(3 * 8192);
  await expectWhole(later);
});

test("a checkpoint is whole though the one before it was deleted, in memory, in files and in a store", async () => {
  using at = folder();
  await using store = fresh();
  const stemma = new Stemma({ store, workflows: [] });
  for (const storage of [memoryCheckpoints(), fileCheckpoints(at.path), storeCheckpoints(store)]) {
    const before: string[] = [];
    const deleting: CheckpointStorage = {
      ...storage,
      async save(checkpoint) {
        const id = await storage.save(checkpoint);
        before.push(id);
        if (before.length % 3 === 0) {
          for (const old of before.splice(0)) await storage.delete(old as typeof id);
          await stemma.prune({ olderThan: 0 });
        }
        return id;
      },
    };
    await pingPong(20).run(0, { checkpointStorage: deleting });
    expect(await expectWhole(storage)).toBe(0);
    await pingPong(22).run(0, { checkpointStorage: deleting });
    expect(await expectWhole(storage)).toBeGreaterThan(0);
  }
});

test.each(["files", "a store"])(
  "in %s a checkpoint is whole though the one before it could not be saved",
  async (where) => {
    using at = folder();
    await using store = fresh();
    const storage = where === "files" ? fileCheckpoints(at.path) : storeCheckpoints(store);
    let saves = 0;
    const failing: CheckpointStorage = {
      ...storage,
      async save(checkpoint) {
        // The second attempt finds that the first was half of one: a state that JSON cannot say.
        if (++saves % 4 === 0) await storage.save({ ...checkpoint, timestamp: 1n as never });
        return storage.save(checkpoint);
      },
    };
    await pingPong(20).run(0, { checkpointStorage: failing, onSaveFailure: "continue" });
    expect(await expectWhole(storage)).toBe(21 - 5);
  },
);

test("a checkpoint is whole though the store refused the one before it", async () => {
  await using store = fresh();
  let creates = 0;
  const refusing = new Proxy(store, {
    get(target, name) {
      if (name === "create" && ++creates % 4 === 0) return () => Promise.reject(new Error("the disk is full"));
      const found: unknown = Reflect.get(target, name, target);
      return typeof found === "function" ? (found.bind(target) as unknown) : found;
    },
  });
  await pingPong(20).run(0, { checkpointStorage: storeCheckpoints(refusing), onSaveFailure: "continue" });
  expect(await expectWhole(storeCheckpoints(store))).toBe(21 - 5);
});

test("a durable run that crashes while its state grows goes on with all of it", async () => {
  for (const commit of [7, 20, 33, 34]) {
    const [clock, first] = [fakeClock(), faults(fresh())];
    first.crash("commit.after", commit);
    const graph = pingPong(30).durable();
    const dying = await stage([graph], { store: first, clock });
    const { id } = await dying.stemma.run(graph, 0);
    await first.crashed;
    dying.stemma.abandon();
    const store = first.next();
    await using next = await stage([graph], { store, clock });
    await clock.advance("15s");
    const run = await next.stemma.get(id);
    expect(await run.result(), `${commit}`).toEqual([30]);
    const last = (await run.history()).findLast(({ type }) => type === "checkpoint");
    const forked = await next.stemma.fork(id, { checkpoint: last!.seq });
    expect(await forked.result()).toEqual([30]);
    await store.close();
  }
});
