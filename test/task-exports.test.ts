/** Whoever comes from a task runner finds every name that they import under `stemma/tasks`. */
import { expect, expectTypeOf, test, vi } from "vitest";
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
  "PluginManager",
  "PriorityQueue",
])("%s is a class", (name) => {
  const found = new Map<string, unknown>(Object.entries(tasks)).get(name);
  expect(found).toBeInstanceOf(Function);
  expect(found).toHaveProperty("name", name);
});

test("the texts are an object that nobody can change, by the names that they have there", () => {
  expect(Object.isFrozen(tasks.ExecutionConstants)).toBe(true);
  expect(tasks.ExecutionConstants).toMatchObject({
    CANCELLED_BEFORE_START: "Workflow cancelled before execution started.",
    TASK_CANCELLED_BEFORE_START: "Cancelled before execution started.",
    CANCELLED_DURING_CONDITION: "Cancelled during condition evaluation.",
    CONDITION_EVALUATION_FAILED: "Condition evaluation failed",
    SKIPPED_BY_CONDITION: "Skipped by condition evaluation.",
    EXECUTION_STRATEGY_FAILED: "Execution strategy failed.",
    WORKFLOW_CANCELLED: "Workflow cancelled.",
  });
});

test("a validator takes edges alone, too, and says in one line what is wrong", () => {
  const validator = new tasks.TaskGraphValidator();
  const loop = { id: "A", dependencies: ["A"] };
  const result = validator.validate({ tasks: [loop, { id: "A" }] });
  expect(result.errors.map(({ type }) => type)).toEqual([tasks.ERROR_DUPLICATE_TASK, tasks.ERROR_CYCLE]);
  expect(validator.createErrorMessage(result)).toBe(
    "Task graph validation failed: Duplicate task detected with ID: A; Cycle detected: A -> A",
  );
  const missing = validator.validate({ tasks: [{ id: "A", dependencies: ["B"] }] });
  expect(missing.errors.map(({ type }) => type)).toEqual([tasks.ERROR_MISSING_DEPENDENCY]);
  expect(validator.validate({ tasks: [] })).toEqual({ isValid: true, errors: [] });
});

test("plugins can be managed by hand: each is installed once, and one that failed again", async () => {
  const events = new tasks.EventBus<object>();
  const manager = new tasks.PluginManager<object>({ events });
  const installed: string[] = [];
  let broken = true;
  const plugin = (name: string, install: () => Promise<void> | void): Plugin<object> => ({
    name,
    version: "1.0.0",
    install: ({ events: given }) => {
      expect(given).toBe(events);
      installed.push(name);
      return install();
    },
  });
  const now = plugin("now", () => {});
  manager.use(now);
  manager.use(plugin("soon", async () => {}));
  manager.use(
    plugin("broken", () => {
      if (broken) throw new Error("no");
    }),
  );
  expect(() => manager.use(now)).toThrow("Plugin with name 'now' is already registered.");
  await expect(manager.initialize()).rejects.toThrow("no");
  broken = false;
  await manager.initialize();
  await manager.initialize();
  expect(installed).toEqual(["now", "soon", "broken", "broken"]);
  expect(manager.getPlugins().map(({ name }) => name)).toEqual(["now", "soon", "broken"]);
});

test("a queue gives the highest priority first, and of equals the first that came", () => {
  const queue = new tasks.PriorityQueue<string>();
  expect([queue.pop(), queue.peek(), queue.size(), queue.isEmpty()]).toEqual([undefined, undefined, 0, true]);
  for (const [item, priority] of [
    ["low", -1],
    ["first", 5],
    ["top", 9],
    ["second", 5],
  ] as const) {
    queue.push(item, priority);
  }
  expect([queue.peek(), queue.size(), queue.isEmpty()]).toEqual(["top", 4, false]);
  expect([queue.pop(), queue.pop(), queue.pop(), queue.pop(), queue.pop()]).toEqual([
    "top",
    "first",
    "second",
    "low",
    undefined,
  ]);
  queue.push("again", 1);
  queue.clear();
  expect([queue.pop(), queue.isEmpty()]).toEqual([undefined, true]);
});

test("an executor takes a concurrency that is no number for none, and refuses one below 1", async () => {
  const make = (concurrency: unknown): Promise<Map<string, TaskResult>> => {
    const events = new tasks.EventBus<object>();
    const states = new tasks.TaskStateManager(events);
    const strategy = new tasks.StandardExecutionStrategy<object>();
    const executor = new tasks.WorkflowExecutor({}, events, states, strategy, concurrency as number);
    return executor.execute([{ name: "A", run: async () => ({ status: "success" }) }]);
  };
  expect((await make("0")).get("A")?.status).toBe("success");
  expect(() => make(0)).toThrow("Expected concurrency to be a whole number from 1, got 0.");
});

test("sleeping ends in time, or with an error when it is aborted, and leaves nothing behind", async () => {
  const { sleep } = tasks;
  const never = AbortSignal.abort();
  await expect(sleep(0, never)).resolves.toBeUndefined();
  await expect(sleep(-1)).resolves.toBeUndefined();
  await expect(sleep(1)).resolves.toBeUndefined();
  await expect(sleep(1, never)).rejects.toThrow("AbortError");
  const controller = new AbortController();
  const removed = vi.spyOn(controller.signal, "removeEventListener");
  await sleep(1, controller.signal);
  expect(removed).toHaveBeenCalledWith("abort", expect.any(Function));
  const sleeping = sleep(2 ** 40, controller.signal);
  controller.abort();
  await expect(sleeping).rejects.toThrow("AbortError");
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
