/** The texts that users of task runners have in their logs and compare in their tests: they do not change. */

/** Messages of results and of errors. A name in angle brackets stands for what is put there. */
export const ExecutionConstants: Readonly<Record<MessageName, string>> = Object.freeze({
  CANCELLED_BEFORE_START: "Workflow cancelled before execution started.",
  WORKFLOW_CANCELLED: "Workflow cancelled.",
  TASK_CANCELLED_BEFORE_START: "Cancelled before execution started.",
  CANCELLED_DURING_CONDITION: "Cancelled during condition evaluation.",
  CONDITION_EVALUATION_FAILED: "Condition evaluation failed",
  SKIPPED_BY_CONDITION: "Skipped by condition evaluation.",
  EXECUTION_STRATEGY_FAILED: "Execution strategy failed.",
  TASK_CANCELLED: "Task cancelled during execution",
  CANCELLED_BEFORE_ATTEMPT: "Task cancelled before execution",
  CANCELLED_DURING_RETRY_DELAY: "Task cancelled during retry delay",
  CANCELLED_BEFORE_ITERATION: "Task cancelled before loop iteration",
  CANCELLED_DURING_LOOP_DELAY: "Task cancelled during loop delay",
  TASK_TIMED_OUT: "Task timed out after <ms>ms",
  LOOP_EXHAUSTED: "Task '<name>' reached maximum loop iterations (<n>) without meeting condition.",
  DEPENDENCY_FAILED: "Skipped because dependency '<name>' failed",
  DRY_RUN: "Dry run: simulated success <name>",
  PLUGIN_DUPLICATE: "Plugin with name '<name>' is already registered.",
  DUPLICATE_TASK: "Duplicate task detected with ID: <name>",
  MISSING_DEPENDENCY: "Task '<name>' depends on missing task '<dependency>'",
  CYCLE: "Cycle detected: <path>",
  INVALID_GRAPH: "Task graph validation failed: <problems>",
});

type MessageName =
  | "CANCELLED_BEFORE_START"
  | "WORKFLOW_CANCELLED"
  | "TASK_CANCELLED_BEFORE_START"
  | "CANCELLED_DURING_CONDITION"
  | "CONDITION_EVALUATION_FAILED"
  | "SKIPPED_BY_CONDITION"
  | "EXECUTION_STRATEGY_FAILED"
  | "TASK_CANCELLED"
  | "CANCELLED_BEFORE_ATTEMPT"
  | "CANCELLED_DURING_RETRY_DELAY"
  | "CANCELLED_BEFORE_ITERATION"
  | "CANCELLED_DURING_LOOP_DELAY"
  | "TASK_TIMED_OUT"
  | "LOOP_EXHAUSTED"
  | "DEPENDENCY_FAILED"
  | "DRY_RUN"
  | "PLUGIN_DUPLICATE"
  | "DUPLICATE_TASK"
  | "MISSING_DEPENDENCY"
  | "CYCLE"
  | "INVALID_GRAPH";

/** The message with its places filled in, in their order. */
export function message(name: MessageName, ...filled: readonly (string | number)[]): string {
  let at = 0;
  return ExecutionConstants[name].replaceAll(/<\w+>/gu, () => String(filled[at++] ?? ""));
}

/** Why a task was skipped, if a dependency is to blame: its name, and its error if it has one. */
export function skippedBecause(dependency: string, error: string | undefined): string {
  const text = message("DEPENDENCY_FAILED", dependency);
  return error === undefined || error === "" ? text : `${text}: ${error}`;
}

/** The words of something thrown. */
export function textOfThrown(thrown: unknown): string {
  try {
    return thrown instanceof Error || Error.isError(thrown) ? thrown.message : String(thrown);
  } catch {
    return "something was thrown that cannot be looked at";
  }
}
