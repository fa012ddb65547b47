/** `stemma/tasks`: graphs of tasks, in memory and durable. */

// run
export { TaskRunner } from "./authoring/tasks/runner.ts";
export { TaskRunnerBuilder } from "./authoring/tasks/builder.ts";
export { TaskGraphValidationError } from "./authoring/tasks/graph.ts";
export type { GraphProblem, TaskGraphValidation } from "./authoring/tasks/graph.ts";
export type { LoadOptions } from "./authoring/tasks/snapshot.ts";
export type { CheckedSteps, NamesOf, ResultsOf } from "./authoring/tasks/typed.ts";

// keep
export { taskWorkflow } from "./authoring/tasks/durable.ts";
export type { DurableOptions, DurableRunStart, DurableTasks } from "./authoring/tasks/durable.ts";

// describe
export { mapTask, subTasks } from "./authoring/tasks/expand.ts";
export type { MapTaskOptions } from "./authoring/tasks/expand.ts";
export type {
  TaskFilter,
  TaskInputs,
  TaskLoopConfig,
  TaskMetrics,
  TaskResult,
  TaskRetryConfig,
  TaskRunnerExecutionConfig,
  TaskRunOutcome,
  TaskSnapshot,
  TaskStatus,
  TaskStep,
  TaskTools,
  TaskTrigger,
} from "./authoring/tasks/step.ts";

// listen
export type { Plugin, PluginContext } from "./authoring/tasks/plugin.ts";
export type { EventOrigin, RunnerEvent, RunnerEventListener, RunnerEventPayloads } from "./authoring/tasks/events.ts";

// parts
export { EventBus } from "./authoring/tasks/events.ts";
export { ExecutionConstants } from "./authoring/tasks/messages.ts";
export {
  DryRunExecutionStrategy,
  LoggerPlugin,
  LoopingExecutionStrategy,
  RetryingExecutionStrategy,
  StandardExecutionStrategy,
  TaskGraphValidator,
  TaskStateManager,
  WorkflowExecutor,
} from "./authoring/tasks/parts.ts";
export type { TaskGraph } from "./authoring/tasks/parts.ts";
export {
  ERROR_CYCLE,
  ERROR_DUPLICATE_TASK,
  ERROR_MISSING_DEPENDENCY,
  PluginManager,
  PriorityQueue,
  sleep,
} from "./authoring/tasks/inner-parts.ts";
export type { IExecutionStrategy } from "./authoring/tasks/strategy.ts";
