/**
 * A task as a step of the engine: what goes into its record and what comes out of it. It works on a copy of the context,
 * and what it changed there is part of its outcome; so an attempt that failed, timed out or was killed has changed nothing.
 */
import { StemmaError } from "../../core/error.ts";
import type { Json } from "../../core/json.ts";
import { decode, encode } from "../../core/json.ts";
import type { RetryPolicy } from "../../core/retry.ts";
import type { StepAsk, StepTools } from "../../engine/body.ts";
import { StepError } from "../../engine/failure.ts";
import { fatal, verdictOf } from "../../engine/verdict.ts";
import { furtherAttempts, looped, retried, retryDelay } from "./again.ts";
import { attempt } from "./attempt.ts";
import { checkedResult, isResult } from "./careful.ts";
import type { ContextPatch } from "./context-patch.ts";
import { patchOf } from "./context-patch.ts";
import { message, textOfThrown } from "./messages.ts";
import type { TaskResult, TaskRetryConfig, TaskStep, TaskTools } from "./step.ts";
import { inputs } from "./tools.ts";

/** What a task is given, as it is recorded: by this it is recognised. */
export type TaskInput = { context?: Json; results?: Record<string, TaskResult> };

/** What a task put out, as it is recorded. */
export type TaskOutput = { result: TaskResult; changes?: ContextPatch };

/** A fork may put something else in the place of an output: a result, or just its data. */
export function outputOf(value: unknown): TaskOutput {
  if (isResult(value)) return { result: value };
  const { result } = (value ?? {}) as Partial<TaskOutput>;
  return isResult(result) ? (value as TaskOutput) : { result: { status: "success", data: value } };
}

/** A failure that the task itself returned. */
class TaskFailure extends Error {
  override readonly name = "TaskFailure";
  readonly data: TaskResult;

  constructor(result: TaskResult) {
    super(result.error ?? result.message ?? "The task returned a failure.");
    this.data = result;
  }
}

/** What was thrown that is no error, as one: its words are those of what was thrown. */
class Thrown extends Error {
  override readonly name = "Error";
  readonly code = "step.threw_non_error";
  readonly data: unknown;

  constructor(thrown: unknown) {
    super(textOfThrown(thrown));
    this.data = thrown;
  }
}

/** Told of an attempt that failed and will be followed by another, behind a delay in milliseconds. */
type OnRetry = (attempt: number, delayMs: number, result: TaskResult) => void;

/** Told of what happens. `onStart`: the task runs, which one whose condition is not met never does. */
export type Hearer = { onStart: () => void; onRetry: OnRetry };

/** Carries out a task within an attempt of the engine. Throws if it failed. */
export async function carryOut<C>(
  step: TaskStep<C>,
  given: TaskInput,
  tools: StepTools,
  hearer: Hearer,
): Promise<TaskOutput> {
  const before = given.context;
  const context = structuredClone(before) as C;
  let result: TaskResult;
  try {
    result = await enter(step, context, given.results ?? {}, tools, hearer);
    if (result.status === "failure") throw new TaskFailure(result);
    // What comes behind the end of its time is of no account, as in memory.
    if (isTimeout(tools.abort.reason)) throw tools.abort.reason as Error;
  } catch (thrown) {
    const error = isTimeout(tools.abort.reason) ? (tools.abort.reason as Error) : asError(thrown);
    tellRetry(step, tools, error, hearer.onRetry);
    throw error;
  }
  const { metrics: _, ...kept } = result;
  const changes = before === undefined ? undefined : patchOf(before, contextOf(step.name, context));
  return { result: kept, ...(changes === undefined ? {} : { changes }) };
}

async function enter<C>(
  step: TaskStep<C>,
  context: C,
  known: Record<string, TaskResult>,
  { abort, idempotencyKey }: StepTools,
  { onStart, onRetry }: Hearer,
): Promise<TaskResult> {
  if (!(await mayRun(step, context))) return { status: "skipped", message: message("SKIPPED_BY_CONDITION") };
  onStart();
  const results = inputs(step.name, step.dependencies ?? [], (name) =>
    Object.hasOwn(known, name) ? known[name] : undefined,
  );
  const tools: TaskTools = { results, idempotencyKey };
  if (step.loop === undefined) return checkedResult(step.name, await step.run(context, abort, tools));
  const once = async (): Promise<TaskResult> => checkedResult(step.name, await attempt(step, context, abort, tools));
  return looped(step, context, abort, () =>
    retried(step, abort, once, (failed, result, delayMs) => onRetry(failed, delayMs, result)),
  );
}

/** Asks the condition. One that throws fails the task, and is not asked again. */
async function mayRun<C>(step: TaskStep<C>, context: C): Promise<boolean> {
  try {
    return step.condition === undefined || (await step.condition(context));
  } catch (thrown) {
    const error = textOfThrown(thrown);
    const text = isError(thrown) ? error : message("CONDITION_EVALUATION_FAILED");
    throw fatal(new TaskFailure({ status: "failure", message: text, error }));
  }
}

/** The delay is the one that the engine takes, but for what it leaves to chance. */
function tellRetry<C>(step: TaskStep<C>, tools: StepTools, error: Error, onRetry: OnRetry): void {
  const { retry, loop } = step;
  const failed = tools.attempt;
  if (retry === undefined || loop !== undefined || failed > furtherAttempts(retry) || verdictOf(error).fatal === true)
    return;
  try {
    if (!mayHelp(step, retry, error, failed)) return;
  } catch {
    // The engine asks again, and says what is wrong.
    return;
  }
  onRetry(failed, retryDelay(retry, failed, 0), failureOf(step, error));
}

/** Answers that were given, by what the attempt failed with: the engine asks, and so does who tells of a retry. */
const answers = new WeakMap<Error, boolean>();

/** Whether another attempt may help. Asked once for each that failed. Throws what the predicate throws. */
function mayHelp<C>(step: TaskStep<C>, { shouldRetry }: TaskRetryConfig, error: Error, failed: number): boolean {
  if (shouldRetry === undefined) return true;
  let answer = answers.get(error);
  if (answer === undefined) {
    const thrown = error instanceof Thrown ? error.data : error;
    const result = failureOf(step, error);
    answer = error instanceof TaskFailure ? shouldRetry(result, failed) : shouldRetry(result, failed, thrown);
    answers.set(error, answer);
  }
  return answer;
}

/** What an attempt failed with, as a result. */
function failureOf<C>({ timeout }: TaskStep<C>, error: Error): TaskResult {
  if (error instanceof TaskFailure) return error.data;
  const timedOut = isTimeout(error) && timeout !== undefined;
  return { status: "failure", error: timedOut ? message("TASK_TIMED_OUT", timeout) : textOfThrown(error) };
}

/** Whether it is what the engine aborts an attempt with whose time is over. */
function isTimeout(reason: unknown): boolean {
  return reason instanceof StemmaError && reason.code === "step.timed_out";
}

function asError(thrown: unknown): Error {
  return isError(thrown) ? thrown : new Thrown(thrown);
}

function isError(thrown: unknown): thrown is Error {
  return thrown instanceof Error || Error.isError(thrown);
}

/** The context as JSON. What is not is refused, and trying again would not help. */
function contextOf(task: string, context: unknown): Json {
  try {
    return decode(encode(context, `context behind task ${task}`) ?? "null");
  } catch (error) {
    throw fatal(error);
  }
}

/** What the engine is asked besides: retries and limits of time. A loop carries out both by itself, in one attempt. */
export function engineOptions<C>(step: TaskStep<C>): Pick<StepAsk, "retry" | "timeout" | "version"> {
  const { retry, timeout, loop } = step;
  const version = step.version === undefined ? {} : { version: step.version };
  if (loop !== undefined) return version;
  return {
    ...version,
    ...(retry === undefined ? {} : { retry: retryOf(step, retry) }),
    ...(timeout === undefined || !(timeout > 0) ? {} : { timeout: { attemptMs: timeout } }),
  };
}

/** A number that a record can hold, for those who want to go on for ever. */
const attemptsMax = 1_000_000;

function retryOf<C>(step: TaskStep<C>, retry: TaskRetryConfig): NonNullable<StepAsk["retry"]> {
  const { delay, backoff, maxDelay, jitter = 0, shouldRetry } = retry;
  const policy: RetryPolicy = {
    attempts: Math.min(Math.floor(furtherAttempts(retry)) + 1, attemptsMax),
    delayMs: delay,
    factor: backoff === "exponential" ? 2 : 1,
    maxDelayMs: maxDelay ?? Number.MAX_SAFE_INTEGER,
    jitter,
  };
  if (shouldRetry === undefined) return { policy };
  return { policy, retryIf: (thrown, failed) => mayHelp(step, retry, asError(thrown), failed) };
}

/** The result of a task of which all attempts failed, from what is recorded of the last. */
export function resultOfError<C>(step: TaskStep<C>, error: Error): TaskResult {
  const { name, data } = error as Partial<StepError>;
  if (name === "TaskFailure" && typeof data === "object" && data !== null) return data as unknown as TaskResult;
  const timedOut = error instanceof StepError && error.code === "step.timed_out" && step.timeout !== undefined;
  if (timedOut) return { status: "failure", error: message("TASK_TIMED_OUT", step.timeout ?? 0) };
  return { status: "failure", error: error.message };
}

/** Throws usage.invalid for a context that cannot be recorded. */
export function checkContext(context: unknown): void {
  try {
    encode(context, "context of the tasks");
  } catch (error) {
    throw new StemmaError(
      "usage.invalid",
      `Expected the context of durable tasks to be JSON: ${textOfThrown(error)} Keep what is not in variables of the module.`,
      { cause: error },
    );
  }
}
