/** When a task is entered again: because it failed, and because it is not done yet. */
import { thrownOf } from "./attempt.ts";
import { delay, isAborted } from "./delay.ts";
import { message } from "./messages.ts";
import type { TaskResult, TaskRetryConfig, TaskStep } from "./step.ts";

type Enter = () => Promise<TaskResult>;

/** Told of a failed attempt that is followed by another one, with the milliseconds in between. */
export type OnRetry = (attempt: number, result: TaskResult, delayMs: number) => void;

/** Enters it until it does not fail, or its attempts are used up. */
export async function retried<C>(
  { retry }: TaskStep<C>,
  signal: AbortSignal | undefined,
  enter: Enter,
  onRetry?: OnRetry,
): Promise<TaskResult> {
  for (let attempt = 1; ; attempt++) {
    if (isAborted(signal)) return { status: "cancelled", message: message("CANCELLED_BEFORE_ATTEMPT") };
    const result = await enter();
    if (retry === undefined || result?.status !== "failure" || attempt > furtherAttempts(retry)) return result;
    if (retry.shouldRetry !== undefined && !retry.shouldRetry(result, attempt, thrownOf(result)?.thrown)) return result;
    const delayMs = retryDelay(retry, attempt, Math.random());
    if (!isAborted(signal)) onRetry?.(attempt, result, delayMs);
    if (await delay(delayMs, signal)) return { status: "cancelled", message: message("CANCELLED_DURING_RETRY_DELAY") };
  }
}

/** How many attempts follow the first at most; what is no number is none, for nobody means to try for ever by mistake. */
export function furtherAttempts({ attempts: given }: { attempts: unknown }): number {
  const attempts = Number(given);
  return attempts >= 0 ? attempts : 0;
}

/**
 * Milliseconds behind a failed attempt: exponential backoff with a cap and proportional jitter (M. Brooker, "Exponential
 * Backoff And Jitter", AWS Architecture Blog, 2015).
 *
 * @param failed how many attempts have failed, from 1
 * @param random a number in [0, 1)
 */
export function retryDelay(retry: TaskRetryConfig, failed: number, random: number): number {
  const { delay: first, backoff, maxDelay = Number.POSITIVE_INFINITY, jitter = 0 } = retry;
  const whole = Math.min(backoff === "exponential" ? first * 2 ** (failed - 1) : first, maxDelay);
  return whole * (1 - jitter * random);
}

/** Enters it until its condition is met, or its rounds are used up. */
export async function looped<C>(
  { name, loop }: TaskStep<C>,
  context: C,
  signal: AbortSignal | undefined,
  enter: Enter,
): Promise<TaskResult> {
  if (loop === undefined) return enter();
  const { maxIterations = 1, interval = 0 } = loop;
  for (let round = 1; round <= maxIterations; round++) {
    if (isAborted(signal)) return { status: "cancelled", message: message("CANCELLED_BEFORE_ITERATION") };
    const result = await enter();
    if (await loop.until(context, result)) return result;
    if (round === maxIterations) break;
    if (await delay(interval, signal)) return { status: "cancelled", message: message("CANCELLED_DURING_LOOP_DELAY") };
  }
  return { status: "failure", error: message("LOOP_EXHAUSTED", name, maxIterations) };
}
