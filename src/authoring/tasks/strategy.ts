/** How tasks are entered, for those who want to do it in another way. */
import { looped } from "./again.ts";
import type { TaskResult, TaskStep, TaskTools } from "./step.ts";

/**
 * Enters a task and says what became of it. One that hands on what dependencies gave takes `tools`, and gives them to
 * `step.run`; a strategy that does not name a fourth parameter is not given one.
 */
export type IExecutionStrategy<C = unknown> = {
  // A method, so that a strategy for any context fits all.
  // oxlint-disable-next-line typescript/method-signature-style
  execute(step: TaskStep<C>, context: C, signal?: AbortSignal, tools?: TaskTools): Promise<TaskResult>;
};

/** Calls a strategy as it is declared. */
export function executeBy<C>(
  strategy: IExecutionStrategy<C>,
  step: TaskStep<C>,
  context: C,
  signal: AbortSignal | undefined,
  tools: TaskTools | undefined,
): Promise<TaskResult> {
  return strategy.execute.length > 3
    ? strategy.execute(step, context, signal, tools)
    : strategy.execute(step, context, signal);
}

/** A strategy, and the loops of tasks around it. */
export function looping<C>(strategy: IExecutionStrategy<C>): IExecutionStrategy<C> {
  return {
    execute: (step, context, signal, tools) =>
      looped(step, context, signal, () => executeBy(strategy, step, context, signal, tools)),
  };
}
