/** Golden marks and checkpoints of graphs are runs in the store and no work: lists leave them out until they are asked for. */
import { expect, test } from "vitest";
import { checkpointOf, markWorkflow } from "../src/core/record-names.ts";
import { executor, storeCheckpoints, WorkflowBuilder } from "../src/graph.ts";
import type { WorkflowContext } from "../src/graph.ts";
import { sqlite } from "../src/sqlite.ts";
import { Stemma, workflow } from "../src/index.ts";
import { client } from "../src/client.ts";
import { server } from "../src/server.ts";
import { answered, typed, workshop } from "./command-line.ts";
import { errorOf, silent } from "./stage.ts";

const token = "of-this-test-0123456789";
const double = workflow({ name: "double" }, (ctx, n: number) => ctx.step("times", { input: n }, () => n * 2));
const count = executor("count", (n: number, ctx: WorkflowContext<number, number>) =>
  n > 0 ? ctx.sendMessage(n - 1) : ctx.yieldOutput(n),
);
const counting = new WorkflowBuilder({ name: "counting", start: count }).addEdge(count, count).build();

type Shop = Awaited<ReturnType<typeof workshop>>;

/** A shop with two runs, one of them golden, and a graph in memory that keeps its checkpoints there, newer than they are. */
async function furnished(): Promise<{ shop: Shop; ids: string[]; mark: string }> {
  const shop = await workshop([double]);
  const ids: string[] = [];
  for (const n of [1, 2]) {
    const run = await shop.stemma.run(double, n);
    await run.result();
    ids.unshift(run.id);
  }
  const { mark } = await shop.stemma.golden(ids[1]!);
  const store = sqlite(shop.path);
  await counting.run(3, { checkpointStorage: storeCheckpoints(store) });
  await store.close();
  return { shop, ids, mark };
}

test("a list is of work, page by page, and of records too where they are asked for", async () => {
  const { shop, ids, mark } = await furnished();
  await using _ = shop;
  const { stemma } = shop;
  const first = await stemma.list({ limit: 1 });
  expect(first.runs.map(({ id }) => id)).toEqual(ids.slice(0, 1));
  const second = await stemma.list({ limit: 1, cursor: first.cursor! });
  expect(second.runs.map(({ id }) => id)).toEqual(ids.slice(1));
  expect(second.cursor).toBeUndefined();
  expect((await stemma.list({ status: ["paused"] })).runs).toEqual([]);
  expect((await stemma.list({ records: true })).runs).toHaveLength(2 + 1 + 5);
  expect((await stemma.list({ workflow: `${checkpointOf}counting` })).runs).toHaveLength(5);
  expect((await stemma.list({ workflow: markWorkflow })).runs.map(({ id }) => id)).toEqual([mark]);
  for (const query of [{ ids: [mark] }, { idPart: mark.slice(6) }, { tag: "of double" }]) {
    expect((await stemma.list(query)).runs.map(({ id }) => id)).toEqual([mark]);
  }
});

test("the family of a run is without its marks; that of a mark has them", async () => {
  const { shop, ids, mark } = await furnished();
  await using _ = shop;
  const run = ids[1]!;
  const fork = await shop.stemma.fork(run, { input: 5 });
  await fork.result();
  const family = await shop.stemma.lineage(run);
  expect([family.descendants, family.runs.map(({ id }) => id)]).toEqual([[fork.id], [run, fork.id]]);
  expect((await shop.stemma.lineage(mark)).runs.map(({ id }) => id)).toEqual([run, mark, fork.id]);
});

test("the command line and a server list work alone too, and a doctor has nothing to say of records", async () => {
  const { shop, ids } = await furnished();
  await using _ = shop;
  await using at = await server(shop.stemma, { port: 0, token, log: silent }).listen();
  const remote = client({ url: at.url, token });
  expect((await remote.list()).runs.map(({ id }) => id)).toEqual(ids);
  expect((await remote.list({ records: true })).runs).toHaveLength(8);
  await shop.stop();
  const listed = async (...words: string[]): Promise<unknown[]> =>
    (await answered("runs", ...words, "--store", shop.path)).value["runs"] as unknown[];
  expect(await listed()).toMatchObject(ids.map((id) => ({ id })));
  expect(await listed("--records")).toHaveLength(8);
  const more = await typed("runs", "--records", "--limit", "3", "--store", shop.path);
  expect(more.err).toMatch(/stemma runs --limit 3 --records|stemma runs --records --limit 3/u);
  const { out } = await typed("doctor", "--store", shop.path);
  expect(out).toContain("2 succeeded");
  expect(out).not.toMatch(/golden run|checkpoint of|\d paused/u);
});

test("a workflow of a name that is that of records is refused, for nobody would see its runs", async () => {
  for (const name of [markWorkflow, `${checkpointOf}things`]) {
    const hidden = workflow({ name }, () => 1);
    const store = sqlite(":memory:");
    const make = async (): Promise<unknown> => new Stemma({ store, workflows: [hidden], log: silent });
    expect((await errorOf(make())).code).toBe("workflow.invalid");
    await store.close();
  }
});
