/**
 * Restart and fork over AgentField's wire, with the outcomes of this server; the better outcome where one was asked for.
 * The numbers are those of the list of behaviours of control planes; A is in `replay.test`, what is native of B in
 * `test/behaviours/control-plane-restart` and `-family`.
 *
 *     B1   {} on a failed call                   B7   a root that failed           B13  calls are those that are needed
 *     B2   scope execution                       B8   in parallel                  B14  lineage, wherever it is shown
 *     B3   reuse none                            B9   session and actor            B15  a patch of the input
 *     B4   what cannot be meant                  B10  a source that goes on        B16  ancestors and descendants
 *     B5   fork or restart                       B11  one idempotency key          B17  a source is removed
 *     B6   another input                         B12  a refusal leaves nothing     B18  calls inside an agent
 */
import { describe, expect, test } from "vitest";
import { components } from "../../src/index.ts";
import { until } from "../stage.ts";
import type { TestAgent, Work } from "./agent.ts";
import type { GraphNode, Plane } from "./place.ts";
import { plane } from "./place.ts";

type Input = { topic?: string; n?: number };

class World {
  readonly broken = new Set<string>();
  /** Calls that wait until their name is taken out. */
  readonly held = new Set<string>();
  readonly made: string[] = [];

  async enter(name: string, value: unknown): Promise<unknown> {
    this.made.push(name);
    await until(() => !this.held.has(name));
    if (this.broken.has(name)) throw new Error(`${name} is broken`);
    return value;
  }

  /** What was entered since this was asked last. */
  since(): string[] {
    return this.made.splice(0).toSorted();
  }
}

/** root -> plan -> 2 x assess at once -> synthesize -> verify: the functions of a piece of research, on two nodes. */
async function research(
  world: World,
): Promise<{ at: Plane; lead: TestAgent; team: TestAgent; [Symbol.asyncDispose](): Promise<void> }> {
  const at = await plane();
  const team = await at.agent({
    id: "team",
    reasoners: {
      plan: ({ input }) => world.enter("plan", { parts: [1, 2], of: input }),
      assess: ({ input }) => {
        const { part } = input as { part: number };
        return world.enter(`assess ${part}`, { part, good: true });
      },
      synthesize: ({ input }) => world.enter("synthesize", { all: input }),
      verify: ({ input }) => world.enter("verify", { checked: input !== null }),
    },
  });
  const lead = await at.agent({
    id: "lead",
    reasoners: {
      root: async ({ input, call }: Work) => {
        const { topic = "none" } = input as Input;
        await world.enter("root", undefined);
        const { parts } = (await call("team.plan", { topic })) as { parts: number[] };
        const found = await Promise.all(parts.map((part) => call("team.assess", { part })));
        const text = await call("team.synthesize", { found, topic });
        return { text, verified: await call("team.verify", { text }) };
      },
    },
  });
  return {
    at,
    lead,
    team,
    async [Symbol.asyncDispose]() {
      await at[Symbol.asyncDispose]();
    },
  };
}

async function first(at: Plane, input: Input = { topic: "x" }, headers?: Record<string, string>): Promise<string> {
  const id = await at.begin("lead.root", input, headers);
  await at.ended(id);
  return id;
}

async function restart(at: Plane, id: string, body: object = {}): Promise<Record<string, unknown> & { id: string }> {
  const { status, body: said } = await at.ask("POST", `/api/v1/executions/${id}/restart`, body);
  if (status !== 202) throw new Error(`not restarted (${status}): ${JSON.stringify(said)}`);
  const made = String(said["execution_id"]);
  await at.ended(made);
  return { ...said, id: made };
}

async function named(at: Plane, run: string, name: string): Promise<GraphNode> {
  const node = (await at.graph(run)).find((one) => one.reasoner_id === name);
  if (node === undefined) throw new Error(`no ${name} in ${run}`);
  return node;
}

async function reusedIn(at: Plane, run: string): Promise<string[]> {
  return (await at.graph(run))
    .flatMap(({ reasoner_id: name, reuse }) => (reuse === undefined ? [] : [name]))
    .toSorted();
}

describe("B: restart", () => {
  test("B1, B13: {} on the call that failed: the root runs again with its input, and every call that is needed, once", async () => {
    const world = new World();
    await using on = await research(world);
    const { at, lead } = on;
    world.broken.add("synthesize");
    const source = await first(at);
    expect((await at.execution(source))["status"]).toBe("failed");
    expect(world.since()).toEqual(["assess 1", "assess 2", "plan", "root", "synthesize"]);
    world.broken.clear();
    const failed = (await named(at, source, "synthesize")).execution_id;
    const { id, ...said } = await restart(at, failed);
    expect(said).toMatchObject({
      run_id: id,
      workflow_id: id,
      status: "queued",
      target: "lead.root",
      type: "reasoner",
      source_execution_id: failed,
      source_run_id: source,
      restarted_execution_id: source,
      replay_before_execution_id: failed,
      replay_mode: "succeeded-before",
      scope: "workflow",
      kind: "restart",
      webhook_registered: false,
    });
    expect((await at.execution(id))["status"]).toBe("succeeded");
    expect(world.since()).toEqual(["root", "synthesize", "verify"]);
    expect(await reusedIn(at, id)).toEqual(["assess", "assess", "plan"]);
    expect(lead.calls.map(({ input }) => input)).toEqual([{ topic: "x" }, { topic: "x" }]);
    expect(components(await at.stemma.trace(id, { family: true }))).toBe(1);
  });

  test("B7: a run whose root failed, named itself, reuses what had succeeded", async () => {
    const world = new World();
    await using on = await research(world);
    world.broken.add("verify");
    const source = await first(on.at);
    world.broken.clear();
    world.since();
    const { id } = await restart(on.at, source);
    expect(world.since()).toEqual(["root", "verify"]);
    expect(await reusedIn(on.at, id)).toEqual(["assess", "assess", "plan", "synthesize"]);
  });

  test("B8: of calls made at once, what succeeded is reused, also what began after the one that failed", async () => {
    const world = new World();
    await using at = await plane();
    await at.agent({
      id: "lead",
      reasoners: {
        root: async ({ call }) => {
          const [a, b] = [call("team.a", {}), call("team.b", {})];
          await a;
          const c = await call("team.c", {});
          world.held.clear();
          return [await a, await b, c];
        },
      },
    });
    const enter = (name: string) => () => world.enter(name, { name });
    await at.agent({ id: "team", reasoners: { a: enter("a"), b: enter("b"), c: enter("c") } });
    world.held.add("b");
    world.broken.add("b");
    const source = await first(at);
    world.broken.clear();
    world.since();
    const { id } = await restart(at, (await named(at, source, "b")).execution_id);
    expect(world.since()).toEqual(["b"]);
    expect(await reusedIn(at, id)).toEqual(["a", "c"]);
  });

  test("B2: only one execution, as the root of a run of its own; it runs, and all its calls are reused", async () => {
    const world = new World();
    await using on = await research(world);
    const source = await first(on.at);
    world.since();
    const plan = (await named(on.at, source, "plan")).execution_id;
    const alone = await restart(on.at, plan, { scope: "execution" });
    expect(alone).toMatchObject({
      target: "team.plan",
      source_execution_id: plan,
      source_run_id: source,
      restarted_execution_id: plan,
      replay_mode: "all-succeeded",
      scope: "execution",
      kind: "restart",
    });
    expect(alone).not.toHaveProperty("replay_before_execution_id");
    expect(world.since()).toEqual(["plan"]);
    expect((await on.at.graph(alone.id)).map(({ reasoner_id: name }) => name)).toEqual(["plan"]);
    const root = await restart(on.at, source, { scope: "execution" });
    expect(world.since()).toEqual(["root"]);
    expect(await reusedIn(on.at, root.id)).toEqual(["assess", "assess", "plan", "synthesize", "verify"]);
    // One that was reused is made anew from who made it.
    const again = await restart(on.at, (await named(on.at, root.id, "plan")).execution_id, { scope: "execution" });
    expect(again).toMatchObject({ target: "team.plan", restarted_execution_id: plan, source_run_id: root.id });
    expect(world.since()).toEqual(["plan"]);
  });

  test("a call deep below: what it caused runs again, what stands beside it on the way there does not", async () => {
    const world = new World();
    await using at = await plane();
    const enter = (name: string, value: unknown): Promise<unknown> => world.enter(name, value);
    await at.agent({
      id: "low",
      reasoners: Object.fromEntries(["a", "b", "c"].map((name) => [name, () => enter(name, { name })])),
    });
    await at.agent({
      id: "mid",
      reasoners: {
        steps: async ({ call }) => {
          await enter("steps", undefined);
          return [await call("low.a", {}), await call("low.b", {}), await call("low.c", {})];
        },
      },
    });
    await at.agent({
      id: "lead",
      reasoners: {
        root: async ({ call }) => {
          await enter("root", undefined);
          return [await call("low.a", { own: true }), await call("mid.steps", {}), await call("low.c", { own: true })];
        },
      },
    });
    const source = await first(at);
    world.since();
    const { id } = await restart(at, (await named(at, source, "b")).execution_id);
    expect((await at.execution(id))["status"]).toBe("succeeded");
    expect(world.since()).toEqual(["b", "c", "c", "root", "steps"]);
    const nodes = await at.graph(id);
    expect(nodes.map(({ reasoner_id: name, reuse }) => `${name}${reuse === undefined ? "" : " reused"}`)).toEqual([
      "root",
      "a reused",
      "steps",
      "a reused",
      "b",
      "c",
      "c",
    ]);
  });

  test("B3: with none nothing is reused, and agents are told of no source", async () => {
    const world = new World();
    await using on = await research(world);
    const source = await first(on.at);
    const once = world.since();
    const { id, ...said } = await restart(on.at, source, { reuse: "none" });
    expect(said).toMatchObject({ replay_mode: "none", kind: "restart", scope: "workflow" });
    expect(said).not.toHaveProperty("replay_before_execution_id");
    expect(world.since()).toEqual(once);
    expect(await reusedIn(on.at, id)).toEqual([]);
  });

  test("B4: what cannot be meant is 400, what is not there 404, and each says why", async () => {
    await using on = await research(new World());
    const source = await first(on.at);
    const path = `/api/v1/executions/${source}/restart`;
    const bodies = ["{", "[]", '{"scope":"all"}', '{"reuse":"some"}', '{"fork":3}', '{"input":1,"patch":{}}'];
    for (const body of bodies) {
      const { status, body: said } = await on.at.ask("POST", path, body);
      expect([body, status, typeof said["error"]]).toEqual([body, 400, "string"]);
    }
    for (const id of ["run_src", `run_0${"0".repeat(25)}`, `${source}~nothing`, "__proto__"]) {
      const { status, body: said } = await on.at.ask("POST", `/api/v1/executions/${id}/restart`, {});
      expect([id, status, typeof said["error"]]).toEqual([id, 404, "string"]);
    }
  });
});

describe("B: fork", () => {
  test("B5, B6: an input reaches the code; calls with equal input are reused, the others run", async () => {
    const world = new World();
    await using on = await research(world);
    const { at } = on;
    const source = await first(at);
    world.since();
    const other = await restart(at, source, { input: { topic: "y" }, reuse: "all-succeeded" });
    expect(other).toMatchObject({ kind: "fork", replay_mode: "all-succeeded" });
    expect(on.lead.calls.at(-1)?.input).toEqual({ topic: "y" });
    // The plan is another, its parts are not, so each is assessed as it was.
    expect(world.since()).toEqual(["plan", "root", "synthesize", "verify"]);
    expect(await reusedIn(at, other.id)).toEqual(["assess", "assess"]);
    expect((await restart(at, source, { fork: true }))["kind"]).toBe("fork");
    expect((await restart(at, source, { context: { model: "small" } }))["kind"]).toBe("fork");
    expect((await restart(at, source, { reason: "again" }))["kind"]).toBe("restart");
    expect((await restart(at, source, { input: {} }))["kind"]).toBe("fork");
    expect(on.lead.calls.at(-1)?.input).toEqual({});
  });

  test("B15: a patch changes a part of the input, and what does not depend on it is as it was", async () => {
    const world = new World();
    await using on = await research(world);
    const source = await first(on.at, { topic: "x", n: 1 });
    world.since();
    const { id, kind } = await restart(on.at, source, { patch: { n: 2 } });
    expect([kind, on.lead.calls.at(-1)?.input]).toEqual(["fork", { topic: "x", n: 2 }]);
    expect(world.since()).toEqual(["root"]);
    expect(await reusedIn(on.at, id)).toHaveLength(5);
  });

  test("a call below one whose input changed is reused all the same: equal is equal, wherever in the run it was made", async () => {
    const world = new World();
    await using at = await plane();
    await at.agent({
      id: "team",
      reasoners: {
        middle: async ({ call, input }) => {
          await world.enter("middle", undefined);
          return { n: (input as Input).n, leaf: await call("deep.leaf", { same: true }) };
        },
      },
    });
    await at.agent({ id: "deep", reasoners: { leaf: () => world.enter("leaf", { leaf: 1 }) } });
    await at.agent({
      id: "lead",
      reasoners: { root: async ({ input, call }) => call("team.middle", { n: (input as Input).n ?? 0 }) },
    });
    const source = await first(at, { n: 1 });
    world.since();
    const { id } = await restart(at, source, { input: { n: 2 } });
    expect((await at.execution(id))["result"]).toEqual({ n: 2, leaf: { leaf: 1 } });
    expect(world.since()).toEqual(["middle"]);
    expect(await reusedIn(at, id)).toEqual(["leaf"]);
  });
});

describe("B: what goes with it", () => {
  test("B9: session and actor go on, to the agents too; a webhook does not", async () => {
    await using on = await research(new World());
    const ids = { "x-session-id": "a/b#c", "x-actor-id": "me" };
    const source = await first(on.at, { topic: "x" }, ids);
    const { id } = await restart(on.at, source, { reuse: "none" });
    for (const run of [source, id]) {
      const { body } = await on.at.ask("GET", `/api/ui/v2/workflow-runs/${run}`);
      expect(body["run"]).toMatchObject({ session_id: "a/b#c", actor_id: "me" });
    }
    for (const { headers } of [...on.lead.calls, ...on.team.calls]) expect(headers).toMatchObject(ids);
    const list = await on.at.ask("GET", "/api/ui/v2/workflow-runs?session_id=a%2Fb%23c");
    expect(list.body).toMatchObject({ total_count: 2 });
    expect((await on.at.ask("GET", "/api/ui/v2/workflow-runs?session_id=other")).body).toMatchObject({
      total_count: 0,
    });
  });

  test("B10: a source that goes on is refused, and nothing is made", async () => {
    const world = new World();
    await using on = await research(world);
    world.held.add("plan");
    const source = await on.at.begin("lead.root", { topic: "x" });
    await until(() => world.made.includes("plan"));
    const before = (await on.at.stemma.list()).runs.length;
    for (const body of [{}, { fork: true }]) {
      const { status, body: said } = await on.at.ask("POST", `/api/v1/executions/${source}/restart`, body);
      expect([status, String(said["error"])]).toEqual([409, expect.stringContaining("still")]);
    }
    expect((await on.at.stemma.list()).runs.length).toBe(before);
    world.held.clear();
    await on.at.ended(source);
  });

  test("B11: with one idempotency key it is one run, of restarts and of calls", async () => {
    const world = new World();
    await using on = await research(world);
    const source = await first(on.at);
    const key = { "idempotency-key": "twice" };
    const ask = (path: string, body: object): Promise<unknown> =>
      on.at.ask("POST", path, body, key).then(({ body: said }) => said["execution_id"]);
    const restarts = await Promise.all([1, 2].map(() => ask(`/api/v1/executions/${source}/restart`, {})));
    expect(new Set(restarts).size).toBe(1);
    const calls = await Promise.all([1, 2].map(() => ask("/api/v1/execute/async/team.verify", { input: { a: 1 } })));
    expect(new Set(calls).size).toBe(1);
    await on.at.ended(String(calls[0]));
  });

  test("B12: a restart that nobody can carry out is refused, and leaves no run; one that is made has its lineage at once", async () => {
    await using on = await research(new World());
    const source = await first(on.at);
    await on.lead.ask("POST", "/api/v1/nodes/lead/shutdown", { reason: "shutdown", version: "1.0.0" });
    await until(async () => (await on.at.ask("GET", "/api/v1/nodes/lead")).status === 404);
    const before = (await on.at.stemma.list()).runs.length;
    const refused = await on.at.ask("POST", `/api/v1/executions/${source}/restart`, {});
    expect([refused.status, typeof refused.body["error"]]).toEqual([400, "string"]);
    expect((await on.at.stemma.list()).runs.length).toBe(before);
  });

  test("B14: kind, source, the execution that was named, both modes, scope and reason, in list, detail and graph", async () => {
    await using on = await research(new World());
    const { at } = on;
    const source = await first(at);
    const plan = (await named(at, source, "plan")).execution_id;
    const { id } = await restart(at, plan, { scope: "execution", fork: true, reason: "is it good enough?" });
    const lineage = {
      kind: "fork",
      source_run_id: source,
      source_execution_id: plan,
      restarted_execution_id: plan,
      scope: "execution",
      reuse: "succeeded-before",
      effective_reuse: "all-succeeded",
      reason: "is it good enough?",
    };
    const list = (await at.ask("GET", `/api/ui/v2/workflow-runs?run_id=${id}`)).body["runs"] as { lineage: object }[];
    const detail = (await at.ask("GET", `/api/ui/v2/workflow-runs/${id}`)).body["run"] as { lineage: object };
    const graph = (await at.ask("GET", `/api/ui/v1/workflows/${id}/dag`)).body;
    for (const shown of [list[0]?.lineage, detail.lineage, graph["lineage"]]) expect(shown).toEqual(lineage);
    const plain = (await at.ask("GET", `/api/ui/v2/workflow-runs/${source}`)).body["run"];
    expect(plain).not.toHaveProperty("lineage");
  });

  test("B16: ancestors and descendants, of a chain of three with a branch", async () => {
    await using on = await research(new World());
    const { at } = on;
    const one = await first(at);
    const two = (await restart(at, one)).id;
    const three = (await restart(at, two, { input: { topic: "y" } })).id;
    const branch = (await restart(at, one, { fork: true })).id;
    const idsIn = async (run: string, part: string): Promise<string[]> => {
      const { body } = await at.ask("GET", `/api/ui/v2/workflow-runs/${run}/lineage`);
      return (body[part] as { run_id: string }[]).map(({ run_id: id }) => id).toSorted();
    };
    expect(await idsIn(three, "ancestors")).toEqual([one, two].toSorted());
    expect(await idsIn(one, "descendants")).toEqual([two, three, branch].toSorted());
    expect(await idsIn(branch, "ancestors")).toEqual([one]);
    expect(await idsIn(branch, "descendants")).toEqual([]);
  });

  test("B17: a source is not removed while something comes from it", async () => {
    const world = new World();
    await using on = await research(world);
    const { at } = on;
    const source = await first(at);
    const verify = (await named(at, source, "verify")).execution_id;
    world.since();
    world.held.add("verify");
    const { body } = await at.ask("POST", `/api/v1/executions/${verify}/restart`, {});
    const made = String(body["execution_id"]);
    await until(() => world.made.includes("verify"));
    await at.stemma.prune({ olderThan: new Date(Date.now() + 60_000) });
    const reused = (await at.graph(made)).flatMap(({ reuse }) => reuse ?? []);
    expect(reused).toHaveLength(4);
    for (const { source_execution_id: id } of reused) expect((await at.execution(id))["status"]).toBe("succeeded");
    world.held.clear();
    await at.ended(made);
  });

  test("B18: what an agent calls in its own process is there in the new run, and known to be the same where it is", async () => {
    await using at = await plane();
    let broken = true;
    await at.agent({
      id: "alpha",
      reasoners: {
        helper: ({ input }) => ({ got: input }),
        root: async ({ call }) => {
          await call("alpha.helper", { n: 1 });
          if (broken) throw new Error("behind the helper");
          return {};
        },
      },
    });
    const source = await at.begin("alpha.root", {});
    await at.ended(source);
    broken = false;
    const { id } = await restart(at, source);
    const [, helper] = await at.graph(source);
    const [, again] = await at.graph(id);
    expect(helper).toMatchObject({ reasoner_id: "helper", status: "succeeded", parent_execution_id: source });
    expect(again).toMatchObject({
      status: "succeeded",
      parent_execution_id: id,
      reuse: { source_execution_id: helper?.execution_id, source_run_id: source },
    });
  });
});
