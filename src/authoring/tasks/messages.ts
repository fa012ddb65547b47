/** The texts that users of task runners have in their logs and compare in their tests: they do not change. */

/** Messages of results and of errors. A name in angle brackets stands for what is put there. */
export const ExecutionConstants: Readonly<Record<MessageName, string>> = Object.freeze({
  cancelledBeforeExecution: "Workflow cancelled before execution started.",
  workflowCancelled: "Workflow cancelled.",
  cancelledBeforeStart: "Cancelled before execution started.",
  cancelledInCondition: "Cancelled during condition evaluation.",
  conditionFailed: "Condition evaluation failed",
  conditionFalse: "Skipped by condition evaluation.",
  strategyFailed: "Execution strategy failed.",
  taskCancelled: "Task cancelled during execution",
  cancelledBeforeAttempt: "Task cancelled before execution",
  cancelledInRetryDelay: "Task cancelled during retry delay",
  cancelledBeforeIteration: "Task cancelled before loop iteration",
  cancelledInLoopDelay: "Task cancelled during loop delay",
  taskTimedOut: "Task timed out after <ms>ms",
  loopExhausted: "Task '<name>' reached maximum loop iterations (<n>) without meeting condition.",
  dependencyFailed: "Skipped because dependency '<name>' failed",
  dryRun: "Dry run: simulated success <name>",
  pluginDuplicate: "Plugin with name '<name>' is already registered.",
  duplicateTask: "Duplicate task detected with ID: <name>",
  missingDependency: "Task '<name>' depends on missing task '<dependency>'",
  cycle: "Cycle detected: <path>",
  invalidGraph: "Task graph validation failed: <problems>",
});

type MessageName =
  | "cancelledBeforeExecution"
  | "workflowCancelled"
  | "cancelledBeforeStart"
  | "cancelledInCondition"
  | "conditionFailed"
  | "conditionFalse"
  | "strategyFailed"
  | "taskCancelled"
  | "cancelledBeforeAttempt"
  | "cancelledInRetryDelay"
  | "cancelledBeforeIteration"
  | "cancelledInLoopDelay"
  | "taskTimedOut"
  | "loopExhausted"
  | "dependencyFailed"
  | "dryRun"
  | "pluginDuplicate"
  | "duplicateTask"
  | "missingDependency"
  | "cycle"
  | "invalidGraph";

/** The message with its places filled in, in their order. */
export function message(name: MessageName, ...filled: readonly (string | number)[]): string {
  let at = 0;
  return ExecutionConstants[name].replaceAll(/<\w+>/gu, () => String(filled[at++] ?? ""));
}

/** Why a task was skipped, if a dependency is to blame: its name, and its error if it has one. */
export function skippedBecause(dependency: string, error: string | undefined): string {
  const text = message("dependencyFailed", dependency);
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
