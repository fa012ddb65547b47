/** A durable run that meets a graph that was changed: refused, with the tasks and edges that were added and removed. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Store } from "../src/index.ts";
import { Stemma } from "../src/index.ts";
import { sqlite } from "../src/sqlite.ts";
import type { TaskStep } from "../src/tasks.ts";
import { TaskRunner, taskWorkflow } from "../src/tasks.ts";
import { statuses, step } from "./behaviours/tasks.ts";

let store: Store;
beforeEach(() => {
  store = sqlite(":memory:");
});
afterEach(async () => {
  await store.close();
});

const big = { status: "success" as const, data: "x".repeat(5000) };

/** a and b; c behind a; d behind b and c; e behind d never ends. Outputs are as large as payloads. */
async function recorded(): Promise<void> {
  const stuck = Promise.withResolvers<void>();
  const hang = (): Promise<never> => {
    stuck.resolve();
    return new Promise(() => {});
  };
  const e = step("e", ["d"], hang);
  const steps = [
    step("a", [], () => big),
    step("b", [], () => big),
    step("c", ["a"]),
    step("d", ["b", "c"], () => big),
    e,
  ];
  const workflow = taskWorkflow(steps, { name: "changed" });
  const first = new Stemma({ store, workflows: [workflow], lease: "100ms" });
  await first.start();
  await first.run(workflow, {}, { idempotencyKey: "k" });
  await stuck.promise;
  first.abandon();
}

async function meets(steps: TaskStep[]): Promise<unknown> {
  await using stemma = await new Stemma({ store }, { recallGraceMs: 20 }).start();
  return await new TaskRunner<object>({}).durable(stemma, { name: "changed" }).execute(steps, { idempotencyKey: "k" });
}

const none = { removedTasks: [], addedTasks: [], removedEdges: [], addedEdges: [] };

test.each<[string, TaskStep[], object, string]>([
  [
    "a task is gone",
    [step("a"), step("c", ["a"]), step("d", ["c"]), step("e", ["d"])],
    {
      ...none,
      removedTasks: ["b"],
      removedEdges: [{ from: "b", to: "d" }],
    },
    "task 'b' is not in the graph any more; 'd' depended on 'b'",
  ],
  [
    "a task is put between",
    [step("a"), step("b"), step("n", ["a"]), step("c", ["n"]), step("d", ["b", "c"]), step("e", ["d"])],
    { ...none, addedTasks: ["n"], removedEdges: [{ from: "a", to: "c" }], addedEdges: [{ from: "n", to: "c" }] },
    "task 'n' is new; 'c' depended on 'a'; 'c' now depends on 'n'",
  ],
  [
    "an edge is added",
    [step("a"), step("b"), step("c", ["a", "b"]), step("d", ["b", "c"]), step("e", ["d"])],
    { ...none, addedEdges: [{ from: "b", to: "c" }] },
    "'c' now depends on 'b'",
  ],
  [
    "an edge is taken away",
    [step("a"), step("b"), step("c", ["a"]), step("d", ["c"]), step("e", ["d"])],
    { ...none, removedEdges: [{ from: "b", to: "d" }] },
    "'d' depended on 'b'",
  ],
])("%s", async (_, steps, data, text) => {
  await recorded();
  const refused = meets(steps);
  await expect(refused).rejects.toMatchObject({ code: "run.divergence", data });
  await expect(refused).rejects.toThrow(`another graph of tasks: ${text}. `);
});

test("a worker leaves the same on record for whoever looks at the run", async () => {
  await recorded();
  await meets([step("a"), step("c", ["a"]), step("d", ["c"]), step("e", ["d"])]).catch(() => {});
  const stemma = new Stemma({ store });
  const { runs } = await stemma.list();
  const last = (await stemma.history(runs[0]?.id as never)).at(-1);
  expect(last).toMatchObject({
    type: "run.suspended",
    data: { reason: "divergence", detail: { misfit: { removedTasks: ["b"] } } },
  });
});

test("a task that nothing on record depends on may be added, and is carried out", async () => {
  await recorded();
  const steps = [step("a"), step("b"), step("c", ["a"]), step("d", ["b", "c"]), step("e", ["d"])];
  const results = (await meets([...steps, step("f", ["a"]), step("g", ["e"])])) as Map<string, never>;
  expect(statuses(results)).toMatchObject({ e: "success", f: "success", g: "success" });
});

describe("of a run that has ended", () => {
  const graph = (): TaskStep[] => [step("a"), step("b"), step("c", ["a"]), step("d", ["b", "c"], () => big)];
  const ended = async (steps: TaskStep[]): Promise<unknown> => {
    await meets(graph());
    return meets(steps);
  };

  test("the graph that recorded it gives the results again", async () => {
    const results = (await ended(graph())) as Map<string, never>;
    expect(statuses(results)).toEqual({ a: "success", b: "success", c: "success", d: "success" });
  });

  test("so does one that failed, whose last tasks never began", async () => {
    const failing = (): TaskStep[] => [step("a", [], () => ({ status: "failure" as const })), step("b", ["a"])];
    await meets(failing());
    expect(statuses((await meets(failing())) as Map<string, never>)).toEqual({ a: "failure", b: "skipped" });
  });

  test.each<[string, TaskStep[], object]>([
    ["without a task", [step("a"), step("b"), step("c", ["a"])], { removedTasks: ["d"] }],
    ["with a task more", [...graph(), step("e", ["d"])], { removedTasks: [], addedTasks: ["e"] }],
    [
      "with another edge",
      [step("a"), step("b"), step("c"), step("d", ["b", "c"])],
      { removedEdges: [{ from: "a", to: "c" }] },
    ],
  ])("one %s is refused, because nothing more is carried out", async (_, steps, data) => {
    const refused = ended(steps);
    await expect(refused).rejects.toMatchObject({ code: "run.divergence", data });
  });
});

test("what is put together of further tasks in another way is another input for those behind", async () => {
  const stuck = Promise.withResolvers<void>();
  const hang = (): Promise<never> => {
    stuck.resolve();
    return new Promise(() => {});
  };
  const graph = (more: Partial<TaskStep>, run?: () => Promise<never>): TaskStep[] => [
    step("a", [], undefined, { expand: () => [step("p")], ...more }),
    step("b", ["a"]),
    step("c", ["b"], run),
  ];
  const workflow = taskWorkflow(graph({}, hang), { name: "changed" });
  const first = new Stemma({ store, workflows: [workflow], lease: "100ms" });
  await first.start();
  await first.run(workflow, {}, { idempotencyKey: "k" });
  await stuck.promise;
  first.abandon();
  await expect(meets(graph({ collect: () => 7 }))).rejects.toMatchObject({ code: "run.divergence" });
  expect(statuses((await meets(graph({}))) as never)).toMatchObject({ a: "success", b: "success", c: "success" });
});
