/**
 * The graph of steps as numbers: names are looked up once, and everything that runs it goes by positions. What cannot
 * be run is found here, before anything runs. Checking a graph of a million steps takes a while, so it is a generator
 * that pauses now and then: who must not block the event loop looks at the clock in the pauses.
 */
import { StemmaError } from "../../core/error.ts";
import { firstCycle } from "./cycle.ts";
import { message } from "./messages.ts";
import type { TaskStep } from "./step.ts";

/** A checked graph. It is shared by runs, and never changed. Edges are lists: `first` of a task, then `next` of each. */
export type Graph<C> = {
  readonly steps: readonly TaskStep<C>[];
  readonly names: readonly string[];
  readonly index: ReadonlyMap<string, number>;
  /** How many dependencies each task has. */
  readonly waiting: readonly number[];
  /** First edge to a dependent, or -1. */
  readonly first: readonly number[];
  /** Per edge: the next one from the same task, or -1; and the task it leads to. */
  readonly next: readonly number[];
  readonly target: readonly number[];
  /** Whether priorities differ, so that the order in which tasks became ready is not enough. */
  readonly prioritised: boolean;
};

export type GraphProblem =
  | { type: "duplicate_task"; message: string; details: { taskId: string } }
  | { type: "missing_dependency"; message: string; details: { taskId: string; missingDependencyId: string } }
  | { type: "cycle"; message: string; details: { cyclePath: string[] } };

export type TaskGraphValidation = { isValid: boolean; errors: GraphProblem[] };

/** A graph that cannot be run, with all that is wrong with it. */
export class TaskGraphValidationError extends StemmaError {
  override readonly name: string = "TaskGraphValidationError";
  readonly result: TaskGraphValidation;

  constructor(result: TaskGraphValidation, text: string = textOf(result)) {
    super("workflow.invalid", text, { data: { errors: result.errors } });
    this.result = result;
  }
}

function textOf({ errors }: TaskGraphValidation): string {
  return message("invalidGraph", errors.map((problem) => problem.message).join("; "));
}

/** Steps between two pauses. */
const stretch = 512;

/** Checks the steps and makes a graph of them. Throws TaskGraphValidationError; step.invalid for what is no step. */
export function* buildGraph<C>(steps: readonly TaskStep<C>[]): Generator<void, Graph<C>> {
  const { graph, errors } = yield* readGraph(steps);
  if (errors.length > 0) throw new TaskGraphValidationError({ isValid: false, errors });
  return graph;
}

/** All that is wrong with the steps, and the graph, which is of use only if nothing is. */
export function* readGraph<C>(
  steps: readonly TaskStep<C>[],
): Generator<void, { graph: Graph<C>; errors: GraphProblem[] }> {
  const errors: GraphProblem[] = [];
  const names: string[] = [];
  const index = new Map<string, number>();
  let prioritised = false;
  for (let i = 0; i < steps.length; i++) {
    const { name, dependencies, priority } = checkStep(steps[i], i);
    names.push(name);
    index.set(name, i);
    if (index.size <= i - errors.length) errors.push(duplicate(name));
    if (priority !== undefined && priority !== 0) prioritised = true;
    if (dependencies !== undefined && !Array.isArray(dependencies)) throw notAStep(name, "dependencies as an array");
    if (i % stretch === stretch - 1) yield;
  }
  const { waiting, first, next, target, missing, forward } = yield* edges(steps, index);
  for (const [at, dependency] of missing) errors.push(missingDependency(names[at] ?? "", dependency));
  if (!forward && missing.length === 0) {
    const cyclePath = yield* firstCycle(steps, index, waiting, first, next, target);
    if (cyclePath !== undefined) {
      errors.push({ type: "cycle", message: message("cycle", cyclePath.join(" -> ")), details: { cyclePath } });
    }
  }
  return { graph: { steps, names, index, waiting, first, next, target, prioritised }, errors };
}

type Edges = { waiting: number[]; first: number[]; next: number[]; target: number[] };

/** From the last step to the first, so that the dependents of a task are listed in the order of their definition. */
function* edges(
  steps: readonly TaskStep<never>[],
  index: ReadonlyMap<string, number>,
): Generator<void, Edges & { missing: [number, string][]; forward: boolean }> {
  const waiting = Array.from<number>({ length: steps.length }).fill(0);
  const first = Array.from<number>({ length: steps.length }).fill(-1);
  const next: number[] = [];
  const target: number[] = [];
  const missing: [number, string][] = [];
  // Steps that only name earlier ones have no cycle, and need not be searched for one.
  let forward = true;
  for (let i = steps.length - 1; i >= 0; i--) {
    const { dependencies } = steps[i] as TaskStep<never>;
    if (dependencies !== undefined) {
      waiting[i] = dependencies.length;
      for (const dependency of dependencies) {
        const from = index.get(dependency);
        if (from === undefined) {
          missing.push([i, dependency]);
          continue;
        }
        if (from >= i) forward = false;
        next.push(first[from] as number);
        first[from] = target.push(i) - 1;
      }
    }
    if (i % stretch === 0) yield;
  }
  missing.sort(([a], [b]) => a - b);
  return { waiting, first, next, target, missing, forward };
}

function checkStep<C>(step: TaskStep<C> | undefined, i: number): TaskStep<C> {
  if (typeof step !== "object" || step === null || typeof step.name !== "string") {
    throw new StemmaError("step.invalid", `Expected step ${i} to be an object with a name, got ${typeof step}.`);
  }
  return step;
}

function notAStep(name: string, expected: string): StemmaError {
  return new StemmaError("step.invalid", `Expected step ${name} to have ${expected}.`);
}

function duplicate(taskId: string): GraphProblem {
  return { type: "duplicate_task", message: message("duplicateTask", taskId), details: { taskId } };
}

function missingDependency(taskId: string, missingDependencyId: string): GraphProblem {
  const text = message("missingDependency", taskId, missingDependencyId);
  return { type: "missing_dependency", message: text, details: { taskId, missingDependencyId } };
}
