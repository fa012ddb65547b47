/**
 * What of a graph's yields is an output, what is shown on the way, and what is hidden.
 *
 * | Behaviour | Guarantee |
 * | --- | --- |
 * | 60 | what is not designated is hidden, and stays in the event of its executor |
 * | 60 | outputs are those of the executors that are named; one kind of all, or all others on the way |
 */
import { expect, test } from "vitest";
import { executor, WorkflowBuilder } from "../../src/graph.ts";
import type { BuilderOptions, WorkflowContext } from "../../src/graph.ts";
import { ends } from "./graph.ts";

type Sends = WorkflowContext<unknown, unknown>;

test("60: what is not designated is hidden, and stays in the event of its executor", async () => {
  const b = ends("b");
  const a = executor<unknown, unknown, unknown>("a", (n, ctx) => {
    ctx.yieldOutput("hidden");
    (ctx as Sends).sendMessage(n);
  });
  const { outputs, events } = await new WorkflowBuilder({ name: "o", start: a, outputFrom: [b] })
    .addEdge(a, b)
    .build()
    .run(1);
  expect(outputs).toEqual(["1-b"]);
  expect(events.find((event) => event.type === "executor_completed" && event.executorId === "a")?.data).toEqual([
    1,
    "hidden",
  ]);
});

test("60: outputs are those of the executors that are named; one kind of all, or all others on the way", async () => {
  const [a, b] = [
    executor<unknown, unknown, unknown>("a", (n, ctx) => {
      ctx.yieldOutput(10);
      (ctx as Sends).sendMessage(n);
    }),
    executor<unknown, unknown, unknown>("b", (_, ctx) => ctx.yieldOutput(20)),
  ];
  const shown = async (options: Partial<BuilderOptions<unknown, unknown>>): Promise<unknown[]> => {
    const graph = new WorkflowBuilder({ name: "o", start: a, ...options }).addEdge(a, b).build();
    const { outputs, intermediates } = await graph.run(1);
    return [outputs, intermediates];
  };
  expect(await shown({})).toEqual([[10, 20], []]);
  expect(await shown({ outputFrom: [b] })).toEqual([[20], []]);
  expect(await shown({ outputFrom: "all" })).toEqual([[10, 20], []]);
  expect(await shown({ outputFrom: [b], intermediateFrom: "all_other" })).toEqual([[20], [10]]);
  expect(await shown({ intermediateFrom: "all" })).toEqual([[], [10, 20]]);
  expect(await shown({ intermediateFrom: [a] })).toEqual([[], [10]]);
});
