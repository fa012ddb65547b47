/**
 * Three processes, a server and two nodes, and a service that is paid for. One of the three is killed in the middle of a
 * tree of calls: the run comes to its end, its family is one component, nothing is charged twice, and no more requests are
 * made again than were under way at the kill.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { startChild } from "../../examples/audit/child.ts";
import type { Child } from "../../examples/audit/child.ts";
import { client } from "../../src/client.ts";
import { Stemma, components } from "../../src/index.ts";
import { sqlite } from "../../src/sqlite.ts";
import { silent, until } from "../stage.ts";
import { paidService } from "./paid.ts";

const worker = new URL("worker.ts", import.meta.url);
const topics = ["a", "b", "c", "d"];
/** What has to be paid for: the plan, two leaves for each topic, and the sum. */
const wanted = ["plan", ...topics.flatMap((topic) => [`${topic} 1`, `${topic} 2`]), "sum"].toSorted();

describe.each(["alpha", "beta", "server"])("killed in the middle of its calls: %s", (victim) => {
  test("the run ends as if nothing had happened", { timeout: 120_000 }, async () => {
    await using open = new AsyncDisposableStack();
    const folder = mkdtempSync(join(tmpdir(), "stemma-nodes-"));
    open.defer(() => rmSync(folder, { recursive: true }));
    const file = join(folder, "stemma.db");
    const paid = open.use(await paidService());
    const start = async (...args: string[]): Promise<Child> => {
      const child = await startChild(worker, args);
      open.defer(async () => void (await child.kill()));
      return child;
    };
    const plane = await start("server", "--store", file);
    const url = String(plane.ready["url"]);
    const node = (name: string): Promise<Child> => start("node", "--name", name, "--server", url, "--paid", paid.url);
    const nodes: Record<string, Child> = { alpha: await node("alpha"), beta: await node("beta") };
    const asked = await fetch(`${url}/v1/calls`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ target: "alpha.root", input: { topics } }),
    });
    const { id } = (await asked.json()) as { id: string };

    // In the middle: some of the leaves are paid for, others are being paid for.
    await until(async () => paid.charged.size >= 3 && paid.open.size >= 1);
    await (nodes[victim] ?? plane).kill();
    const store = sqlite(file);
    open.defer(() => store.close());
    const looking = new Stemma({ store, log: silent });
    // Paid for, or about to be, and not on record: what may be asked for again.
    const ended = await count(looking, ["succeeded"]);
    // While the server is gone nodes ask for what they have in hand, and for nothing else.
    if (victim === "server") await until(() => paid.open.size === 0);
    // Looked at behind what has ended: where the server lives, the others go on meanwhile.
    const underWay = paid.requests.size - ended;
    if (victim === "server") expect(underWay).toBeGreaterThan(0);
    if (victim === "server") await start("server", "--store", file, "--port", new URL(url).port);
    else await node(victim);

    const run = await client({ url }).get<string[]>(id);
    const result = await run.result();
    const parts = topics.map((topic) => `paid for ${topic} 1+paid for ${topic} 2`);
    expect(result).toEqual(["paid for plan", ...parts, "paid for sum"]);
    expect(components(await looking.trace(id, { family: true }))).toBe(1);
    const { runs } = await looking.lineage(id);
    expect(runs.map(({ status }) => status)).toEqual(runs.map(() => "succeeded"));
    // One run for each call of the tree: the root, the plan, and for each topic a branch with two leaves.
    expect(runs).toHaveLength(2 + topics.length * 3);
    expect([...paid.charged.values()].toSorted()).toEqual(wanted);
    const repeated = [...paid.requests.values()].reduce((sum, times) => sum + times - 1, 0);
    expect(repeated).toBeLessThanOrEqual(underWay);
    for (const { id: one } of runs) expect((await looking.verify(one)).ok).toBe(true);
  });
});

/** How many executions that paid for something have these statuses. */
async function count(stemma: Stemma, status: readonly ["succeeded"]): Promise<number> {
  const { runs } = await stemma.list({ status, limit: 200 });
  return runs.filter(({ state }) => !state.workflow.endsWith(".branch")).length;
}
