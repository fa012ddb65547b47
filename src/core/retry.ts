/**
 * When a failed attempt is followed by another one. The delay grows by a factor up to a cap and is then shortened by
 * chance, so that a thousand steps which one outage failed do not come back in one instant.
 *
 * The scheme is exponential backoff with proportional ("equal") jitter: M. Brooker, "Exponential Backoff And Jitter",
 * AWS Architecture Blog, 2015.
 */
import type { Duration } from "./duration.ts";
import { milliseconds } from "./duration.ts";
import { StemmaError } from "./error.ts";

/** How often and how soon, as authors write it. A bare number is `attempts`. */
export type RetryOptions = {
  /** Attempts in all, the first included. Default 5. */
  attempts?: number;
  /** Delay behind the first failure. Default "1s". */
  delay?: Duration;
  /** By what each further delay is longer than the one before. Default 2. */
  factor?: number;
  /** No delay is longer. Default "1m". */
  maxDelay?: Duration;
  /** The share of a delay that is left to chance, 0 to 1. Default 0.5: between half and all of it. */
  jitter?: number;
};

/** The same, checked, in milliseconds. */
export type RetryPolicy = { attempts: number; delayMs: number; factor: number; maxDelayMs: number; jitter: number };

const attemptsMax = 1_000_000;

/**
 * Checks a policy and fills in what it leaves out.
 *
 * @param what for messages: "step charge"
 * @throws step.invalid, duration.invalid
 * @example
 * retryPolicy(3, "step charge"); // { attempts: 3, delayMs: 1000, factor: 2, maxDelayMs: 60000, jitter: 0.5 }
 */
export function retryPolicy(options: number | RetryOptions, what: string): RetryPolicy {
  const given = typeof options === "number" ? { attempts: options } : options;
  if (typeof given !== "object" || given === null) {
    throw invalid(`retry of ${what}`, "a number of attempts, or { attempts, delay, factor, maxDelay, jitter }", given);
  }
  const { attempts = 5, delay = 1000, factor = 2, maxDelay = 60_000, jitter = 0.5 } = given;
  if (!Number.isInteger(attempts) || attempts < 1 || attempts > attemptsMax) {
    throw invalid(`attempts of ${what}`, `a whole number from 1 to ${attemptsMax}`, attempts);
  }
  if (!(factor >= 1 && factor <= 1000)) throw invalid(`retry factor of ${what}`, "a number from 1 to 1000", factor);
  if (!(jitter >= 0 && jitter <= 1)) throw invalid(`retry jitter of ${what}`, "a number from 0 to 1", jitter);
  const delayMs = milliseconds(delay, `retry delay of ${what}`);
  const maxDelayMs = Math.max(delayMs, milliseconds(maxDelay, `longest retry delay of ${what}`));
  return { attempts, delayMs, factor, maxDelayMs, jitter };
}

/**
 * Milliseconds to wait behind a failed attempt.
 *
 * @param failed how many attempts have failed, from 1
 * @param random a number in [0, 1)
 */
export function backoffMs(policy: RetryPolicy, failed: number, random: number): number {
  // A power beyond the largest number is infinite, and the cap holds for it too.
  const whole = Math.min(policy.delayMs * policy.factor ** (failed - 1), policy.maxDelayMs);
  const capped = Number.isNaN(whole) ? 0 : whole;
  return Math.round(capped * (1 - policy.jitter * random));
}

function invalid(what: string, expected: string, found: unknown): StemmaError {
  const got = typeof found === "number" ? String(found) : found === null ? "null" : typeof found;
  return new StemmaError("step.invalid", `Expected ${what} to be ${expected}, got ${got}.`);
}
