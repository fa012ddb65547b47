/** One attempt of a task: its function is entered once, and whatever it does becomes a result. */
import type { Timed } from "./deadlines.ts";
import { Deadlines } from "./deadlines.ts";
import { Fence } from "./fence.ts";
import { message, textOfThrown } from "./messages.ts";
import type { TaskResult, TaskStep, TaskTools } from "./step.ts";

const thrownBy = new WeakMap<TaskResult, { thrown: unknown }>();

/** What a task threw, of a result that was made of it. */
export function thrownOf(result: TaskResult): { thrown: unknown } | undefined {
  return thrownBy.get(result);
}

/** The result of a task that threw. Under a signal that is aborted, an abort is no failure. */
export function resultOfThrown(thrown: unknown, signal: AbortSignal | undefined): TaskResult {
  if (signal?.aborted === true && (isAbort(thrown) || thrown === signal.reason)) {
    return { status: "cancelled", message: message("taskCancelled") };
  }
  const result: TaskResult = { status: "failure", error: textOfThrown(thrown) };
  thrownBy.set(result, { thrown });
  return result;
}

function isAbort(thrown: unknown): boolean {
  try {
    return typeof thrown === "object" && thrown !== null && "name" in thrown && thrown.name === "AbortError";
  } catch {
    return false;
  }
}

/** Enters the task, with its limit of time if it has one. `signal` is the run's. Never rejects. */
export function attempt<C>(
  step: TaskStep<C>,
  context: C,
  signal: AbortSignal | undefined,
  tools: TaskTools | undefined,
  deadlines?: Deadlines,
): Promise<TaskResult> {
  const { timeout } = step;
  if (timeout === undefined || !(timeout > 0)) return untimed(step, context, signal, tools);
  if (deadlines !== undefined) return timed(step, context, signal, tools, deadlines);
  return timedAlone(step, context, signal, tools);
}

async function untimed<C>(
  step: TaskStep<C>,
  context: C,
  signal: AbortSignal | undefined,
  tools: TaskTools | undefined,
): Promise<TaskResult> {
  try {
    return await enter(step, context, signal, tools);
  } catch (thrown) {
    return resultOfThrown(thrown, signal);
  }
}

/** Who calls a strategy by hand has no run that keeps deadlines and passes on aborts. */
async function timedAlone<C>(
  step: TaskStep<C>,
  context: C,
  signal: AbortSignal | undefined,
  tools: TaskTools | undefined,
): Promise<TaskResult> {
  const deadlines = new Deadlines();
  const abort = (): void => deadlines.abort(signal?.reason);
  signal?.addEventListener("abort", abort, { once: true });
  try {
    return await timed(step, context, signal, tools, deadlines);
  } finally {
    signal?.removeEventListener("abort", abort);
    deadlines.close();
  }
}

function timed<C>(
  step: TaskStep<C>,
  context: C,
  signal: AbortSignal | undefined,
  tools: TaskTools | undefined,
  deadlines: Deadlines,
): Promise<TaskResult> {
  return new Promise((resolve) => {
    new TimedAttempt(step, signal, deadlines, resolve).enter(context, tools);
  });
}

class TimedAttempt implements Timed {
  readonly limitMs: number;
  readonly until: number;
  before: Timed | undefined = undefined;
  after: Timed | undefined = undefined;
  readonly #step: TaskStep;
  readonly #signal: AbortSignal | undefined;
  readonly #deadlines: Deadlines;
  readonly #own = new AbortController();
  readonly #fence: Fence;
  #resolve: ((result: TaskResult) => void) | undefined;

  constructor(
    step: TaskStep,
    signal: AbortSignal | undefined,
    deadlines: Deadlines,
    resolve: (result: TaskResult) => void,
  ) {
    this.#step = step;
    this.#signal = signal;
    this.#deadlines = deadlines;
    this.#resolve = resolve;
    this.#fence = new Fence(step.name);
    this.limitMs = step.timeout as number;
    this.until = performance.now() + this.limitMs;
  }

  enter(context: unknown, tools: TaskTools | undefined): void {
    if (this.#signal?.aborted === true) this.#own.abort(this.#signal.reason);
    this.#deadlines.add(this);
    enter(this.#step, this.#fence.around(context), this.#own.signal, tools).then(
      (result) => this.#settle(result),
      (thrown: unknown) => this.#settle(resultOfThrown(thrown, this.#signal)),
    );
  }

  expire(): void {
    const { limitMs } = this;
    // Settled first: what the task makes of the abort is of no interest any more.
    this.#settle({ status: "failure", error: message("taskTimedOut", limitMs) });
    this.#fence.raise();
    this.#own.abort(new Error("Timeout"));
  }

  abort(reason: unknown): void {
    this.#own.abort(reason);
  }

  #settle(result: TaskResult): void {
    const resolve = this.#resolve;
    if (resolve === undefined) return;
    this.#resolve = undefined;
    this.#deadlines.remove(this);
    resolve(result);
  }
}

/** An async function, so that one that throws at once, or returns no promise, is like others. */
async function enter<C>(
  step: TaskStep<C>,
  context: C,
  signal: AbortSignal | undefined,
  tools: TaskTools | undefined,
): Promise<TaskResult> {
  return tools === undefined ? step.run(context, signal) : step.run(context, signal, tools);
}
