/** A POST is one request however often it is sent with its key: on every route, or the contract says why it needs none. */
import { expect, it } from "vitest";
import { contract } from "../../src/api/contract/contract.ts";
import type { RouteSpec } from "../../src/api/contract/route.ts";
import { workflow } from "../../src/index.ts";
import { until } from "../stage.ts";
import type { Served } from "./place.ts";
import { serve } from "./place.ts";

const posts = (Object.entries(contract) as [string, RouteSpec][]).filter(([name]) => name.startsWith("POST "));

const greet = workflow({ name: "greet" }, (ctx) => ctx.step("hi", () => "hi"));
const asking = workflow({ name: "asking" }, (ctx) => ctx.wait("approval"));
const listening = workflow({ name: "listening" }, async (ctx) => [await ctx.signal("s"), await ctx.signal("s")]);
const doubtful = workflow({ name: "doubtful" }, (ctx) =>
  ctx.step("pay", { effect: "once" }, () => {
    throw new Error("the line broke");
  }),
);

/** A request, and how often what it asks for has happened. */
type Repeated = {
  path: string;
  body?: object | string;
  effect: () => Promise<number>;
  /** How often it is to have happened; once, if left out. */
  times?: number;
};

/** For each POST a request that succeeds, with nothing behind it that another one changes. */
async function repeated(at: Served): Promise<Record<string, Repeated>> {
  const { stemma, client, agents } = at;
  const rested = async (name: string): Promise<string> => {
    const { id } = await client.run(name, undefined);
    await until(async () => /suspended|paused/.test((await stemma.row(id)).state.status));
    return id;
  };
  const done = await client.run("greet", undefined);
  await done.result();
  const all = async (): Promise<readonly { id: string; kind: string; tags: readonly string[] }[]> =>
    (await stemma.list({ records: true, limit: 200 })).runs.map(({ id, state }) => ({
      id,
      kind: state.origin.kind === "new" || state.origin.kind === "child" ? state.workflow : state.origin.kind,
      tags: state.tags,
    }));
  const made = (kind: string, tag?: string) => async (): Promise<number> =>
    (await all()).filter((row) => row.kind === kind && (tag === undefined || row.tags.includes(tag))).length;
  const events = (run: string, type: string) => async (): Promise<number> =>
    (await stemma.history(run)).filter((event) => event.type === type).length;
  const { id: hook } = await client.webhooks.create({ url, events: ["run.timed_out"] });
  const { id: delivery, message } = await client.webhooks.ping(hook);
  const sent = async (again: boolean): Promise<number> =>
    (await client.webhooks.deliveries(hook)).deliveries.filter((one) => (one.message === message) === again).length;
  await agents?.register({ ...node, node: "far" });
  await agents?.register({ ...node, node: "leaving" });
  const call = async (): Promise<string> => String((await agents?.call({ target: "far.f" }))?.id);
  const [reported, asks, unwanted] = [await call(), await call(), await call()];
  const ended = async (id: string): Promise<number> =>
    /succeeded|cancelled/.test((await agents?.read(id))?.status ?? "") ? 1 : 0;
  const marked = await client.run("greet", undefined);
  await marked.result();
  await client.golden(marked.id, { name: "other" });
  const [family, moved] = [[] as string[], await client.run("greet", undefined)];
  await moved.result();
  for await (const text of stemma.export(moved.id)) family.push(text);
  const [answered, signalled, paused, unpaused] = [
    await rested("asking"),
    await rested("listening"),
    await rested("asking"),
    await rested("asking"),
  ];
  const [doubt, cancelled] = [await rested("doubtful"), await rested("asking")];
  await client.pause(unpaused);
  await until(async () => (await stemma.row(unpaused)).state.status === "paused");
  const on = (run: string, what: string): string => `/v1/runs/${run}/${what}`;
  return {
    "POST /v1/runs": { path: "/v1/runs", body: { workflow: "greet", tags: ["new"] }, effect: made("greet", "new") },
    "POST /v1/runs/{run}/restart": { path: on(done.id, "restart"), body: {}, effect: made("restart") },
    "POST /v1/runs/{run}/fork": {
      path: on(done.id, "fork"),
      body: { outputs: { hi: 1 }, tags: ["forked"] },
      effect: made("fork", "forked"),
    },
    "POST /v1/runs/{run}/plan": {
      path: on(moved.id, "plan"),
      body: { dryRun: true },
      effect: async () => (await client.lineage(moved.id)).runs.length,
    },
    "POST /v1/runs/{run}/resume": {
      path: on(answered, "resume"),
      body: { wait: "approval", value: 1 },
      effect: events(answered, "wait.answered"),
    },
    "POST /v1/runs/{run}/signal": {
      path: on(signalled, "signal"),
      body: { name: "s", payload: 1 },
      effect: events(signalled, "wait.answered"),
    },
    "POST /v1/runs/{run}/decide": {
      path: on(doubt, "decide"),
      body: { step: "pay", decision: { fail: { name: "Error", message: "no", cause: { name: "E", message: "why" } } } },
      effect: events(doubt, "step.decided"),
    },
    "POST /v1/runs/{run}/cancel": {
      path: on(cancelled, "cancel"),
      body: {},
      effect: events(cancelled, "run.cancelled"),
    },
    "POST /v1/runs/{run}/pause": { path: on(paused, "pause"), body: {}, effect: events(paused, "run.paused") },
    "POST /v1/runs/{run}/unpause": {
      path: on(unpaused, "unpause"),
      body: {},
      effect: events(unpaused, "run.unpaused"),
    },
    "POST /v1/runs/{run}/golden": {
      path: on(done.id, "golden"),
      body: { name: "best" },
      effect: made("fork", "named best"),
    },
    "POST /v1/ungolden": {
      path: "/v1/ungolden",
      body: { run: marked.id },
      effect: async () => 1 - (await client.goldens({ name: "other" })).length,
    },
    "POST /v1/import": {
      path: "/v1/import",
      body: family.join(""),
      effect: async () => (await stemma.list({ ids: [moved.id] })).runs.length,
    },
    "POST /v1/prune": { path: "/v1/prune", body: { olderThan: "1d" }, effect: async () => 0, times: 0 },
    "POST /v1/webhooks": {
      path: "/v1/webhooks",
      body: { url, events: ["run.*"], headers: { "x-b": "1", "x-a": "2" } },
      effect: async () => (await client.webhooks.list()).length - 1,
    },
    "POST /v1/webhooks/{webhook}/ping": {
      path: `/v1/webhooks/${hook}/ping`,
      effect: () => sent(false),
    },
    "POST /v1/deliveries/{delivery}/redeliver": {
      path: `/v1/deliveries/${delivery}/redeliver`,
      effect: async () => (await sent(true)) - 1,
    },
    "POST /v1/nodes": {
      path: "/v1/nodes",
      body: { ...node, node: "new" },
      effect: async () => (await client.nodes()).filter((one) => one.node === "new").length,
    },
    "POST /v1/nodes/{node}/heartbeat": { path: "/v1/nodes/far/heartbeat", body: {}, effect: async () => 0, times: 0 },
    "POST /v1/nodes/{node}/leave": {
      path: "/v1/nodes/leaving/leave",
      body: {},
      effect: async () => 1 - (await client.nodes()).filter((one) => one.node === "leaving").length,
    },
    "POST /v1/calls": {
      path: "/v1/calls",
      body: { target: "far.f", input: "again", tags: ["called"] },
      effect: made("far.f", "called"),
    },
    "POST /v1/calls/{call}/result": {
      path: `/v1/calls/${reported}/result`,
      body: { ok: true, output: 1 },
      effect: () => ended(reported),
    },
    "POST /v1/calls/{call}/waits": {
      path: `/v1/calls/${asks}/waits`,
      body: { name: "sure" },
      effect: async () => (await client.waits({ run: asks })).waits.filter(({ name }) => name === "sure").length,
    },
    "POST /v1/calls/{call}/cancel": { path: `/v1/calls/${unwanted}/cancel`, body: {}, effect: () => ended(unwanted) },
  };
}

const url = "http://127.0.0.1:9/hook";
const node = { url: "http://127.0.0.1:9", instance: "one", functions: [{ name: "f" }] };

it("a POST that is sent three times with one key, twice of them at once, is one request, on every route", async () => {
  await using at = await serve([greet, asking, listening, doubtful], {
    webhooks: { allow: ["127.0.0.1"], retries: [] },
  });
  const requests = await repeated(at);
  expect(Object.keys(requests).toSorted()).toEqual(posts.map(([name]) => name).toSorted());
  const answers: Record<string, unknown[]> = {};
  for (const [route, { path, body }] of Object.entries(requests)) {
    const type = typeof body === "string" ? "application/x-ndjson" : "application/json";
    const send = async (): Promise<unknown> => {
      const response = await fetch(at.url + path, {
        method: "POST",
        headers: { "idempotency-key": `once: ${route}`, ...(body === undefined ? {} : { "content-type": type }) },
        ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      expect([route, response.status, text]).toEqual([
        route,
        contract[route as keyof typeof contract].status ?? 200,
        text,
      ]);
      return JSON.parse(text) as unknown;
    };
    answers[route] = await Promise.all([send(), send()]);
    answers[route].push(await send());
  }
  for (const [route, { effect, times = 1 }] of Object.entries(requests)) {
    await until(async () => (await effect()) >= times);
    expect([route, await effect()]).toEqual([route, times]);
  }
  const firsts = (route: string, name: string): unknown[] => [
    ...new Set((answers[route] ?? []).map((answer) => (answer as Record<string, unknown>)[name])),
  ];
  // Where something is made, it is this one; and a secret that is shown is the one that counts.
  for (const [route, { repeats, status }] of posts) {
    if (status === 201 && repeats === undefined)
      expect([
        route,
        firsts(route, route.endsWith("/golden") ? "mark" : route.endsWith("/waits") ? "wait" : "id").length,
      ]).toEqual([route, 1]);
  }
  expect(firsts("POST /v1/webhooks", "secret")).toHaveLength(1);
  expect(
    (answers["POST /v1/runs/{run}/signal"] ?? [])
      .map((answer) => (answer as { accepted: boolean }).accepted)
      .toSorted(),
  ).toEqual([false, false, true]);
});
