/**
 * What goes with a restart over AgentField's wire: what it keeps of its source, what is said of where it comes from, and when
 * there is none. The numbers are those of the list of behaviours of control planes; the rest of B is in `restart.test`.
 *
 *     B9   session and actor            B12  a refusal leaves nothing              B17  a source is removed
 *     B10  a source that goes on        B14  lineage, wherever it is shown         B18  calls inside an agent
 *     B11  one idempotency key          B16  ancestors and descendants
 */
import { describe, expect, test } from "vitest";
import { until } from "../stage.ts";
import { plane } from "./place.ts";
import { World, first, named, research, restart } from "./research.ts";

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
        root: async ({ call, execution }) => {
          await call("alpha.helper", { n: 1 });
          // It is told of on lines of their own, which need not be faster than the report.
          await until(async () => (await at.graph(execution))[1]?.status === "succeeded");
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
