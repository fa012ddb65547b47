/** Every route: what it answers fits the contract, and who may use it; and what is not a request harms nothing. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { contract } from "../../src/api/contract/contract.ts";
import type { RouteSpec } from "../../src/api/contract/route.ts";
import { problem } from "../../src/api/contract/shapes.ts";
import { errorCodes } from "../../src/core/error.ts";
import { limits } from "../../src/core/limits.ts";
import { workflow } from "../../src/index.ts";
import { Webhooks } from "../../src/api/webhooks/webhooks.ts";
import { client } from "../../src/client.ts";
import { server } from "../../src/server.ts";
import { anyText } from "../any-text.ts";
import { listening, silent, until } from "../stage.ts";
import type { Served } from "./place.ts";
import { serve } from "./place.ts";
import { raw, request } from "./raw.ts";

const routes = Object.entries(contract) as [string, RouteSpec][];

const greet = workflow({ name: "greet" }, (ctx) =>
  ctx.step("hi", { input: 1 }, (_input, step) => {
    step.emit("words", "hi");
    return "x".repeat(5000);
  }),
);
const asking = workflow({ name: "asking" }, (ctx) => ctx.wait("approval", { input: { of: 1 }, tags: ["t"] }));
const doubtful = workflow({ name: "doubtful" }, (ctx) =>
  ctx.step("pay", { effect: "once" }, () => {
    throw new Error("the line broke");
  }),
);

/** `lines`: a body that is a file. */
type Wish = { path: string; body?: object; lines?: string };
/** Where webhooks of these tests may go: nobody listens there. */
const nowhere = { allow: ["127.0.0.1"] };
const hookUrl = "http://127.0.0.1:9/hook";

/** A run of each kind, and for each route a request that succeeds. */
async function examples({ stemma, agents }: Served): Promise<Record<string, Wish>> {
  const done = await stemma.run(greet, undefined);
  await done.result();
  const other = await stemma.fork(done.id, {});
  await other.result();
  const digest = /"digest":"([0-9a-f]{64})"/.exec(JSON.stringify(await done.history()))?.[1] ?? "";
  const open = await stemma.run(asking, undefined);
  await until(async () => (await open.status()) === "suspended");
  const unwanted = await stemma.run(asking, undefined);
  await until(async () => (await unwanted.status()) === "suspended");
  const doubt = await stemma.run(doubtful, undefined);
  await until(async () => (await stemma.row(doubt.id)).state.reason === "in_doubt");
  const hooks = new Webhooks(stemma.store, silent, nowhere);
  const { id: hook } = await hooks.create({ url: hookUrl });
  const { id: delivery } = await hooks.ping(hook);
  await hooks.stop();
  const node = { node: "far", url: "http://127.0.0.1:9", instance: "one", functions: [{ name: "f" }] };
  await agents?.register(node);
  const calls = await Promise.all([1, 2, 3].map(async (input) => (await agents?.call({ target: "far.f", input }))?.id));
  await agents?.ask(String(calls[1]), { name: "sure" });
  const [a, b, c, d] = [done.id, other.id, open.id, doubt.id];
  const family: string[] = [];
  const whole = await stemma.run(greet, undefined);
  await whole.result();
  for await (const text of stemma.export(whole.id)) family.push(text);
  return {
    "GET /health": { path: "/health" },
    "GET /metrics": { path: "/metrics" },
    "GET /openapi.json": { path: "/openapi.json" },
    "GET /v1/runs": { path: "/v1/runs?limit=2&status=succeeded&status=suspended" },
    "POST /v1/runs": { path: "/v1/runs", body: { workflow: "greet", tags: ["t"], webhook: { url: hookUrl } } },
    "GET /v1/runs/{run}": { path: `/v1/runs/${a}` },
    "GET /v1/runs/{run}/history": { path: `/v1/runs/${a}/history?after=0&limit=1` },
    "GET /v1/runs/{run}/events": { path: `/v1/runs/${a}/events` },
    "GET /v1/runs/{run}/stream": { path: `/v1/runs/${a}/stream?name=words` },
    "GET /v1/runs/{run}/result": { path: `/v1/runs/${a}/result` },
    "GET /v1/runs/{run}/state": { path: `/v1/runs/${a}/state?seq=1` },
    "GET /v1/runs/{run}/trace": { path: `/v1/runs/${a}/trace?family=true` },
    "GET /v1/runs/{run}/lineage": { path: `/v1/runs/${a}/lineage` },
    "GET /v1/runs/{run}/compare/{other}": { path: `/v1/runs/${a}/compare/${b}` },
    "GET /v1/webhooks": { path: "/v1/webhooks" },
    "POST /v1/webhooks": { path: "/v1/webhooks", body: { url: hookUrl, events: ["run.*"], headers: { "x-key": "1" } } },
    "GET /v1/webhooks/{webhook}/deliveries": { path: `/v1/webhooks/${hook}/deliveries?limit=3` },
    "POST /v1/webhooks/{webhook}/ping": { path: `/v1/webhooks/${hook}/ping` },
    "POST /v1/deliveries/{delivery}/redeliver": { path: `/v1/deliveries/${delivery}/redeliver` },
    "GET /v1/runs/{run}/deliveries": { path: `/v1/runs/${a}/deliveries` },
    "DELETE /v1/webhooks/{webhook}": { path: `/v1/webhooks/${hook}` },
    "GET /v1/nodes": { path: "/v1/nodes" },
    "POST /v1/nodes": { path: "/v1/nodes", body: { ...node, version: "2", url: "http://127.0.0.1:10" } },
    "POST /v1/nodes/{node}/heartbeat": { path: "/v1/nodes/far/heartbeat", body: { instance: "one" } },
    "POST /v1/calls": { path: "/v1/calls", body: { target: "far.f", input: { n: 1 } } },
    "GET /v1/calls/{call}": { path: `/v1/calls/${calls[0]}?wait=1` },
    "POST /v1/calls/{call}/result": { path: `/v1/calls/${calls[0]}/result`, body: { ok: true, output: 1 } },
    "POST /v1/calls/{call}/waits": { path: `/v1/calls/${calls[1]}/waits`, body: { name: "really", prompt: "Really?" } },
    "GET /v1/calls/{call}/waits/{wait}": { path: `/v1/calls/${calls[1]}/waits/sure?wait=1` },
    "POST /v1/calls/{call}/cancel": { path: `/v1/calls/${calls[2]}/cancel`, body: { reason: "enough" } },
    "POST /v1/nodes/{node}/leave": { path: "/v1/nodes/far/leave", body: { version: "2" } },
    "GET /v1/waits": { path: `/v1/waits?run=${c}` },
    "GET /v1/feed": { path: `/v1/feed?run=${a}` },
    "GET /v1/payloads": { path: `/v1/payloads?digest=${digest}` },
    "GET /v1/workflows": { path: "/v1/workflows" },
    "GET /v1/workers": { path: "/v1/workers" },
    "GET /v1/doctor": { path: "/v1/doctor" },
    "GET /v1/verify": { path: "/v1/verify" },
    "GET /v1/runs/{run}/verify": { path: `/v1/runs/${a}/verify?family=true` },
    "GET /v1/runs/{run}/why": { path: `/v1/runs/${b}/why?key=hi&limit=9` },
    "GET /v1/runs/{run}/prov": { path: `/v1/runs/${a}/prov?family=true` },
    "GET /v1/goldens": { path: "/v1/goldens?workflow=greet" },
    "POST /v1/runs/{run}/golden": { path: `/v1/runs/${a}/golden`, body: { name: "best", tags: ["t"], reason: "so" } },
    "POST /v1/ungolden": { path: "/v1/ungolden", body: { run: a } },
    "GET /v1/runs/{run}/export": { path: `/v1/runs/${a}/export` },
    "POST /v1/import": { path: "/v1/import?takeOver=false", lines: family.join("") },
    "POST /v1/prune": { path: "/v1/prune", body: { olderThan: "1d", status: ["failed"], dryRun: true } },
    "POST /v1/runs/{run}/plan": { path: `/v1/runs/${a}/plan`, body: { change: { from: "hi" }, dryRun: true } },
    "POST /v1/runs/{run}/restart": { path: `/v1/runs/${a}/restart`, body: { reason: "why not" } },
    "POST /v1/runs/{run}/fork": { path: `/v1/runs/${a}/fork`, body: { outputs: { hi: 1 } } },
    "POST /v1/runs/{run}/decide": { path: `/v1/runs/${d}/decide`, body: { step: "pay", decision: { record: 1 } } },
    "POST /v1/runs/{run}/signal": { path: `/v1/runs/${c}/signal`, body: { name: "s", payload: { a: 1 } } },
    "POST /v1/runs/{run}/pause": { path: `/v1/runs/${c}/pause`, body: {} },
    "POST /v1/runs/{run}/unpause": { path: `/v1/runs/${c}/unpause`, body: {} },
    "POST /v1/runs/{run}/resume": { path: `/v1/runs/${c}/resume`, body: { wait: "approval", value: 1 } },
    "POST /v1/runs/{run}/cancel": { path: `/v1/runs/${unwanted.id}/cancel`, body: {} },
  };
}

/** The routes in an order in which what one does lets the next succeed. */
async function ask(url: string, route: string, { path, body, lines }: Wish, token?: string) {
  const text = lines ?? (body === undefined ? undefined : JSON.stringify(body));
  return fetch(`${url}${path}`, {
    method: route.split(" ")[0] ?? "",
    headers: {
      ...(text === undefined
        ? {}
        : { "content-type": lines === undefined ? "application/json" : "application/x-ndjson" }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    ...(text === undefined ? {} : { body: text }),
  });
}

describe("every route", () => {
  it("answers what the contract says, to the last name", async () => {
    await using at = await serve([greet, asking, doubtful], { webhooks: nowhere });
    const requests = await examples(at);
    expect(Object.keys(requests).toSorted()).toEqual(routes.map(([name]) => name).toSorted());
    for (const [route, wish] of Object.entries(requests)) {
      const spec: RouteSpec = contract[route as keyof typeof contract];
      const response = await ask(at.url, route, wish);
      const text = await response.text();
      expect([route, response.status, response.status === 200 ? "" : text.slice(0, 0)]).toEqual([
        route,
        spec.status ?? 200,
        "",
      ]);
      const values =
        spec.kind === "stream"
          ? [...text.matchAll(/^data: (\{.+\})$/gm)].map(([, data]) => JSON.parse(data ?? "") as unknown)
          : [spec.kind === "text" || spec.kind === "lines" ? text : (JSON.parse(text) as unknown)];
      expect(values.length, route).toBeGreaterThan(0);
      for (const value of values)
        expect([route, spec.result.safeParse(value).error?.message]).toEqual([route, undefined]);
    }
  });

  const tokens = (["read", "run", "admin", "node"] as const).map((scope) => ({
    name: `${scope}er`,
    scope,
    token: `${scope}-0123456789abcdef`,
  }));

  it("is for those alone whose token has its scope", async () => {
    await using at = await serve([greet, asking, doubtful], { tokens, webhooks: nowhere });
    const order = ["none", "read", "run", "admin"];
    const principals = [undefined, "wrong-0123456789abcdef", ...tokens.map(({ token }) => token)];
    const found: Record<string, number[]> = {};
    const expected: Record<string, number[]> = {};
    for (const [route, wish] of Object.entries(await examples(at))) {
      const { scope, nodes, status = 200 }: RouteSpec = contract[route as keyof typeof contract];
      found[route] = [];
      for (const principal of principals) {
        const response = await ask(at.url, route, wish, principal);
        await response.body?.cancel();
        // What has been done once is refused the second time, by the run: that is as good as done. And who has no token
        // and asks often is refused without being told why.
        const { status: found_ } = response;
        found[route].push(found_ === 409 ? status : found_ === 429 ? 401 : found_);
      }
      const may = (one: string): boolean =>
        one === "node" ? nodes === true : order.indexOf(one) >= order.indexOf(scope);
      const allowed = tokens.map((token) => (may(token.scope) ? status : 403));
      expected[route] = scope === "none" ? [200, 200, 200, 200, 200, 200] : [401, 401, ...allowed];
    }
    expect(found).toEqual(expected);
  });

  it("of executions are about no run that is none: neither is a webhook removed so, nor a run of work looked at", async () => {
    await using at = await serve([greet], { tokens, webhooks: nowhere });
    const hooks = client({ url: at.url, token: "admin-0123456789abcdef" }).webhooks;
    const { id } = await hooks.create({ url: hookUrl });
    const work = await at.stemma.run(greet, undefined);
    await work.result();
    const status = async (method: string, path: string, scope: string): Promise<number> =>
      (await ask(at.url, method, { path }, `${scope}-0123456789abcdef`)).status;
    const found = [
      await status("POST", `/v1/calls/${id}/cancel`, "run"),
      await status("POST", `/v1/runs/${id}/cancel`, "run"),
      await status("POST", `/api/ui/v1/executions/${id}/cancel`, "run"),
      await status("POST", `/api/v1/executions/${id}/cancel`, "run"),
      await status("POST", `/api/v1/workflows/${id}/cancel-tree`, "run"),
      await status("GET", `/v1/calls/${work.id}`, "node"),
    ];
    expect(found).toEqual([400, 400, 404, 404, 404, 404]);
    expect(await hooks.list()).toHaveLength(1);
  });

  it("puts on record who asked", async () => {
    await using at = await serve([greet, asking, doubtful], { tokens, webhooks: nowhere });
    const token = "run-0123456789abcdef";
    const post = async (path: string, body: object): Promise<{ id: string }> =>
      (await ask(at.url, "POST", { path, body }, token)).json() as Promise<{ id: string }>;
    const { id } = await post("/v1/runs", { workflow: "asking" });
    await until(async () => (await at.stemma.row(id)).state.status === "suspended");
    await post(`/v1/runs/${id}/pause`, { by: "ada" });
    await until(async () => (await at.stemma.row(id)).state.status === "paused");
    await post(`/v1/runs/${id}/unpause`, {});
    await until(async () => (await at.stemma.row(id)).state.status === "suspended");
    await post(`/v1/runs/${id}/resume`, { wait: "approval", value: 1, by: "ada" });
    await until(async () => (await at.stemma.row(id)).state.status === "succeeded");
    const restarted = await post(`/v1/runs/${id}/restart`, { reason: "again" });
    const said = (await at.stemma.history(id)).flatMap(({ type, data }) =>
      "by" in data ? [[type, data.by] as const] : [],
    );
    expect(said).toEqual([
      ["run.created", "runer"],
      ["run.paused", "ada via runer"],
      ["run.unpaused", "runer"],
      ["wait.answered", "ada via runer"],
    ]);
    expect((await at.stemma.history(restarted.id))[0]?.data).toMatchObject({ by: "runer", reason: "again" });
  });
});

/** They write nothing. */
const harmless = ["POST /v1/runs/{run}/plan", "POST /v1/nodes/{node}/heartbeat"];
/** What they do is no event: who did it is in the log. */
const logged = ["POST /v1/import", "POST /v1/prune"];

it("who did what is on record, for every route that changes something", async () => {
  const log = listening();
  const token = "admin-0123456789abcdef";
  await using at = await serve([greet, asking, doubtful], {
    tokens: [{ name: "adminer", scope: "admin", token }],
    webhooks: nowhere,
    log,
  });
  const { store } = at.stemma;
  const said = async (after: number): Promise<boolean> =>
    (await store.feed({ after, limit: 1000 })).events.some(({ event }) => event.data.includes('"adminer"'));
  for (const [route, wish] of Object.entries(await examples(at))) {
    if (route.startsWith("GET ") || harmless.includes(route)) continue;
    const isLogged = logged.includes(route);
    const body = route === "POST /v1/prune" ? { ...wish, body: { olderThan: "1d" } } : wish;
    const { position } = await store.feed({ after: 0, run: `run_${"0".repeat(26)}`, limit: 1 });
    log.lines.splice(0);
    const response = await ask(at.url, route, body, token);
    expect([route, response.ok, await response.text()]).toEqual([route, true, expect.any(String)]);
    if (isLogged) expect([route, log.lines.some((line) => line.includes('"by":"adminer"'))]).toEqual([route, true]);
    else await until(async () => said(position));
  }
});

describe("limits", () => {
  it("hold for bodies, headers, depth, numbers and how often one asks", async () => {
    await using at = await serve([greet], { rate: { perSecond: 0.001, burst: 13 } });
    const post = async (body: string, headers = {}): Promise<[number, string]> => {
      const init = { method: "POST", headers: { "content-type": "application/json", ...headers }, body };
      const response = await fetch(`${at.url}/v1/runs`, init);
      return [response.status, ((await response.json()) as { code: string }).code];
    };
    expect(await post(" ".repeat(limits.requestBytesMax + 1))).toEqual([413, "payload.too_large"]);
    expect(await post(`{"workflow":"greet","input":"${"x".repeat(limits.payloadBytesMax + 1)}"}`)).toEqual([
      413,
      "payload.too_large",
    ]);
    expect(await post("[".repeat(300) + "]".repeat(300))).toEqual([413, "json.too_deep"]);
    expect(await post('{"workflow":"greet","input":9007199254740993}')).toEqual([400, "json.invalid"]);
    expect(await post('{"workflow":"greet","input":"\\ud800"}')).toEqual([400, "json.invalid"]);
    expect(await post('{"workflow":"greet","__proto__":{"x":1}}')).toEqual([400, "usage.invalid"]);
    expect(await post("{}", { "content-encoding": "gzip" })).toEqual([415, "request.wrong_type"]);
    expect(await post("{}", { "content-type": "application/json; charset=utf-16" })).toEqual([
      415,
      "request.wrong_type",
    ]);
    expect(await post('{"workflow":"greet"}', { "idempotency-key": "UTF-8''%ff" })).toEqual([400, "name.invalid"]);
    const host = `Host: 127.0.0.1:${at.port}`;
    expect(await raw(at.port, request("GET /v1/runs", [host, `X: ${"x".repeat(20_000)}`]))).toMatchObject({
      status: 431,
      body: expect.stringContaining("request.headers_too_large"),
    });
    const chunked = ["Transfer-Encoding: chunked", "Content-Type: application/json"];
    const chunk = `100000\r\n${" ".repeat(0x100000)}\r\n`;
    const huge = await raw(at.port, request("POST /v1/runs", [host, ...chunked], chunk.repeat(6)));
    expect(huge.status).toBe(413);
    const bytes = Buffer.concat([
      Buffer.from(request("POST /v1/runs", [host, "Content-Type: application/json", "Content-Length: 3"])),
      Buffer.from([0x22, 0xff, 0x22]),
    ]);
    expect(await raw(at.port, bytes)).toMatchObject({ status: 400, body: expect.stringContaining("json.invalid") });
    const keyed = (keys: string[]): string => request("POST /v1/runs", [host, "Content-Length: 0", ...keys]);
    expect(await raw(at.port, keyed(["Idempotency-Key: a", "Idempotency-Key: b"]))).toMatchObject({
      status: 400,
      body: expect.stringContaining("usage.invalid"),
    });
    expect(await raw(at.port, keyed([`Idempotency-Key: ${"k".repeat(1001)}`]))).toMatchObject({
      status: 400,
      body: expect.stringContaining("name.invalid"),
    });
    for (const text of ["nonsense\r\n\r\n", request("GET / HTTP/9.9", [host]), keyed(["Content-Length: 1"])]) {
      const { status, headers, body } = await raw(at.port, text);
      expect([status, JSON.parse(body)]).toEqual([400, expect.objectContaining({ code: "usage.invalid" })]);
      expect(headers).toContain("application/problem+json");
    }
    expect(await post("{}")).toEqual([429, "request.too_many"]);
    expect((await raw(at.port, request("GET /v1/runs", [host]))).headers).toMatch(/^retry-after: 1$/im);
    expect((await at.stemma.list()).runs).toEqual([]);
  });

  it("let nobody try tokens for long, and hold up nobody who has one", async () => {
    await using at = await serve([greet], { token: "0123456789abcdef-right" });
    const status = async (token: string): Promise<number> =>
      (await fetch(`${at.url}/v1/runs`, { headers: { authorization: `Bearer ${token}` } })).status;
    const found = new Set<number>();
    for (let n = 0; n < 40; n += 1) found.add(await status(`0123456789abcdef-wrong${n}`));
    expect([...found]).toEqual([401, 429]);
    expect(await status("0123456789abcdef-right")).toBe(200);
  });
});

describe("what is no request", () => {
  it("is refused with a code, never breaks the server, and tells nothing of what is inside", async () => {
    const log = listening();
    await using at = await serve([greet, asking, doubtful], {
      log,
      rate: { perSecond: 1e9, burst: 1e9 },
      webhooks: nowhere,
    });
    const requests = Object.entries(await examples(at));
    const before = (await at.stemma.list({ limit: 200 })).runs.length;
    const bodies = fc.oneof(
      fc.json().map((json) => Buffer.from(json)),
      fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
      fc.anything().map((value) => Buffer.from(safeJson(value))),
      fc
        .record(
          {
            workflow: fc.oneof(
              fc.constantFrom("greet", "asking", "__proto__", "constructor"),
              fc.string(),
              fc.integer(),
            ),
            wait: fc.oneof(fc.constant("approval"), fc.string()),
            step: fc.string(),
            name: fc.string(),
            decision: fc.oneof(fc.constantFrom("run", {}, { record: 1, fail: 2 }), fc.anything()),
            outputs: fc.dictionary(fc.string(), fc.anything()),
            idempotencyKey: fc.string(),
          },
          { requiredKeys: [] },
        )
        .map((value) => Buffer.from(safeJson(value))),
    );
    const segment = fc.oneof(
      anyText.map((text) => encodeURIComponent(text)),
      fc.constantFrom("..", ".", ";a=b", "a:b@c", "%2f", "%zz", "%ff", "+", "(*)"),
    );
    const entries = fc.array(fc.tuple(fc.oneof(anyText, fc.constantFrom("limit", "cursor", "after")), anyText));
    const wishes = fc.record({
      route: fc.nat(requests.length - 1),
      suffix: fc.oneof(
        fc.constant(""),
        entries.map((query) => `?${new URLSearchParams(query).toString()}`),
        fc.array(segment).map((path) => path.map((part) => `/${part}`).join("")),
      ),
      id: fc.oneof(fc.constant(undefined), segment, fc.constantFrom("..%2f..%2fetc", "%00", "run_%ff", "__proto__")),
      type: fc.constantFrom(
        "application/json",
        "application/json",
        "application/json",
        "text/plain",
        "application/xml",
      ),
      method: fc.constantFrom(undefined, undefined, undefined, "PUT", "DELETE", "PATCH", "HEAD"),
      key: fc.oneof(fc.constant(undefined), fc.stringMatching(/^[\x21-\x7e]{0,20}$/)),
      body: bodies,
    });
    type Odd = typeof wishes extends fc.Arbitrary<infer W> ? W : never;
    const answerTo = async ({ route, suffix, id, type, method, key, body }: Odd): Promise<void> => {
      const [name = "", { path = "" } = {}] = requests[route] ?? [];
      const target = (id === undefined ? path : path.replace(/run_\w+/, id)) + suffix;
      const verb = method ?? name.split(" ")[0] ?? "GET";
      if (name.endsWith("/result") || name.includes("/feed") || name.endsWith("/events")) return;
      const headers: Record<string, string> = { "content-type": type };
      if (key !== undefined) headers["idempotency-key"] = key;
      const init = verb === "GET" || verb === "HEAD" ? { headers: {} } : { headers, body };
      const response = await fetch(`${at.url}${target}`, { method: verb, ...init });
      const text = await response.text();
      expect(text).not.toMatch(/node_modules|src\/|\.ts:\d|at \w+ \(/);
      if (response.status < 400 || verb === "HEAD") return;
      const said = JSON.parse(text) as { code: keyof typeof errorCodes; status: number };
      expect(problem.safeParse(said).error).toBeUndefined();
      expect([response.status, said.status]).toEqual([errorCodes[said.code].status, errorCodes[said.code].status]);
      expect(response.status, text).toBeLessThan(500);
    };
    // Several at once: who waits for an answer leaves the server idle.
    await fc.assert(
      fc.asyncProperty(fc.array(wishes, { minLength: 6, maxLength: 6 }), async (odd) => {
        await Promise.all(odd.map(answerTo));
      }),
      { numRuns: 100 },
    );
    expect(log.lines.filter((line) => line.startsWith("error"))).toEqual([]);
    expect(Object.hasOwn(Object.prototype, "x")).toBe(false);
    // Whatever was started by chance comes to its end like any run: nothing is stuck.
    const run = await at.client.run("greet", undefined);
    expect(await run.result()).toBe("x".repeat(5000));
    expect((await at.stemma.list({ limit: 200 })).runs.length).toBeGreaterThan(before);
  });

  it("is not answered with what went wrong inside, which the log gets", async () => {
    const log = listening();
    await using at = await serve([greet]);
    const broken = Object.create(at.stemma, {
      list: { value: () => Promise.reject(new Error("password=hunter2 in /etc/secret")) },
    }) as typeof at.stemma;
    const app = server(broken, { log });
    const response = await app.fetch(new Request("http://localhost/v1/runs"));
    const text = await response.text();
    expect([response.status, (JSON.parse(text) as { code: string }).code]).toEqual([500, "engine.bug"]);
    expect(text).not.toMatch(/hunter2|secret|Error/);
    expect(log.lines.join("\n")).toContain("hunter2");
    await app.close();
  });

  it("that comes slowly is given up, and holds up nobody", async () => {
    await using at = await serve([greet]);
    await using listening_ = await server(at.stemma, { port: 0, log: silent }, { arrivalMs: 100 }).listen();
    const { port, url } = listening_;
    const headers = [`Host: 127.0.0.1:${port}`, "Content-Type: application/json", "Content-Length: 100"];
    const slow = raw(port, request("POST /v1/runs", headers, '{"workflow"'));
    expect(await (await fetch(`${url}/health`)).json()).toEqual({ status: "ok" });
    expect(await slow).toMatchObject({ status: 408, body: expect.stringContaining("request.too_slow") });
    expect((await at.stemma.list()).runs).toEqual([]);
  });
});

function safeJson(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "";
  } catch {
    return "{";
  }
}
