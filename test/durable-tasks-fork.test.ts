/** Forks of durable task graphs: with another context, or with another output of a task. */
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Store } from "../src/index.ts";
import { Stemma } from "../src/index.ts";
import { sqlite } from "../src/sqlite.ts";
import type { TaskStep, TaskTools } from "../src/tasks.ts";
import { taskWorkflow } from "../src/tasks.ts";

let store: Store;
beforeEach(() => {
  store = sqlite(":memory:");
});
afterEach(async () => {
  await store.close();
});

type Context = { factor: number; product?: number };

/** Two numbers, and their sum times the factor of the context. */
function steps(entered: string[]): TaskStep<Context>[] {
  const number = (name: string, data: number): TaskStep<Context> => ({
    name,
    run: async () => (entered.push(name), { status: "success", data }),
  });
  return [
    number("two", 2),
    number("three", 3),
    {
      name: "product",
      dependencies: ["two", "three"],
      run: async (context, _, tools) => {
        entered.push("product");
        const { results } = tools as TaskTools<{ two: number; three: number }>;
        context.product = (results.data("two") + results.data("three")) * context.factor;
        return { status: "success" };
      },
    },
  ];
}

test("another context: every task that is given it runs again", async () => {
  const entered: string[] = [];
  const workflow = taskWorkflow<Context, TaskStep<Context>[]>(steps(entered), { name: "numbers" });
  await using stemma = await new Stemma({ store, workflows: [workflow] }).start();
  const run = await stemma.run(workflow, { factor: 10 });
  expect(await run.result()).toEqual({ factor: 10, product: 50 });
  entered.length = 0;
  const other = await stemma.fork<Context>(run.id, { patch: { factor: 100 } });
  expect(await other.result()).toEqual({ factor: 100, product: 500 });
  expect(entered).toEqual(["two", "three", "product"]);
  const { steps: compared } = await stemma.compare(run.id, other.id);
  expect(compared.map(({ b }) => b?.key).toSorted()).toEqual(["product", "three", "two"]);
});

test.each<[string, unknown]>([
  ["its data", 7],
  ["a result", { status: "success", data: 7 }],
  ["what is on record of one", { result: { status: "success", data: 7 } }],
])("another output of a task, as %s: it is not entered, and what depends on it is", async (_, output) => {
  const entered: string[] = [];
  const workflow = taskWorkflow<Context, TaskStep<Context>[]>(steps(entered), { name: "numbers" });
  await using stemma = await new Stemma({ store, workflows: [workflow] }).start();
  const run = await stemma.run(workflow, { factor: 10 });
  await run.result();
  entered.length = 0;
  const other = await stemma.fork<Context>(run.id, { outputs: { two: output } });
  expect(await other.result()).toEqual({ factor: 10, product: 100 });
  expect(entered).toEqual(["product"]);
});
