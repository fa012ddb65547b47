/**
 * Runs of message graphs in memory: who may run when, what is left of a run that was, and what is told of it.
 *
 * | Behaviour | Guarantee |
 * | --- | --- |
 * | G4, 45 | a second run on one instance is refused at once |
 * | G5, 44 | parameters that do not fit together are refused first, and nothing is touched |
 * | G6, 46, 47 | an instance is free again after success, failure, cancel, and streams that nobody reads |
 * | G7, G9, 48, 50 | the late end of a run that was left cannot let go of what its successor holds |
 * | G8, G13 | Runner is there; its first use warns, once, and importing does not |
 * | X4 | a stream that is left stops its executors, and nothing of it comes later |
 * | X19 | a run that was cancelled says so and goes on from where it was |
 * | X22 | every event has its place and comes from events before; one run is connected, and one that continues it too |
 * | 20, 56 | what was yielded before a failure is told before it; then the executor's failure, then the run's |
 * | 56 | of a second in a chain that fails it is said which it was, by the graph, before the run's failure |
 * | 58, 59 | what an executor was given is shown as it was, and what it sent |
 * | 53, 70 | shared state begins empty in each run; a write is seen by its writer at once and by others a superstep later |
 * | G6, G7 | a half-read stream that was dropped is stopped when it is collected, and holds nothing then |
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test, vi } from "vitest";
import { z } from "zod";
import { Executor, factory, handler, memoryCheckpoints, Runner, WorkflowBuilder } from "../../src/graph.ts";
import type { WorkflowContext, WorkflowEvent } from "../../src/graph.ts";
import { errorOf, until } from "../stage.ts";
import { step, pass, chain, ends, linear, all, types, shortAndLong } from "./graph.ts";

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

test("G8, G13: Runner is there; its first use warns, once, and importing does not", async () => {
  const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
  await import("../../src/graph.ts");
  expect(warned).not.toHaveBeenCalled();
  // oxlint-disable-next-line typescript/no-deprecated -- what it does is what is tested
  const Old = Runner;
  expect(warned).not.toHaveBeenCalled();
  expect((await new Old(linear()).run("x")).outputs).toEqual(["x-start-middle-done"]);
  expect(new Old(linear())).toBeDefined();
  expect(warned.mock.calls.map(([, options]) => (options as { code: string }).code)).toEqual(["STEMMA_DEP_RUNNER"]);
  warned.mockRestore();
});

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

test("56: of a second in a chain that fails it is said which it was, by the graph, before the run's failure", async () => {
  const graph = chain(
    pass("a"),
    step("b", () => {
      throw new RangeError("broken");
    }),
  );
  const error = await errorOf(graph.run("x"));
  const events = error.data?.["events"] as WorkflowEvent[];
  const [executor, run, status] = events.slice(-3);
  expect(executor).toMatchObject({ type: "executor_failed", executorId: "b", origin: "framework" });
  expect(executor?.data).toMatchObject({ name: "RangeError", message: "broken" });
  expect([run?.type, status?.status, error.cause]).toEqual(["failed", "failed", expect.any(RangeError)]);
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

test("G6, G7: a half-read stream that was dropped is stopped when it is collected, and holds nothing then", async () => {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as () => void;
  let stopped = false;
  const graph = chain(
    step("a", async (message, ctx) => {
      if (message === "dropped") {
        await new Promise<void>((resolve) => ctx.abort.addEventListener("abort", () => resolve()));
        stopped = true;
      }
      ctx.sendMessage(message);
    }),
    ends("b"),
  );
  const read = async (): Promise<void> => {
    const stream = graph.run("dropped", { stream: true });
    while ((await stream.next()).value?.type !== "executor_invoked");
  };
  await read();
  expect(() => graph.run("refused")).toThrow("already running");
  await until(() => {
    gc();
    return stopped;
  });
  expect((await graph.run("next")).outputs).toEqual(["next-b"]);
});
