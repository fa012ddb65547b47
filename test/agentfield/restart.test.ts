/**
 * Restart and fork over AgentField's wire, with the outcomes of this server; the better outcome where one was asked for.
 * The numbers are those of the list of behaviours of control planes; A is in `replay.test`, what goes with a restart (B9 to
 * B12, B14, B16 to B18) in `restart-lineage.test`, what is native of B in `test/behaviours/control-plane-restart`.
 *
 *     B1   {} on a failed call          B5   fork or restart              B13  calls are those that are needed
 *     B2   scope execution              B6   another input                B15  a patch of the input
 *     B3   reuse none                   B7   a root that failed
 *     B4   what cannot be meant         B8   in parallel
 */
import { describe, expect, test } from "vitest";
import { components } from "../../src/index.ts";
import { plane } from "./place.ts";
import type { Input } from "./research.ts";
import { World, first, named, research, restart, reusedIn } from "./research.ts";

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

describe("B: many", () => {
  test("what a wide tree has is offered to all of the next, and to all of the one behind it; each of them is proven", async () => {
    const world = new World();
    await using at = await plane();
    const names = Array.from({ length: 40 }, (_, n) => n);
    await at.agent({ id: "deep", reasoners: { leaf: ({ input }) => world.enter("leaf", input) } });
    await at.agent({
      id: "team",
      reasoners: {
        middle: async ({ call, input }) => {
          await world.enter("middle", undefined);
          const { n, leaf } = input as { n: number; leaf: number };
          return { n, found: await call("deep.leaf", { leaf }) };
        },
      },
    });
    await at.agent({
      id: "lead",
      reasoners: {
        root: async ({ input, call }) => {
          const { n = 0 } = input as Input;
          const found = await Promise.all(names.map((leaf) => call("team.middle", { n, leaf })));
          return { count: found.length };
        },
      },
    });
    const source = await first(at, { n: 1 });
    expect(world.since()).toHaveLength(80);
    let [id, n] = [source, 1];
    for (const times of [1, 2]) {
      n += 1;
      ({ id } = await restart(at, id, { input: { n } }));
      expect((await at.execution(id))["result"]).toEqual({ count: 40 });
      expect([times, new Set(world.since())]).toEqual([times, new Set(["middle"])]);
      expect(await reusedIn(at, id)).toHaveLength(40);
    }
    const { runs } = await at.stemma.lineage(id);
    expect(runs.length).toBeGreaterThan(160);
    const verified = await at.stemma.verify(id, { family: true });
    expect(verified.ok).toBe(true);
    expect(components(await at.stemma.trace(id, { family: true }))).toBe(1);
  });
});
