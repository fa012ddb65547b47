/**
 * Graphs inside graphs, in memory and under the engine.
 *
 * | Behaviour | Guarantee |
 * | --- | --- |
 * | 30 | a checkpoint is refused when a graph inside has changed, and taken when it has not |
 * | 65 | requests come out under the executor that holds the graph; some, or all, are answered there; one holder's answers are not another's; n inputs, n results |
 * | 66 | a restored graph inside asks nothing twice, and has its state |
 * | 67 | what is shown on the way inside is shown outside, once, by the holder |
 * | X6 | what was done inside before a failure is not done again |
 * | X21 | executors inside are told of by their path, from the executor that holds them to its end |
 */
import { expect, test } from "vitest";
import { z } from "zod";
import {
  Executor,
  handler,
  memoryCheckpoints,
  responseHandler,
  WorkflowBuilder,
  WorkflowExecutor,
} from "../../src/graph.ts";
import type { CheckpointID, Interception, Workflow, WorkflowEvent, WorkflowExecutorOptions } from "../../src/graph.ts";
import { components } from "../../src/index.ts";
import type { RunHandle } from "../../src/index.ts";
import { fakeClock } from "../../src/testing.ts";
import { errorOf, fresh, stage, until } from "../stage.ts";
import { asks, chain, ends, pass, step, type Ctx } from "./graph.ts";

const holding = (inner: Workflow, options: WorkflowExecutorOptions = {}, id = "inside"): Workflow => {
  const inside = new WorkflowExecutor(inner, id, options);
  return new WorkflowBuilder({ name: "outer", start: inside }).addEdge(inside, ends("end")).build();
};
const requestsIn = (events: readonly WorkflowEvent[]): unknown[] =>
  events
    .filter(({ type }) => type === "request_info")
    .map(({ executorId, data }) => [executorId, (data as { data: unknown }).data]);

test("65: a request comes out once, by the executor that holds the graph, and its answer goes in", async () => {
  const options = { checkpointStorage: memoryCheckpoints() };
  const graph = holding(asks());
  const asked = await graph.run("q", options);
  expect([asked.status, requestsIn(asked.events)]).toEqual(["suspended", [["inside", "q"]]]);
  const { id } = asked.requests[0]!;
  const wrong = { checkpointId: asked.checkpointId!, responses: { [id]: 7 } };
  expect((await errorOf(holding(asks()).run(wrong, options))).code).toBe("wait.invalid_answer");
  const answered = await holding(asks()).run(
    { checkpointId: asked.checkpointId!, responses: { [id]: "yes" } },
    options,
  );
  expect([answered.outputs, answered.status, requestsIn(answered.events)]).toEqual([["q->yes-end"], "succeeded", []]);
  expect((await graph.run({ responses: { [id]: "no" } })).outputs).toEqual(["q->no-end"]);
});

test("65: what is known is answered by the executor that holds the graph, and nobody outside is asked", async () => {
  const seen: unknown[] = [];
  const known = async (request: unknown, from: object): Promise<Interception> => {
    seen.push([request, from]);
    return request === "k" ? { answer: "known" } : undefined;
  };
  const graph = holding(asks(), { intercept: known });
  const all = await graph.run("kk");
  expect([all.status, all.outputs, requestsIn(all.events)]).toEqual([
    "succeeded",
    ["k->known-end", "k->known-end"],
    [],
  ]);
  expect(seen).toContainEqual(["k", { executorId: "inside/ask", requestId: expect.any(String) as string }]);
  const some = await graph.run("kq");
  expect([some.status, some.outputs, requestsIn(some.events)]).toEqual([
    "suspended",
    ["k->known-end"],
    [["inside", "q"]],
  ]);
  const bad = holding(asks(), { intercept: () => Promise.reject(new Error("no")) });
  expect((await errorOf(bad.run("k"))).message).toBe("no");
});

test("65: each holder answers for its own graph; two of them beside each other mix nothing up", async () => {
  const inner = asks();
  const holder = (id: string): WorkflowExecutor =>
    new WorkflowExecutor(inner, id, {
      intercept: (request, { executorId }) => (request === id ? { answer: `own ${executorId}` } : undefined),
    });
  const [a, b, end] = [holder("a"), holder("b"), ends("end")];
  const source = step("source", (text, ctx) => ctx.sendMessage(text));
  const two = new WorkflowBuilder({ name: "two", start: source })
    .addFanOutEdges(source, [a, b])
    .addEdge(a, end)
    .addEdge(b, end)
    .build();
  const { outputs, requests } = await two.run("ab");
  expect(outputs).toEqual(["a->own a/ask-end", "b->own b/ask-end"]);
  expect(requests.map(({ executorId, data }) => [executorId, data])).toEqual([
    ["a", "b"],
    ["b", "a"],
  ]);
  const [first, second] = requests.map(({ id }) => id) as [string, string];
  expect(first).not.toBe(second);
  const done = await two.run({ responses: { [first]: "1", [second]: "2" } });
  expect([done.status, done.outputs]).toEqual(["succeeded", ["b->1-end", "a->2-end"]]);
});

test("65: n messages to one holder are n runs inside, with n right results", async () => {
  const start = step("start", (n, ctx) => Array.from({ length: n as number }, (_, i) => ctx.sendMessage(`m${i}`)));
  const inside = new WorkflowExecutor(chain(pass("x"), ends("y")), "inside");
  const graph = new WorkflowBuilder({ name: "many", start })
    .addEdge(start, inside)
    .addEdge(inside, ends("end"))
    .build();
  expect((await graph.run(5)).outputs).toEqual([0, 1, 2, 3, 4].map((i) => `m${i}-x-y-end`));
});

/** Asks twice, the second time with what it has kept of the first answer. */
class Twice extends Executor {
  first = "";
  readonly handlers = [handler({}, (_, ctx: Ctx) => void ctx.requestInfo("First request"))];
  override readonly responseHandlers = [
    responseHandler({ response: z.string() }, (request, answer, ctx: Ctx) => {
      if (request === "First request") {
        this.first = answer;
        ctx.requestInfo("Second request");
      } else ctx.yieldOutput(`${this.first}+${answer}`);
    }),
  ];
  override onCheckpointSave(): unknown {
    return this.first;
  }
  override onCheckpointRestore(first: unknown): void {
    this.first = first as string;
  }
}
const twice = (): Workflow => holding(new WorkflowBuilder({ name: "twice", start: new Twice("ask") }).build());

test("66: restored at the first request and answered, it asks the second and nothing else; restored there, it has its state", async () => {
  const options = { checkpointStorage: memoryCheckpoints() };
  const first = await twice().run("x", options);
  const second = await twice().run(
    { checkpointId: first.checkpointId!, responses: { [first.requests[0]!.id]: "one" } },
    options,
  );
  expect([second.status, requestsIn(second.events)]).toEqual(["suspended", [["inside", "Second request"]]]);
  const done = await twice().run(
    { checkpointId: second.checkpointId!, responses: { [second.requests[0]!.id]: "two" } },
    options,
  );
  expect([done.status, done.outputs, requestsIn(done.events)]).toEqual(["succeeded", ["one+two-end"], []]);
});

test("67: what is shown on the way inside is shown outside once, by the holder; what it yields outright, where that is allowed", async () => {
  const [a, b] = [step("a", (message, ctx) => (ctx.yieldOutput("shown"), ctx.sendMessage(message))), ends("b")];
  const inner = new WorkflowBuilder({ name: "inner", start: a, outputFrom: [b], intermediateFrom: [a] })
    .addEdge(a, b)
    .build();
  const { events, outputs } = await holding(inner).run("x");
  const shown = events.filter(({ type }) => type === "intermediate").map(({ executorId, data }) => [executorId, data]);
  expect([shown, outputs]).toEqual([[["inside", "shown"]], ["x-b-end"]]);
  const inside = new WorkflowExecutor(inner, "inside", { allowDirectOutput: true });
  const direct = await new WorkflowBuilder({ name: "direct", start: inside }).build().run("x");
  expect(direct.outputs).toEqual(["x-b"]);
});

test("X21: executors inside are told of by their path; they come from the holder's beginning, and its end from theirs", async () => {
  const deep = holding(chain(pass("x"), ends("y")), {}, "deep");
  const { events, outputs } = await holding(deep, {}, "out").run("m");
  expect(outputs).toEqual(["m-x-y-end-end"]);
  const byId = new Map(events.map((event) => [event.id, event]));
  const told = events.filter(({ type }) => type === "executor_invoked" || type === "executor_completed");
  const line = told.map(({ type, executorId, causes }) => [
    type.replace("executor_", ""),
    executorId,
    causes.map((id) => `${byId.get(id)?.type.replace("executor_", "")} ${byId.get(id)?.executorId}`).join(),
  ]);
  expect(line.slice(1)).toEqual([
    ["invoked", "out/deep", "invoked out"],
    ["invoked", "out/deep/x", "invoked out/deep"],
    ["completed", "out/deep/x", "invoked out/deep/x"],
    ["invoked", "out/deep/y", "completed out/deep/x"],
    ["completed", "out/deep/y", "invoked out/deep/y"],
    ["completed", "out/deep", "completed out/deep/y"],
    ["invoked", "out/end", "completed out/deep"],
    ["completed", "out/end", "invoked out/end"],
    ["completed", "out", "completed out/end"],
    ["invoked", "end", "completed out"],
    ["completed", "end", "invoked end"],
  ]);
});

test("X6: a graph inside that failed goes on from its last superstep, and what it yielded before is there once", async () => {
  const options = { checkpointStorage: memoryCheckpoints() };
  const entered: string[] = [];
  let fails = true;
  const work = (id: string): Executor =>
    step(id, (message, ctx) => {
      entered.push(id);
      ctx.yieldOutput(`${id} of ${String(message)}`);
      if (id === "bad" && fails) throw new Error("bad failed");
      ctx.sendMessage(id);
    });
  const build = (): Workflow => {
    const [a, good, bad, last] = [work("a"), work("good"), work("bad"), work("last")];
    const inner = new WorkflowBuilder({ name: "inner", start: a, undeliverable: "report" })
      .addFanOutEdges(a, [good, bad])
      .addFanInEdges([good, bad], last)
      .build();
    return holding(holding(inner, {}, "deep"), {}, "out");
  };
  const error = await errorOf(build().run("m", options));
  fails = false;
  const checkpointId = error.data?.["checkpoint"] as CheckpointID;
  const again = await build().run({ checkpointId }, options);
  expect(entered).toEqual(["a", "good", "bad", "bad", "last"]);
  expect((again.outputs as string[]).toSorted()).toEqual(
    ["a of m", "bad of a", "good of a", "last of good,bad"].map((said) => `${said}-end-end`),
  );
  expect(again.events.find(({ type }) => type === "executor_reused")).toMatchObject({ executorId: "out/deep/good" });
});

test("30: a checkpoint is refused where a graph inside is another, and taken where it is not", async () => {
  const options = { checkpointStorage: memoryCheckpoints() };
  const { checkpointId } = await holding(chain(pass("x"), ends("y"))).run("m", options);
  const from = { checkpointId: checkpointId! };
  const refused = await errorOf(holding(chain(pass("other"), ends("y"))).run(from, options));
  expect(refused).toMatchObject({
    code: "checkpoint.mismatch",
    message: expect.stringContaining("graph has changed") as string,
  });
  expect((await holding(chain(pass("x"), ends("y"))).run(from, options)).status).toBe("succeeded");
});

/** Ends of steps of a run, by their keys. */
const stepsOf = async (run: RunHandle): Promise<string[]> =>
  (await run.history()).flatMap(({ type, data }) => (type === "step.succeeded" && "key" in data ? [data.key] : []));

test("65: under the engine an answer of the holder is a step of the run inside: it stays said, whoever dies, and is not asked again", async () => {
  const [clock, store] = [fakeClock(), fresh()];
  let hooks = 0;
  const build = (): Workflow =>
    holding(asks(), {
      intercept: (request) => {
        hooks += 1;
        return request === "k" ? { answer: `known ${hooks}` } : undefined;
      },
    });
  const dying = await stage([], { store, clock });
  const { id } = await dying.stemma.run(build().durable(dying.stemma, { name: "outer" }), "kq");
  await until(async () => (await dying.stemma.waits()).waits.length === 1);
  dying.stemma.abandon();
  await using next = await stage([], { store, clock });
  build().durable(next.stemma, { name: "outer" });
  await clock.advance("15s");
  const { waits } = await next.stemma.waits();
  expect(waits.map(({ workflow, input }) => [workflow, input])).toEqual([["outer.inside", "q"]]);
  const child = await next.stemma.get(waits[0]!.run);
  await next.stemma.resume(child.id, waits[0]!.key, "asked");
  await clock.advance("1s");
  const run = await next.stemma.get(id);
  expect([await run.result(), hooks]).toEqual([["k->known 1-end", "q->asked-end"], 2]);
  expect((await stepsOf(child)).filter((key) => key.includes("intercept"))).toHaveLength(2);
  expect(components(await run.trace())).toBe(1);
  await store.close();
});
