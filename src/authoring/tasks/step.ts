/** The nouns of a task DAG, as its users write and read them: steps, what they are given, and what became of them. */
import type { ErrorRecord } from "../../core/event.ts";

/** How a task ended. There are no others: what has not ended has no result. */
export type TaskStatus = "success" | "failure" | "skipped" | "cancelled";

/** Milliseconds of `performance.now()`, all attempts and the delays between them included. */
export type TaskMetrics = { startTime: number; endTime: number; duration: number };

/** What became of a task. A task returns `status`, and `message`, `error` and `data` if it likes; the rest is added. */
export type TaskResult<D = unknown> = {
  status: TaskStatus;
  message?: string;
  /** Why it failed, in words. */
  error?: string;
  /** The output: what the tasks that depend on this one are given. */
  data?: D;
  metrics?: TaskMetrics;
  /** Of a task that was skipped because of another: the task where it began, however many lie between, and its end. */
  cause?: { task: string; status: TaskStatus };
  /** What was thrown, with its own causes, as plain JSON. */
  failure?: ErrorRecord;
  /** How often it was entered, if it may be entered again: retries and rounds of its loop count. */
  attempts?: number;
};

/** What is known of a run, by the names of its tasks: plain JSON, to be kept anywhere and given to `loadState`. */
export type TaskSnapshot = Record<string, TaskResult>;

export type TaskRetryConfig = {
  /** Further attempts behind the first. */
  attempts: number;
  /** Milliseconds before the first of them. */
  delay: number;
  /** Whether each delay is twice the one before. Default "fixed". */
  backoff?: "fixed" | "exponential";
  /** No delay is longer; milliseconds. Default: no cap. */
  maxDelay?: number;
  /** The share of a delay that is left to chance, from 0 to 1: of 0.5, between half and all of it. Default 0. */
  jitter?: number;
  /** Whether another attempt may help; `attempt` is the one that failed, from 1, and `thrown` what it threw, if so. */
  shouldRetry?: (result: TaskResult, attempt: number, thrown?: unknown) => boolean;
};

export type TaskLoopConfig<C = unknown> = {
  /** Whether it is done, asked after each round. */
  // A method, so that steps of one context can be handled by code that knows nothing of it.
  // oxlint-disable-next-line typescript/method-signature-style
  until(context: C, result: TaskResult): boolean | Promise<boolean>;
  /** Milliseconds between two rounds. Default 0. */
  interval?: number;
  /** Default 1. */
  maxIterations?: number;
};

/**
 * When a task may start, in view of how its dependencies ended. A failure with `continueOnError` counts as a success.
 *
 * - `all` (default): when all have succeeded; skipped as soon as one has not.
 * - `any`: when the first has succeeded; skipped when all have ended and none has.
 * - `none-failed`: when all have ended, none has failed or was cancelled, and one has succeeded. For the join behind an
 *   if/else: the branch that was not taken is skipped, and the join is not.
 * - `always`: when all have ended, however.
 * - `finally`: the same, and also when the run was cancelled or timed out meanwhile. (A durable run ends where it is
 *   cancelled: there it is the same as `always`.)
 */
export type TaskTrigger = "all" | "any" | "none-failed" | "always" | "finally";

/** Results of the tasks that a task depends on, as far as they have ended. */
export type TaskInputs<R = Record<string, unknown>> = {
  /**
   * Result of a dependency; undefined as long as it has not ended (which `trigger: "any"` allows).
   *
   * @throws step.invalid for a task that is not among the dependencies
   */
  get<N extends keyof R & string>(name: N): TaskResult<R[N]> | undefined;
  /**
   * Output of a dependency that has succeeded.
   *
   * @throws step.invalid for a task that is not among the dependencies, or has no output because it did not succeed
   */
  data<N extends keyof R & string>(name: N): R[N];
};

/** What `run` is given besides context and signal. Annotate it with the outputs: `{ results }: TaskTools<{ a: number }>`. */
export type TaskTools<R = Record<string, unknown>> = {
  readonly results: TaskInputs<R>;
  /** Sent to services, it lets them tell a repeated attempt from a second order: the same in all attempts of this task. */
  readonly idempotencyKey: string;
};

/**
 * One task.
 *
 * @example
 * const steps: TaskStep<Context>[] = [
 *   { name: "fetch", run: async (context) => ({ status: "success", data: await load(context.url) }) },
 *   { name: "parse", dependencies: ["fetch"], retry: { attempts: 2, delay: 100 }, run: parse },
 * ];
 */
// Methods, so that a step that asks for less than it is given is a step.
/* oxlint-disable typescript/method-signature-style */
export type TaskStep<C = unknown, N extends string = string, D = unknown> = {
  /** Unique in its graph. */
  name: N;
  /** Names of the tasks that must end before. */
  dependencies?: readonly string[];
  /** Default "all". */
  trigger?: TaskTrigger;
  retry?: TaskRetryConfig;
  loop?: TaskLoopConfig<C>;
  /** Whether it runs at all; false: it is skipped. */
  condition?(context: C): boolean | Promise<boolean>;
  /** Where places are scarce, higher goes first; of equals the one that was ready first. Default 0. */
  priority?: number;
  /** Whether those that depend on it may start although it failed. Default false. */
  continueOnError?: boolean;
  /** Milliseconds for one attempt. Default, and 0: no limit. What it does to the context afterwards is refused. */
  timeout?: number;
  /** Of a durable task, to be raised when its code means something else: a restart then runs it again. Default 1. */
  version?: number;
  /** What `filter` of a run goes by. */
  tags?: readonly string[];
  /** How much of each resource it takes while it runs; see `resourceLimits` of a run. */
  resources?: Readonly<Record<string, number>>;
  /** Further tasks, from what `run` returned. This task ends with the last of them, and fails if one of them fails. */
  expand?(result: TaskResult, context: C): readonly TaskStep<C>[];
  /** The output of this task, from the results of its further tasks in their order. Default: what `run` returned. */
  collect?(results: readonly TaskResult[], result: TaskResult): unknown;
  run(context: C, signal?: AbortSignal, tools?: TaskTools): Promise<TaskResult<D>>;
};
/* oxlint-enable typescript/method-signature-style */

/** Which tasks of a graph a run is about. A task left out counts as satisfied for those that depend on it. */
export type TaskFilter = {
  /** Only tasks with one of these tags, or one of these names; without both, all. */
  tags?: readonly string[];
  names?: readonly string[];
  /** Not tasks with one of these tags, nor these. */
  exceptTags?: readonly string[];
  exceptNames?: readonly string[];
  /** Whether what the chosen ones depend on runs too, unless it is left out by name or tag. Default true. */
  dependencies?: boolean;
};

export type TaskRunnerExecutionConfig = {
  /** Cancels the run. */
  signal?: AbortSignal;
  /** Milliseconds for the run; then it is cancelled, and `outcome.cause` is "timeout". */
  timeout?: number;
  /** Nothing is run, and everything succeeds. */
  dryRun?: boolean;
  /** How many tasks run at a time, from 1. Default: no limit. */
  concurrency?: number;
  /** How much there is of each resource; tasks that do not fit wait. A resource without a limit is not scarce. */
  resourceLimits?: Readonly<Record<string, number>>;
  filter?: TaskFilter;
  /** Milliseconds that running tasks have to end after the run was cancelled; then it ends without them. Default 100. */
  abortGrace?: number;
};

/** How a run ended. */
export type TaskRunOutcome = {
  /** The id that its events have, too. */
  runId: string;
  /** `cancelled` if it was stopped, `failure` if a task failed and its failure was not allowed, else `success`. */
  status: "success" | "failure" | "cancelled";
  /** What stopped it: its own limit of time, or the caller's signal (whose reason is in `error`). */
  cause?: "timeout" | "abort";
  error?: unknown;
  /** The tasks that failed, in the order in which they did, with what they threw, if they threw. */
  failures: readonly { task: string; error: string | undefined; thrown?: unknown }[];
  /** How many tasks ended how. */
  counts: Readonly<Record<TaskStatus, number>>;
  /** Milliseconds since 1970. */
  startedAt: number;
  endedAt: number;
};
