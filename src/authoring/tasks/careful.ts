/** How a task is entered that has more to it than a function: a condition, retries, a loop, a limit of time, further tasks. */
import { looped, retried } from "./again.ts";
import { attempt, resultOfThrown, thrownOf } from "./attempt.ts";
import type { Deadlines } from "./deadlines.ts";
import type { RunnerEvent, RunnerEventPayloads } from "./events.ts";
import type { Graph } from "./graph.ts";
import { buildGraph } from "./graph.ts";
import { message, textOfThrown } from "./messages.ts";
import { stateOf } from "./plan.ts";
import type { IExecutionStrategy } from "./strategy.ts";
import { executeBy } from "./strategy.ts";
import type { TaskResult, TaskStep } from "./step.ts";
import { furtherOf, under } from "./expand.ts";
import type { Surroundings } from "./tools.ts";
import { Tools } from "./tools.ts";
import { inTurns } from "./turn.ts";

/** What entering a task needs of its run. */
export type Careful<C> = Surroundings & {
  readonly context: C;
  readonly signal: AbortSignal | undefined;
  readonly stopped: boolean;
  readonly dryRun: boolean;
  readonly strategy: IExecutionStrategy<C> | undefined;
  readonly deadlines: Deadlines;
  readonly asking: Set<number>;
  begin(task: number, now: number): number;
  tell<E extends RunnerEvent>(event: E, payload: RunnerEventPayloads<C>[E]): void;
  /** Takes the further tasks of a task that returned. Throws for those that cannot be carried out. */
  prepare(task: number, further: Graph<C>): void;
};

/** Whether a task is just a function that is called once, within its limit of time if it has one. */
export function isPlain<C>(step: TaskStep<C>, run: Careful<C>): boolean {
  return (
    step.condition === undefined &&
    step.retry === undefined &&
    step.loop === undefined &&
    step.expand === undefined &&
    run.strategy === undefined &&
    !run.dryRun
  );
}

/** Asks the condition of a task, enters it, and finds out which further tasks it has. Never rejects. */
export async function carefully<C>(run: Careful<C>, task: number, step: TaskStep<C>): Promise<unknown> {
  const { signal } = run;
  const refused = step.condition === undefined ? undefined : await ask(run, task, step);
  if (refused !== undefined) return refused;
  run.begin(task, performance.now());
  if (run.dryRun) return { status: "success", message: message("DRY_RUN", step.name) };
  const tools = new Tools(run, task);
  let value: unknown;
  try {
    value =
      run.strategy === undefined
        ? await again(run, step, signal, tools)
        : await executeBy(run.strategy, step, run.context, signal, tools);
  } catch (thrown) {
    return failedBy(thrown, message("EXECUTION_STRATEGY_FAILED"));
  }
  return step.expand === undefined ? value : expand(run, task, step, checkedResult(step.name, value));
}

/** Whether a task returned what it should. */
export function isResult(value: unknown): value is TaskResult {
  return stateOf(statusIn(value)) !== undefined;
}

/** What a task returned, or why that is no result. */
export function checkedResult(name: string, value: unknown): TaskResult {
  if (isResult(value)) return value;
  const found = typeof value === "object" && value !== null ? `status ${textOfThrown(statusIn(value))}` : typeof value;
  const error = `Expected task '${name}' to return an object with a status of "success", "failure", "skipped" or "cancelled", got ${value === null ? "null" : found}.`;
  return { status: "failure", error };
}

/** The status of what a task returned, if it has one that can be looked at. */
export function statusIn(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  try {
    return (value as TaskResult).status;
  } catch {
    return undefined;
  }
}

async function again<C>(
  run: Careful<C>,
  step: TaskStep<C>,
  signal: AbortSignal | undefined,
  tools: Tools,
): Promise<TaskResult> {
  let attempts = 0;
  const enter = async (): Promise<TaskResult> => {
    attempts++;
    return checkedResult(step.name, await attempt(step, run.context, signal, tools, run.deadlines));
  };
  if (step.retry === undefined && step.loop === undefined) return enter();
  const result = await looped(step, run.context, signal, () =>
    retried(step, signal, enter, (failed, ofAttempt, delay) =>
      run.tell("taskRetry", { step, attempt: failed, delay, result: ofAttempt }),
    ),
  );
  const thrown = thrownOf(result);
  return { ...(thrown === undefined ? result : resultOfThrown(thrown.thrown, undefined)), attempts };
}

/** What becomes of a task whose condition does not let it run; undefined if it does. */
async function ask<C>(run: Careful<C>, task: number, step: TaskStep<C>): Promise<TaskResult | undefined> {
  run.asking.add(task);
  try {
    const may = await step.condition?.(run.context);
    if (run.stopped && step.trigger !== "finally") {
      return { status: "cancelled", message: message("CANCELLED_DURING_CONDITION") };
    }
    return may ? undefined : { status: "skipped", message: message("SKIPPED_BY_CONDITION") };
  } catch (thrown) {
    const isError = thrown instanceof Error || Error.isError(thrown);
    return failedBy(thrown, isError ? textOfThrown(thrown) : message("CONDITION_EVALUATION_FAILED"));
  } finally {
    run.asking.delete(task);
  }
}

function failedBy(thrown: unknown, text: string): TaskResult {
  return Object.assign(resultOfThrown(thrown, undefined), { message: text });
}

async function expand<C>(run: Careful<C>, task: number, step: TaskStep<C>, result: TaskResult): Promise<TaskResult> {
  if (result.status !== "success") return result;
  try {
    const further = furtherOf(step, result, run.context);
    if (further.length > 0) {
      const prefix = `${run.nameOf(task)}/`;
      run.prepare(task, await inTurns(buildGraph(further.map((one) => under(prefix, one)))));
    }
    return result;
  } catch (thrown) {
    return resultOfThrown(thrown, undefined);
  }
}
