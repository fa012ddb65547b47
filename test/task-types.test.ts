/** What an editor knows of a graph of tasks: its names, what depends on what, and what each task puts out. */
import { describe, expectTypeOf, it } from "vitest";
import type { RunnerEventPayloads, TaskResult, TaskStep, TaskTools } from "../src/tasks.ts";
import { mapTask, subTasks, TaskRunner } from "../src/tasks.ts";

type Context = { url: string };
type Execute<S extends readonly TaskStep<Context>[]> = (steps: S) => unknown;

const runner = new TaskRunner<Context>({ url: "" });
const done = async (): Promise<{ status: "success" }> => ({ status: "success" });

describe("types of tasks", () => {
  it("of names that are written out are checked, and of results those that the task puts out", () => {
    const run = () =>
      runner.execute([
        {
          name: "fetch",
          run: async (context) => {
            expectTypeOf(context).toEqualTypeOf<Context>();
            return { status: "success", data: [context.url] };
          },
        },
        { name: "count", dependencies: ["fetch"], run: async () => ({ status: "success", data: 1 }) },
        { name: "silent", dependencies: ["fetch", "count"], run: done },
        mapTask("sizes", { dependencies: ["fetch"], items: () => ["a"], run: (item) => item.length }),
        subTasks("nested", {}, [{ name: "inner", run: done }]),
      ]);
    type Results = Awaited<ReturnType<typeof run>>;
    const look = (results: Results) => {
      expectTypeOf(results.get("fetch")).toEqualTypeOf<TaskResult<string[]>>();
      expectTypeOf(results.get("count")).toEqualTypeOf<TaskResult<number>>();
      expectTypeOf(results.get("silent")).toEqualTypeOf<TaskResult>();
      expectTypeOf(results.get("sizes")).toEqualTypeOf<TaskResult<number[]>>();
      expectTypeOf(results.get("nested")).toEqualTypeOf<TaskResult<Record<string, unknown>>>();
      // Further tasks are known by name only when the graph runs.
      expectTypeOf(results.get("sizes/0")).toEqualTypeOf<TaskResult | undefined>();
      const asBefore: Map<string, TaskResult> = results;
      expectTypeOf(asBefore.size).toBeNumber();
    };
    expectTypeOf(look).toBeFunction();
  });

  it("refuse a dependency that is not there, if all names are written out", () => {
    const wrong = () =>
      runner.execute([
        { name: "a", run: done },
        // @ts-expect-error there is no task of this name
        { name: "b", dependencies: ["A"], run: done },
      ]);
    const constant = [
      { name: "a", run: done },
      { name: "b", dependencies: ["x"], run: done },
    ] as const;
    // @ts-expect-error there is no task x
    const refused = () => runner.execute(constant);
    expectTypeOf([wrong, refused]).toBeArray();
  });

  it("refuse a context that the runner does not have, and a status that is none", () => {
    const other: TaskStep<{ path: string }> = { name: "a", run: done };
    const context = () =>
      runner.execute([
        {
          name: "b",
          // @ts-expect-error this step needs another context
          run: async ({ path }: { path: string }) => ({ status: path }),
        },
      ]);
    // @ts-expect-error there is no such status
    const status = () => runner.execute([{ name: "a", run: async () => ({ status: "done" }) }]);
    expectTypeOf([other, context, status]).toBeArray();
  });

  it("of steps that are made at run time are those of any graph", () => {
    const steps: TaskStep<Context>[] = [];
    const run = () => runner.execute(steps);
    expectTypeOf(run).returns.resolves.toEqualTypeOf<Map<string, TaskResult>>();
    expectTypeOf<Execute<TaskStep<Context>[]>>().toBeFunction();
  });

  it("of what dependencies put out are those that the task says it expects", () => {
    const step: TaskStep<Context> = {
      name: "count",
      dependencies: ["list"],
      run: async (context, signal, { results }: TaskTools<{ list: string[] }>) => {
        expectTypeOf(signal).toEqualTypeOf<AbortSignal | undefined>();
        expectTypeOf(results.data("list")).toEqualTypeOf<string[]>();
        expectTypeOf(results.get("list")).toEqualTypeOf<TaskResult<string[]> | undefined>();
        // @ts-expect-error it does not say that it expects this one
        const other = () => results.data("other");
        expectTypeOf(other).toBeFunction();
        return { status: "success", data: context.url };
      },
    };
    expectTypeOf(step.name).toEqualTypeOf<string>();
  });

  it("of what is told are those of the event", () => {
    runner.on("taskEnd", ({ step, result, runId }) => {
      expectTypeOf(step).toEqualTypeOf<TaskStep<Context>>();
      expectTypeOf(result).toEqualTypeOf<TaskResult>();
      expectTypeOf(runId).toEqualTypeOf<string | undefined>();
    });
    expectTypeOf<RunnerEventPayloads<Context>["workflowEnd"]["results"]>().toEqualTypeOf<Map<string, TaskResult>>();
  });
});
