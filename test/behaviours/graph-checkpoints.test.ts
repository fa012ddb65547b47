/**
 * Checkpoints of message graphs: when they are taken, what they continue, and where they are kept.
 *
 * | Behaviour | Guarantee |
 * | --- | --- |
 * | G1, 21, 24, 25 | one checkpoint a superstep and one at entry, each behind the one before; resumed from each, the same comes out |
 * | G2 | however often one checkpoint is resumed, each time its child is another one of it |
 * | G3, X11 | the parent belongs to the run: a second fresh run on the instance has its own root |
 * | G10, 49 | the storage of a run is not another run's |
 * | G11, G12 | after a resumed run that failed, a fresh run has its own entry, its own root and its own count |
 * | X1 | a fan-in of branches of different length, resumed from every checkpoint |
 * | X2 | half a fan-in of one run is not in the next, and is said |
 * | X5, X6, X7 | of a superstep that failed nothing counts, its siblings are settled first, and are not done again |
 * | X12, X13 | a fork says so and from where; looking and restoring what is done write nothing |
 * | X16, 28 | a checkpoint that cannot be saved fails the run, or is said where that is wanted |
 * | 29, X18 | a checkpoint of another graph is refused: nodes, order of cases and bodies of predicates count |
 * | X6 | an executor whose second message failed goes on with the fields that it had after the first |
 */
import { expect, test } from "vitest";
import { Executor, handler, memoryCheckpoints, WorkflowBuilder } from "../../src/graph.ts";
import type { CheckpointID, Workflow, WorkflowCheckpoint, WorkflowEvent } from "../../src/graph.ts";
import { errorOf } from "../stage.ts";
import { step, pass, chain, ends, linear, all, links, types, shortAndLong, type Ctx } from "./graph.ts";

test("G1, 21, 24, 25: one checkpoint a superstep and one at entry, each behind the one before; resumed from each, the same comes out", async () => {
  const storage = memoryCheckpoints();
  expect((await linear().run("hello", { checkpointStorage: storage })).outputs).toEqual(["hello-start-middle-done"]);
  const original = await all(storage);
  expect(links(original)).toEqual([
    ["entry", 0, -1],
    ["superstep", 1, 0],
    ["superstep", 2, 1],
    ["superstep", 3, 2],
  ]);
  for (const { checkpointId, iterationCount } of original.slice(0, 3)) {
    const before = await all(storage);
    const { outputs } = await linear().run({ checkpointId }, { checkpointStorage: storage });
    expect(outputs).toEqual(["hello-start-middle-done"]);
    const added = (await all(storage)).slice(before.length);
    expect(added.map((one) => one.iterationCount)).toEqual([1, 2, 3].slice(iterationCount));
    expect(added[0]?.previousCheckpointId).toBe(checkpointId);
    expect(added.slice(1).map((one) => one.previousCheckpointId)).toEqual(
      added.slice(0, -1).map((one) => one.checkpointId),
    );
    expect(added[0]?.continues).toMatchObject({ kind: "resume", checkpoint: checkpointId, run: original[0]?.runId });
  }
  expect((await all(storage)).filter((one) => one.previousCheckpointId === null)).toHaveLength(1);
});

test("G2: however often one checkpoint is resumed, each time its child is another one of it", async () => {
  const storage = memoryCheckpoints();
  const graph = linear();
  await graph.run("x", { checkpointStorage: storage });
  const middle = (await all(storage))[1];
  for (let n = 0; n < 3; n += 1)
    await graph.run({ checkpointId: middle!.checkpointId }, { checkpointStorage: storage });
  const children = (await all(storage)).filter((one) => one.previousCheckpointId === middle?.checkpointId);
  expect(children).toHaveLength(4);
  expect(new Set(children.map(({ runId }) => runId)).size).toBe(4);
});

test("G3, X11: the parent belongs to the run: a second fresh run on the instance has its own root", async () => {
  const storage = memoryCheckpoints();
  const graph = linear();
  await graph.run("a", { checkpointStorage: storage });
  await graph.run("b", { checkpointStorage: storage });
  expect(links((await all(storage)).slice(4)).map((link) => (link as unknown[])[2])).toEqual([-1, 0, 1, 2]);
});

test("G10, 49: the storage of a run is not another run's", async () => {
  const storage = memoryCheckpoints();
  const graph = linear();
  const stream = graph.run("a", { stream: true, checkpointStorage: storage });
  await stream.next();
  await stream.return();
  const before = (await all(storage)).length;
  await graph.run("b");
  expect(await all(storage)).toHaveLength(before);
});

test("G11, G12: after a resumed run that failed, a fresh run has its own entry, its own root and its own count", async () => {
  const storage = memoryCheckpoints();
  let fails = false;
  const graph = chain(
    pass("start"),
    step("middle", (message, ctx) => {
      if (fails) throw new Error("failed");
      ctx.sendMessage(message);
    }),
    ends("end"),
  );
  await graph.run("a", { checkpointStorage: storage });
  const { checkpointId } = (await all(storage))[1] as WorkflowCheckpoint;
  fails = true;
  expect((await errorOf(graph.run({ checkpointId }, { checkpointStorage: storage }))).code).toBe("run.failed");
  fails = false;
  const before = (await all(storage)).length;
  await graph.run("b", { checkpointStorage: storage });
  expect(links((await all(storage)).slice(before))).toEqual([
    ["entry", 0, -1],
    ["superstep", 1, 0],
    ["superstep", 2, 1],
    ["superstep", 3, 2],
  ]);
});

test("X1: a fan-in of branches of different length, resumed from every checkpoint", async () => {
  const options = { checkpointStorage: memoryCheckpoints() };
  const { outputs } = await shortAndLong().run("x", options);
  expect(outputs).toEqual(["x-a-b+x-a-c-d"]);
  const saved = await all(options.checkpointStorage);
  expect(saved).toHaveLength(5);
  for (const { checkpointId } of saved.slice(0, -1)) {
    expect((await shortAndLong().run({ checkpointId }, options)).outputs).toEqual(outputs);
  }
});

test("X1: what waits at a fan-in is found there by a program that says its edges in another order", async () => {
  const options = { checkpointStorage: memoryCheckpoints() };
  const { outputs } = await shortAndLong().run("x", options);
  for (const { checkpointId } of (await all(options.checkpointStorage)).slice(0, -1)) {
    expect((await shortAndLong({ fanInFirst: true }).run({ checkpointId }, options)).outputs).toEqual(outputs);
  }
});

test("X2: half a fan-in of one run is not in the next, and is said", async () => {
  const start = step("a", (message, ctx) => ctx.sendMessage(message, message === "half" ? { target: "b" } : {}));
  const [b, c, sum] = [pass("b"), pass("c"), step("sum", (list, ctx) => ctx.yieldOutput(list))];
  const graph = new WorkflowBuilder({ name: "half", start })
    .addFanOutEdges(start, [b, c])
    .addFanInEdges([b, c], sum)
    .build();
  const half = await graph.run("half");
  expect([half.outputs, half.events.find(({ type }) => type === "warning")?.data]).toEqual([
    [],
    { what: "fan-in incomplete", edge: "fan-in b|c|sum", from: ["b"] },
  ]);
  expect((await graph.run("all")).outputs).toEqual([["all-b", "all-c"]]);
});

test("X5, X6, X7: of a superstep that failed nothing counts, its siblings are settled first, and are not done again", async () => {
  const options = { checkpointStorage: memoryCheckpoints() };
  const entered: string[] = [];
  let fails = true;
  const start = pass("start");
  const work = (id: string, ms: number): Executor =>
    step(id, async (_, ctx) => {
      entered.push(id);
      ctx.setState(id, true);
      await new Promise((resolve) => setTimeout(resolve, ms));
      if (id === "bad" && fails) throw new Error("bad failed");
      ctx.yieldOutput(`${id} saw ${Object.keys(ctx.getState("seen") ?? {}).length}`);
    });
  const build = (): Workflow =>
    new WorkflowBuilder({ name: "chain", start })
      .addFanOutEdges(start, [work("quick", 0), work("bad", 1), work("slow", 8)])
      .build();
  const graph = build();
  const error = await errorOf(graph.run("x", options));
  const events = error.data?.["events"] as WorkflowEvent[];
  expect(events.findIndex((event) => event.type === "executor_completed" && event.executorId === "slow")).toBeLessThan(
    types(events).indexOf("failed"),
  );
  expect(error).toMatchObject({ message: "bad failed", data: { run: expect.any(String) as string } });
  const failed = (await all(options.checkpointStorage)).at(-1);
  expect(failed).toMatchObject({ kind: "failure", iterationCount: 1, checkpointId: error.data?.["checkpoint"] });
  expect(failed?.state.shared).toEqual({});
  fails = false;
  const again = await build().run({ checkpointId: failed!.checkpointId }, options);
  expect(entered).toEqual(["quick", "bad", "slow", "bad"]);
  expect(again.status).toBe("succeeded");
  const last = (await all(options.checkpointStorage)).at(-1);
  expect(last).toMatchObject({
    previousCheckpointId: failed?.checkpointId,
    state: { shared: { quick: true, bad: true, slow: true } },
  });
  const fresh = build();
  fails = true;
  await errorOf(fresh.run("x"));
  fails = false;
  expect((await fresh.run("y")).status).toBe("succeeded");
});

test("X12, X13: a fork says so and from where; looking and restoring what is done write nothing", async () => {
  const storage = memoryCheckpoints();
  const options = { checkpointStorage: storage };
  const graph = linear();
  await graph.run("a", options);
  const saved = await all(storage);
  const { checkpointId, runId } = saved[1] as WorkflowCheckpoint;
  await storage.load(checkpointId);
  const done = await graph.run({ checkpointId: saved[3]!.checkpointId }, options);
  expect([done.status, types(done.events)]).toEqual(["succeeded", ["started", "status", "status"]]);
  expect(await all(storage)).toHaveLength(4);
  const fork = { messages: (data: unknown) => `${String(data)}!` };
  expect((await graph.run({ checkpointId, fork }, options)).outputs).toEqual(["a-start!-middle-done"]);
  expect((await all(storage))[4]).toMatchObject({
    kind: "entry",
    iterationCount: 1,
    previousCheckpointId: checkpointId,
    continues: { kind: "fork", run: runId, checkpoint: checkpointId },
  });
});

test("X16, 28: a checkpoint that cannot be saved fails the run, or is said where that is wanted", async () => {
  const storage = { ...memoryCheckpoints(), save: () => Promise.reject(new Error("disk full")) };
  expect((await errorOf(linear().run("x", { checkpointStorage: storage }))).message).toBe("disk full");
  const result = await linear().run("x", { checkpointStorage: storage, onSaveFailure: "continue" });
  expect([result.status, result.checkpointId]).toEqual(["succeeded", null]);
  expect(types(result.events).filter((type) => type === "warning")).toHaveLength(4);
});

test("29, X18: a checkpoint of another graph is refused: nodes, order of cases and bodies of predicates count", async () => {
  const options = { checkpointStorage: memoryCheckpoints() };
  const build = (when: (n: unknown) => boolean, end = "end"): Workflow => {
    const start = pass("start");
    return new WorkflowBuilder({ name: "chain", start }).addEdge(start, ends(end), when).build();
  };
  const { checkpointId } = await build((n) => n !== 1).run("x", options);
  const refused = async (graph: Workflow): Promise<unknown> =>
    (await errorOf(graph.run({ checkpointId: checkpointId! }, options))).message;
  expect(await refused(build((n) => n !== 2))).toContain("Workflow graph has changed");
  expect(await refused(build((n) => n !== 1, "other"))).toContain("Workflow graph has changed");
  expect((await build((n) => n !== 1).run({ checkpointId: checkpointId! }, options)).status).toBe("succeeded");
});

test("X6: an executor whose second message failed goes on with the fields that it had after the first", async () => {
  const options = { checkpointStorage: memoryCheckpoints() };
  let fails = true;
  class Sum extends Executor {
    sum = 0;
    readonly handlers = [
      handler({}, (n, ctx: Ctx) => {
        this.sum += n as number;
        if (n === 2 && fails) throw new Error("two");
        ctx.yieldOutput(this.sum);
      }),
    ];
    override onCheckpointSave(): unknown {
      return this.sum;
    }
    override onCheckpointRestore(sum: unknown): void {
      this.sum = sum as number;
    }
  }
  const start = step("start", (_, ctx) => [1, 2, 4].forEach((n) => ctx.sendMessage(n)));
  const build = (): Workflow => new WorkflowBuilder({ name: "sums", start }).addEdge(start, new Sum("sum")).build();
  const error = await errorOf(build().run("x", options));
  fails = false;
  const checkpointId = error.data?.["checkpoint"] as CheckpointID;
  const again = await build().run({ checkpointId }, options);
  // What the first yielded is said again: whoever goes on from there has an error in the place of its outputs.
  expect([again.outputs, types(again.events).filter((type) => type === "executor_reused")]).toEqual([
    [1, 3, 7],
    ["executor_reused"],
  ]);
});
