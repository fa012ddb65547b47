/**
 * What a step says about its own failure: that another attempt is useless, when the next one is due, or that nothing
 * has happened yet. The error itself stays what it is, so whoever catches it finds the class and the message that the
 * step threw.
 */
import type { Duration } from "../core/duration.ts";
import { milliseconds } from "../core/duration.ts";

/** What was said; nothing is the usual case. */
export type Verdict = { fatal?: true; retryAfterMs?: number; notDone?: true };

// Said under a symbol that all copies of this package share: a step may use another copy than the worker.
const said = Symbol.for("stemma.verdict");

/**
 * Marks an error as final: the step fails with it, however many attempts are left.
 *
 * @example
 * if (response.status === 402) throw fatal(new Error("The card was declined"));
 */
export function fatal(error: unknown): Error {
  return say(error, { fatal: true });
}

/**
 * Marks an error with the delay after which the next attempt is due, in place of the policy's own. The attempts are
 * counted all the same.
 *
 * @param delay milliseconds, or text such as "30s"
 * @throws duration.invalid
 * @example
 * if (response.status === 429) throw retryAfter(Number(response.headers.get("retry-after")) * 1000, new Error("busy"));
 */
export function retryAfter(delay: Duration, error: unknown): Error {
  return say(error, { retryAfterMs: milliseconds(delay, "delay of retryAfter") });
}

/**
 * Marks an error of a step with `effect: "once"`: what the step does has certainly not happened, so it may be tried
 * again, or fail. Any other error leaves such a step in doubt.
 *
 * @example
 * if (response.status === 503) throw notDone(new Error("The bank did not take the order"));
 */
export function notDone(error: unknown): Error {
  return say(error, { notDone: true });
}

function say(thrown: unknown, verdict: Verdict): Error {
  const isError = thrown instanceof Error || Error.isError(thrown);
  const error = isError && Object.isExtensible(thrown) ? thrown : errorFrom(thrown, isError);
  const before = verdictOf(error);
  Object.defineProperty(error, said, { value: { ...before, ...verdict }, configurable: true });
  return error;
}

/** An error that can be marked, for one that is frozen, or for something that is no error: `fatal("declined")`. */
function errorFrom(thrown: unknown, isError: boolean): Error {
  if (isError) return new Error((thrown as Error).message, { cause: thrown });
  return typeof thrown === "string" ? new Error(thrown) : new Error("see cause", { cause: thrown });
}

/** What a step said about what it threw. Never throws, whatever was thrown. */
export function verdictOf(thrown: unknown): Verdict {
  try {
    if (typeof thrown !== "object" || thrown === null) return {};
    const verdict = (thrown as { [said]?: Verdict })[said];
    return typeof verdict === "object" && verdict !== null ? verdict : {};
  } catch {
    return {};
  }
}
