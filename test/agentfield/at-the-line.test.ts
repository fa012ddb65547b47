/**
 * Agents that answer with their result at the line, as AgentField's do where `asyncExecution` is off, and as all skills do:
 * while they hold it they may do all that others may. What they do outlives the line and the server.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { serve } from "../server/place.ts";
import { fresh, silent, until } from "../stage.ts";
import type { Functions } from "./agent.ts";
import { agent } from "./agent.ts";
import type { Plane } from "./place.ts";
import { plane } from "./place.ts";

const others: Functions = { double: ({ input }) => ({ value: (input as { n: number }).n * 2 }) };

test("an agent that answers at the line calls others meanwhile, at the line, later and in its own process", async () => {
  await using at = await plane();
  const beta = await at.agent({ id: "beta", reasoners: others, skills: { facts: () => [1, 2] } });
  const alpha = await at.agent({
    id: "alpha",
    detached: false,
    reasoners: {
      root: async ({ call, callSync }) => ({
        first: await callSync("beta.double", { n: 1 }),
        second: await call("beta.double", { n: 2 }),
        facts: await callSync("beta.facts", {}),
        own: await call("alpha.own", { n: 3 }),
        caught: await callSync("beta.nothing", {}).catch((error: Error) => error.message),
      }),
      own: ({ input }) => input,
      bad: async ({ callSync }) => {
        await callSync("beta.double", { n: 1 });
        throw Object.assign(new Error("out of ink"), { status: 422 });
      },
    },
  });
  const { status, body } = await at.ask("POST", "/api/v1/execute/alpha.root", { input: {} });
  expect({ status, result: body["result"] }).toMatchObject({
    status: 200,
    result: { first: { value: 2 }, second: { value: 4 }, facts: [1, 2], own: { n: 3 } },
  });
  expect((body["result"] as { caught: string }).caught).toContain("(400)");
  expect([alpha.entered("root"), beta.entered("double"), beta.entered("facts")]).toEqual([1, 2, 1]);
  const nodes = await at.graph(String(body["run_id"]));
  expect(nodes.map(({ reasoner_id: name, workflow_depth: depth }) => [name, depth]).toSorted()).toEqual([
    ["double", 1],
    ["double", 1],
    ["facts", 1],
    ["own", 1],
    ["root", 0],
  ]);
  const failed = await at.ask("POST", "/api/v1/execute/alpha.bad", { input: {} });
  expect(failed).toMatchObject({ status: 422, body: { status: "failed" } });
  expect(failed.body["error"]).toContain("out of ink");
});

test("what an agent tells of itself before it answers at the line is on record, and what it used is no part of its result", async () => {
  await using at = await plane();
  const used = { total_tokens: 3 };
  await at.agent({
    id: "alpha",
    detached: false,
    reasoners: {
      root: async ({ call }) => ({ own: await call("alpha.own", { n: 3 }), __agentfield_usage__: used }),
      own: ({ input }) => input,
    },
  });
  const { body } = await at.ask("POST", "/api/v1/execute/alpha.root", { input: {} });
  expect(body["result"]).toEqual({ own: { n: 3 } });
  const nodes = await at.graph(String(body["run_id"]));
  expect(nodes.map(({ reasoner_id: name, status }) => [name, status])).toEqual([
    ["root", "succeeded"],
    ["own", "succeeded"],
  ]);
});

/** An agent whose function calls another, and answers when it is let go. */
async function holding(make: Plane["agent"], gate: Promise<void>) {
  const beta = await make({ id: "beta", reasoners: others });
  const alpha = await make({
    id: "alpha",
    detached: false,
    registration: { instance_id: "the one" },
    reasoners: {
      root: async ({ callSync, signal }) => {
        const first = await callSync("beta.double", { n: 1 });
        await Promise.race([gate, new Promise((resolve) => signal.addEventListener("abort", resolve))]);
        if (signal.aborted) throw new Error("stopped");
        return first;
      },
    },
  });
  return { alpha, beta };
}

test("who is cancelled while it holds the line is told, and what it answers then changes nothing", async () => {
  await using at = await plane();
  const gate = Promise.withResolvers<void>();
  const { alpha, beta } = await holding((given) => at.agent(given), gate.promise);
  const id = await at.begin("alpha.root");
  await until(() => beta.entered("double") === 1);
  expect(await at.ask("POST", `/api/v1/executions/${id}/cancel`, {})).toMatchObject({ status: 200 });
  await until(() => alpha.seen.some(({ path }) => path === `/_internal/executions/${id}/cancel`));
  expect(await at.execution(id)).toMatchObject({ status: "cancelled" });
});

test("a line that a server held is cut with it: the next gives the execution out anew, and what it had called stands", async () => {
  const store = fresh();
  await using _closed = { [Symbol.asyncDispose]: () => store.close() };
  const gate = Promise.withResolvers<void>();
  await using open = new AsyncDisposableStack();
  const first = open.use(await serve([], { log: silent, engine: { store } }));
  const { alpha, beta } = await holding(
    async (given) => open.use(await agent({ plane: first.url, ...given })),
    gate.promise,
  );
  const { id } = (await first.agents?.call({ target: "alpha.root" })) ?? { id: "" };
  // It is on record that the call has ended, so it holds the line and nothing else is under way.
  await until(async () => (await first.agents?.course(id))?.calls[0]?.state === "succeeded");
  await first[Symbol.asyncDispose]();
  const second = open.use(await plane({ engine: { store }, port: first.port }));
  await until(() => alpha.entered("root") === 2);
  gate.resolve();
  expect(await second.ended(id)).toMatchObject({ status: "succeeded", result: { value: 2 } });
  expect(beta.entered("double")).toBe(1);
});

/** Two servers on one store; the agent that both know holds a line of the first, and nothing else is under way. */
async function lineOfTheFirst(open: AsyncDisposableStack, gate: Promise<void>) {
  let later = 0;
  const store = fresh({ now: () => Date.now() + later });
  open.defer(() => store.close());
  const first = open.use(await plane({ engine: { store } }));
  const { alpha, beta } = await holding((given) => first.agent(given), gate);
  const id = await first.begin("alpha.root");
  await until(async () => (await first.agents?.course(id))?.calls[0]?.state === "succeeded");
  const second = async (working: boolean): Promise<Plane> => {
    const at = open.use(await plane({ engine: { store }, working }));
    // It has looked through what the agents have in hand.
    await until(() => at.agents?.nodes().find(({ node }) => node === "alpha")?.working === 1);
    return at;
  };
  /** Longer than its lease is. */
  const die = (): void => {
    // As a crash does: it says nothing any more, and who holds its line is heard by nobody.
    first.stemma.abandon();
    later = 60_000;
  };
  return { die, second, alpha, beta, id };
}

test("who holds the line of another server keeps it while that server lives, and loses it when its lease has ended", async () => {
  await using open = new AsyncDisposableStack();
  const gate = Promise.withResolvers<void>();
  const { die, second, alpha, beta, id } = await lineOfTheFirst(open, gate.promise);
  const at = await second(true);
  expect((await at.agents?.course(id))?.losses).toBe(0);
  die();
  await until(() => alpha.entered("root") === 2);
  gate.resolve();
  expect(await at.ended(id)).toMatchObject({ status: "succeeded", result: { value: 2 } });
  expect((await at.agents?.course(id))?.losses).toBe(1);
  expect(beta.entered("double")).toBe(1);
});

test("a server that comes while another one holds a line leaves it to that one", async () => {
  await using open = new AsyncDisposableStack();
  const gate = Promise.withResolvers<void>();
  const { second, alpha, id } = await lineOfTheFirst(open, gate.promise);
  const at = await second(false);
  gate.resolve();
  expect(await at.ended(id)).toMatchObject({ status: "succeeded", result: { value: 2 } });
  expect(alpha.entered("root")).toBe(1);
  expect((await at.agents?.course(id))?.losses).toBe(0);
});

test("an agent speaks to one server of a store while another one holds its line", async () => {
  const store = fresh();
  await using _closed = { [Symbol.asyncDispose]: () => store.close() };
  await using near = await plane({ engine: { store }, working: false });
  await using holder = await serve([], { log: silent, engine: { store } });
  const gate = Promise.withResolvers<void>();
  const { alpha, beta } = await holding((given) => near.agent(given), gate.promise);
  // Who works learns of nodes from the store.
  await until(() => holder.agents?.nodes().length === 2);
  const id = await near.begin("alpha.root");
  await until(() => beta.entered("double") === 1);
  gate.resolve();
  expect(await near.ended(id)).toMatchObject({ status: "succeeded", result: { value: 2 } });
  expect(alpha.entered("root")).toBe(1);
});

test("what it says there is heard, also where who holds its line has taken it in before it looked for it", async () => {
  const store = fresh();
  await using _closed = { [Symbol.asyncDispose]: () => store.close() };
  await using near = await plane({ engine: { store }, working: false });
  // So often it sees what there is for its runs; it looks whether their nodes have spoken less often.
  await using holder = await serve([], { log: silent, engine: { store, lease: 300 } });
  const { alpha } = await holding((given) => near.agent(given), Promise.resolve());
  await until(() => holder.agents?.nodes().length === 2);
  const id = await near.begin("alpha.root");
  expect(await near.ended(id)).toMatchObject({ status: "succeeded", result: { value: 2 } });
  expect(alpha.entered("root")).toBeGreaterThan(0);
});

test("a function that holds the line for longer than it may fails, once for each attempt", async () => {
  await using at = await plane();
  let given = 0;
  const stopped: string[] = [];
  const node = createServer((request, response) => {
    const { url = "" } = request;
    if (url.startsWith("/skills/")) given += 1;
    else response.end("{}");
    if (url.endsWith("/cancel")) stopped.push(url);
  });
  await new Promise<void>((resolve) => void node.listen(0, "127.0.0.1", resolve));
  await using _closed = {
    async [Symbol.asyncDispose]() {
      node.closeAllConnections();
      await new Promise((resolve) => void node.close(resolve));
    },
  };
  const url = `http://127.0.0.1:${(node.address() as AddressInfo).port}`;
  const functions = [{ name: "slow", kind: "skill", timeout: 400, retry: { attempts: 2, delay: 1 } }];
  expect((await at.ask("POST", "/v1/nodes", { node: "mute", url, functions })).status).toBeLessThan(300);
  const id = await at.begin("mute.slow");
  expect(await at.ended(id)).toMatchObject({ status: "timeout" });
  // Of an attempt whose time was up before it was heard of, nobody heard.
  expect(given).toBeLessThanOrEqual(2);
  await until(() => stopped.length >= 1);
});
