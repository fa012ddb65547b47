/** Restarts of durable task graphs: they pay for what failed and for what depends on it, and for nothing else. */
import { afterEach, beforeEach, expect, test } from "vitest";
import type { RunId, Store, Workflow } from "../src/index.ts";
import { components, Stemma } from "../src/index.ts";
import { sqlite } from "../src/sqlite.ts";
import type { TaskStep } from "../src/tasks.ts";
import { taskWorkflow } from "../src/tasks.ts";
import { fails, step } from "./behaviours/tasks.ts";

let store: Store;
beforeEach(() => {
  store = sqlite(":memory:");
});
afterEach(async () => {
  await store.close();
});

type Context = { seen: string[] };

/** a; b and c behind a; d behind b; e behind c. b fails as long as it is broken. Each says in the context that it ran. */
function graph(entered: string[], broken: boolean, versions: Record<string, number> = {}): Workflow<Context, Context> {
  const one = (name: string, dependencies: string[]): TaskStep<Context> => ({
    ...step<Context>(name, dependencies, () => {
      entered.push(name);
      return name === "b" && broken ? fails("no rows") : { status: "success", data: `${name}${versions[name] ?? 1}` };
    }),
    ...(versions[name] === undefined ? {} : { version: versions[name] }),
  });
  const steps = [one("a", []), one("b", ["a"]), one("c", ["a"]), one("d", ["b"]), one("e", ["c"])];
  return taskWorkflow<Context, typeof steps>(steps, { name: "graph" });
}

async function failed(): Promise<RunId> {
  const workflow = graph([], true);
  await using stemma = await new Stemma({ store, workflows: [workflow] }).start();
  const run = await stemma.run(workflow, { seen: [] });
  await expect(run.result()).rejects.toMatchObject({ code: "run.failed" });
  return run.id;
}

test("a restart of a failed graph enters the task that failed and those behind it", async () => {
  const id = await failed();
  const entered: string[] = [];
  await using stemma = await new Stemma({ store, workflows: [graph(entered, false)] }).start();
  const { totals } = await stemma.plan(id, {}, { dryRun: true });
  // The task that failed; of what is behind others, some depends on what it does to the context.
  expect(totals.run).toBe(1);
  const again = await stemma.restart(id);
  await again.result();
  expect(entered).toEqual(["b", "d"]);
  const lineage = await stemma.lineage(again.id);
  expect(lineage.ancestors).toEqual([id]);
  const { steps } = await stemma.compare(id, again.id);
  expect(steps.filter(({ change }) => change === "same").map(({ a }) => a?.key)).toEqual(["a", "c", "e"]);
  expect(components(await again.trace())).toBe(1);
});

test("a restart from a task enters that task and those behind it", async () => {
  const entered: string[] = [];
  const workflow = graph(entered, false);
  await using stemma = await new Stemma({ store, workflows: [workflow] }).start();
  const run = await stemma.run(workflow, { seen: [] });
  await run.result();
  entered.length = 0;
  await (await stemma.restart(run.id, { from: "c" })).result();
  expect(entered).toEqual(["c", "e"]);
});

test("a task of which the version was raised runs again in a restart, and so does what it gives something else", async () => {
  const first = graph([], false);
  const before = await new Stemma({ store, workflows: [first] }).start();
  const run = await before.run(first, { seen: [] });
  await run.result();
  await before.stop();
  const entered: string[] = [];
  await using stemma = await new Stemma({ store, workflows: [graph(entered, false, { b: 2 })] }).start();
  await (await stemma.restart(run.id)).result();
  expect(entered).toEqual(["b", "d"]);
});
