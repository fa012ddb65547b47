/** Behaviours 1 to 18 of task graphs: order, validation, failure and skip. */
import { describe, expect, test } from "vitest";
import type { TaskStep } from "../../src/tasks.ts";
import {
  EventBus,
  StandardExecutionStrategy,
  TaskGraphValidationError,
  TaskGraphValidator,
  TaskRunner,
  TaskStateManager,
  WorkflowExecutor,
} from "../../src/tasks.ts";
import { fails, statuses, step, turns } from "./tasks.ts";

type Visits = { visited: string[] };

/** Steps that write down when they were entered. */
function visits(graph: Record<string, string[]>): TaskStep<Visits>[] {
  return Object.entries(graph).map(([name, dependencies]) =>
    step<Visits>(name, dependencies, ({ visited }) => {
      visited.push(name);
    }),
  );
}

describe("order", () => {
  test("1: a task runs behind what it depends on", async () => {
    const context: Visits = { visited: [] };
    const results = await new TaskRunner(context).execute(visits({ A: [], B: ["A"] }));
    expect(context.visited).toEqual(["A", "B"]);
    expect(statuses(results)).toEqual({ A: "success", B: "success" });
    const chain: Visits = { visited: [] };
    await new TaskRunner(chain).execute(visits({ A: [], B: ["A"], C: ["B"] }));
    expect(chain.visited).toEqual(["A", "B", "C"]);
  });

  test("2: a diamond runs its sides between its ends", async () => {
    const context: Visits = { visited: [] };
    await new TaskRunner(context).execute(visits({ A: [], B: ["A"], C: ["A"], D: ["B", "C"], E: ["D"] }));
    const { visited } = context;
    expect(visited[0]).toBe("A");
    expect(new Set(visited.slice(1, 3))).toEqual(new Set(["B", "C"]));
    expect(visited.slice(3)).toEqual(["D", "E"]);
  });

  test("3: nothing to run is a run with a start and an end", async () => {
    const runner = new TaskRunner({});
    const told: string[] = [];
    runner.on("workflowStart", () => void told.push("start"));
    runner.on("workflowEnd", () => void told.push("end"));
    const results = await runner.execute([]);
    expect(results.size).toBe(0);
    expect(told).toEqual(["start", "end"]);
  });

  test("4: tasks that do not depend on one another run at the same time", async () => {
    const both = Promise.withResolvers<void>();
    let running = 0;
    // Each waits for the other to be entered: one after the other they would never end.
    const meet = (): Promise<void> => {
      if (++running === 2) both.resolve();
      return both.promise;
    };
    const results = await new TaskRunner({}).execute([step("A", [], meet), step("B", [], meet)]);
    expect(statuses(results)).toEqual({ A: "success", B: "success" });
    const ten = await new TaskRunner({}).execute(Array.from({ length: 10 }, (_, i) => step(`T${i}`)));
    expect([...ten.values()].filter(({ status }) => status === "success")).toHaveLength(10);
  });

  test("5: a grid in which each task depends on the whole layer before", async () => {
    const steps = Array.from({ length: 25 }, (_, i) => {
      const layer = Math.floor(i / 5);
      return step(`T${i}`, layer === 0 ? [] : Array.from({ length: 5 }, (__, k) => `T${(layer - 1) * 5 + k}`));
    });
    const results = await new TaskRunner({}).execute(steps);
    expect([...results.values()].filter(({ status }) => status === "success")).toHaveLength(25);
  });

  test("6: a failure does not touch the branches beside it", async () => {
    const results = await new TaskRunner({}).execute([
      step("A"),
      step("B", ["A"], () => fails("no")),
      step("C", ["B"]),
      step("D", ["A"]),
    ]);
    expect(statuses(results)).toEqual({ A: "success", B: "failure", C: "skipped", D: "success" });
  });

  test.each([
    [undefined, { A: "success", B: "success", C: "success", D: "success", E: "success", F: "success", G: "success" }],
    ["StepA", { A: "failure", B: "success", C: "success", D: "skipped", E: "skipped", F: "success", G: "success" }],
  ])("7: seven steps, of which %s fails", async (failing, expected) => {
    const context: Record<string, number> = {};
    const graph: Record<string, string[]> = { A: [], B: [], C: [], D: ["A"], E: ["A", "B", "D"], F: ["C"], G: ["F"] };
    const steps = Object.entries(graph).map(([letter, dependencies]) =>
      step<Record<string, number>>(
        `Step${letter}`,
        dependencies.map((one) => `Step${one}`),
        (data) => {
          if (`Step${letter}` === failing) throw new Error("no");
          data[letter] = 1;
        },
      ),
    );
    const results = await new TaskRunner(context).execute(steps);
    const found = Object.fromEntries([...results].map(([name, { status }]) => [name.slice(4), status]));
    expect(found).toEqual(expected);
    const succeeded = Object.keys(expected).filter((letter) => expected[letter as "A"] === "success");
    expect(Object.keys(context).toSorted()).toEqual(succeeded);
    if (failing !== undefined) expect(results.get("StepD")?.message).toContain("StepA");
  });

  test("8: what depends on two is ready once, behind the second", () => {
    const states = new TaskStateManager(new EventBus());
    const [a, b, c] = [step("A"), step("B"), step("C", ["A", "B"])];
    states.initialize([a, b, c]);
    expect(states.processDependencies()).toEqual([a, b]);
    states.markRunning(a);
    states.markCompleted(a, { status: "success" });
    expect(states.processDependencies()).toEqual([]);
    states.markRunning(b);
    expect(states.hasRunningTasks()).toBe(true);
    states.markCompleted(b, { status: "success" });
    expect(states.processDependencies()).toEqual([c]);
    expect(states.processDependencies()).toEqual([]);
    expect(states.hasPendingTasks()).toBe(false);
  });

  test("9: each task runs once, one at a time", async () => {
    const counts: Record<string, number> = {};
    const steps = ["A", "B", "C", "D"].map((name) =>
      step(name, name === "D" ? ["A", "B"] : [], () => {
        counts[name] = (counts[name] ?? 0) + 1;
      }),
    );
    await new TaskRunner({}).execute(steps, { concurrency: 1 });
    expect(counts).toEqual({ A: 1, B: 1, C: 1, D: 1 });
  });
});

describe("validation", () => {
  const validate = (graph: Record<string, string[]>) =>
    new TaskGraphValidator().validate(Object.entries(graph).map(([name, dependencies]) => step(name, dependencies)));

  test("10: a cycle is refused with its path", async () => {
    const refused = new TaskRunner({}).execute([step("A", ["B"]), step("B", ["A"])]);
    await expect(refused).rejects.toThrow("Task graph validation failed: Cycle detected: A -> B -> A");
    expect(validate({ A: ["B"], B: ["C"], C: ["A"] }).errors[0]?.message).toBe("Cycle detected: A -> B -> C -> A");
    const self = { type: "cycle", message: "Cycle detected: A -> A", details: { cyclePath: ["A", "A"] } };
    expect(validate({ A: ["A"] }).errors).toEqual([self]);
    expect(validate({ A: ["B"], B: ["C"], C: ["B"] }).errors[0]?.details).toEqual({ cyclePath: ["B", "C", "B"] });
  });

  test("11: a missing dependency is refused by name, before anything is told or run", async () => {
    const told: string[] = [];
    const runner = new TaskRunner({}).use({ name: "p", version: "1", install: () => void told.push("installed") });
    runner.on("workflowStart", () => void told.push("start"));
    const error: unknown = await runner.execute([step("A", ["B"])] as TaskStep[]).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(TaskGraphValidationError);
    expect(error).toMatchObject({
      name: "TaskGraphValidationError",
      message: "Task graph validation failed: Task 'A' depends on missing task 'B'",
      result: {
        isValid: false,
        errors: [{ type: "missing_dependency", details: { taskId: "A", missingDependencyId: "B" } }],
      },
    });
    expect(told).toEqual([]);
  });

  test("12: duplicates are refused, beside a cycle; missing dependencies hide cycles", () => {
    const twice = new TaskGraphValidator().validate([step("A"), step("A")]);
    expect(twice.errors).toEqual([
      { type: "duplicate_task", message: "Duplicate task detected with ID: A", details: { taskId: "A" } },
    ]);
    const both = new TaskGraphValidator().validate([step("A"), step("A"), step("B", ["C"]), step("C", ["B"])]);
    expect(both.errors.map(({ type }) => type)).toEqual(["duplicate_task", "cycle"]);
    const hidden = validate({ A: ["B"], B: ["A"], C: ["X"] });
    expect(hidden.errors.map(({ type }) => type)).toEqual(["missing_dependency"]);
  });

  test("13: valid graphs have no errors, however deep; several problems are one message", async () => {
    expect(validate({ A: [], B: ["A"], C: ["A"], D: ["B", "C"] })).toEqual({ isValid: true, errors: [] });
    expect(validate({})).toEqual({ isValid: true, errors: [] });
    const deep = Array.from({ length: 20_000 }, (_, i) => step(`T${i}`, i === 19_999 ? [] : [`T${i + 1}`]));
    expect(new TaskGraphValidator().validate(deep).isValid).toBe(true);
    const refused = new TaskRunner({}).execute([step("A", ["X"]), step("B", ["Y"])] as TaskStep[]);
    await expect(refused).rejects.toThrow(
      "Task graph validation failed: Task 'A' depends on missing task 'X'; Task 'B' depends on missing task 'Y'",
    );
  });
});

describe("failure and skip", () => {
  test("14: what a task throws is its error", async () => {
    const results = await new TaskRunner({}).execute([
      step("A", [], () => {
        throw new Error("m");
      }),
      step("B", [], () => {
        throw "text";
      }),
    ]);
    expect(results.get("A")).toMatchObject({ status: "failure", error: "m" });
    expect(results.get("B")).toMatchObject({ status: "failure", error: "text" });
  });

  test("15: a skip names the direct dependency and its error, and goes on down the graph", async () => {
    const results = await new TaskRunner({}).execute([
      step("A", [], () => fails("broken")),
      step("B", ["A"]),
      step("C", ["B"]),
      step("X", [], () => fails()),
      step("Y", ["X"]),
    ]);
    expect(results.get("B")?.message).toBe("Skipped because dependency 'A' failed: broken");
    expect(results.get("C")?.message).toBe("Skipped because dependency 'B' failed");
    expect(results.get("Y")?.message).toBe("Skipped because dependency 'X' failed");
    // Where it began is a field of its own.
    expect(results.get("C")?.cause).toEqual({ task: "A", status: "failure" });
  });

  test("16: the first end of a task counts", () => {
    const states = new TaskStateManager(new EventBus());
    const [a, b] = [step("A"), step("B", ["A"])];
    states.initialize([a, b]);
    states.markSkipped(b, { status: "skipped", message: "skip1" });
    states.markSkipped(b, { status: "skipped", message: "skip2" });
    expect(states.getResults().get("B")?.message).toBe("skip1");
    states.processDependencies();
    states.markCompleted(a, { status: "success", message: "done" });
    states.markCompleted(a, { status: "failure", message: "again" });
    states.cancelAllPending("cancelled");
    expect(states.getResults().get("A")?.message).toBe("done");
    expect(states.getResults().get("B")?.message).toBe("skip1");
  });

  test("17: continueOnError satisfies dependents with a failure, and with nothing else", async () => {
    const go = { continueOnError: true };
    const run = async (steps: TaskStep[]) => new TaskRunner({}).execute(steps);
    const first = await run([step("A", [], () => fails("x"), go), step("B", ["A"]), step("C", ["B"])]);
    expect(statuses(first)).toEqual({ A: "failure", B: "success", C: "success" });
    const both = await run([step("A", [], () => fails(), go), step("B", [], () => fails()), step("C", ["A", "B"])]);
    expect(both.get("C")).toMatchObject({ status: "skipped", message: "Skipped because dependency 'B' failed" });
    const cancelled = await run([step("A", [], () => ({ status: "cancelled" }), go), step("B", ["A"])]);
    expect(statuses(cancelled)).toEqual({ A: "cancelled", B: "skipped" });
  });

  test.each([
    [new Error("boom"), "boom"],
    ["boom", "boom"],
  ])("18: a strategy that throws %s fails the task", async (thrown, error) => {
    const strategy = {
      execute: () => {
        throw thrown;
      },
    };
    const expected = { status: "failure", message: "Execution strategy failed.", error };
    const results = await new TaskRunner({}).setExecutionStrategy(strategy).execute([step("A")]);
    expect(results.get("A")).toMatchObject(expected);
    const events = new EventBus();
    const executor = new WorkflowExecutor({}, events, new TaskStateManager(events), strategy);
    const raw = await executor.execute([step("A")]);
    expect(raw.get("A")).toMatchObject(expected);
  });

  test("a graph that was not validated ends all the same: what waits for itself is cancelled", async () => {
    const events = new EventBus();
    const strategy = new StandardExecutionStrategy();
    const executor = new WorkflowExecutor({}, events, new TaskStateManager(events), strategy, 1);
    const results = await executor.execute([step("A"), step("B", ["C"]), step("C", ["B"]), step("D", ["A"])]);
    await turns();
    expect(statuses(results)).toEqual({ A: "success", D: "success", B: "cancelled", C: "cancelled" });
  });
});
