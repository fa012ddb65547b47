/** Steps as authors write them: a name, options, and a function that is entered once. */
import { StemmaError } from "../../core/error.ts";
import type { Effect } from "../../core/event.ts";
import { checkName } from "../../core/name.ts";
import type { Operations, StepAsk, StepTools } from "../../engine/body.ts";
import { inStep } from "./frame.ts";

/** What comes back from a record: `Date` becomes string, functions cannot be there, the rest is as it was. */
export type Recorded<T> = T extends { toJSON(): infer J }
  ? Recorded<J>
  : T extends readonly (infer E)[]
    ? number extends T["length"]
      ? Recorded<E>[]
      : { -readonly [K in keyof T]: Recorded<T[K]> }
    : T extends object
      ? { [K in keyof T]: Recorded<T[K]> }
      : T;

export type StepOptions<I> = {
  /** Declared input: the step is recognised by it, and its function is given a copy. Write it out, and reuse is exact. */
  input?: I;
  /** Raise it when the code of the step means something else. Default 1. */
  version?: number;
  /** Default "idempotent": at least once, always with the same idempotencyKey. */
  effect?: Effect;
};

export type StepFunction<I, O> = (input: I, step: StepTools) => O | Promise<O>;

/** An ask for a step whose function runs in a frame of its own. */
export function stepAsk(
  operations: Operations,
  place: { path: string; causes(): readonly number[] },
  name: string,
  options: StepOptions<unknown>,
  run: StepFunction<unknown, unknown>,
): StepAsk {
  checkName(name, "name of a step");
  const ask: StepAsk = {
    scope: place.path,
    name,
    causes: place.causes(),
    run: (input, tools) => inStep(operations, name, () => run(input, tools)),
  };
  if ("input" in options) ask.input = { value: options.input };
  if (options.effect !== undefined) ask.effect = checkEffect(options.effect, name);
  if (options.version !== undefined) ask.version = options.version;
  return ask;
}

const effects: ReadonlySet<unknown> = new Set(["pure", "idempotent", "once"]);

function checkEffect(effect: unknown, name: string): Effect {
  if (effects.has(effect)) return effect as Effect;
  throw new StemmaError(
    "step.invalid",
    `Expected the effect of step ${name} to be "pure", "idempotent" or "once", got ${JSON.stringify(effect)}.`,
  );
}
