/** Message graphs under the engine: what survives, what is caused by what, what is reused, and who is asked. */
import { expect, test } from "vitest";
import { z } from "zod";
import { components } from "../../src/index.ts";
import type { Event, RunHandle } from "../../src/index.ts";
import { Executor, executor, handler, responseHandler, WorkflowBuilder, WorkflowExecutor } from "../../src/graph.ts";
import type { DurableGraph, WorkflowContext } from "../../src/graph.ts";
import { fakeClock, faults } from "../../src/testing.ts";
import { errorOf, fresh, stage, until } from "../stage.ts";

type Ctx = WorkflowContext<unknown, unknown>;
const step = (id: string, run: (message: unknown, ctx: Ctx) => unknown): Executor =>
  executor<unknown, unknown, unknown>(id, run);
const pass = (id: string, entered: string[] = []): Executor =>
  step(id, (message, ctx) => {
    entered.push(id);
    ctx.sendMessage(`${String(message)}-${id}`);
  });
const ends = (id: string, entered: string[] = []): Executor =>
  step(id, (message, ctx) => {
    entered.push(id);
    ctx.yieldOutput(`${String(message)}-${id}`);
  });

/** Keys of steps with the keys or types of what they are caused by. */
async function causes(run: RunHandle): Promise<Record<string, string[]>> {
  const history = await run.history();
  const nameOf = (event: Event | undefined): string =>
    event !== undefined && "key" in event.data ? event.data.key : (event?.type ?? "?");
  const steps = history.filter(({ type }) => type === "step.succeeded" || type === "step.reused");
  return Object.fromEntries(
    steps.map((event) => {
      const named = Array.isArray(event.causes) ? event.causes : [];
      return [nameOf(event), named.map((seq: number) => nameOf(history[seq]))];
    }),
  );
}

test("an invocation is caused by the steps that sent its messages, across checkpoints, and the trace is one graph", async () => {
  const [a, b, c, d] = [pass("a"), pass("b"), pass("c"), pass("d")];
  const sum = step("sum", (list, ctx) => ctx.yieldOutput((list as string[]).join("+")));
  const graph = new WorkflowBuilder({ name: "in", start: a })
    .addFanOutEdges(a, [b, c])
    .addEdge(c, d)
    .addFanInEdges([b, d], sum)
    .build()
    .durable();
  await using on = await stage([graph]);
  const run = await on.stemma.run(graph, "x");
  expect(await run.result()).toEqual(["x-a-b+x-a-c-d"]);
  expect(await causes(run)).toEqual({
    a: ["run.created"],
    "#1/b": ["a"],
    "#1/c": ["a"],
    "#2/d": ["#1/c"],
    "#3/sum": ["#1/b", "#2/d"],
  });
  const history = await run.history();
  expect(history.filter(({ type }) => type === "checkpoint")).toHaveLength(4);
  expect(components(await run.trace())).toBe(1);
});

class Counting extends Executor {
  count = 0;
  readonly handlers = [
    handler({}, (message, ctx: Ctx) => {
      this.count += 1;
      ctx.setState("log", `${String(message)}${this.count}`);
      if (this.count < 4) ctx.sendMessage(message);
      else ctx.yieldOutput(ctx.getState("log"));
    }),
  ];
  override onCheckpointSave(): unknown {
    return this.count;
  }
  override onCheckpointRestore(count: unknown): void {
    this.count = count as number;
  }
}

function counting(): DurableGraph<unknown, unknown> {
  const count = new Counting("count");
  return new WorkflowBuilder({ name: "count", start: count, state: { log: "append" } })
    .addEdge(count, count)
    .build()
    .durable();
}

test("fields of executors and shared state go on after a crash at any commit, and are nobody else's", async () => {
  let [commit, unreached] = [0, 0];
  while (unreached < 2) {
    [commit, unreached] = [commit + 1, 0];
    for (const point of ["commit.before", "commit.after"] as const) {
      const [clock, first] = [fakeClock(), faults(fresh())];
      first.crash(point, commit);
      const dying = await stage([counting()], { store: first, clock });
      const { id } = await dying.stemma.run(counting(), "x");
      const ended = await Promise.race([(await dying.stemma.get(id)).result(), first.crashed]);
      dying.stemma.abandon();
      if (typeof ended !== "string") {
        unreached += 1;
        continue;
      }
      const store = first.next();
      await using next = await stage([counting()], { store, clock });
      await clock.advance("15s");
      const run = await next.stemma.get(id);
      expect(await run.result(), `${point} ${commit}`).toEqual([["x1", "x2", "x3", "x4"]]);
      expect(components(await run.trace())).toBe(1);
      await store.close();
    }
  }
  expect(commit, "each superstep is a commit of its step and one of its checkpoint").toBeGreaterThan(8);
});

test("runs beside each other have an executor's fields each for themselves", async () => {
  const graph = counting();
  await using on = await stage([graph]);
  const runs = await Promise.all(["x", "y", "z"].map((message) => on.stemma.run(graph, message)));
  const results = await Promise.all(runs.map((run) => run.result()));
  expect(results).toEqual(["x", "y", "z"].map((message) => [[1, 2, 3, 4].map((n) => `${message}${n}`)]));
});

test("X6: what was done beside a failure is not done again by a restart", async () => {
  const entered: string[] = [];
  let fails = true;
  const bad = step("bad", (_, ctx) => {
    entered.push("bad");
    if (fails) throw new Error("bad failed");
    ctx.yieldOutput("bad");
  });
  const start = pass("start", entered);
  const graph = new WorkflowBuilder({ name: "three", start })
    .addFanOutEdges(start, [ends("one", entered), bad, ends("two", entered)])
    .build()
    .durable();
  await using on = await stage([graph]);
  const run = await on.stemma.run(graph, "x");
  expect((await errorOf(run.result())).message).toContain("bad failed");
  fails = false;
  const again = await on.stemma.restart(run.id);
  expect(await again.result()).toEqual(["x-start-one", "bad", "x-start-two"]);
  expect(entered.toSorted()).toEqual(["bad", "bad", "one", "start", "two"]);
});

test("X23: what is reused is known by all that a handler can read: other state, and it runs again", async () => {
  const entered: string[] = [];
  const start = step("start", (message, ctx) => {
    ctx.setState("word", (message as { word: string }).word);
    ctx.sendMessage("same");
  });
  const reader = step("reader", (message, ctx) => {
    entered.push("reader");
    ctx.sendMessage([message, ctx.getState("word")]);
  });
  const graph = new WorkflowBuilder({ name: "reads", start })
    .addChain([start, reader, step("end", (list, ctx) => ctx.yieldOutput(list))])
    .build()
    .durable();
  await using on = await stage([graph]);
  const run = await on.stemma.run(graph, { word: "a" });
  await run.result();
  expect(await (await on.stemma.fork(run.id, { input: { word: "a" } })).result()).toEqual([["same", "a"]]);
  expect(entered).toHaveLength(1);
  expect(await (await on.stemma.fork(run.id, { input: { word: "b" } })).result()).toEqual([["same", "b"]]);
  expect(entered).toHaveLength(2);
});

class Asking extends Executor {
  readonly handlers = [
    handler({}, (message, ctx: Ctx) => void ctx.requestInfo(message, { prompt: `${String(message)}?` })),
  ];
  override readonly responseHandlers = [
    responseHandler({ response: z.string() }, (request, response, ctx: Ctx) =>
      ctx.sendMessage(`${String(request)}->${response}`),
    ),
  ];
}

function asks(): DurableGraph<unknown, unknown> {
  const start = step("start", (text, ctx) =>
    String(text)
      .split("")
      .forEach((letter) => ctx.sendMessage(letter)),
  );
  const ask = new Asking("ask");
  return new WorkflowBuilder({ name: "asks", start }).addEdge(start, ask).addEdge(ask, ends("end")).build().durable();
}

test("a request is a wait, with its form; answers come one at a time, after a crash too", async () => {
  const [clock, store] = [fakeClock(), fresh()];
  const dying = await stage([asks()], { store, clock });
  const { id } = await dying.stemma.run(asks(), "ab");
  await until(async () => (await dying.stemma.waits()).waits.length === 2);
  const { waits } = await dying.stemma.waits();
  expect(waits.map(({ prompt, input, schema }) => [prompt, input, schema])).toEqual([
    ["a?", "a", expect.objectContaining({ type: "string" })],
    ["b?", "b", expect.objectContaining({ type: "string" })],
  ]);
  expect((await errorOf(dying.stemma.resume(id, waits[1]!.key, 7))).code).toBe("wait.invalid_answer");
  await dying.stemma.resume(id, waits[1]!.key, "2");
  await until(async () =>
    (await (await dying.stemma.get(id)).history()).some(
      ({ type, data }) => type === "step.succeeded" && "key" in data && data.key.includes("end"),
    ),
  );
  dying.stemma.abandon();
  await using next = await stage([asks()], { store, clock });
  await clock.advance("15s");
  await next.stemma.resume(id, waits[0]!.key, "1");
  const run = await next.stemma.get(id);
  await clock.advance("1s");
  expect(await run.result()).toEqual(["b->2-end", "a->1-end"]);
  expect(components(await run.trace())).toBe(1);
});

test("a graph inside is a called run, and its question is in the same family", async () => {
  const ask = new Asking("ask");
  const inner = new WorkflowBuilder({ name: "inner", start: ask }).addEdge(ask, ends("in")).build();
  const inside = new WorkflowExecutor(inner, "inside");
  const graph = new WorkflowBuilder({ name: "outer", start: inside }).addEdge(inside, ends("out")).build().durable();
  await using on = await stage([graph, ...graph.inner]);
  const run = await on.stemma.run(graph, "x");
  await until(async () => (await on.stemma.waits()).waits.length === 1);
  const [wait] = (await on.stemma.waits()).waits;
  expect(wait).toMatchObject({ workflow: "outer.inside", prompt: "x?" });
  await on.stemma.resume(wait!.run, wait!.key, "yes");
  expect(await run.result()).toEqual(["x->yes-in-out"]);
});

test("a fork from a middle checkpoint with another answer goes on from there", async () => {
  const graph = asks();
  await using on = await stage([graph]);
  const run = await on.stemma.run(graph, "a");
  await until(async () => (await on.stemma.waits({ run: run.id })).waits.length === 1);
  await on.stemma.resume(run.id, (await on.stemma.waits({ run: run.id })).waits[0]!.key, "first");
  expect(await run.result()).toEqual(["a->first-end"]);
  const checkpoint = (await run.history()).filter(({ type }) => type === "checkpoint")[1]!.seq;
  const forked = await on.stemma.fork(run.id, { checkpoint, reuse: "none" });
  await until(async () => (await on.stemma.waits({ run: forked.id })).waits.length === 1);
  await on.stemma.resume(forked.id, (await on.stemma.waits({ run: forked.id })).waits[0]!.key, "other");
  expect(await forked.result()).toEqual(["a->other-end"]);
  expect(await run.result()).toEqual(["a->first-end"]);
});

test("an input that the start has no handler for is refused before there is a run", async () => {
  const start = executor("start", { input: z.string() }, () => undefined);
  const graph = new WorkflowBuilder({ name: "typed", start }).build().durable();
  await using on = await stage([graph]);
  expect((await errorOf(on.stemma.run(graph, 7 as never))).code).toBe("workflow.invalid_input");
});

/** A fan-in of one that sends at once and one that asks first. */
function halfAsked(order: "fan-in last" | "fan-in first" | "no fan-in"): DurableGraph<unknown, unknown> {
  const ask = executor<unknown, unknown, unknown>(
    "ask",
    { onResponse: responseHandler({}, (_, answer, ctx: Ctx) => ctx.sendMessage(answer)) },
    (message, ctx) => void ctx.requestInfo(message),
  );
  const [start, a] = [pass("start"), pass("a")];
  const sum = step("sum", (list, ctx) => ctx.yieldOutput(list));
  const builder = new WorkflowBuilder({ name: "half", start });
  if (order === "no fan-in") return builder.addFanOutEdges(start, [a, ask]).addEdge(ask, sum).build().durable();
  if (order === "fan-in first")
    return builder.addFanInEdges([a, ask], sum).addFanOutEdges(start, [a, ask]).build().durable();
  return builder.addFanOutEdges(start, [a, ask]).addFanInEdges([a, ask], sum).build().durable();
}

test("X18, X1: what waits at a fan-in is not lost to a program that says its edges otherwise, or in another order", async () => {
  const store = fresh();
  const [before, without, after] = [halfAsked("fan-in last"), halfAsked("no fan-in"), halfAsked("fan-in first")];
  const first = await stage([before], { store });
  const { id } = await first.stemma.run(before, "x");
  await until(async () => (await (await first.stemma.get(id)).status()) === "suspended");
  await first.stemma.stop();
  const second = await stage([without], { store });
  const [wait] = (await second.stemma.waits({ run: id })).waits;
  const answered = second.stemma.resume(id, wait!.key, "y");
  const lost = "messages that wait at 'fan-in a, ask, sum', which is not in the graph any more";
  let last: Event | undefined;
  await until(async () => {
    last = (await second.stemma.history(id)).at(-1);
    return last?.type === "run.suspended" && last.data.reason === "divergence";
  });
  expect(JSON.stringify(last?.data)).toContain(lost);
  const checkpoint = (await second.stemma.history(id)).findLast(({ type }) => type === "checkpoint")!.seq;
  const fork = await second.stemma.fork(id, { checkpoint });
  expect((await errorOf(fork.result())).message).toContain(lost);
  await second.stemma.stop();
  {
    await using third = await stage([after], { store });
    expect(await (await third.stemma.get(id)).result()).toEqual([["x-start-a", "y"]]);
  }
  await answered;
  await store.close();
});
