/** Workflows written as functions. */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { Duration } from "../../core/duration.ts";
import { timeLimit } from "../../core/duration.ts";
import { StemmaError } from "../../core/error.ts";
import { checkName } from "../../core/name.ts";
import type { Workflow } from "../../engine/body.ts";
import type { Context } from "./context.ts";
import { contextOf, rootScope } from "./context.ts";
import { inScope } from "./frame.ts";
import type { Recorded } from "./step.ts";

export type WorkflowOptions<I> = {
  name: string;
  /** A whole number from 1; raise it when runs in flight must not continue with this code. Default 1. */
  version?: number;
  /** What the input must be, as a Standard Schema (zod, valibot, arktype …). */
  input?: StandardSchemaV1<unknown, I>;
  /** How long a run may take from its first start, waits included; then it is `timed_out`. Default: no limit. */
  timeout?: Duration;
};

/**
 * Defines a workflow as a function. The function may do anything as long as it is the same in every recall: what
 * depends on the world (I/O, time, randomness) belongs into steps, or comes from `ctx.now()`, `ctx.random()`.
 *
 * @throws workflow.invalid, name.invalid
 * @example
 * const greet = workflow({ name: "greet", input: z.object({ name: z.string() }) }, async (ctx, { name }) => {
 *   const text = await ctx.step("write", { input: name }, (name) => `Hello ${name}`);
 *   await ctx.sleep("1d");
 *   return text;
 * });
 */
export function workflow<I = undefined, O = unknown, S = unknown>(
  options: WorkflowOptions<I>,
  run: (ctx: Context<S>, input: I) => O | Promise<O>,
): Workflow<I, Recorded<Awaited<O>>> {
  const { name, version = 1, input } = options;
  checkName(name, "name of a workflow");
  if (!Number.isSafeInteger(version) || version < 1) {
    throw new StemmaError(
      "workflow.invalid",
      `Expected the version of workflow ${name} to be a whole number from 1, got ${version}.`,
    );
  }
  if (typeof run !== "function") {
    throw new StemmaError("workflow.invalid", `Expected workflow ${name} to have a function, got ${typeof run}.`);
  }
  const timeoutMs =
    options.timeout === undefined ? undefined : timeLimit(options.timeout, `timeout of workflow ${name}`);
  return {
    name,
    version,
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    source: String(run),
    ...(input === undefined ? {} : { schema: input }),
    body(operations, info) {
      const scope = rootScope(info.segment);
      const ctx = contextOf(operations, info, scope) as Context<S>;
      const done = inScope(operations, scope, async () => run(ctx, info.input as I));
      return { done, causes: () => scope.causes() };
    },
  };
}
