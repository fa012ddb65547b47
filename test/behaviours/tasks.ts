/** Small steps for the tests of tasks. */
import type { Mock } from "vitest";
import { vi } from "vitest";
import type { TaskResult, TaskStep } from "../../src/tasks.ts";

/** A step that does what is given, and succeeds if that gives nothing. */
export function step<C = unknown>(
  name: string,
  dependencies: readonly string[] = [],
  run: (context: C, signal?: AbortSignal) => unknown = () => undefined,
  rest: Partial<TaskStep<C>> = {},
): TaskStep<C> {
  return {
    name,
    dependencies,
    ...rest,
    run: async (context, signal) => {
      const result = await run(context, signal);
      return isResult(result) ? result : { status: "success" };
    },
  };
}

function isResult(value: unknown): value is TaskResult {
  return typeof value === "object" && value !== null && "status" in value;
}

export const fails = (error?: string): TaskResult =>
  error === undefined ? { status: "failure" } : { status: "failure", error };

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Ends when the signal is aborted, by throwing its reason, or what is given. */
export function untilAborted(signal: AbortSignal | undefined, thrown?: unknown): Promise<never> {
  return new Promise((_, reject) => {
    const stop = (): void => reject((thrown ?? signal?.reason) as Error);
    if (signal?.aborted === true) stop();
    signal?.addEventListener("abort", stop);
  });
}

export function statuses(results: ReadonlyMap<string, TaskResult>): Record<string, string> {
  return Object.fromEntries([...results].map(([name, { status }]) => [name, status]));
}

/** Turns of the event loop. */
export async function turns(count = 3): Promise<void> {
  for (let i = 0; i < count; i++) {
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}

/** A function that knows how it was called. */
export function spy<R = unknown>(call?: () => R): Mock<(...given: unknown[]) => R> {
  return vi.fn<(...given: unknown[]) => R>(call);
}
