/**
 * The life of a run of a message graph: status, what a successor finds, how it is stopped, what is said of it.
 *
 * | Behaviour | Guarantee |
 * | --- | --- |
 * | 19 | a run that is cancelled stops the executor at work; what was done is done, what was not is not |
 * | 51 | what was on its way in a run that was left is not in the next |
 * | 53 | shared executors keep their fields, the shared state is the run's own or what is passed in |
 * | 55, 57 | status before, at and after each event; waiting is said last |
 * | 61 | no executor says what only the graph can say |
 * | 70 | a key that was deleted is gone for its writer at once and for others a superstep later; lists take what reducers say |
 * | X20 | the error of a failed run has its run, its last checkpoint and its events |
 * | X25 | nothing between supersteps waits for a timer |
 */
import { expect, test, vi } from "vitest";
import { Executor, factory, handler, memoryCheckpoints, responseHandler, WorkflowBuilder } from "../../src/graph.ts";
import type { WorkflowEvent } from "../../src/graph.ts";
import { errorOf, listening, stage, until } from "../stage.ts";
import { all, asks, chain, ends, linear, pass, step, types, type Ctx } from "./graph.ts";

test("19: cancelled while the second is at work: the first is done once, the second never", async () => {
  const count = { doneA: 0, begunB: 0, doneB: 0 };
  const free = Promise.withResolvers<void>();
  const graph = chain(
    step("a", (message, ctx) => {
      count.doneA += 1;
      ctx.sendMessage(message);
    }),
    step("b", async (message, ctx) => {
      count.begunB += 1;
      await Promise.race([
        free.promise,
        new Promise((_, reject) => ctx.abort.addEventListener("abort", () => reject(new Error("stopped")))),
      ]);
      count.doneB += 1;
      ctx.sendMessage(message);
    }),
    ends("c"),
  );
  const stop = new AbortController();
  const cancelled = errorOf(graph.run("x", { signal: stop.signal }));
  await until(() => count.begunB === 1);
  stop.abort();
  expect((await cancelled).code).toBe("run.cancelled");
  free.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  expect([count, graph.status]).toEqual([{ doneA: 1, begunB: 1, doneB: 0 }, "cancelled"]);
});

test.each([false, true])(
  "51: what was on its way in a run that failed is not in the next (stream %s)",
  async (stream) => {
    const start = step("start", (message, ctx) => ctx.sendMessage(message));
    const bad = step("bad", (message) => {
      if (message === "left") throw new Error("failed");
    });
    const slow = pass("slow");
    const graph = new WorkflowBuilder({ name: "left", start })
      .addFanOutEdges(start, [bad, slow])
      .addEdge(slow, ends("end"))
      .build();
    await errorOf(graph.run("left"));
    const result = stream ? await graph.run("next", { stream }).finalResponse() : await graph.run("next");
    expect(result.outputs).toEqual(["next-slow-end"]);
  },
);

test("53: fields of shared executors go on over runs; a graph that is built anew begins anew on the same storage", async () => {
  const options = { checkpointStorage: memoryCheckpoints() };
  const build = () => {
    const seen: unknown[] = [];
    return chain(
      step("keep", (message, ctx) => {
        seen.push(message);
        ctx.setState("list", message);
        ctx.sendMessage([...seen]);
      }),
      step("end", (list, ctx) => ctx.yieldOutput([list, ctx.getState("list")])),
    );
  };
  const graph = build();
  const outputs = [];
  for (const message of ["run1", "run2", "run3"]) outputs.push(...(await graph.run(message, options)).outputs);
  expect(outputs).toEqual([
    [["run1"], ["run1"]],
    [["run1", "run2"], ["run2"]],
    [["run1", "run2", "run3"], ["run3"]],
  ]);
  expect((await build().run("other", options)).outputs).toEqual([[["other"], ["other"]]]);
  expect((await build().run("more", { ...options, state: { list: ["given"] } })).outputs).toEqual([
    [["more"], ["given", "more"]],
  ]);
});

test("55: status is idle, then what the last run came to; and at each event of it what the event says", async () => {
  const graph = chain(
    step("a", (message, ctx) => {
      if (message === "fail") throw new Error("failed");
      ctx.sendMessage(message);
    }),
    ends("b"),
  );
  expect(graph.status).toBe("idle");
  const seen: unknown[] = [];
  for await (const event of graph.run("x", { stream: true })) if (event.type === "status") seen.push(event.status);
  expect([seen, graph.status]).toEqual([["running", "succeeded"], "succeeded"]);
  await errorOf(graph.run("fail"));
  expect(graph.status).toBe("failed");
  const asking = asks();
  const { requests } = await asking.run("q");
  expect(asking.status).toBe("suspended");
  await asking.run({ responses: { [requests[0]!.id]: "yes" } });
  expect(asking.status).toBe("succeeded");
});

test("55: the property is what a status event says while that event is told", async () => {
  const graph = chain(
    step("a", (message, ctx) => {
      during.push(graph.status);
      ctx.sendMessage(message);
    }),
    ends("b"),
  );
  const during: string[] = [];
  await graph.run("x");
  expect([during, graph.status]).toEqual([["running"], "succeeded"]);
});

test("57: who waits for an answer says so last, once", async () => {
  const seen: WorkflowEvent[] = [];
  for await (const event of asks().run("ab", { stream: true })) seen.push(event);
  expect(seen.flatMap(({ status }) => status ?? [])).toEqual(["running", "suspended"]);
  expect(seen.at(-1)).toMatchObject({ type: "status", status: "suspended" });
  expect(types(seen).filter((type) => type === "request_info")).toHaveLength(2);
});

test.each(["started", "status", "failed", "output", "intermediate"])(
  "61: an executor that says '%s', which only the graph can say, is told of as a warning",
  async (name) => {
    const graph = chain(
      step("a", (message, ctx) => {
        ctx.addEvent(name, "mine");
        ctx.addEvent("own", "mine");
        ctx.sendMessage(message);
      }),
      ends("b"),
    );
    const plain = await linear().run("x");
    const { events } = await graph.run("x");
    const count = (list: readonly WorkflowEvent[]): number => list.filter(({ type }) => type === name).length;
    expect(count(events)).toBe(count(plain.events));
    expect(events.filter(({ type }) => type === "warning").map(({ data, executorId }) => [data, executorId])).toEqual([
      [{ what: "reserved name of an event", name }, "a"],
    ]);
    expect(events.find(({ type }) => type === "data")?.data).toEqual({ name: "own", data: "mine" });
  },
);

test("70: what is deleted is gone for its writer at once, for others a superstep later, and not at all if that fails", async () => {
  const start = step("start", (message, ctx) => {
    ctx.setState("key", "there");
    ctx.sendMessage(message);
  });
  const deletes = step("deletes", (message, ctx) => {
    ctx.deleteState("key");
    ctx.yieldOutput(["deletes", ctx.getState("key")]);
    if (message === "fail") throw new Error("failed");
    ctx.sendMessage(message);
  });
  const beside = step("beside", (_, ctx) => ctx.yieldOutput(["beside", ctx.getState("key")]));
  const after = step("after", (_, ctx) => ctx.yieldOutput(["after", ctx.getState("key")]));
  const graph = new WorkflowBuilder({ name: "chain", start })
    .addFanOutEdges(start, [deletes, beside])
    .addEdge(deletes, after)
    .build();
  const options = { checkpointStorage: memoryCheckpoints() };
  expect((await graph.run("x", options)).outputs).toEqual([
    ["deletes", undefined],
    ["beside", "there"],
    ["after", undefined],
  ]);
  expect((await all(options.checkpointStorage)).map(({ state }) => state.shared)).toEqual([
    {},
    { key: "there" },
    {},
    {},
  ]);
  await errorOf(graph.run("fail", options));
  expect((await all(options.checkpointStorage)).at(-1)?.state.shared).toEqual({ key: "there" });
});

test("70: a list is appended to, extended or overwritten, in the order of the deliveries, and refuses what is none", async () => {
  const start = step("start", (message, ctx) => [1, 2, 3].forEach(() => ctx.sendMessage(message)));
  const write = step("write", (value, ctx) => {
    ctx.setState("appended", value);
    ctx.setState("extended", [value, value]);
    ctx.setState("overwritten", value);
    ctx.yieldOutput(["appended", "extended", "overwritten"].map((key) => ctx.getState(key)));
  });
  const state = { appended: "append", extended: "extend" } as const;
  const graph = new WorkflowBuilder({ name: "lists", start, state }).addEdge(start, write).build();
  expect((await graph.run("x")).outputs.at(-1)).toEqual([["x", "x", "x"], ["x", "x", "x", "x", "x", "x"], "x"]);
  const wrong = step("wrong", (_, ctx) => ctx.setState("extended", "no list"));
  const refused = new WorkflowBuilder({ name: "refused", start: wrong, state }).build();
  expect((await errorOf(refused.run("x"))).cause).toMatchObject({ code: "usage.invalid" });
});

test("X20: the error of a run that failed says which run, has its events, and the checkpoint to go on from", async () => {
  const options = { checkpointStorage: memoryCheckpoints() };
  let fails = true;
  const graph = chain(
    pass("a"),
    step("b", (message, ctx) => {
      if (fails) throw new TypeError("broken");
      ctx.sendMessage(message);
    }),
    ends("c"),
  );
  const error = await errorOf(graph.run("x", options));
  const { run, checkpoint, events } = error.data as { run: string; checkpoint: never; events: WorkflowEvent[] };
  expect([error.code, error.message, error.cause]).toEqual(["run.failed", "broken", expect.any(TypeError)]);
  expect(new Set(events.map((event) => event.run))).toEqual(new Set([run]));
  expect(types(events).slice(-3)).toEqual(["executor_failed", "failed", "status"]);
  expect((await all(options.checkpointStorage)).at(-1)).toMatchObject({ runId: run, checkpointId: checkpoint });
  fails = false;
  expect((await graph.run({ checkpointId: checkpoint }, options)).outputs).toEqual(["x-a-c"]);
});

test("X25: twenty supersteps whose executors wait for something themselves set no timer", async () => {
  const loop = step("loop", async (n, ctx) => {
    await new Promise((resolve) => setImmediate(resolve));
    if ((n as number) < 20) ctx.sendMessage((n as number) + 1);
    else ctx.yieldOutput(n);
  });
  const graph = new WorkflowBuilder({ name: "loop", start: loop }).addEdge(loop, loop).build();
  const timers = [vi.spyOn(globalThis, "setTimeout"), vi.spyOn(globalThis, "setInterval")];
  try {
    expect((await graph.run(1)).outputs).toEqual([20]);
    expect(timers.map((timer) => timer.mock.calls.length)).toEqual([0, 0]);
  } finally {
    for (const timer of timers) timer.mockRestore();
  }
});

test("46: who asks for several events at once gets each of them, and then that there are no more", async () => {
  const told = types((await linear().run("x")).events);
  const stream = linear().run("x", { stream: true });
  const read = await Promise.all(Array.from({ length: told.length + 2 }, () => stream.next()));
  expect(read.map(({ value }) => value?.type)).toEqual([...told, undefined, undefined]);
});

test.each(["__proto__", "constructor", "toString"])(
  "53, 62, 70: an executor, a request and a key of the state may be named %s",
  async (name) => {
    class Asking extends Executor {
      readonly handlers = [
        handler({}, (message, ctx: Ctx) => {
          this.asked.push(message);
          ctx.setState(name.replaceAll("_", ""), message);
          ctx.requestInfo(message, { id: name });
        }),
      ];
      override readonly responseHandlers = [
        responseHandler({}, (request, response, ctx: Ctx) =>
          ctx.yieldOutput([...this.asked, request, response, ctx.getState(name.replaceAll("_", ""))]),
        ),
      ];
      asked: unknown[] = [];
      override onCheckpointSave(): unknown {
        return this.asked;
      }
      override onCheckpointRestore(asked: unknown): void {
        this.asked = asked as unknown[];
      }
    }
    const build = () => new WorkflowBuilder({ name: "named", start: factory(() => new Asking(name)) }).build();
    const options = { checkpointStorage: memoryCheckpoints() };
    const { checkpointId, requests } = await build().run("q", options);
    expect(requests.map(({ id, executorId }) => [id, executorId])).toEqual([[name, name]]);
    const responses = Object.fromEntries([[name, "a"]]);
    const { outputs } = await build().run({ checkpointId: checkpointId!, responses }, options);
    expect(outputs).toEqual([["q", "q", "a", "q"]]);
    const durable = build().durable();
    await using on = await stage([durable]);
    const run = await on.stemma.run(durable, "q");
    await until(async () => (await on.stemma.waits({ run: run.id })).waits.length === 1);
    const [wait] = (await on.stemma.waits({ run: run.id })).waits;
    await on.stemma.resume(run.id, wait!.key, "a");
    expect(await run.result()).toEqual(outputs);
  },
);

test("what an executor says when its handler has ended is not taken, in memory as under the engine, and that is told", async () => {
  type Gate = PromiseWithResolvers<void>;
  let [entered, ended, said]: Gate[] = [];
  const start = step("start", (_, ctx) => {
    [entered, ended, said] = Array.from({ length: 3 }, () => Promise.withResolvers<void>());
    ctx.sendMessage("go");
  });
  const late = step("late", (_, ctx) => {
    void ended?.promise.then(() => {
      ctx.sendMessage("late");
      ctx.yieldOutput("late");
      ctx.setState("late", true);
      said?.resolve();
    });
    ctx.sendMessage("in time");
    entered?.resolve();
  });
  const slow = step("slow", async () => {
    await entered?.promise;
    // Its handler has ended when all that follows at once has.
    setImmediate(() => ended?.resolve());
    await said?.promise;
  });
  const end = step("end", (message, ctx) => ctx.yieldOutput([message, ctx.getState("late") ?? null]));
  const graph = new WorkflowBuilder({ name: "late", start })
    .addFanOutEdges(start, [late, slow])
    .addEdge(late, end)
    .build();
  const { outputs, events } = await graph.run("x");
  expect(outputs).toEqual([["in time", null]]);
  const warned = events.filter(({ type }) => type === "warning").map(({ data }) => (data as { said: string }).said);
  expect(warned).toEqual(["message", "output", "state late"]);
  const log = listening();
  const durable = graph.durable();
  await using on = await stage([durable], { log });
  expect(await (await on.stemma.run(durable, "x")).result()).toEqual(outputs);
  expect(log.lines.filter((line) => line.includes("handler had ended"))).toHaveLength(3);
});
