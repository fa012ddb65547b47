/**
 * What a call is answered from when a run of AgentField's agents is made again, over its wire: equal calls get the earliest
 * success, and the better outcome where one was asked for. The numbers are those of the list of behaviours of control
 * planes; what is native of them is in `test/behaviours/control-plane-replay` and `-earliest`.
 *
 *     A1   an equal call is answered, sync and async     A9   another function, or another node
 *     A2   what came of the marker runs again (B8)       A10  an unknown mode leaves nothing behind
 *     A3   all that succeeded                            A11  the marker itself
 *     A4   none                                          A12  A13  equal calls: the earliest success, for all of them
 *     A5   the root                                      A14  through three levels
 *     A6   a marker that is not there; no marker         A15  a restart of a restart
 *     A7   what makes two inputs the same                A16  whole numbers beyond 2^53
 *     A8   failed, cancelled                             A17  null, nothing, {}, 0, ""
 *     A18  who polls late                                A19  values withheld
 *     A20  what a success sets off happens once
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { until } from "../stage.ts";
import type { TestAgent, Work } from "./agent.ts";
import type { Plane } from "./place.ts";
import { plane } from "./place.ts";

type Stage = AsyncDisposable & {
  at: Plane;
  /** What the root does. */
  program: (work: Work) => unknown;
  /** What the worker's functions do; each counts. */
  broken: Set<string>;
  caller: TestAgent;
  worker: TestAgent;
  /** The root run: made, ended. */
  first(): Promise<string>;
  again(id: string, body?: object): Promise<string>;
};

/** An agent that calls, and one that is called: `count` gives another number each time. */
async function stage(program: Stage["program"], options: Parameters<typeof plane>[0] = {}): Promise<Stage> {
  const at = await plane(options);
  let counted = 0;
  const made = { program, broken: new Set<string>() };
  const fail = (name: string): void => {
    if (made.broken.has(name)) throw new Error(`${name} is broken`);
  };
  const worker = await at.agent({
    id: "worker",
    reasoners: {
      count: ({ input }) => {
        fail(`count ${JSON.stringify(input)}`);
        return { n: (counted += 1), input };
      },
      other: () => ({ n: (counted += 1) }),
      scalar: ({ input }) => (input as { gives?: unknown }).gives,
      nothing: () => undefined,
    },
    skills: { tool: ({ input }) => ({ n: (counted += 1), input }) },
  });
  const caller = await at.agent({
    id: "caller",
    reasoners: {
      root: (work) => made.program(work),
      middle: async ({ input, call }) => {
        const inner = await call("worker.count", { deep: input });
        fail("middle");
        return inner;
      },
    },
  });
  return Object.assign(made, {
    at,
    caller,
    worker,
    async first() {
      const id = await at.begin("caller.root", { topic: "x" });
      await at.ended(id);
      return id;
    },
    async again(id: string, body: object = {}) {
      const { status, body: said } = await at.ask("POST", `/api/v1/executions/${id}/restart`, body);
      if (status !== 202) throw new Error(`not restarted (${status}): ${JSON.stringify(said)}`);
      await at.ended(String(said["execution_id"]));
      return String(said["execution_id"]);
    },
    [Symbol.asyncDispose]: () => at[Symbol.asyncDispose](),
  });
}

const two = async ({ call }: Work): Promise<unknown> => [
  await call("worker.count", { a: 1 }),
  await call("worker.count", { b: 2 }),
];

async function idOf(at: Plane, run: string, nth = 1): Promise<string> {
  return (await at.graph(run))[nth]?.execution_id ?? "";
}

describe("A: what a call is answered from", () => {
  test("A1: an equal call is answered without its agent, at once, and says from which execution", async () => {
    await using on = await stage(two);
    const { at, worker } = on;
    const source = await on.first();
    const asked: { reused: unknown; hit: string | null; status: unknown }[] = [];
    on.program = async ({ execution, headers }) => {
      for (const way of ["execute/async", "execute"]) {
        const context = { "x-run-id": headers["x-run-id"] ?? "", "x-parent-execution-id": execution };
        const said = await at.ask("POST", `/api/v1/${way}/worker.count`, { input: { a: 1 } }, context);
        const { body } = await at.ask("GET", `/api/v1/executions/${String(said.body["execution_id"])}`);
        asked.push({ reused: body, hit: said.headers.get("x-agentfield-replay-hit"), status: said.body["status"] });
        expect(said.headers.get("x-execution-id")).toBe(said.body["execution_id"]);
        expect(said.headers.get("x-run-id")).toBe(said.body["run_id"]);
        if (way === "execute") expect(said.body).toMatchObject({ result: { n: 1, input: { a: 1 } }, duration_ms: 0 });
      }
      return {};
    };
    const again = await on.again(source, { reuse: "all-succeeded" });
    const first = (await at.graph(source)).find(({ reasoner_id: name }) => name === "count");
    expect(worker.entered("count")).toBe(2);
    expect(asked).toHaveLength(2);
    for (const { reused, hit, status } of asked) {
      expect(status).toBe("succeeded");
      expect(hit).toBe(first?.execution_id);
      expect(reused).toMatchObject({
        status: "succeeded",
        result: { n: 1, input: { a: 1 } },
        duration_ms: 0,
        status_reason: `replayed_from_execution:${first?.execution_id}`,
        reuse: { hit: true, source_execution_id: first?.execution_id, source_run_id: source },
        run_id: again,
      });
    }
  });

  test("A2, A11: from a success on, it and what it caused run again; what was there before is reused", async () => {
    await using on = await stage(async ({ call }) => {
      await call("worker.count", { a: 1 });
      await call("worker.count", { b: 2 });
      await call("worker.count", { c: 3 });
    });
    const source = await on.first();
    const again = await on.again(await idOf(on.at, source, 2));
    const nodes = await on.at.graph(again);
    expect(nodes.slice(1).map(({ reuse }) => reuse !== undefined)).toEqual([true, false, false]);
    expect(on.worker.entered("count")).toBe(5);
  });

  test("A3, A4: with all-succeeded everything is reused; with none nothing is, and nothing names a source", async () => {
    await using on = await stage(two);
    const source = await on.first();
    const marker = await idOf(on.at, source, 1);
    await on.again(marker, { reuse: "all-succeeded" });
    expect(on.worker.entered("count")).toBe(2);
    const none = await on.again(marker, { reuse: "none" });
    expect(on.worker.entered("count")).toBe(4);
    expect((await on.at.graph(none)).filter(({ reuse }) => reuse !== undefined)).toEqual([]);
    const headers = on.caller.calls[2]?.headers;
    expect(headers).toMatchObject({ "x-agentfield-replay-mode": "none" });
    expect(headers).not.toHaveProperty("x-agentfield-replay-source-run-id");
  });

  test("A5: the root always runs", async () => {
    await using on = await stage(two);
    const source = await on.first();
    await on.again(source);
    expect(on.caller.entered("root")).toBe(2);
  });

  test("A6: with headers of one's own: no marker takes the whole source; one that is not of it takes nothing", async () => {
    await using on = await stage(two);
    const source = await on.first();
    const from = { "x-agentfield-replay-source-run-id": source };
    await on.at.ended(await on.at.begin("caller.root", { topic: "x" }, from));
    expect(on.worker.entered("count")).toBe(2);
    const strange = { ...from, "x-agentfield-replay-before-execution-id": "exec_m" };
    await on.at.ended(await on.at.begin("caller.root", { topic: "x" }, strange));
    expect(on.worker.entered("count")).toBe(4);
    const nowhere = { "x-agentfield-replay-source-run-id": "run_src", "x-agentfield-replay-mode": "all-succeeded" };
    await on.at.ended(await on.at.begin("caller.root", { topic: "x" }, nowhere));
    expect(on.worker.entered("count")).toBe(6);
    expect(on.worker.calls.at(-1)?.headers).toMatchObject(nowhere);
  });

  test("A7: the order of keys and blanks do not count; the order of lists, null for nothing, and context do", async () => {
    const inputs = ['{"a":1,"b":{"c":[1,2],"d":0}}', '{"x":null}', '{"y":1}'];
    const others = ['{ "b" : {"d":0, "c":[1,2]}, "a" : 1.0 }', "{}", '{"y":1}'];
    let [given, context]: [string[], string] = [inputs, ""];
    await using on = await stage(async ({ execution, headers }) => {
      const parent = { "x-run-id": headers["x-run-id"] ?? "", "x-parent-execution-id": execution };
      for (const input of given) {
        await on.at.ask("POST", "/api/v1/execute/worker.count", `{"input":${input}${context}}`, parent);
      }
    });
    const source = await on.first();
    given = others;
    const again = await on.again(source);
    const hits = async (run: string): Promise<boolean[]> =>
      (await on.at.graph(run)).slice(1).map(({ reuse }) => reuse !== undefined);
    expect(await hits(again)).toEqual([true, false, true]);
    given = ['{"b":{"c":[2,1],"d":0},"a":1}', '{"y":1}'];
    context = ',"context":{"model":"small"}';
    expect(await hits(await on.again(source))).toEqual([false, false]);
  });

  test("A8: what failed or was cancelled runs again", async () => {
    await using on = await stage(async ({ call }) => {
      await Promise.allSettled([call("worker.count", { a: 1 }), call("worker.count", { b: 2 })]);
    });
    on.broken.add('count {"b":2}');
    const source = await on.first();
    on.broken.clear();
    const again = await on.again(source);
    const nodes = (await on.at.graph(again)).slice(1);
    // Which of two that are sent at once comes first is nobody's to say.
    const seen = nodes.map(({ status, reuse }) => `${status} ${reuse === undefined ? "anew" : "reused"}`);
    expect(seen.toSorted()).toEqual(["succeeded anew", "succeeded reused"]);
    expect(on.worker.calls.filter(({ input }) => JSON.stringify(input) === '{"a":1}')).toHaveLength(1);
  });

  test("A9: the same input for another function is another call", async () => {
    await using on = await stage(async ({ call }) => call("worker.count", { a: 1 }));
    const source = await on.first();
    on.program = async ({ call }) => [await call("worker.other", { a: 1 }), await call("worker.tool", { a: 1 })];
    await on.again(source);
    expect([on.worker.entered("other"), on.worker.entered("tool")]).toEqual([1, 1]);
  });

  test("A10: a mode that nobody knows is refused, and no execution is left behind", async () => {
    await using on = await stage(two);
    const source = await on.first();
    const count = async (): Promise<number> => (await on.at.stemma.list()).runs.length;
    const before = await count();
    const headers = { "x-agentfield-replay-source-run-id": source, "x-agentfield-replay-mode": "some" };
    for (const way of ["execute", "execute/async"]) {
      const { status, body } = await on.at.ask("POST", `/api/v1/${way}/caller.root`, { input: {} }, headers);
      expect([status, typeof body["error"]]).toEqual([400, "string"]);
    }
    expect((await on.at.ask("POST", `/api/v1/executions/${source}/restart`, { reuse: "some" })).status).toBe(400);
    expect(await count()).toBe(before);
  });

  test("A12, A13: of equal successes the earliest is given, to all equal calls", async () => {
    let times = 2;
    await using on = await stage(async ({ call }) => {
      const found: unknown[] = [];
      for (let i = 0; i < times; i += 1) found.push(((await call("worker.count", { same: true })) as { n: number }).n);
      return { found };
    });
    const source = await on.first();
    expect((await on.at.execution(source))["result"]).toEqual({ found: [1, 2] });
    times = 3;
    const again = await on.again(source);
    expect((await on.at.execution(again))["result"]).toEqual({ found: [1, 1, 1] });
    expect(on.worker.entered("count")).toBe(2);
  });

  test("A14: below a call that failed and is carried out again, what had succeeded is reused; F2: three replay values reach each", async () => {
    await using on = await stage(async ({ call, callSync }) => {
      await call("worker.count", { plan: 1 });
      await callSync("caller.middle", { m: 1 });
      return {};
    });
    on.broken.add("middle");
    const source = await on.first();
    on.broken.clear();
    expect((await on.at.execution(source))["status"]).toBe("failed");
    expect(on.worker.entered("count")).toBe(2);
    const again = await on.again(source);
    expect((await on.at.execution(again))["status"]).toBe("succeeded");
    expect(on.worker.entered("count")).toBe(2);
    const nodes = await on.at.graph(again);
    expect(
      nodes.map(({ reasoner_id: name, workflow_depth: depth, reuse }) => [name, depth, reuse?.source_run_id]),
    ).toEqual([
      ["root", 0, undefined],
      ["count", 1, source],
      ["middle", 1, undefined],
      ["count", 2, source],
    ]);
    const replay = {
      "x-agentfield-replay-source-run-id": source,
      "x-agentfield-replay-before-execution-id": source,
      "x-agentfield-replay-mode": "succeeded-before",
    };
    for (const name of ["root", "middle"]) {
      expect(on.caller.calls.findLast((call) => call.name === name)?.headers).toMatchObject(replay);
    }
  });

  test("A15: a restart of a restart reuses what was reused, and names who gave it and who made it", async () => {
    await using on = await stage(two);
    const first = await on.first();
    const second = await on.again(first);
    const third = await on.again(second);
    expect(on.worker.entered("count")).toBe(2);
    const [, made] = await on.at.graph(first);
    const [, given] = await on.at.graph(second);
    const [, reused] = await on.at.graph(third);
    expect(reused?.reuse).toMatchObject({
      source_execution_id: given?.execution_id,
      source_run_id: second,
      origin_execution_id: made?.execution_id,
    });
  });

  test("A16: a whole number that a JSON number cannot hold is refused, so it never matches another", async () => {
    await using on = await stage(two);
    const ask = (n: string) => on.at.ask("POST", "/api/v1/execute/worker.count", `{"input":{"n":${n}}}`);
    const refused = await ask("9007199254740993");
    expect([refused.status, typeof refused.body["error"]]).toEqual([400, "string"]);
    expect((await ask("9007199254740992")).body["result"]).toMatchObject({ input: { n: 2 ** 53 } });
    expect(on.worker.entered("count")).toBe(1);
  });

  test("A17: nothing, null, {}, 0, false and empty text are successes like any other", async () => {
    const values = [null, {}, 0, "", false, [], { result: { a: 1 } }];
    await using on = await stage(async ({ call }) => {
      const got = [];
      for (const gives of values) got.push((await call("worker.scalar", { gives })) ?? null);
      await call("worker.nothing", {});
      return { got };
    });
    const source = await on.first();
    const { result } = await on.at.execution(source);
    expect(result).toEqual({ got: [null, {}, 0, "", false, [], { a: 1 }] });
    const again = await on.again(source);
    expect((await on.at.execution(again))["result"]).toEqual(result);
    expect([on.worker.entered("scalar"), on.worker.entered("nothing")]).toEqual([values.length, 1]);
  });

  test("A18: who first sees it when it has succeeded is given its result, as often as they ask", async () => {
    await using on = await stage(two);
    const id = await on.at.begin("worker.count", { late: true });
    await on.at.ended(id);
    for (let i = 0; i < 3; i += 1) {
      expect(await on.at.execution(id)).toMatchObject({ status: "succeeded", result: { input: { late: true } } });
    }
  });

  test("A19: with values withheld, where a result comes from is still said", async () => {
    await using on = await stage(two);
    const again = await on.again(await on.first());
    const [, reused] = await on.at.graph(again);
    const path = `/api/ui/v1/executions/${reused?.execution_id ?? ""}/details`;
    const open = await on.at.ask("GET", path);
    expect(open.body).toMatchObject({ input_data: { a: 1 }, output_data: { n: 1 }, reuse: { hit: true } });
    const redacted = await on.at.ask("GET", `${path}?redact=1`);
    expect(redacted.body).toMatchObject({ reuse: { hit: true } });
    for (const name of ["input_data", "output_data", "result"]) expect(redacted.body).not.toHaveProperty(name);
  });

  test("A20: a webhook that was given with a call hears of its end once, however often the end is reused", async () => {
    const heard: unknown[] = [];
    const receiver = createServer((request, response) => {
      let text = "";
      request.on("data", (chunk) => (text += String(chunk)));
      request.on("end", () => {
        heard.push(JSON.parse(text));
        response.end();
      });
    });
    await new Promise<void>((resolve) => void receiver.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/told`;
    const registered: unknown[] = [];
    await using on = await stage(
      async ({ execution, headers }) => {
        const context = { "x-run-id": headers["x-run-id"] ?? "", "x-parent-execution-id": execution };
        const body = { input: { a: 1 }, webhook: { url, secret: "shared", headers: { "x-own": "1" } } };
        const said = await on.at.ask("POST", "/api/v1/execute/worker.count", body, context);
        registered.push([said.body["webhook_registered"], said.body["webhook_error"]]);
        return {};
      },
      { webhooks: { allow: ["127.0.0.1"] } },
    );
    const source = await on.first();
    await until(() => heard.length === 1);
    await on.again(source);
    expect(registered).toEqual([
      [true, undefined],
      [false, undefined],
    ]);
    const other = { webhook: { url: "http://10.0.0.1/" } };
    const refused = await on.at.ask("POST", `/api/v1/executions/${source}/restart`, other);
    expect(refused).toMatchObject({ status: 202, body: { webhook_registered: false } });
    expect(String(refused.body["webhook_error"])).toContain("10.0.0.1");
    // What comes later than this would have come before it.
    const { body } = await on.at.ask("POST", "/api/v1/execute/worker.other", { input: {}, webhook: { url } });
    expect(body["webhook_registered"]).toBe(true);
    await until(() => heard.length > 1);
    expect(JSON.stringify(heard[1])).toContain(String(body["execution_id"]));
    receiver.close();
  });
});
