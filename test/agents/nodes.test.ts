/** Nodes come, share the work, have no room, die and leave: what they are to do is done by others, and nothing is lost. */
import { expect, test } from "vitest";
import { Agent } from "../../src/agents.ts";
import type { AgentContext } from "../../src/agents.ts";
import { workflow } from "../../src/index.ts";
import { fresh, silent, until } from "../stage.ts";
import type { Plane } from "./place.ts";
import { plane } from "./place.ts";
import { rawNode } from "./raw-node.ts";

const ended = async (at: Plane, id: unknown): Promise<Record<string, unknown>> =>
  (await at.get(`/v1/calls/${String(id)}?wait=20000`)).body;
const called = async (at: Plane, target: string, input: unknown = null): Promise<string> =>
  String((await at.post("/v1/calls", { target, input })).body["id"]);

test("versions of a node share the calls by their weights, in turns", async () => {
  await using at = await plane();
  const offer =
    (name: string) =>
    (agent: Agent): void =>
      void agent.skill("who", () => name);
  await at.node("alpha", offer("old"), { version: "1", weight: 1 });
  await at.node("alpha", offer("new"), { version: "2", weight: 3 });
  const who: unknown[] = [];
  for (let i = 0; i < 8; i += 1) who.push((await ended(at, await called(at, "alpha.who")))["output"]);
  for (const four of [who.slice(0, 4), who.slice(4)]) expect(four.toSorted()).toEqual(["new", "new", "new", "old"]);
  const last = await at.stemma.list({ workflow: "alpha.who", limit: 1 });
  expect(await ended(at, last.runs[0]?.id)).toMatchObject({ node: { node: "alpha", version: "2" }, attempt: 1 });
});

test("a node works on no more at a time than it says, and what waits for a call of its own takes no place", async () => {
  await using at = await plane();
  let [now, most] = [0, 0];
  const work = async (): Promise<void> => {
    most = Math.max(most, (now += 1));
    await new Promise((resolve) => setTimeout(resolve, 20));
    now -= 1;
  };
  await at.node(
    "alpha",
    (agent) => {
      agent.reasoner("outer", async (ctx: AgentContext) => {
        await work();
        const inner = await ctx.call<string>("alpha.inner");
        return `outer ${inner}`;
      });
      agent.skill("inner", async () => {
        await work();
        return "inner";
      });
    },
    { concurrency: 1 },
  );
  const ids = await Promise.all([1, 2, 3, 4].map((n) => called(at, "alpha.outer", n)));
  for (const id of ids) expect((await ended(at, id))["output"]).toBe("outer inner");
  // A function that has its answer goes on at once, whoever has its place by then.
  expect(most).toBeLessThanOrEqual(2);
});

test("a node is given no more than it says, also of what becomes due in one moment", async () => {
  const all = [0, 1, 2, 3, 4, 5, 6, 7];
  const many = workflow({ name: "many" }, (ctx) => Promise.all(all.map((n) => ctx.call<string>("alpha.one", n))));
  await using at = await plane([many]);
  await using node = await rawNode();
  const functions = [{ name: "one" }];
  await at.post("/v1/nodes", { node: "alpha", url: node.url, functions, concurrency: 2 });
  const run = await at.stemma.run(many, undefined);
  const held: number[] = [];
  for (const done of all) {
    await until(() => node.given.length > done);
    held.push(node.given.length - done);
    await at.post(`/v1/calls/${node.given[done]?.id}/result`, { ok: true, output: "done" });
  }
  expect(await run.result()).toEqual(all.map(() => "done"));
  expect(Math.max(...held)).toBeLessThanOrEqual(2);
});

test("what is called while no process of the node is there waits, through a restart of the server, and is done when one comes", async () => {
  await using store = fresh();
  let id = "";
  {
    await using at = await plane([], { engine: { store } });
    await using node = await rawNode();
    await at.post("/v1/nodes", { node: "alpha", url: node.url, functions: [{ name: "one" }] });
    node.answer = { status: 503 };
    id = await called(at, "alpha.one", { n: 1 });
    await until(async () => node.given.length > 0);
  }
  await using at = await plane([], { engine: { store } });
  expect((await at.get(`/v1/calls/${id}`)).body).not.toHaveProperty("endedAt");
  await at.node("alpha", (agent) => agent.skill("one", (_ctx, { n }: { n: number }) => n + 1));
  expect(await ended(at, id)).toMatchObject({ status: "succeeded", output: 2 });
});

test("a node that comes back as another process has lost what it had: it is given to it again, under another id of the same run", async () => {
  await using at = await plane();
  await using node = await rawNode();
  const register = (instance: string): Promise<unknown> =>
    at.post("/v1/nodes", { node: "alpha", url: node.url, instance, functions: [{ name: "one" }] });
  await register("first");
  const id = await called(at, "alpha.one", { n: 1 });
  await until(async () => node.given.length === 1);
  // The same process says again who it is: it still has it.
  await register("first");
  expect(await at.post("/v1/nodes/alpha/heartbeat", { instance: "first" })).toMatchObject({ status: 200 });
  await register("second");
  await until(async () => node.given.length === 2);
  expect(node.given.map(({ input }) => input)).toEqual([{ n: 1 }, { n: 1 }]);
  expect(node.given[0]?.id).toBe(id);
  expect(node.given[1]?.id).toMatch(new RegExp(`^${id}\\.2[0-9a-f]+$`, "u"));
  const keys = new Set(node.given.map(({ headers }) => headers["x-stemma-idempotency-key"]));
  expect(keys.size).toBe(1);
  // The first may have been alive all the same: its result is as good as the other's.
  await at.post(`/v1/calls/${id}/result`, { ok: true, output: "first" });
  expect(await ended(at, id)).toMatchObject({ output: "first", attempt: 2 });
  expect(await at.post("/v1/nodes/alpha/heartbeat", { instance: "first" })).toMatchObject({
    status: 404,
    body: { code: "node.not_found" },
  });
});

test("equal calls of an execution that is entered again get what the first of them got, in their order", async () => {
  await using at = await plane();
  await using node = await rawNode();
  const register = (instance: string): Promise<unknown> =>
    at.post("/v1/nodes", { node: "alpha", url: node.url, instance, functions: [{ name: "root" }] });
  let dice = 0;
  await at.node("beta", (agent) => agent.skill("roll", () => (dice += 1)));
  await register("first");
  const id = await called(at, "alpha.root");
  const roll = async (caller: string): Promise<unknown> =>
    (await ended(at, (await at.post("/v1/calls", { target: "beta.roll", input: {}, caller })).body["id"]))["output"];
  await until(async () => node.given.length === 1);
  expect([await roll(id), await roll(id)]).toEqual([1, 2]);
  await register("second");
  await until(async () => node.given.length === 2);
  const again = node.given[1]?.id ?? "";
  expect([await roll(again), await roll(again), await roll(again)]).toEqual([1, 2, 3]);
  expect((await at.stemma.lineage(id)).runs).toHaveLength(4);
});

test("a question stays open while its node dies: who is asked is asked once, and the answer goes to the node that asks again", async () => {
  await using at = await plane();
  await using node = await rawNode();
  const register = (instance: string): Promise<unknown> =>
    at.post("/v1/nodes", { node: "alpha", url: node.url, instance, functions: [{ name: "root" }] });
  await register("first");
  const id = await called(at, "alpha.root");
  await until(async () => node.given.length === 1);
  const question = { name: "approval", input: "text", prompt: "Publish?" };
  expect((await at.post(`/v1/calls/${id}/waits`, question)).body).toMatchObject({ wait: "approval", state: "open" });
  await register("second");
  await until(async () => node.given.length === 2);
  await at.stemma.resume(id, "approval", { approve: true });
  const again = await at.post(`/v1/calls/${node.given[1]?.id}/waits`, question);
  expect(again.body).toMatchObject({ wait: "approval", state: "answered", value: { approve: true } });
  expect(
    (await at.stemma.history(id)).filter(({ type, data }) => type === "wait.opened" && data.key === "approval"),
  ).toHaveLength(1);
});

test("a node that leaves finishes what it can, and what it cannot is given to another process of it", async () => {
  await using at = await plane();
  const entered: string[] = [];
  const offer =
    (name: string) =>
    (agent: Agent): void =>
      void agent.skill("slow", async (ctx: AgentContext) => {
        entered.push(name);
        if (name === "second") return name;
        return new Promise<never>((_, reject) =>
          ctx.abort.addEventListener("abort", () => reject(new Error("stopped"))),
        );
      });
  const first = await at.node("alpha", offer("first"));
  const id = await called(at, "alpha.slow");
  await until(async () => entered.length === 1);
  await at.node("alpha", offer("second"), { version: "2" });
  await first.close({ timeout: 50 });
  expect(await ended(at, id)).toMatchObject({ output: "second", attempt: 2 });
  const { nodes } = (await at.get<{ body: { nodes: { version: string }[] } }>("/v1/nodes")).body;
  expect(nodes.map(({ version }) => version)).toEqual(["2"]);
});

test("an address that fails again and again is left alone for a while, and tried again behind that", async () => {
  await using at = await plane();
  await using node = await rawNode({ status: 502 });
  await at.post("/v1/nodes", { node: "alpha", url: node.url, functions: [{ name: "one" }] });
  const ids = await Promise.all([1, 2, 3, 4, 5].map((n) => called(at, "alpha.one", n)));
  const circuit = async (): Promise<unknown> =>
    (await at.get<{ body: { nodes: { circuit: string }[] } }>("/v1/nodes")).body.nodes[0]?.circuit;
  await until(async () => (await circuit()) === "open");
  node.answer = { status: 202 };
  await until(async () => (await circuit()) === "closed");
  const reached = (): number => new Set(node.given.map(({ id }) => id.slice(0, 30))).size;
  await until(async () => reached() === 5);
  for (const id of ids) expect(await at.stemma.cancel(id)).toMatchObject({ accepted: true });
});

test("an execution that takes longer than its function may is ended on its node and fails, or is tried again", async () => {
  await using at = await plane();
  await using node = await rawNode();
  const functions = [{ name: "slow", timeout: 400, retry: { attempts: 2, delay: 1 } }];
  await at.post("/v1/nodes", { node: "alpha", url: node.url, functions });
  const id = await called(at, "alpha.slow");
  expect(await ended(at, id)).toMatchObject({ status: "failed", attempt: 2, error: { code: "step.timed_out" } });
  await until(async () => node.stopped.includes(id));
});

test("a fork gives an execution other outputs of its calls, and reuses the others", async () => {
  await using at = await plane();
  const entered: string[] = [];
  await at.node("alpha", (agent) => {
    agent.reasoner("sum", async (ctx: AgentContext) => {
      entered.push("sum");
      return (await ctx.call<number>("alpha.a")) + (await ctx.call<number>("alpha.b"));
    });
    agent.skill("a", () => entered.push("a") - 1);
    agent.skill("b", () => entered.push("b") - 1);
  });
  const id = await called(at, "alpha.sum");
  expect((await ended(at, id))["output"]).toBe(3);
  const fork = await at.stemma.fork<number>(id, { outputs: { "alpha.b": 40 } });
  expect(await fork.result()).toBe(41);
  expect(entered).toEqual(["sum", "a", "b", "sum"]);
});

test("what is not there is refused before anything is made, and a node cannot be anywhere", async () => {
  await using at = await plane();
  await at.node("alpha", (agent) => agent.skill("one", () => 1));
  const code = async (path: string, body: object): Promise<unknown> => (await at.post(path, body)).body["code"];
  expect(await code("/v1/calls", { target: "beta.one" })).toBe("node.not_found");
  expect(await code("/v1/calls", { target: "alpha.two" })).toBe("function.not_found");
  expect(await code("/v1/calls", { target: "alpha.one.two" })).toBe("usage.invalid");
  expect((await at.stemma.list()).runs).toEqual([]);
  for (const url of [
    "ftp://x",
    "http://me:secret@127.0.0.1:1",
    "http://127.0.0.1/?a=1",
    "nowhere",
    "file:///etc/passwd",
  ]) {
    const refused = await at.post("/v1/nodes", { node: "gamma", url, functions: [] });
    expect([refused.status, refused.body["code"]]).toEqual([400, "usage.invalid"]);
    expect(JSON.stringify(refused.body)).not.toContain("secret");
  }
});

test("a redirect of a node is not followed", async () => {
  await using at = await plane();
  await using other = await rawNode();
  await using node = await rawNode({ status: 307, headers: { location: `${other.url}/elsewhere` } });
  await at.post("/v1/nodes", { node: "alpha", url: node.url, functions: [{ name: "one" }] });
  expect(await ended(at, await called(at, "alpha.one"))).toMatchObject({
    status: "failed",
    error: { code: "node.refused", data: { status: 307 } },
  });
  expect(other.given).toEqual([]);
});

test("a node waits for a server that is away, and a function whose input does not fit is not entered", async () => {
  await using at = await plane();
  const { z } = await import("zod");
  const entered: unknown[] = [];
  const agent = new Agent({ nodeId: "alpha", server: at.url, log: silent });
  agent.skill("one", { input: z.object({ n: z.number() }), retry: 3 }, (_ctx, input) => void entered.push(input));
  await using serving = await agent.serve();
  expect(serving.url).toContain("127.0.0.1");
  expect(await ended(at, await called(at, "alpha.one", { n: "x" }))).toMatchObject({
    status: "failed",
    attempt: 1,
    error: { code: "workflow.invalid_input" },
  });
  expect(entered).toEqual([]);
});

test("two servers on one store give work to a node that registered with one of them, and neither holds it dead", async () => {
  await using store = fresh();
  await using first = await plane([], { engine: { store } });
  await using second = await plane([], { engine: { store } });
  await first.node("alpha", (agent) => agent.skill("one", (_ctx, n: number) => n + 1), { lease: 600 });
  const states = async (at: Plane): Promise<string[]> =>
    (await at.get<{ body: { nodes: { state: string }[] } }>("/v1/nodes")).body.nodes.map(({ state }) => state);
  await until(async () => (await states(second)).length === 1);
  // Longer than its lease: the second hears nothing of it, and asks.
  await new Promise((resolve) => setTimeout(resolve, 1500));
  for (const at of [first, second]) {
    expect(await states(at)).toEqual(["up"]);
    expect(await ended(at, await called(at, "alpha.one", 1))).toMatchObject({ output: 2, attempt: 1 });
  }
});

test("what is said for a run that is no execution is refused, and so is what a node says of a run that has ended", async () => {
  const plain = workflow({ name: "plain" }, (ctx) => ctx.wait("forever"));
  await using at = await plane([plain]);
  await at.node("alpha", (agent) => agent.skill("one", () => 1));
  const run = await at.stemma.run(plain, undefined);
  const refused = await at.post("/v1/calls", { target: "alpha.one", caller: run.id });
  expect(refused).toMatchObject({ status: 400, body: { code: "usage.invalid" } });
  expect(await at.post(`/v1/calls/${run.id}/result`, { ok: true })).toMatchObject({ status: 400 });
  const id = await called(at, "alpha.one");
  await ended(at, id);
  const late = await at.post("/v1/calls", { target: "alpha.one", caller: id });
  expect(late).toMatchObject({ status: 409, body: { code: "run.ended" } });
  expect(await at.get(`/v1/calls/${id}~nothing`)).toMatchObject({ status: 404, body: { code: "run.not_found" } });
});

test("a node that is given the same dispatch twice enters it once, and hears of a cancel under either id", async () => {
  await using at = await plane();
  const entered: string[] = [];
  const serving = await at.node("alpha", (agent) => {
    agent.skill("slow", async (ctx: AgentContext) => {
      entered.push(ctx.executionId);
      await new Promise((resolve) => ctx.abort.addEventListener("abort", resolve));
      entered.push("aborted");
    });
  });
  const give = (id: string): Promise<Response> =>
    fetch(`${serving.url}/skills/slow`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "x-execution-id": id,
        "x-run-id": "r",
        "x-stemma-dispatch": "r.1",
      },
      body: "{}",
    });
  expect([(await give("r")).status, (await give("r.1abc")).status]).toEqual([202, 202]);
  expect(entered).toEqual(["r"]);
  const cancelled = await fetch(`${serving.url}/_internal/executions/r.1abc/cancel`, {
    method: "POST",
    headers: { "content-type": "application/json" },
  });
  expect(await cancelled.json()).toMatchObject({ cancelled: true });
  await until(async () => entered.includes("aborted"));
});
