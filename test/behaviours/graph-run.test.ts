/** Runs of message graphs in memory: checkpoints and their ancestry, who may run when, and what is left of a run that was. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { z } from "zod";
import {
  Executor,
  executor,
  factory,
  fileCheckpoints,
  handler,
  memoryCheckpoints,
  responseHandler,
  Runner,
  WorkflowBuilder,
  WorkflowExecutor,
} from "../../src/graph.ts";
import type {
  CheckpointStorage,
  Workflow,
  WorkflowCheckpoint,
  WorkflowContext,
  WorkflowEvent,
} from "../../src/graph.ts";
import { errorOf, until } from "../stage.ts";

type Ctx = WorkflowContext<unknown, unknown>;
const step = (id: string, run: (message: unknown, ctx: Ctx) => unknown): Executor =>
  executor<unknown, unknown, unknown>(id, run);
const pass = (id: string): Executor => step(id, (message, ctx) => ctx.sendMessage(`${String(message)}-${id}`));
const chain = (...nodes: Executor[]): Workflow =>
  new WorkflowBuilder({ name: "chain", start: nodes[0] as Executor, state: { list: "append" } })
    .addChain(nodes)
    .build();
const ends = (id: string): Executor => step(id, (message, ctx) => ctx.yieldOutput(`${String(message)}-${id}`));
const linear = (): Workflow => chain(pass("start"), pass("middle"), ends("done"));

const all = (storage: CheckpointStorage, workflowName = "chain"): Promise<WorkflowCheckpoint[]> =>
  storage.listCheckpoints({ workflowName });
const links = (checkpoints: readonly WorkflowCheckpoint[]): unknown[] =>
  checkpoints.map((one) => [
    one.kind,
    one.iterationCount,
    checkpoints.findIndex((other) => other.checkpointId === one.previousCheckpointId),
  ]);
const types = (events: readonly WorkflowEvent[]): string[] => events.map(({ type }) => type);

function folder(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "stemma-graph-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

const asking = (id = "ask", name?: string): Executor => {
  class Asking extends Executor {
    readonly handlers = [
      handler({}, (message, ctx: Ctx) => void ctx.requestInfo(message, name === undefined ? {} : { id: name })),
    ];
    override readonly responseHandlers = [
      responseHandler({ response: z.string() }, (request, response, ctx: Ctx) =>
        ctx.yieldOutput(`${String(request)}->${response}`),
      ),
    ];
  }
  return new Asking(id);
};
/** Asks once for each letter of its input. */
const asks = (): Workflow => {
  const start = step("start", (text, ctx) => [...String(text)].forEach((letter) => ctx.sendMessage(letter)));
  return new WorkflowBuilder({ name: "asks", start }).addEdge(start, asking()).build();
};

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

test.each([
  [false, false],
  [false, true],
  [true, false],
  [true, true],
])("G4, 45: a second run on one instance is refused at once (stream %s, then %s)", async (first, second) => {
  const free = Promise.withResolvers<void>();
  const graph = chain(
    step("wait", () => free.promise),
    ends("end"),
  );
  const running = first ? graph.run(1, { stream: true }) : graph.run(1);
  const started = first ? (running as AsyncIterator<WorkflowEvent>).next() : undefined;
  expect(() => (second ? graph.run(2, { stream: true }) : graph.run(2))).toThrow(
    expect.objectContaining({ code: "workflow.already_running" }) as Error,
  );
  free.resolve();
  await started;
  if (first) await (running as ReturnType<typeof graph.run> & { finalResponse(): Promise<unknown> }).finalResponse();
  else await running;
  expect((await graph.run(3)).status).toBe("succeeded");
});

test("with factories, runs go on beside each other and share nothing", async () => {
  class Sum extends Executor<number, never, number> {
    sum = 0;
    readonly handlers = [
      handler({ input: z.number() }, async (n, ctx: WorkflowContext<never, number>) => {
        this.sum += n;
        await new Promise((resolve) => setTimeout(resolve, 2));
        ctx.yieldOutput(this.sum);
      }),
    ];
  }
  const graph = new WorkflowBuilder({ name: "sums", start: factory(() => new Sum("sum")) }).build();
  const results = await Promise.all([1, 2, 3].map((n) => graph.run(n)));
  expect(results.map(({ outputs }) => outputs)).toEqual([[1], [2], [3]]);
});

test("G5, 44: parameters that do not fit together are refused first, and nothing is touched", async () => {
  const free = Promise.withResolvers<void>();
  const graph = chain(
    step("wait", () => free.promise),
    ends("end"),
  );
  const running = graph.run(1);
  const refused = (input: unknown, message: string): void => {
    for (const stream of [false, true]) {
      expect(() => graph.run(input, stream ? { stream } : {})).toThrow(
        expect.objectContaining({ code: "usage.invalid" }) as Error,
      );
      expect(() => graph.run(input, { stream: true })).toThrow(message);
    }
  };
  refused(undefined, "Must provide at least one of");
  refused({ message: 1, responses: { a: 1 } }, "Cannot provide both 'message' and 'responses'");
  refused({ message: 1, checkpointId: "c" }, "Cannot provide both 'message' and 'checkpointId'");
  refused({ checkpointId: "c" }, "Cannot restore from checkpoint");
  refused({ responses: {} }, "Must provide at least one of");
  free.resolve();
  expect((await running).status).toBe("succeeded");
  expect(
    (
      await chain(
        step("a", (message, ctx) => ctx.sendMessage(message)),
        ends("b"),
      ).run({ message: null })
    ).outputs,
  ).toEqual(["null-b"]);
});

test("G6, 46, 47: an instance is free again after success, failure, cancel, and streams that nobody reads", async () => {
  const graph = chain(
    step("a", async (message, ctx) => {
      if (message === "fail") throw new Error("failed");
      if (message === "hang")
        await new Promise((_, reject) => ctx.abort.addEventListener("abort", () => reject(new Error("stopped"))));
      ctx.sendMessage(message);
    }),
    ends("b"),
  );
  const free = async (): Promise<void> => expect((await graph.run("ok")).outputs).toEqual(["ok-b"]);
  await free();
  expect((await errorOf(graph.run("fail"))).code).toBe("run.failed");
  await free();
  const stop = new AbortController();
  const cancelled = errorOf(graph.run("hang", { signal: stop.signal }));
  setTimeout(() => stop.abort(), 5);
  expect((await cancelled).code).toBe("run.cancelled");
  expect(graph.status).toBe("cancelled");
  await free();
  graph.run("ok", { stream: true });
  await free();
  void graph.run("ok").catch(() => undefined);
  let next: Promise<unknown> | undefined;
  await until(() => {
    try {
      next = graph.run("ok");
    } catch {
      // The one that nobody awaits is under way.
    }
    return next !== undefined;
  });
  await next;
  await free();
  for await (const event of graph.run("hang", { stream: true })) if (event.type === "executor_invoked") break;
  await free();
  const stream = graph.run("hang", { stream: true });
  await stream.next();
  await stream.return();
  await free();
});

test("G7, G9, 48, 50: the late end of a run that was left cannot let go of what its successor holds", async () => {
  const [mine, other] = [memoryCheckpoints(), memoryCheckpoints()];
  const gates = new Map([1, 2].map((n) => [n, Promise.withResolvers<void>()]));
  // Deaf to the abort: it ends when its gate opens.
  const graph = chain(
    step("a", async (n, ctx) => {
      await gates.get(n as number)?.promise;
      ctx.sendMessage(n);
    }),
    ends("b"),
  );
  const first = graph.run(1, { stream: true, checkpointStorage: mine });
  for (let n = 0; n < 5; n += 1) await first.next();
  const left = first.return();
  const saved = (await all(mine)).length;
  const second = graph.run(2, { checkpointStorage: other });
  gates.get(1)?.resolve();
  await left;
  expect(() => graph.run(3)).toThrow("already running");
  gates.get(2)?.resolve();
  const { outputs, events, runId } = await second;
  expect(outputs).toEqual(["2-b"]);
  expect(new Set(events.map(({ run }) => run))).toEqual(new Set([runId]));
  expect((await all(other)).map((one) => [one.runId, one.iterationCount])).toEqual([0, 1, 2].map((n) => [runId, n]));
  expect((await all(mine)).filter((one) => one.runId === runId)).toEqual([]);
  expect(saved).toBe(1);
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

test("G8, G13: Runner is there; its first use warns, once, and importing does not", async () => {
  const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
  await import("../../src/graph.ts");
  expect(warned).not.toHaveBeenCalled();
  expect((await new Runner(linear()).run("x")).outputs).toEqual(["x-start-middle-done"]);
  expect(new Runner(linear())).toBeDefined();
  expect(warned.mock.calls.map(([, options]) => (options as { code: string }).code)).toEqual(["STEMMA_DEP_RUNNER"]);
  warned.mockRestore();
});

test("22, 23, 26: an entry holds the input, a response entry the answers; both can be resumed", async () => {
  const storage = memoryCheckpoints();
  const options = { checkpointStorage: storage };
  const graph = asks();
  const { requests, status, checkpointId } = await graph.run("q", options);
  expect([status, requests.map(({ data }) => data)]).toEqual(["suspended", ["q"]]);
  const id = requests[0]!.id;
  expect((await graph.run({ responses: { [id]: "yes" } }, options)).outputs).toEqual(["q->yes"]);
  const saved = await all(storage, "asks");
  const response = saved.find(({ kind }) => kind === "response");
  expect(response).toMatchObject({ iterationCount: 2, previousCheckpointId: checkpointId, state: { requests: {} } });
  expect(response?.state.messages).toHaveLength(1);
  expect((await asks().run({ checkpointId: response!.checkpointId }, options)).outputs).toEqual(["q->yes"]);
  expect((await asks().run({ checkpointId: saved[0]!.checkpointId }, options)).status).toBe("suspended");
});

test("63, 64, X8, X9: what is open is told again by whoever restores; partial answers leave the rest open", async () => {
  const options = { checkpointStorage: memoryCheckpoints() };
  const { checkpointId, requests } = await asks().run("ab", options);
  const [a, b] = requests.map(({ id }) => id) as [string, string];
  const graph = asks();
  const restored = await graph.run({ checkpointId: checkpointId! }, options);
  expect(
    restored.events.filter(({ type }) => type === "request_info").map(({ data }) => (data as { id: string }).id),
  ).toEqual([a, b]);
  expect(restored.status).toBe("suspended");
  const partly = await asks().run({ checkpointId: checkpointId!, responses: { [a]: "1" } }, options);
  expect([partly.status, partly.outputs, partly.requests.map(({ id }) => id)]).toEqual(["suspended", ["a->1"], [b]]);
  expect(partly.events.filter(({ type }) => type === "request_info")).toHaveLength(1);
  const done = await graph.run({ responses: { [a]: "1", [b]: "2" } }, options);
  expect([done.status, done.requests, done.outputs]).toEqual(["succeeded", [], ["a->1", "b->2"]]);
});

test("X27: an answer to what is not open, or one that does not fit, changes nothing", async () => {
  const graph = asks();
  const { requests } = await graph.run("q");
  expect((await errorOf(graph.run({ responses: { other: "x" } }))).code).toBe("wait.not_open");
  expect((await errorOf(graph.run({ responses: { [requests[0]!.id]: 7 } }))).code).toBe("wait.invalid_answer");
  expect(graph.status).toBe("suspended");
  expect((await graph.run({ responses: { [requests[0]!.id]: "x" } })).status).toBe("succeeded");
});

test("X28, X29: an id of a request is given once in a run, and only where there is a handler for the answer", async () => {
  const twice = step("start", (_, ctx) => ["a", "b"].forEach((one) => ctx.sendMessage(one)));
  const graph = new WorkflowBuilder({ name: "twice", start: twice }).addEdge(twice, asking("ask", "same")).build();
  expect(((await errorOf(graph.run(1))).cause as { code: string }).code).toBe("graph.duplicate_request");
  const deaf = new WorkflowBuilder({ name: "deaf", start: step("a", (_, ctx) => void ctx.requestInfo("?")) }).build();
  expect(((await errorOf(deaf.run(1))).cause as { code: string }).code).toBe("graph.no_handler");
});

test("X10: answers are no supersteps of a loop: 200 rounds under a limit of 10", async () => {
  class Rounds extends Executor {
    readonly handlers = [handler({}, (n, ctx: Ctx) => void ctx.requestInfo(n))];
    override readonly responseHandlers = [
      responseHandler({ response: z.number() }, (_, n, ctx: Ctx) =>
        n < 200 ? void ctx.requestInfo(n) : ctx.yieldOutput(n),
      ),
    ];
  }
  const graph = new WorkflowBuilder({ name: "rounds", start: new Rounds("ask"), maxSupersteps: 10 }).build();
  let result = await graph.run(0);
  for (let n = 1; n <= 200; n += 1) result = await graph.run({ responses: { [result.requests[0]!.id]: n } });
  expect([result.status, result.outputs]).toEqual(["succeeded", [200]]);
});

const shortAndLong = (): Workflow => {
  const [a, b, c, d] = [pass("a"), pass("b"), pass("c"), pass("d")];
  const sum = step("sum", (list, ctx) => ctx.yieldOutput((list as string[]).join("+")));
  const builder = new WorkflowBuilder({ name: "chain", start: a }).addFanOutEdges(a, [b, c]).addEdge(c, d);
  return builder.addFanInEdges([b, d], sum).build();
};

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
    { what: "fan-in incomplete", edge: "edge 1", from: ["b"] },
  ]);
  expect((await graph.run("all")).outputs).toEqual([["all-b", "all-c"]]);
});

test.each(["memory", "files"])(
  "X3, 35: resumed and forked three times, a checkpoint stays what it is (%s)",
  async (kind) => {
    using place = folder();
    const options = { checkpointStorage: kind === "memory" ? memoryCheckpoints() : fileCheckpoints(place.path) };
    const graph = chain(
      step("start", (message, ctx) => {
        ctx.setState("list", "first");
        ctx.sendMessage({ items: [message] });
      }),
      step("grow", (message, ctx) => {
        (message as { items: unknown[] }).items.push("grown");
        (ctx.getState("list") as unknown[]).push("not set");
        ctx.setState("list", "second");
        ctx.sendMessage(message);
      }),
      step("end", (message, ctx) =>
        ctx.yieldOutput([(message as { items: unknown[] }).items.splice(0), ctx.getState("list")]),
      ),
    );
    await graph.run("x", options);
    const { checkpointId } = (await all(options.checkpointStorage))[1] as WorkflowCheckpoint;
    const before = JSON.stringify(await options.checkpointStorage.load(checkpointId));
    for (let n = 0; n < 3; n += 1) {
      expect((await graph.run({ checkpointId }, options)).outputs).toEqual([
        [
          ["x", "grown"],
          ["first", "second"],
        ],
      ]);
      const fork = { state: { list: ["other"] } };
      expect((await graph.run({ checkpointId, fork }, options)).outputs).toEqual([
        [
          ["x", "grown"],
          ["other", "second"],
        ],
      ]);
    }
    expect(JSON.stringify(await options.checkpointStorage.load(checkpointId))).toBe(before);
  },
);

test("X4: a stream that is left stops its executors, and nothing of it comes later", async () => {
  const stopped: string[] = [];
  const graph = chain(
    step("a", async (message, ctx) => {
      if (message === "left") {
        await new Promise<void>((resolve) => ctx.abort.addEventListener("abort", () => resolve()));
        stopped.push("a");
      }
      ctx.sendMessage(message);
    }),
    ends("b"),
  );
  for await (const event of graph.run("left", { stream: true })) if (event.type === "executor_invoked") break;
  expect([stopped, graph.status]).toEqual([["a"], "cancelled"]);
  expect((await graph.run("next")).outputs).toEqual(["next-b"]);
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

test("X17, 37: what cannot be read is left out of a list, and is never replaced by an older one", async () => {
  using place = folder();
  const storage = fileCheckpoints(join(place.path, "deep", "down"));
  await linear().run("x", { checkpointStorage: storage });
  const saved = await all(storage);
  expect((await storage.getLatest({ workflowName: "chain" }))?.checkpointId).toBe(saved.at(-1)?.checkpointId);
  writeFileSync(join(place.path, "deep", "down", `${saved.at(-1)!.checkpointId}.json`), "{ not json");
  expect(await all(storage)).toEqual(saved.slice(0, -1));
  expect((await errorOf(storage.getLatest({ workflowName: "chain" }))).code).toBe("checkpoint.unreadable");
});

test.each(["memory", "files"])("36, 38: the contract of a storage (%s)", async (kind) => {
  using place = folder();
  const storage = kind === "memory" ? memoryCheckpoints() : fileCheckpoints(place.path);
  const long = "long ".repeat(2000);
  await chain(
    step("a", (_, ctx) => ctx.setState("kept", { long, at: new Date(0), $stemma: "mine" })),
    ends("b"),
  ).run("x", { checkpointStorage: storage });
  const [first, last] = await all(storage);
  expect(await storage.load(first!.checkpointId)).toEqual(first);
  expect(await storage.listCheckpointIds({ workflowName: "chain" })).toEqual(
    [first, last].map((one) => one?.checkpointId),
  );
  expect(await storage.listCheckpointIds({ workflowName: "other" })).toEqual([]);
  expect(await storage.getLatest({ workflowName: "other" })).toBeUndefined();
  expect([await storage.delete(first!.checkpointId), await storage.delete(first!.checkpointId)]).toEqual([true, false]);
  expect((await errorOf(storage.load(first!.checkpointId))).code).toBe("checkpoint.not_found");
  expect(await storage.load(last!.checkpointId)).toEqual(last);
  if (kind === "files") {
    expect((await errorOf(storage.load("../../etc/passwd" as never))).message).toContain("Invalid checkpoint ID");
    await storage.delete(last!.checkpointId);
    expect(readdirSync(join(place.path, "pieces"))).toEqual([]);
  }
});

test("X24: a list that grows by a kilobyte a superstep costs a few kilobytes a checkpoint", async () => {
  const storage = memoryCheckpoints();
  const loop = step("loop", (n, ctx) => {
    ctx.setState("list", `${String(n)} `.repeat(300).slice(0, 1000));
    if ((n as number) < 100) ctx.sendMessage((n as number) + 1);
  });
  const graph = new WorkflowBuilder({ name: "chain", start: loop, state: { list: "append" }, maxSupersteps: 200 })
    .addEdge(loop, loop)
    .build();
  await graph.run(1, { checkpointStorage: storage });
  // All states as they are would be 100 KB on average, a hundred times.
  expect(storage.bytes).toBeLessThan(1_200_000);
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

test("X19: a run that was cancelled says so and goes on from where it was", async () => {
  const options = { checkpointStorage: memoryCheckpoints() };
  const stop = new AbortController();
  const graph = chain(
    pass("a"),
    step("b", async (message, ctx) => {
      if (!stop.signal.aborted) {
        stop.abort();
        await new Promise((_, reject) => ctx.abort.addEventListener("abort", () => reject(new Error("stopped"))));
      }
      ctx.sendMessage(message);
    }),
    ends("c"),
  );
  const seen: WorkflowEvent[] = [];
  const reading = (async () => {
    for await (const event of graph.run("x", { ...options, stream: true, signal: stop.signal })) seen.push(event);
  })();
  const error = await errorOf(reading);
  expect([error.code, seen.at(-1)?.status]).toEqual(["run.cancelled", "cancelled"]);
  const { checkpointId } = (await options.checkpointStorage.getLatest({ workflowName: "chain" }))!;
  expect((await graph.run({ checkpointId }, options)).outputs).toEqual(["x-a-c"]);
});

test("X22: every event has its place and comes from events before; one run is connected, and one that continues it too", async () => {
  const options = { checkpointStorage: memoryCheckpoints() };
  const first = await shortAndLong().run("x", options);
  const saved = await all(options.checkpointStorage);
  const second = await shortAndLong().run({ checkpointId: saved[2]!.checkpointId }, options);
  const known = new Set<string>();
  let roots = 0;
  for (const event of [...first.events, ...second.events]) {
    expect(event.causes.filter((cause) => !known.has(cause))).toEqual([]);
    if (event.causes.length === 0) roots += 1;
    known.add(event.id);
  }
  expect(roots).toBe(1);
  expect(first.events.map(({ seq }) => seq)).toEqual(first.events.map((_, index) => index));
});

test("20, 56: what was yielded before a failure is told before it; then the executor's failure, then the run's", async () => {
  const graph = chain(
    step("a", (_, ctx) => {
      ctx.yieldOutput("before");
      throw new Error("after");
    }),
    ends("b"),
  );
  const seen: WorkflowEvent[] = [];
  const error = await errorOf(
    (async () => {
      for await (const event of graph.run(1, { stream: true })) seen.push(event);
    })(),
  );
  expect(error.message).toBe("after");
  expect(types(seen).slice(-5)).toEqual(["executor_invoked", "output", "executor_failed", "failed", "status"]);
});

test("58, 59: what an executor was given is shown as it was, and what it sent", async () => {
  const graph = chain(
    step("a", (list, ctx) => {
      (list as unknown[]).push("more");
      ctx.sendMessage("one");
      ctx.sendMessage("two");
    }),
    step("b", () => undefined),
  );
  const { events } = await graph.run(["first"]);
  const dataOf = (type: string): unknown[] => events.filter((event) => event.type === type).map(({ data }) => data);
  expect(dataOf("executor_invoked")).toEqual([["first"], "one", "two"]);
  expect(dataOf("executor_completed")).toEqual([["one", "two"], null, null]);
});

test("65, 67, X21: a graph inside is told of by its path, its requests come out, and some are answered here", async () => {
  const inner = asks();
  const known = (request: unknown): { answer: unknown } | undefined =>
    request === "k" ? { answer: "known" } : undefined;
  const outer = (): Workflow => {
    const inside = new WorkflowExecutor(inner, "inside", { intercept: known });
    return new WorkflowBuilder({ name: "chain", start: inside }).addEdge(inside, ends("end")).build();
  };
  const options = { checkpointStorage: memoryCheckpoints() };
  const graph = outer();
  const asked = await graph.run("kq", options);
  expect(asked.outputs).toEqual(["k->known-end"]);
  expect(asked.requests.map(({ executorId, data }) => [executorId, data])).toEqual([["inside", "q"]]);
  const invoked = asked.events.filter(({ type }) => type === "executor_invoked").map(({ executorId }) => executorId);
  expect(invoked).toEqual(["inside", "inside/start", "inside/ask", "inside/ask", "inside/ask", "end"]);
  const id = asked.requests[0]!.id;
  expect(
    (await errorOf(outer().run({ checkpointId: asked.checkpointId!, responses: { [id]: 7 } }, options))).code,
  ).toBe("wait.invalid_answer");
  const { outputs, status } = await outer().run(
    { checkpointId: asked.checkpointId!, responses: { [id]: "yes" } },
    options,
  );
  expect([outputs, status]).toEqual([["q->yes-end"], "succeeded"]);
});

test("53, 70: shared state begins empty in each run; a write is seen by its writer at once and by others a superstep later", async () => {
  const start = pass("start");
  const writer = step("writer", (_, ctx) => {
    ctx.setState("n", ((ctx.getState("n") as number | undefined) ?? 0) + 1);
    ctx.yieldOutput(["writer", ctx.getState("n")]);
  });
  const reader = step("reader", (_, ctx) => ctx.yieldOutput(["reader", ctx.getState("n")]));
  const later = step("later", (_, ctx) => ctx.yieldOutput(["later", ctx.getState("n")]));
  const next = pass("next");
  const graph = new WorkflowBuilder({ name: "state", start })
    .addFanOutEdges(start, [writer, reader, next])
    .addEdge(next, later)
    .build();
  const expected = [
    ["writer", 1],
    ["reader", undefined],
    ["later", 1],
  ];
  expect((await graph.run("x")).outputs).toEqual(expected);
  expect((await graph.run("x")).outputs).toEqual(expected);
  const bad = new WorkflowBuilder({ name: "bad", start: step("a", (_, ctx) => ctx.setState("_mine", 1)) }).build();
  expect((await errorOf(bad.run(1))).cause).toMatchObject({ code: "usage.invalid" });
});

test("54: a fresh run while requests are open says so; they stay answerable, by their own run", async () => {
  class Latest extends Executor {
    latest: unknown;
    readonly handlers = [
      handler({}, (message, ctx: Ctx) => {
        this.latest = message;
        ctx.requestInfo(message);
      }),
    ];
    override readonly responseHandlers = [responseHandler({}, (_, __, ctx: Ctx) => ctx.yieldOutput(this.latest))];
  }
  const graph = new WorkflowBuilder({ name: "latest", start: new Latest("latest") }).build();
  const first = await graph.run(1);
  const second = await graph.run(2);
  expect(second.events.find(({ type }) => type === "warning")?.data).toEqual({
    what: "requests of earlier runs are still pending",
    count: 1,
  });
  const answered = await graph.run({ responses: { [first.requests[0]!.id]: "yes" } });
  expect([answered.runId, answered.outputs, answered.status]).toEqual([first.runId, [2], "succeeded"]);
  expect((await graph.run({ responses: { [second.requests[0]!.id]: "yes" } })).runId).toBe(second.runId);
});
