/** Steps as authors write them: a name, options, and a function that is entered once. */
import type { Duration } from "../../core/duration.ts";
import { timeLimit } from "../../core/duration.ts";
import { StemmaError } from "../../core/error.ts";
import type { Effect } from "../../core/event.ts";
import { checkName } from "../../core/name.ts";
import type { RetryOptions } from "../../core/retry.ts";
import { retryPolicy } from "../../core/retry.ts";
import type { Decision } from "../../engine/decision.ts";
import type { Operations, Retry, StepAsk, StepTools } from "../../engine/body.ts";
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

export type StepOptions<I, O = unknown> = {
  /** Declared input: the step is recognised by it, and its function is given a copy. Write it out, and reuse is exact. */
  input?: I;
  /** Raise it when the code of the step means something else. Default 1. */
  version?: number;
  /** Default "idempotent": at least once, always with the same idempotencyKey. */
  effect?: Effect;
  /**
   * What happens when an attempt fails: a number of attempts, or a policy. Default: the first failure is the step's.
   * Throw `fatal(error)` to stop, `retryAfter(delay, error)` to choose the delay. Of a `once` step only an attempt that
   * threw `notDone(error)` is followed by another one.
   */
  retry?: number | (RetryOptions & { retryIf?: (error: unknown, attempt: number) => boolean });
  /**
   * How long one attempt may take, or `{ attempt, step }`: `step` is for all attempts with the delays between them.
   * The function is told through `step.abort`, has the abort grace to stop, and is given up then: the attempt failed
   * with `step.timed_out`. Default: no limit.
   */
  timeout?: Duration | { attempt?: Duration; step?: Duration };
  /**
   * Parts of the run's context that the step reads, by name. Its success is reused only where they are equal. Without
   * it, a step with declared input is taken to read nothing of the context.
   */
  context?: readonly string[];
  /**
   * "always": the success of this step may be reused in a restart or fork whatever was before it, your word for it. For
   * steps without declared input, which are otherwise reused only if nothing before them differs.
   */
  reuse?: "default" | "always";
  /** What an output has cost, in a unit of your own: kept on record, and summed up as saved where it is reused. */
  cost?: number | ((output: O) => number);
  /**
   * Finds out what became of a `once` step in doubt: `{ record: output }`, `"run"` (it did not happen) or
   * `{ fail: error }`; undefined where it cannot tell, and then a person decides (`stemma.decide`).
   */
  reconcile?: (input: I, step: StepTools) => Reconciled | Promise<Reconciled>;
  /**
   * Makes up for the step if it succeeded and the run then fails, is cancelled or times out. It is a step of its own,
   * `compensate/<key>`, tried like this one; successes are made up for in reverse order.
   */
  // A method, so that an author may write down what the output is.
  // oxlint-disable-next-line typescript/method-signature-style
  compensate?(output: O, step: StepTools): unknown;
};

/** What `reconcile` found out. */
export type Reconciled = Decision | undefined;

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
  if (options.retry !== undefined) ask.retry = retryOf(options.retry, name);
  if (options.timeout !== undefined) ask.timeout = timeoutOf(options.timeout, name);
  if (options.context !== undefined) ask.context = checkContext(options.context, name);
  if (checkReuse(options.reuse, name) === "always") ask.reuse = "always";
  const { reconcile, compensate, cost } = options;
  if (cost !== undefined) ask.cost = checkCost(cost, name);
  if (reconcile !== undefined)
    ask.reconcile = (input, tools) => inStep(operations, name, () => reconcile(input, tools));
  if (compensate !== undefined) {
    ask.compensate = (output, tools) => inStep(operations, name, () => compensate.call(options, output, tools));
  }
  return ask;
}

function retryOf(options: NonNullable<StepOptions<unknown>["retry"]>, name: string): Retry {
  const policy = retryPolicy(options, `step ${name}`);
  const retryIf = typeof options === "number" ? undefined : options.retryIf;
  if (retryIf !== undefined && typeof retryIf !== "function") {
    throw new StemmaError("step.invalid", `Expected retryIf of step ${name} to be a function, got ${typeof retryIf}.`);
  }
  return retryIf === undefined ? { policy } : { policy, retryIf };
}

function timeoutOf(
  timeout: NonNullable<StepOptions<unknown>["timeout"]>,
  name: string,
): NonNullable<StepAsk["timeout"]> {
  const given = typeof timeout === "object" && timeout !== null ? timeout : { attempt: timeout };
  const limit: NonNullable<StepAsk["timeout"]> = {};
  if (given.attempt !== undefined) limit.attemptMs = timeLimit(given.attempt, `timeout of step ${name}`);
  if (given.step !== undefined) limit.stepMs = timeLimit(given.step, `timeout of step ${name} as a whole`);
  return limit;
}

function checkContext(context: unknown, name: string): readonly string[] {
  if (Array.isArray(context) && context.every((part) => typeof part === "string")) return context;
  throw new StemmaError(
    "step.invalid",
    `Expected the context of step ${name} to be a list of names such as ["model"], got ${JSON.stringify(context)}.`,
  );
}

function checkReuse(reuse: unknown, name: string): "default" | "always" {
  if (reuse === undefined || reuse === "default") return "default";
  if (reuse === "always") return reuse;
  throw new StemmaError(
    "step.invalid",
    `Expected reuse of step ${name} to be "default" or "always", got ${JSON.stringify(reuse)}.`,
  );
}

function checkCost(cost: unknown, name: string): (output: unknown) => number {
  if (typeof cost === "function") return cost as (output: unknown) => number;
  if (typeof cost === "number" && Number.isFinite(cost)) return () => cost;
  throw new StemmaError(
    "step.invalid",
    `Expected the cost of step ${name} to be a number or a function of its output, got ${JSON.stringify(cost)}.`,
  );
}

const effects: ReadonlySet<unknown> = new Set(["pure", "idempotent", "once"]);

function checkEffect(effect: unknown, name: string): Effect {
  if (effects.has(effect)) return effect as Effect;
  throw new StemmaError(
    "step.invalid",
    `Expected the effect of step ${name} to be "pure", "idempotent" or "once", got ${JSON.stringify(effect)}.`,
  );
}
