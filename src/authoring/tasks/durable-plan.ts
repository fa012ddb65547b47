/** What is worked out of the steps of a durable graph before any run of it. With pauses, for there may be very many. */
import { StemmaError } from "../../core/error.ts";
import { checkName } from "../../core/name.ts";
import type { DurableOptions } from "./durable.ts";
import type { DurableRunOptions } from "./durable-run.ts";
import { leftOut } from "./filter.ts";
import type { Graph } from "./graph.ts";
import { buildGraph } from "./graph.ts";
import { checkDemands, checkLimits } from "./resources.ts";
import type { TaskStep } from "./step.ts";

/** Steps between two pauses. */
const stretch = 512;

/** What every run of the graph goes by. Throws TaskGraphValidationError, usage.invalid, name.invalid, step.invalid. */
export function* planOf<C>(
  steps: readonly TaskStep<C>[],
  { concurrency = Number.POSITIVE_INFINITY, resourceLimits = {}, filter }: DurableOptions,
): Generator<void, DurableRunOptions<C>> {
  if (!(concurrency === Number.POSITIVE_INFINITY || (Number.isInteger(concurrency) && concurrency >= 1))) {
    throw new StemmaError("usage.invalid", `Expected concurrency to be a whole number from 1, got ${concurrency}.`);
  }
  checkLimits(resourceLimits);
  const graph = yield* buildGraph([...steps]);
  for (const [n, { name }] of graph.steps.entries()) {
    checkName(name, "name of a task");
    if (n % stretch === stretch - 1) yield;
  }
  yield* checkDemands(graph, resourceLimits);
  return { graph, concurrency, resourceLimits, leftOut: yield* leftOut(graph, filter) };
}

/** What the fingerprint of the code is made from. */
export function* sourceOf<C>({ steps }: Graph<C>): Generator<void, string> {
  const lines: string[] = [];
  for (const { name, dependencies = [], trigger = "all", run, condition, expand, collect } of steps) {
    lines.push([name, dependencies.join(), trigger, ...[run, condition, expand, collect].flatMap(textOf)].join("|"));
    if (lines.length % stretch === 0) yield;
  }
  return lines.join("\n");
}

function textOf(code: ((...given: never[]) => unknown) | undefined): string[] {
  return code === undefined ? [] : [String(code)];
}
