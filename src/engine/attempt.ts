/** How long an attempt may take, and what follows one that failed: another one, and when, or the end of the step. */
import { StemmaError } from "../core/error.ts";
import type { Timestamp } from "../core/event.ts";
import { backoffMs } from "../core/retry.ts";
import type { Ask } from "./ask.ts";
import type { StepAsk } from "./body.ts";
import { toRecord } from "./failure.ts";
import { verdictOf } from "./verdict.ts";

/** A failed attempt: what it threw, its number from 1, and until when its step may take at most. */
export type FailedAttempt = { error: unknown; attempt: number; deadline: Timestamp | undefined };

/** The time of the next attempt, or the error that the step fails with. */
export type Next = { retryAt: Timestamp } | { error: unknown };

/** @param random a number in [0, 1), for the jitter */
export function nextAttempt(step: StepAsk, failed: FailedAttempt, now: Timestamp, random: number): Next {
  const { error, attempt, deadline } = failed;
  const { retry } = step;
  const { fatal, retryAfterMs } = verdictOf(error);
  if (retry === undefined || attempt >= retry.policy.attempts || fatal === true) return { error };
  try {
    if (retry.retryIf?.(error, attempt) === false) return { error };
  } catch (thrown) {
    const message = `retryIf of step ${step.name} threw: ${toRecord(thrown).message}. It is asked with the error of an attempt and must answer with a boolean.`;
    return { error: new StemmaError("step.invalid", message, { cause: error }) };
  }
  const ms = typeof retryAfterMs === "number" && retryAfterMs >= 0 ? retryAfterMs : undefined;
  const retryAt = now + (ms ?? backoffMs(retry.policy, attempt, random));
  // An attempt that could only begin when the step's time is up would be a wait for nothing.
  return deadline !== undefined && retryAt >= deadline ? { error } : { retryAt };
}

/** When the step's own time is up, by the store's clock: counted from its first attempt, delays and crashes included. */
export function deadlineOf(ask: Ask, { timeout }: StepAsk): Timestamp | undefined {
  return timeout?.stepMs === undefined || ask.enteredAt === undefined ? undefined : ask.enteredAt + timeout.stepMs;
}

/** How long the attempt that begins now may take, and the error of one that takes longer; undefined without a limit. */
export function attemptLimit(
  ask: Ask,
  step: StepAsk,
  now: Timestamp,
): { leftMs: number; error: StemmaError } | undefined {
  const { attemptMs = Infinity, stepMs = Infinity } = step.timeout ?? {};
  const left = (deadlineOf(ask, step) ?? Infinity) - now;
  const ofStep = left < attemptMs;
  const leftMs = ofStep ? left : attemptMs;
  if (leftMs === Infinity) return undefined;
  const limitMs = ofStep ? stepMs : attemptMs;
  const { key } = ask.ref;
  const what = ofStep ? `step ${key}` : `attempt ${ask.attempt} of step ${key}`;
  const error = new StemmaError("step.timed_out", `Expected ${what} to end within ${limitMs} ms.`, {
    data: { step: key, attempt: ask.attempt, limitMs },
  });
  return { leftMs, error };
}
