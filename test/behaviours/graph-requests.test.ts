/**
 * Questions of message graphs to people, and graphs inside graphs that ask.
 *
 * | Behaviour | Guarantee |
 * | --- | --- |
 * | 22, 23, 26 | an entry holds the input, a response entry the answers; both can be resumed |
 * | 63, 64, X8, X9 | what is open is told again by whoever restores; partial answers leave the rest open |
 * | 64, X27 | answers that are given at once are each taken once, or refused |
 * | X27 | an answer to what is not open, or one that does not fit, changes nothing |
 * | X28, X29 | an id of a request is given once in a run, and only where there is a handler for the answer |
 * | X10 | answers are no supersteps of a loop: 200 rounds under a limit of 10 |
 * | 54 | a fresh run while requests are open says so; they stay answerable, by their own run |
 * | 62 | yes, no, and both at once: each answer goes to the handler of what was asked |
 */
import { expect, test } from "vitest";
import { z } from "zod";
import { Executor, factory, handler, memoryCheckpoints, responseHandler, WorkflowBuilder } from "../../src/graph.ts";
import { errorOf } from "../stage.ts";
import { step, all, asking, asks, type Ctx } from "./graph.ts";

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
  expect(response?.checkpointId).not.toBe(checkpointId);
  const entries = saved.filter(({ iterationCount }) => iterationCount === 0);
  expect(entries).toMatchObject([
    { kind: "entry", previousCheckpointId: null, state: { messages: [{ target: "start", data: "q" }] } },
  ]);
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
  const options = { checkpointStorage: memoryCheckpoints() };
  const { requests, checkpointId } = await graph.run("q", options);
  const wrong = { checkpointId: checkpointId!, responses: { other: "x" } };
  expect((await errorOf(graph.run(wrong, options))).code).toBe("wait.not_open");
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

test("62: yes, no, and both at once: each answer goes to the handler of what was asked", async () => {
  class Approval extends Executor {
    readonly handlers = [
      handler(
        { input: z.string() },
        (what, ctx: Ctx) => void ctx.requestInfo({ approve: what }, { prompt: `${what}?` }),
      ),
      handler({ input: z.number() }, (amount, ctx: Ctx) => void ctx.requestInfo({ amount })),
    ];
    override readonly responseHandlers = [
      responseHandler(
        { request: z.object({ approve: z.string() }), response: z.boolean() },
        ({ approve }, yes, ctx: Ctx) => ctx.yieldOutput(`${approve} ${yes ? "approved" : "denied"}`),
      ),
      responseHandler(
        { request: z.object({ amount: z.number() }), response: z.number() },
        ({ amount }, given, ctx: Ctx) => ctx.yieldOutput(amount - given),
      ),
    ];
  }
  const start = step("start", (list, ctx) => (list as unknown[]).forEach((one) => ctx.sendMessage(one)));
  const graph = new WorkflowBuilder({ name: "approval", start }).addEdge(start, new Approval("approval")).build();
  for (const [answer, said] of [
    [true, "pay approved"],
    [false, "pay denied"],
  ] as const) {
    const asked = await graph.run(["pay"]);
    expect(asked.requests).toMatchObject([{ data: { approve: "pay" }, prompt: "pay?", executorId: "approval" }]);
    const done = await graph.run({ responses: { [asked.requests[0]!.id]: answer } });
    expect([done.outputs, done.status]).toEqual([[said], "succeeded"]);
  }
  const { requests } = await graph.run(["pay", 10]);
  const wrong = { responses: { [requests[1]!.id]: true } };
  expect((await errorOf(graph.run(wrong))).code).toBe("wait.invalid_answer");
  const both = await graph.run({ responses: { [requests[0]!.id]: true, [requests[1]!.id]: 4 } });
  expect([both.outputs, both.status]).toEqual([["pay approved", 6], "succeeded"]);
});

test("64, X27: of answers that are given at once, to runs with executors of their own, each is taken once or refused", async () => {
  const graph = asks(factory(() => asking()));
  const [a, b] = (await graph.run("ab")).requests.map(({ id }) => id) as [string, string];
  const given = [{ [a]: "1" }, { [a]: "1" }, { [b]: "2" }].map((responses) => graph.run({ responses }));
  const [first, again, other] = await Promise.allSettled(given);
  expect(first).toMatchObject({ status: "fulfilled", value: { status: "suspended", outputs: ["a->1"] } });
  for (const refused of [again, other]) {
    expect(refused).toMatchObject({ status: "rejected", reason: { code: "workflow.already_running" } });
  }
  expect((await errorOf(graph.run({ responses: { [b]: 7 } }))).code).toBe("wait.invalid_answer");
  expect((await graph.run({ responses: { [b]: "2" } })).outputs).toEqual(["b->2"]);
  expect((await errorOf(graph.run({ responses: { [b]: "2" } }))).code).toBe("wait.not_open");
});
