/**
 * Going on from a checkpoint: what is refused, what comes back, and what does not.
 *
 * | Behaviour | Guarantee |
 * | --- | --- |
 * | 27 | as many checkpoints as supersteps that were completed, besides the entry |
 * | 31 | an instance without a storage goes on from one that is given with the run |
 * | 32 | no storage, no such checkpoint, a storage that fails: each is said |
 * | 33 | what is no checkpoint is refused before any of it reaches a run |
 * | 34 | fields of executors and shared state come back as they were captured |
 * | 41 | a storage given with a run is used in the place of the graph's own |
 * | 42 | only what the checkpoint has open is told, as a stream too |
 * | 43 | what a message on its way came from is still known |
 */
import { expect, test } from "vitest";
import { Executor, handler, memoryCheckpoints, WorkflowBuilder } from "../../src/graph.ts";
import type { CheckpointID, CheckpointStorage, Workflow, WorkflowCheckpoint, WorkflowEvent } from "../../src/graph.ts";
import { errorOf } from "../stage.ts";
import { all, asks, chain, ends, linear, pass, step, types, type Ctx } from "./graph.ts";

const middleOf = async (storage: CheckpointStorage, name = "chain"): Promise<WorkflowCheckpoint> =>
  (await all(storage, name))[1] as WorkflowCheckpoint;

test("27: as many checkpoints as supersteps that were completed, counted from one", async () => {
  const storage = memoryCheckpoints();
  const { events } = await linear().run("x", { checkpointStorage: storage });
  const completed = events.flatMap(({ type, iteration }) => (type === "superstep_completed" ? [iteration] : []));
  const saved = (await all(storage)).filter(({ kind }) => kind === "superstep");
  expect([completed, saved.map(({ iterationCount }) => iterationCount)]).toEqual([
    [1, 2, 3],
    [1, 2, 3],
  ]);
});

test("31: an instance without a storage takes iteration, state and parent from a checkpoint of one that is given", async () => {
  const elsewhere = memoryCheckpoints();
  await linear().run("x", { checkpointStorage: elsewhere });
  const middle = await middleOf(elsewhere);
  const storage = memoryCheckpoints();
  const id = middle.checkpointId.replace(/.$/u, "0") as CheckpointID;
  const state = { ...middle.state, iteration: 5, shared: { key: "kept" } };
  await storage.save({ ...middle, checkpointId: id, iterationCount: 5, state });
  await linear().run({ checkpointId: id }, { checkpointStorage: storage });
  expect((await all(storage)).find(({ previousCheckpointId }) => previousCheckpointId === id)).toMatchObject({
    iterationCount: 6,
    state: { iteration: 6, shared: { key: "kept" } },
  });
});

test("32: without a storage, without such a checkpoint, and from a storage that fails, it is said why", async () => {
  const id = "ckpt_none" as CheckpointID;
  expect(() => linear().run({ checkpointId: id })).toThrow("Cannot restore from checkpoint");
  const storage = memoryCheckpoints();
  const missing = await errorOf(linear().run({ checkpointId: id }, { checkpointStorage: storage }));
  expect(missing).toMatchObject({
    code: "checkpoint.not_found",
    message: expect.stringContaining("No checkpoint found with ID") as string,
  });
  const failing = { ...storage, load: () => Promise.reject(new Error("disk gone")) };
  const failed = await errorOf(linear().run({ checkpointId: id }, { checkpointStorage: failing }));
  expect(failed).toMatchObject({
    code: "checkpoint.unreadable",
    message: expect.stringContaining("Failed to restore from checkpoint") as string,
    cause: expect.objectContaining({ message: "disk gone" }) as Error,
  });
});

test.each([
  ["no state", () => undefined, "its state to be an object"],
  ["snapshots that are no object", (state: object) => ({ ...state, executors: "oops" }), "executors to be an object"],
  [
    "snapshots that are a list",
    (state: object) => ({ ...state, executors: [1] }),
    "executors to be an object, got a list",
  ],
  ["messages that are no list", (state: object) => ({ ...state, messages: {} }), "messages to be a list"],
  ["no iteration", (state: object) => ({ ...state, iteration: "1" }), "iteration to be a whole number"],
  [
    "a snapshot of nobody",
    (state: object) => ({ ...state, executors: { gone: 1 } }),
    "executor 'gone', which is not in the graph",
  ],
])("33: %s is refused, and nothing has run", async (_, change, message) => {
  const storage = memoryCheckpoints();
  const entered: unknown[] = [];
  const graph = chain(
    pass("start"),
    step("middle", (given) => void entered.push(given)),
    ends("done"),
  );
  await graph.run("x", { checkpointStorage: storage });
  const middle = await middleOf(storage);
  const broken = { ...storage, load: async () => ({ ...middle, state: change(middle.state) as never }) };
  const before = entered.length;
  const refused = errorOf(graph.run({ checkpointId: middle.checkpointId }, { checkpointStorage: broken }));
  expect((await refused).message).toContain(message);
  expect(entered).toHaveLength(before);
  const none = { ...storage, load: async () => ({ ...middle, state: { ...middle.state, executors: {} } }) };
  expect((await graph.run({ checkpointId: middle.checkpointId }, { checkpointStorage: none })).status).toBe(
    "succeeded",
  );
});

test("34: fields and state come back as they were, whatever they have become since", async () => {
  class Counter extends Executor {
    count = 0;
    readonly handlers = [
      handler({}, (message, ctx: Ctx) => {
        this.count += 7;
        ctx.setState("key", `at ${this.count}`);
        ctx.sendMessage(message);
      }),
    ];
    override onCheckpointSave(): unknown {
      return { count: this.count };
    }
    override onCheckpointRestore(state: unknown): void {
      this.count = (state as { count: number }).count;
    }
  }
  const options = { checkpointStorage: memoryCheckpoints() };
  const counter = new Counter("counter");
  const end = step("end", (_, ctx) => ctx.yieldOutput([counter.count, ctx.getState("key")]));
  const graph = chain(counter, end);
  await graph.run("x", options);
  const captured = await middleOf(options.checkpointStorage);
  counter.count = 100;
  const again = await graph.run({ checkpointId: captured.checkpointId }, options);
  expect([again.outputs, counter.count]).toEqual([[[7, "at 7"]], 7]);
  expect((await all(options.checkpointStorage)).at(-1)?.previousCheckpointId).toBe(captured.checkpointId);
});

test("41: the storage of a run is used in the place of the graph's own, which is used where none is given", async () => {
  const [own, given] = [memoryCheckpoints(), memoryCheckpoints()];
  const start = pass("start");
  const build = (): Workflow =>
    new WorkflowBuilder({ name: "chain", start, checkpointStorage: own }).addEdge(start, ends("end")).build();
  const { checkpointId } = await build().run("x", { checkpointStorage: given });
  expect([(await all(given)).length > 0, await all(own)]).toEqual([true, []]);
  expect((await build().run({ checkpointId: checkpointId! }, { checkpointStorage: given })).status).toBe("succeeded");
  await build().run("y");
  const middle = await middleOf(own);
  expect((await build().run({ checkpointId: middle.checkpointId })).outputs).toEqual(["y-start-end"]);
});

test.each([false, true])(
  "42: of all that an instance has asked, only what the checkpoint has open is told (stream %s)",
  async (stream) => {
    const options = { checkpointStorage: memoryCheckpoints() };
    const { checkpointId, requests } = await asks().run("b", options);
    const graph = asks();
    await graph.run("a", options);
    const events: WorkflowEvent[] = [];
    if (stream)
      for await (const event of graph.run({ checkpointId: checkpointId! }, { ...options, stream })) events.push(event);
    else events.push(...(await graph.run({ checkpointId: checkpointId! }, options)).events);
    expect(events.filter(({ type }) => type === "request_info").map(({ data }) => (data as { id: string }).id)).toEqual(
      [requests[0]!.id],
    );
    expect(types(events)).toEqual(["started", "status", "request_info", "status"]);
  },
);

test("43: what a message on its way came from is known behind a restore, in another run", async () => {
  const options = { checkpointStorage: memoryCheckpoints() };
  const first = await linear().run("x", options);
  const sent = first.events.find(({ type, executorId }) => type === "executor_completed" && executorId === "start");
  const { checkpointId, state } = await middleOf(options.checkpointStorage);
  expect(state.messages.map(({ causes }) => causes)).toEqual([[sent?.id]]);
  const second = await linear().run({ checkpointId }, options);
  expect(second.events.find(({ type }) => type === "executor_invoked")).toMatchObject({
    executorId: "middle",
    causes: [sent?.id],
  });
});
