/**
 * AgentField's API request by request: what each endpoint takes and gives, beside what runs through it. Of the behaviours
 * of control planes:
 *
 *     D3   D4  a parent that is not known                  F3   work at the same time has parents of its own
 *     F1   the parent of a call is who makes it            F4   a serverless node
 *     F2   what is told of reuse reaches all: replay.test
 */
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { components } from "../../src/index.ts";
import { until } from "../stage.ts";
import type { Said } from "./agent.ts";
import { say } from "./agent.ts";
import type { Plane } from "./place.ts";
import { plane } from "./place.ts";

const nobody = `run_${"0".repeat(26)}`;

type Entered = { id: string; tell: (helper: string, more: object) => Promise<Said>; leave: () => void };

/** An execution that an agent has entered; it tells of a helper that it calls in itself, and ends when it leaves. */
async function entered(at: Plane): Promise<Entered> {
  const gate = Promise.withResolvers<void>();
  const alpha = await at.agent({ id: "alpha", reasoners: { root: () => gate.promise } });
  const id = await at.begin("alpha.root");
  await until(() => alpha.entered("root") === 1);
  const common = { run_id: id, reasoner_id: "helper", agent_node_id: "alpha", parent_execution_id: id };
  const tell = (execution_id: string, more: object): Promise<Said> =>
    at.ask("POST", "/api/v1/workflow/executions/events", { ...common, execution_id, ...more });
  return { id, tell, leave: gate.resolve };
}

describe("nodes", () => {
  test("registered, seen, discovered, renewed, gone; a node that nobody knows has to register", async () => {
    await using at = await plane();
    const registered = await at.ask("POST", "/api/v1/nodes/register", {
      id: "alpha",
      version: "1.0.0",
      base_url: "http://127.0.0.1:9",
      reasoners: [{ id: "think", input_schema: { type: "object" }, output_schema: {}, tags: ["slow"] }],
      skills: [{ id: "tool", input_schema: {}, tags: [] }],
      metadata: { custom: { sdk: { language: "typescript" } } },
    });
    expect(registered).toMatchObject({ status: 201, body: { success: true, node_id: "alpha" } });
    expect(registered.body["status"]).not.toBe("pending_approval");
    const beat = await at.ask("POST", "/api/v1/nodes/alpha/heartbeat", { status: "ready", version: "1.0.0" });
    expect(beat).toMatchObject({ status: 200, body: { success: true, message: "ok" } });
    const lease = await at.ask("PATCH", "/api/v1/nodes/alpha/status", { phase: "ready" });
    expect(lease).toMatchObject({ status: 200, body: { lease_seconds: 30 } });
    expect((await at.ask("GET", "/api/v1/nodes/alpha")).body).toMatchObject({
      id: "alpha",
      version: "1.0.0",
      base_url: "http://127.0.0.1:9",
      deployment_type: "long_running",
      reasoners: [{ id: "think", invocation_target: "alpha.think" }],
      skills: [{ id: "tool" }],
      metadata: { custom: { sdk: { language: "typescript" } } },
    });
    const found = await at.ask("GET", "/api/v1/discovery/capabilities?format=json&agent=alpha");
    expect(found.body).toMatchObject({
      total_agents: 1,
      total_reasoners: 1,
      total_skills: 1,
      capabilities: [{ agent_id: "alpha", reasoners: [{ id: "think", tags: ["slow"] }] }],
    });
    const compact = await at.ask("GET", "/api/v1/discovery/capabilities?format=compact&skill=to*");
    expect(compact.body).toMatchObject({ skills: [{ agent_id: "alpha", target: "alpha:skill:tool" }] });
    expect((await at.ask("POST", "/api/v1/nodes/alpha/shutdown", { version: "1.0.0" })).body).toMatchObject({
      success: true,
    });
    await until(async () => (await at.ask("GET", "/api/v1/nodes/alpha")).status === 404);
    for (const [method, path] of [
      ["POST", "/api/v1/nodes/alpha/heartbeat"],
      ["POST", "/api/v1/nodes/alpha/shutdown"],
      ["PATCH", "/api/v1/nodes/alpha/status"],
    ] as const) {
      expect([path, (await at.ask(method, path, { status: "ready" })).status]).toEqual([path, 404]);
    }
  });

  test("what cannot be a node is refused with what is wrong", async () => {
    await using at = await plane();
    const good = { id: "alpha", version: "1", base_url: "http://127.0.0.1:9", reasoners: [{ id: "f" }] };
    for (const wrong of [
      { id: "" },
      { id: "a.b" },
      { base_url: "ftp://127.0.0.1" },
      { base_url: "http://user:secret@127.0.0.1" },
      { reasoners: "f" },
      { reasoners: [{}] },
      { version: 3 },
    ]) {
      const { status, body } = await at.ask("POST", "/api/v1/nodes/register", { ...good, ...wrong });
      expect([wrong, status, typeof body["error"]]).toEqual([wrong, 400, "string"]);
      expect(JSON.stringify(body)).not.toContain("secret");
    }
  });

  test("several versions of one node are called by their weight, and which it was is said", async () => {
    await using at = await plane();
    const make = (version: string, weight: number) =>
      at.agent({
        id: "alpha",
        version,
        reasoners: { which: () => ({ version }) },
        registration: { traffic_weight: weight },
      });
    await make("1.0.0", 100);
    await make("2.0.0", 300);
    const seen = new Map<string, number>();
    for (let i = 0; i < 8; i += 1) {
      const { body, headers } = await at.ask("POST", "/api/v1/execute/alpha.which", { input: {} });
      const version = headers.get("x-routed-version") ?? "";
      expect((body["result"] as { version: string }).version).toBe(version);
      seen.set(version, (seen.get(version) ?? 0) + 1);
    }
    expect(Object.fromEntries(seen)).toEqual({ "1.0.0": 2, "2.0.0": 6 });
  });

  test("F4: a serverless node is asked at one address, and is told of reuse in headers and body alike", async () => {
    const asked: { url: string; headers: Record<string, unknown>; body: Record<string, unknown> }[] = [];
    const http = createServer((request, response) => {
      let text = "";
      request.on("data", (chunk) => (text += String(chunk)));
      request.on("end", () => {
        asked.push({
          url: request.url ?? "",
          headers: request.headers,
          body: JSON.parse(text || "{}") as Record<string, unknown>,
        });
        response.writeHead(200, { "content-type": "application/json" });
        response.end('{"done":true}');
      });
    });
    await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
    await using at = await plane();
    await at.ask("POST", "/api/v1/nodes/register", {
      id: "cloud",
      version: "1",
      base_url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
      deployment_type: "serverless",
      reasoners: [{ id: "work" }],
    });
    const replay = {
      "x-agentfield-replay-source-run-id": "run_src",
      "x-agentfield-replay-before-execution-id": "exec_m",
      "x-agentfield-replay-mode": "succeeded-before",
    };
    const { body } = await at.ask("POST", "/api/v1/execute/cloud.work", { input: { a: 1 } }, replay);
    expect(body).toMatchObject({ status: "succeeded", result: { done: true } });
    const one = asked.find(({ url }) => url !== "/health");
    expect(one).toMatchObject({ url: "/execute", headers: replay });
    expect(one?.body).toMatchObject({
      target: "work",
      reasoner: "work",
      type: "reasoner",
      input: { a: 1 },
      execution_context: {
        execution_id: body["execution_id"],
        run_id: body["run_id"],
        replay_source_run_id: "run_src",
        replay_before_execution_id: "exec_m",
        replay_mode: "succeeded-before",
      },
    });
    http.closeAllConnections();
    http.close();
  });
});

describe("calls", () => {
  test("an accepted call says its ids, its target and its kind; a target that is none is a bad request", async () => {
    await using at = await plane();
    await at.agent({
      id: "alpha",
      reasoners: { think: () => ({}) },
      skills: { tool: ({ input }) => ({ got: input }) },
    });
    const { status, body, headers } = await at.ask("POST", "/api/v1/execute/async/alpha.tool", { input: null });
    expect(status).toBe(202);
    expect(body).toMatchObject({ status: "queued", target: "alpha.tool", type: "skill", webhook_registered: false });
    expect(body["workflow_id"]).toBe(body["run_id"]);
    expect([headers.get("x-execution-id"), headers.get("x-run-id")]).toEqual([body["execution_id"], body["run_id"]]);
    expect((await at.ended(String(body["execution_id"])))["result"]).toEqual({ got: {} });
    for (const target of ["alpha.none", "nobody.think", "alpha", "a.b.c", "alpha."]) {
      for (const way of ["execute", "execute/async"]) {
        const refused = await at.ask("POST", `/api/v1/${way}/${encodeURIComponent(target)}`, { input: {} });
        expect([target, refused.status, typeof refused.body["error"]]).toEqual([target, 400, "string"]);
      }
    }
    expect((await at.ask("POST", "/api/v1/execute/alpha.think", "{")).status).toBe(400);
    expect((await at.stemma.list()).runs).toHaveLength(1);
  });

  test("who waits at the line too long is told so, and the call goes on", async () => {
    await using at = await plane({ agentfield: { callTimeout: "50ms" } });
    const gate = Promise.withResolvers<void>();
    await at.agent({ id: "alpha", reasoners: { slow: async () => gate.promise.then(() => ({ late: true })) } });
    const { status, body } = await at.ask("POST", "/api/v1/execute/alpha.slow", { input: {} });
    expect([status, body["error_category"], body["status"]]).toEqual([504, "agent_timeout", "running"]);
    gate.resolve();
    expect((await at.ended(String(body["execution_id"])))["result"]).toEqual({ late: true });
  });

  test("many are asked for at once; those that are not there say so", async () => {
    await using at = await plane();
    await at.agent({ id: "alpha", reasoners: { f: () => 3 } });
    const id = await at.begin("alpha.f");
    await at.ended(id);
    const { body } = await at.ask("POST", "/api/v1/executions/batch-status", { execution_ids: [id, nobody, "exec_1"] });
    expect(body).toMatchObject({
      [id]: { status: "succeeded", result: { result: 3 } },
      [nobody]: { status: "not_found" },
      exec_1: { status: "not_found" },
    });
    expect((await at.ask("POST", "/api/v1/executions/batch-status", { execution_ids: id })).status).toBe(400);
    expect((await at.ask("GET", `/api/v1/executions/${nobody}`)).status).toBe(404);
  });

  test("F1, F3: a call hangs on the execution that makes it, also where two of a function are at work at once", async () => {
    await using at = await plane();
    await at.agent({ id: "low", reasoners: { leaf: ({ input }) => ({ input }) } });
    await at.agent({
      id: "top",
      reasoners: {
        mid: async ({ input, call }) => call("low.leaf", input),
        root: async ({ callSync }) => Promise.all([1, 2].map((n) => callSync("top.mid", { n }))),
      },
    });
    const id = await at.begin("top.root");
    await at.ended(id);
    const nodes = await at.graph(id);
    const mids = nodes.filter(({ reasoner_id: name }) => name === "mid").map((node) => node.execution_id);
    expect(
      nodes
        .filter(({ reasoner_id: name }) => name === "leaf")
        .map((node) => node.parent_execution_id)
        .toSorted(),
    ).toEqual(mids.toSorted());
    expect(new Set(mids).size).toBe(2);
  });

  test("logs and notes of an execution are taken and given back; progress is no status", async () => {
    await using at = await plane();
    await at.agent({ id: "alpha", reasoners: { f: () => ({}) } });
    const id = await at.begin("alpha.f");
    await at.ended(id);
    const line = { v: 1, execution_id: id, level: "info", message: "Execution started" };
    expect((await at.ask("POST", `/api/v1/executions/${id}/logs`, line)).body).toMatchObject({ success: true });
    await at.ask("POST", `/api/v1/executions/${id}/logs`, { entries: [line, { ...line, message: "second" }] });
    const { body } = await at.ask("GET", `/api/ui/v1/executions/${id}/logs?tail=2`);
    expect((body["entries"] as { message: string }[]).map(({ message }) => message)).toEqual([
      "Execution started",
      "second",
    ]);
    const note = await at.ask(
      "POST",
      "/api/ui/v1/executions/note",
      { message: "hm", tags: ["x"] },
      { "x-execution-id": id },
    );
    expect(note.body).toMatchObject({ success: true });
    expect((await at.ask("GET", `/api/v1/executions/${id}/notes`)).body).toMatchObject({
      notes: [{ message: "hm", tags: ["x"] }],
    });
    expect((await at.ask("POST", "/api/v1/executions/note", { message: "whose?" })).status).toBe(400);
  });
});

describe("what an agent does by itself", () => {
  test("the event of the end does not overwrite the input; a call from inside names the inner one, even before it is told of", async () => {
    await using at = await plane();
    const inner = randomUUID();
    await at.agent({ id: "low", reasoners: { leaf: () => ({ leaf: true }) } });
    const alpha = await at.agent({
      id: "alpha",
      reasoners: {
        root: async ({ execution }) => {
          const event = (status: string, more: object): Promise<unknown> =>
            alpha.ask("POST", "/api/v1/workflow/executions/events", {
              execution_id: inner,
              run_id: execution,
              workflow_id: execution,
              reasoner_id: "helper",
              type: "helper",
              agent_node_id: "alpha",
              status,
              parent_execution_id: execution,
              input_data: {},
              ...more,
            });
          const context = { "x-run-id": execution, "x-parent-execution-id": inner, "x-agent-node-id": "alpha" };
          const called = alpha.ask("POST", "/api/v1/execute/low.leaf", { input: { n: 1 } }, context);
          await new Promise((resolve) => setTimeout(resolve, 30));
          await event("running", { input_data: { a: 1 } });
          const { body } = await called;
          await event("succeeded", { result: { from: "helper" }, duration_ms: 5 });
          return body["result"];
        },
      },
    });
    const id = await at.begin("alpha.root");
    expect((await at.ended(id))["result"]).toEqual({ leaf: true });
    const nodes = await at.graph(id);
    expect(nodes.map(({ reasoner_id: name, workflow_depth: depth }) => [name, depth])).toEqual([
      ["root", 0],
      ["helper", 1],
      ["leaf", 2],
    ]);
    expect(nodes.find(({ reasoner_id: name }) => name === "leaf")?.parent_execution_id).toBe(inner);
    expect(nodes.find(({ reasoner_id: name }) => name === "helper")).toMatchObject({
      execution_id: inner,
      parent_execution_id: id,
    });
    const history = await at.stemma.history(id);
    const local = history.find(
      ({ type, data }) => type === "step.succeeded" && "key" in data && data.key === "alpha.helper",
    );
    expect(local?.data).toMatchObject({ given: { inline: { input: { a: 1 }, output: { from: "helper" } } } });
    expect(components(await at.stemma.trace(id, { family: true }))).toBe(1);
  });

  test("events that overtake each other, and the report: the input is that of the beginning, and nothing is lost", async () => {
    await using at = await plane();
    const alpha = await at.agent({
      id: "alpha",
      reasoners: {
        root: async ({ execution }) => {
          const event = (status: string, more: object): Promise<unknown> =>
            alpha.ask("POST", "/api/v1/workflow/executions/events", {
              execution_id: "inner",
              run_id: execution,
              reasoner_id: "helper",
              agent_node_id: "alpha",
              status,
              parent_execution_id: execution,
              input_data: {},
              ...more,
            });
          void event("succeeded", { result: { from: "helper" } });
          await new Promise((resolve) => setTimeout(resolve, 30));
          await event("running", { input_data: { a: 1 } });
          return {};
        },
      },
    });
    const id = await at.begin("alpha.root");
    await at.ended(id);
    const history = await at.stemma.history(id);
    const local = history.find(
      ({ type, data }) => type === "step.succeeded" && "key" in data && data.key === "alpha.helper",
    );
    expect(local?.data).toMatchObject({ given: { inline: { input: { a: 1 }, output: { from: "helper" } } } });
  });

  test("what an agent told that it has done is on record when its execution ends, also where both are heard at once", async () => {
    await using at = await plane();
    const { id, tell, leave } = await entered(at);
    await at.ask("POST", `/api/v1/executions/${id}/pause`, {});
    await tell("inner", { status: "running", input_data: { a: 1 } });
    await tell("inner", { status: "succeeded", result: { b: 2 } });
    leave();
    await until(async () => (await at.stemma.row(id)).inbox >= 4);
    await at.ask("POST", `/api/v1/executions/${id}/resume`, {});
    await at.ended(id);
    const events = (await at.stemma.history(id)).flatMap(({ type, data }) =>
      "key" in data && data.key.startsWith("alpha.helper") ? [type] : [],
    );
    expect(events).toEqual(["step.succeeded"]);
  });

  test("what a function told is taken before its end although it came behind it, also the first time; what is told later is refused", async () => {
    await using at = await plane();
    const { id, tell, leave } = await entered(at);
    const [ended] = await Promise.all([
      at.ask("POST", `/api/v1/executions/${id}/status`, { status: "succeeded", result: {} }),
      tell("inner", { status: "running", input_data: { a: 1 } }),
      tell("inner", { status: "succeeded", result: { b: 2 } }),
    ]);
    expect(ended).toMatchObject({ status: 200 });
    await at.ended(id);
    expect((await at.graph(id)).map(({ reasoner_id: name, status }) => [name, status])).toEqual([
      ["root", "succeeded"],
      ["helper", "succeeded"],
    ]);
    expect(await tell("later", { status: "running", input_data: {} })).toMatchObject({
      status: 409,
      body: { error: "execution_ended" },
    });
    leave();
  });

  test("D3: a call whose parent nobody knows is attached to the run that it names; D4: everything is there once", async () => {
    await using at = await plane();
    const gate = Promise.withResolvers<void>();
    await at.agent({ id: "alpha", reasoners: { root: () => gate.promise.then(() => ({})), leaf: () => ({}) } });
    const id = await at.begin("alpha.root");
    await until(async () => (await at.execution(id))["status"] === "running");
    const context = { "x-run-id": id, "x-parent-execution-id": randomUUID(), "x-agent-node-id": "alpha" };
    const { status, body } = await at.ask("POST", "/api/v1/execute/alpha.leaf", { input: {} }, context);
    expect([status, body["run_id"]]).toEqual([200, id]);
    gate.resolve();
    await at.ended(id);
    const nodes = await at.graph(id);
    expect(nodes.map((node) => [node.reasoner_id, node.parent_execution_id])).toEqual([
      ["root", null],
      ["leaf", id],
    ]);
    const unknown = { "x-run-id": "run_elsewhere", "x-parent-execution-id": "exec_1" };
    const own = await at.ask("POST", "/api/v1/execute/alpha.leaf", { input: {} }, unknown);
    expect(own.body["run_id"]).toBe(own.body["execution_id"]);
  });
});

describe("what is not in it, and who may ask", () => {
  test("what the API has and this server has not is 501 with words, never done; the memory socket is not found", async () => {
    await using at = await plane();
    for (const [method, path] of [
      ["POST", "/api/v1/did/register"],
      ["POST", "/api/v1/memory/set"],
      ["GET", "/api/v1/nonsense"],
      ["DELETE", "/api/ui/v1/workflows/x/cleanup"],
      ["GET", "/api/ui/v1/executions/events"],
      ["GET", "/api"],
    ] as const) {
      const { status, body } = await at.ask(method, path, method === "POST" ? {} : undefined);
      expect([path, status, body["error"]]).toEqual([path, 501, "not_implemented"]);
      expect(String(body["message"]).length).toBeGreaterThan(40);
    }
    const upgrade = {
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": "x",
    };
    const { request } = await import("node:http");
    const status = await new Promise((resolve, reject) => {
      request(`${at.url}/api/v1/memory/events/ws`, { headers: upgrade }, (answer) =>
        resolve(answer.resume().statusCode),
      )
        .on("error", reject)
        .end();
    });
    expect(status).toBe(404);
  });

  test("with tokens: sent as an SDK sends its key or as a bearer; a node does what nodes do, and no more", async () => {
    const [node, reader] = ["n".repeat(32), "r".repeat(32)];
    await using at = await plane({
      tokens: [
        { name: "fleet", token: node, scope: "node" },
        { name: "eve", token: reader, scope: "read" },
      ],
      token: "a".repeat(32),
    });
    await at.agent({ id: "alpha", reasoners: { f: () => ({}) }, headers: { "x-api-key": node } });
    const ask = (method: string, path: string, token: Record<string, string>, body?: unknown) =>
      say(at.url, method, path, body, token);
    const [asKey, asBearer] = [{ "x-api-key": node }, { authorization: `Bearer ${node}` }];
    const { body } = await ask("POST", "/api/v1/execute/async/alpha.f", asKey, { input: {} });
    const id = String(body["execution_id"]);
    expect((await ask("GET", `/api/v1/executions/${id}`, asBearer)).status).toBe(200);
    const none = await ask("GET", `/api/v1/executions/${id}`, {});
    expect([none.status, none.headers.get("www-authenticate"), typeof none.body["error"]]).toEqual([
      401,
      "Bearer",
      "string",
    ]);
    expect((await ask("POST", `/api/v1/executions/${id}/restart`, asKey, {})).status).toBe(403);
    expect((await ask("POST", "/api/v1/execute/async/alpha.f", { "x-api-key": reader }, { input: {} })).status).toBe(
      403,
    );
    expect((await ask("GET", "/api/v1/nonsense", {})).status).toBe(401);
    expect((await ask("GET", "/api/v1/nonsense", asKey)).status).toBe(501);
  });

  test("it can be switched off", async () => {
    await using at = await plane({ agentfield: false });
    expect((await at.ask("GET", "/api/v1/nodes")).status).toBe(404);
  });
});
