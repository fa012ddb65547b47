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
    return { status: "cancelled", message: message("TASK_CANCELLED") };
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

/** Whether an attempt has a limit of time. */
export function hasLimit<C>({ timeout }: TaskStep<C>): boolean {
  return timeout !== undefined && timeout > 0;
}

/** Enters the task, with its limit of time if it has one. `signal` is the run's. Never rejects. */
export function attempt<C>(
  step: TaskStep<C>,
  context: C,
  signal: AbortSignal | undefined,
  tools: TaskTools | undefined,
  deadlines?: Deadlines,
): Promise<TaskResult> {
  if (!hasLimit(step)) return untimed(step, context, signal, tools);
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

async function timed<C>(
  step: TaskStep<C>,
  context: C,
  signal: AbortSignal | undefined,
  tools: TaskTools | undefined,
  deadlines: Deadlines,
): Promise<TaskResult> {
  const { promise, resolve } = Promise.withResolvers<TaskResult>();
  const limited = new Limited(step, signal, deadlines, performance.now(), resolve);
  enter(step, limited.around(context), limited.signal, tools).then(resolve, (thrown: unknown) =>
    resolve(resultOfThrown(thrown, signal)),
  );
  const result = await promise;
  limited.done();
  return result;
}

/** An attempt with a limit of time, from when it is entered until it is done. Then nobody is told that it is over. */
export class Limited implements Timed {
  readonly limitMs: number;
  readonly until: number;
  before: Timed | undefined = undefined;
  after: Timed | undefined = undefined;
  readonly #deadlines: Deadlines;
  readonly #own = new AbortController();
  readonly #fence: Fence;
  readonly #onExpired: (result: TaskResult) => void;
  #open = true;

  /**
   * @param signal the run's
   * @param now when it is entered, by `performance.now()`
   */
  constructor(
    step: { name: string; timeout?: number },
    signal: AbortSignal | undefined,
    deadlines: Deadlines,
    now: number,
    onExpired: (result: TaskResult) => void,
  ) {
    this.limitMs = step.timeout as number;
    this.until = now + this.limitMs;
    this.#deadlines = deadlines;
    this.#fence = new Fence(step.name);
    this.#onExpired = onExpired;
    if (signal?.aborted === true) this.#own.abort(signal.reason);
    deadlines.add(this);
  }

  /** Aborted when the time is over, and when the run is. */
  get signal(): AbortSignal {
    return this.#own.signal;
  }

  /** The context, until the time is over. */
  around<C>(context: C): C {
    return this.#fence.around(context);
  }

  expire(): void {
    this.done();
    this.#fence.raise();
    this.#own.abort(new Error("Timeout"));
    // Told in the same turn, so what the task makes of the abort comes too late; told last, because others go on then.
    this.#onExpired({ status: "failure", error: message("TASK_TIMED_OUT", this.limitMs) });
  }

  abort(reason: unknown): void {
    this.#own.abort(reason);
  }

  done(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#deadlines.remove(this);
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
