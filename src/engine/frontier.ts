/**
 * Which steps ended a run. The errors that a body was given are remembered by identity, so when the body throws, the
 * steps that its error comes from are found through `cause` and `errors`, not by comparing messages.
 */
import { limits } from "../core/limits.ts";

const steps = new WeakMap<object, string>();
/** Enough for a map all of whose items failed; an error that makes new ones whenever it is looked at ends here too. */
const looksMax = 2 * limits.mapItemsMax;

/** Remembers that this very error came from a step. */
export function rememberFailure(error: Error, key: string): void {
  steps.set(error, key);
}

/** Keys of the steps whose failure an error comes from; empty when the body's own code threw. Never throws. */
export function frontierOf(error: unknown): string[] {
  const found = new Set<string>();
  const seen = new Set<unknown>([error]);
  for (const at of seen) {
    if (typeof at !== "object" || at === null) continue;
    const key = steps.get(at);
    if (key !== undefined) found.add(key);
    for (const next of behind(at)) if (seen.size < looksMax) seen.add(next);
  }
  return [...found].toSorted();
}

/** What an error names as its reasons. It is anybody's object, so looking at it may throw. */
function behind(error: object): unknown[] {
  try {
    const { cause, errors } = error as { cause?: unknown; errors?: unknown };
    return Array.isArray(errors) ? [cause, ...(errors as unknown[])] : [cause];
  } catch {
    return [];
  }
}
