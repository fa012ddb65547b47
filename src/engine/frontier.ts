/**
 * Which steps ended a run. The errors that a body was given are remembered by identity, so when the body throws, the
 * steps that its error comes from are found through `cause` and `errors`, not by comparing messages.
 */
import { StemmaError } from "../core/error.ts";
import type { OutcomeEvent } from "./recall.ts";
import { StepError } from "./failure.ts";

const steps = new WeakMap<object, string>();
const depthMax = 32;

/** The error that an outcome delivers, or undefined where it delivers a value. */
export function failureOf(event: OutcomeEvent): Error | undefined {
  if (event.type === "step.failed" || event.type === "wait.failed") return new StepError(event.data.error, event.data.key);
  if (event.type === "child.ended" && event.data.error !== undefined) return new StepError(event.data.error, event.data.key);
  if (event.type === "wait.expired" && event.data.value === undefined) {
    return new StemmaError("wait.expired", `The wait ${event.data.key} expired without an answer.`, {
      data: { wait: event.data.key },
    });
  }
  return undefined;
}

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
