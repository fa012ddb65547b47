/**
 * Which steps ended a run. The errors that a body was given are remembered by identity, so when the body throws, the
 * steps that its error comes from are found through `cause` and `errors`, not by comparing messages.
 */
const steps = new WeakMap<object, string>();
const depthMax = 32;

/** Remembers that this very error came from a step. */
export function rememberFailure(error: Error, key: string): void {
  steps.set(error, key);
}

/** Keys of the steps whose failure an error comes from; empty when the body's own code threw. */
export function frontierOf(error: unknown): string[] {
  const found = new Set<string>();
  const look = (at: unknown, depth: number): void => {
    if (typeof at !== "object" || at === null || depth > depthMax) return;
    const key = steps.get(at);
    if (key !== undefined) found.add(key);
    const { cause, errors } = at as { cause?: unknown; errors?: unknown };
    look(cause, depth + 1);
    if (Array.isArray(errors)) for (const one of errors) look(one, depth + 1);
  };
  look(error, 0);
  return [...found].toSorted();
}
