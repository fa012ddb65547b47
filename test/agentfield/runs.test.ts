/**
 * Runs, graphs and golden runs as AgentField's tools read them (C and D of the behaviours of control planes). The roll-up
 * itself (D5, D6, D7) is a table in `src/api/agentfield/status.test`.
 *
 *     C1   C2   C3   golden runs              D7   a failure that was caught
 *     D1   shapes and depths                  D8   D9  reuse in graphs: replay.test
 *     D2   nothing there                      D10  a run that comes from nowhere
 *     D3   D4  a parent that is not known: api.test
 */
import { describe, expect, test } from "vitest";
import { workflow } from "../../src/index.ts";
import { fresh, until } from "../stage.ts";
import { plane } from "./place.ts";

const nobody = `run_${"0".repeat(26)}`;

describe("runs and graphs", () => {
  test("D1: five levels, and many calls of one: order and depth are those of the calls; list, detail and graph agree", async () => {
    await using at = await plane();
    await at.agent({
      id: "deep",
      reasoners: {
        down: async ({ input, callSync }) => {
          const { n } = input as { n: number };
          return n === 0 ? { bottom: true } : callSync("deep.down", { n: n - 1 });
        },
        wide: async ({ callSync }) => Promise.all(Array.from({ length: 12 }, (_, n) => callSync("deep.leaf", { n }))),
        leaf: ({ input }) => input,
      },
    });
    const deep = await at.begin("deep.down", { n: 4 });
    const wide = await at.begin("deep.wide");
    await Promise.all([at.ended(deep), at.ended(wide)]);
    expect((await at.graph(deep)).map((node) => node.workflow_depth)).toEqual([0, 1, 2, 3, 4]);
    expect((await at.graph(wide)).map((node) => node.workflow_depth)).toEqual([
      0,
      ...Array.from({ length: 12 }, () => 1),
    ]);
    for (const [run, count, depth] of [
      [deep, 5, 4],
      [wide, 13, 1],
    ] as const) {
      const list = (await at.ask("GET", `/api/ui/v2/workflow-runs?run_id=${run}`)).body["runs"] as object[];
      const detail = (await at.ask("GET", `/api/ui/v2/workflow-runs/${run}`)).body;
      const graph = (await at.ask("GET", `/api/ui/v1/workflows/${run}/dag?mode=lightweight`)).body;
      expect(list).toMatchObject([
        { total_executions: count, max_depth: depth, status: "succeeded", root_execution_status: "succeeded" },
      ]);
      expect(detail).toMatchObject({ run: { total_steps: count, completed_steps: count, status: "succeeded" } });
      expect(graph).toMatchObject({
        total_nodes: count,
        max_depth: depth,
        workflow_status: "succeeded",
        mode: "lightweight",
      });
      expect(graph).not.toHaveProperty("dag");
      expect(detail["run"]).not.toHaveProperty("lineage");
    }
    const full = (await at.ask("GET", `/api/ui/v1/workflows/${wide}/dag`)).body["dag"] as { children: object[] };
    expect(full.children).toHaveLength(12);
  });

  test("D2, D10: a run without calls, of any kind, is one node; what is not there is 404", async () => {
    const own = workflow({ name: "own" }, () => "mine");
    await using at = await plane();
    at.stemma.offer(own);
    const run = await at.stemma.run(own, undefined);
    await run.result();
    expect((await at.graph(run.id)).map((node) => [node.agent_node_id, node.reasoner_id, node.status])).toEqual([
      ["", "own", "succeeded"],
    ]);
    for (const path of [
      `/api/ui/v1/workflows/${nobody}/dag`,
      "/api/ui/v2/workflow-runs/x",
      `/api/ui/v2/workflow-runs/${nobody}/lineage`,
    ]) {
      expect([path, (await at.ask("GET", path)).status]).toEqual([path, 404]);
    }
  });

  test("D7: a run whose root caught a failure has succeeded, everywhere; the failure is there too", async () => {
    await using at = await plane();
    await at.agent({
      id: "alpha",
      reasoners: {
        root: async ({ callSync }) => callSync("alpha.bad", {}).catch(() => ({ caught: true })),
        bad: () => {
          throw new Error("boom");
        },
      },
    });
    const id = await at.begin("alpha.root");
    expect(await at.ended(id)).toMatchObject({ status: "succeeded", result: { caught: true } });
    expect((await at.graph(id)).map(({ status }) => status)).toEqual(["succeeded", "failed"]);
    const { body } = await at.ask("GET", "/api/ui/v2/workflow-runs?status=succeeded");
    expect(body).toMatchObject({
      total_count: 1,
      runs: [{ run_id: id, status: "succeeded", status_counts: { failed: 1 } }],
    });
    expect((await at.ask("GET", "/api/ui/v2/workflow-runs?status=failed")).body).toMatchObject({ total_count: 0 });
  });

  test("lists come in pages and in the order that is asked for", async () => {
    await using at = await plane();
    await at.agent({ id: "alpha", reasoners: { f: () => ({}) } });
    const ids: string[] = [];
    for (let i = 0; i < 5; i += 1) {
      ids.push(await at.begin("alpha.f"));
      await at.ended(ids.at(-1) ?? "");
    }
    const list = async (query: string): Promise<{ runs: string[]; more: unknown; total: unknown }> => {
      const { body } = await at.ask("GET", `/api/ui/v2/workflow-runs?${query}`);
      const runs = (body["runs"] as { run_id: string }[]).map(({ run_id: id }) => id);
      return { runs, more: body["has_more"], total: body["total_count"] };
    };
    expect(await list("page_size=2")).toEqual({ runs: ids.toReversed().slice(0, 2), more: true, total: 5 });
    expect(await list("page_size=2&page=3")).toEqual({ runs: [ids[0]], more: false, total: 5 });
    expect((await list("sort_by=started_at&sort_order=asc")).runs).toEqual(ids);
    expect((await list("search=nothing")).runs).toEqual([]);
    expect((await at.ask("GET", "/api/ui/v2/workflow-runs?page=x")).status).toBe(400);
  });
});

test("a list looks at the trees of what it shows, and of what has ended once", async () => {
  const plain = fresh();
  let reads = 0;
  const store = new Proxy(plain, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (name === "history") reads += 1;
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
  await using _closed = { [Symbol.asyncDispose]: () => plain.close() };
  await using at = await plane({ engine: { store }, webhooks: false });
  await at.agent({ id: "alpha", reasoners: { f: () => ({}) } });
  const ids: string[] = [];
  for (let i = 0; i < 6; i += 1) {
    ids.push(await at.begin("alpha.f"));
    await at.ended(ids.at(-1) ?? "");
  }
  const list = async (query: string): Promise<{ runs: unknown[]; reads: number }> => {
    reads = 0;
    const { body } = await at.ask("GET", `/api/ui/v2/workflow-runs?${query}`);
    return { runs: (body["runs"] as { run_id: string }[]).map(({ run_id: id }) => id), reads };
  };
  const first = await list("page_size=2&sort_by=updated_at&status=succeeded");
  expect(first.runs).toEqual([ids[5], ids[4]]);
  const second = await list("page_size=2&page=3&sort_by=updated_at&sort_order=desc");
  expect(second.runs).toEqual([ids[1], ids[0]]);
  const every = await list("sort_by=total_steps");
  expect(every.runs).toHaveLength(6);
  // The first looked at two of six trees, and that of the two that are left at these.
  expect(every.reads).toBeGreaterThan(0);
  expect(first.reads).toBeLessThan(every.reads * 3);
  // Now all are known. What else goes on here may read for a moment.
  await until(async () => (await list("sort_by=total_steps&sort_order=asc")).reads === 0);
});

describe("C: golden runs", () => {
  test("C1, C2, C3: a run that succeeded is marked with clean tags; what cannot be marked is refused", async () => {
    await using at = await plane();
    const gate = Promise.withResolvers<void>();
    await at.agent({ id: "alpha", reasoners: { f: () => ({}), slow: () => gate.promise.then(() => ({})) } });
    const source = await at.begin("alpha.f");
    await at.ended(source);
    const { body } = await at.ask("POST", `/api/v1/executions/${source}/restart`, {});
    const id = String(body["execution_id"]);
    await at.ended(id);
    const mark = (run: string, said?: unknown) => at.ask("POST", `/api/ui/v2/workflow-runs/${run}/golden`, said);
    const marked = await mark(id, { name: "smoke run", tags: [" smoke ", "smoke", "", "restart"] });
    expect(marked).toMatchObject({
      status: 200,
      body: {
        run_id: id,
        golden: { name: "smoke run", tags: ["smoke", "restart"], saved_by: "user" },
        lineage: { source_run_id: source },
      },
    });
    expect((await mark(source, {})).body).toMatchObject({ golden: { name: source, tags: [] } });
    expect((await at.ask("GET", `/api/ui/v1/workflows/${id}/dag`)).body).toMatchObject({
      golden: { name: "smoke run" },
    });
    const slow = await at.begin("alpha.slow");
    expect((await mark(slow, {})).status).toBe(409);
    expect((await mark(nobody, {})).status).toBe(404);
    for (const said of ["{", "", "[]", '{"name":3}', '{"tags":"a"}'])
      expect([said, (await mark(id, said)).status]).toEqual([said, 400]);
    gate.resolve();
    await at.ended(slow);
  });
});
