/**
 * Which scope of which run the code at hand belongs to, carried along by the platform through every `await`. A step's
 * function runs in a frame of its own, in which `ctx` is refused: what it did there could not be recorded.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { StemmaError } from "../../core/error.ts";
import type { Operations } from "../../engine/body.ts";
import type { Scope } from "./scope.ts";

type Frame = { operations: Operations; scope: Scope | undefined; step: string | undefined };

const frames = new AsyncLocalStorage<Frame>();

/** Runs code in a scope. */
export function inScope<T>(operations: Operations, scope: Scope, call: () => T): T {
  return frames.run({ operations, scope, step: undefined }, call);
}

/** Runs a step's function. */
export function inStep<T>(operations: Operations, step: string, call: () => T): T {
  return frames.run({ operations, scope: undefined, step }, call);
}

function insteadOf(method: string): string {
  if (method === "emit") return "Use the step's own: (input, step) => step.emit(…).";
  if (method === "checkpoint") return "Use it after the step, in the workflow's own code.";
  if (method === "set") return "Use it before or after the step.";
  if (method === "patched") return "Use it before the step, and let the answer decide which step is asked for.";
  return "Use ctx.scope around several steps, or ctx.call for work with steps of its own.";
}

/** The scope at hand. Throws step.nested inside a step's function, and step.outside where no run is going on. */
export function scopeAtHand(operations: Operations, method: string): Scope {
  const frame = frames.getStore();
  if (frame?.operations === operations && frame.scope !== undefined) return frame.scope;
  if (frame?.step !== undefined) {
    throw new StemmaError("step.nested", `ctx.${method} was used inside step ${frame.step}. ${insteadOf(method)}`, {
      data: { step: frame.step, method },
    });
  }
  throw new StemmaError(
    "step.outside",
    `ctx.${method} was used where its workflow is not running (another run, or a callback outside the workflow). Use it in the workflow's own code.`,
    { data: { method } },
  );
}
