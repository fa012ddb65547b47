/** Whoever comes from a task runner finds every name that they import under `stemma/tasks`. */
import { expect, expectTypeOf, test } from "vitest";
import * as tasks from "../src/tasks.ts";
import type {
  IExecutionStrategy,
  Plugin,
  PluginContext,
  RunnerEventPayloads,
  TaskLoopConfig,
  TaskResult,
  TaskRetryConfig,
  TaskRunnerExecutionConfig,
  TaskSnapshot,
  TaskStatus,
  TaskStep,
} from "../src/tasks.ts";

test.each([
  "TaskRunner",
  "TaskRunnerBuilder",
  "TaskStateManager",
  "WorkflowExecutor",
  "EventBus",
  "TaskGraphValidator",
  "TaskGraphValidationError",
  "StandardExecutionStrategy",
  "RetryingExecutionStrategy",
  "DryRunExecutionStrategy",
  "LoopingExecutionStrategy",
  "LoggerPlugin",
])("%s is a class", (name) => {
  const found = new Map<string, unknown>(Object.entries(tasks)).get(name);
  expect(found).toBeInstanceOf(Function);
  expect(found).toHaveProperty("name", name);
});

test("the texts are an object that nobody can change", () => {
  expect(Object.isFrozen(tasks.ExecutionConstants)).toBe(true);
});

test("the parts fit together as they do there", async () => {
  const events = new tasks.EventBus<object>();
  const states = new tasks.TaskStateManager<object>(events);
  const strategy: IExecutionStrategy<object> = new tasks.RetryingExecutionStrategy(
    new tasks.StandardExecutionStrategy(),
  );
  const seen: string[] = [];
  const plugin: Plugin<object> = {
    name: "seeing",
    version: "1.0.0",
    install: (context: PluginContext<object>) => {
      context.events.on("taskEnd", ({ step }: RunnerEventPayloads<object>["taskEnd"]) => void seen.push(step.name));
    },
  };
  await plugin.install({ events });
  const retry: TaskRetryConfig = { attempts: 1, delay: 0, backoff: "exponential" };
  const loop: TaskLoopConfig<object> = { until: () => true, interval: 0, maxIterations: 1 };
  const steps: TaskStep<object>[] = [
    { name: "a", retry, run: async () => ({ status: "success" }) },
    { name: "b", dependencies: ["a"], loop, run: async (): Promise<TaskResult> => ({ status: "success" }) },
  ];
  const results = await new tasks.WorkflowExecutor<object>({}, events, states, strategy, 1).execute(steps);
  const statuses: TaskStatus[] = [...results.values()].map(({ status }) => status);
  expect(statuses).toEqual(["success", "success"]);
  expect(seen).toEqual(["a", "b"]);
  const snapshot: TaskSnapshot = states.getSnapshot();
  expect(Object.keys(snapshot)).toEqual(["a", "b"]);
  const config: TaskRunnerExecutionConfig = { timeout: 1000, concurrency: 2, dryRun: false };
  expectTypeOf(config.signal).toEqualTypeOf<AbortSignal | undefined>();
});
