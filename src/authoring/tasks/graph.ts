/**
 * The graph of steps as numbers: names are looked up once, and everything that runs it goes by positions. What cannot
 * be run is found here, before anything runs. Checking a graph of a million steps takes a while, so it is a generator
 * that pauses now and then: who must not block the event loop looks at the clock in the pauses.
 */
import { StemmaError } from "../../core/error.ts";
import { firstCycle } from "./cycle.ts";
import { filled } from "./filled.ts";
import { message } from "./messages.ts";
import type { TaskStep } from "./step.ts";

/** A checked graph. It is shared by runs, and never changed. Edges are lists: `first` of a task, then `next` of each. */
export type Graph<C> = {
  readonly steps: readonly TaskStep<C>[];
  readonly names: readonly string[];
  readonly index: ReadonlyMap<string, number>;
  /** Names of the dependencies of all tasks, one after another. */
  readonly dependencies: readonly string[];
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
  const reading = new Reading(steps);
  // The loops are in functions of their own, because the compiler makes little of loops in generators.
  for (let from = 0; from < steps.length; from += stretch) {
    reading.readNames(from, Math.min(from + stretch, steps.length));
    yield;
  }
  // From the last to the first, so that the dependents of a task are listed in the order of their definition.
  for (let to = steps.length; to > 0; to -= stretch) {
    reading.readEdges(Math.max(to - stretch, 0), to);
    yield;
  }
  const { graph, missing, errors } = reading;
  for (const [at, dependency] of missing.toReversed()) {
    errors.push(missingDependency(graph.names[at] as string, dependency));
  }
  if (!reading.forward && missing.length === 0) {
    const cyclePath = yield* firstCycle(graph);
    if (cyclePath !== undefined) {
      errors.push({ type: "cycle", message: message("cycle", cyclePath.join(" -> ")), details: { cyclePath } });
    }
  }
  return { graph: { ...graph, prioritised: reading.prioritised }, errors };
}

class Reading<C> {
  readonly graph: {
    steps: readonly TaskStep<C>[];
    names: string[];
    index: Map<string, number>;
    dependencies: string[];
    waiting: number[];
    first: number[];
    next: number[];
    target: number[];
  };
  readonly errors: GraphProblem[] = [];
  /** Of each, the task, and the name that it depends on. */
  readonly missing: [number, string][] = [];
  prioritised = false;
  /** Whether all tasks depend on earlier ones: then there is no cycle, and nobody has to search for one. */
  forward = true;

  constructor(steps: readonly TaskStep<C>[]) {
    const waiting = filled(steps.length, 0);
    const first = filled(steps.length, -1);
    this.graph = { steps, names: [], index: new Map(), dependencies: [], waiting, first, next: [], target: [] };
  }

  readNames(from: number, to: number): void {
    const { steps, names, index } = this.graph;
    for (let i = from; i < to; i++) {
      const { name, dependencies, priority } = checkStep(steps[i], i);
      names.push(name);
      index.set(name, i);
      if (index.size <= i - this.errors.length) this.errors.push(duplicate(name));
      if (priority !== undefined && priority !== 0) this.prioritised = true;
      if (dependencies === undefined) continue;
      if (!Array.isArray(dependencies)) throw notAStep(name, "dependencies as an array");
      this.graph.waiting[i] = dependencies.length;
      for (const dependency of dependencies) this.graph.dependencies.push(dependency as string);
    }
  }

  readEdges(from: number, to: number): void {
    const { steps, index, first, next, target } = this.graph;
    for (let i = to - 1; i >= from; i--) {
      const { dependencies } = steps[i] as TaskStep<C>;
      if (dependencies === undefined) continue;
      // Backwards too, so that all that is missing is found in one order.
      for (let d = dependencies.length - 1; d >= 0; d--) {
        const dependency = dependencies[d] as string;
        const before = index.get(dependency);
        if (before === undefined) this.missing.push([i, dependency]);
        else {
          if (before >= i) this.forward = false;
          next.push(first[before] as number);
          first[before] = target.push(i) - 1;
        }
      }
    }
  }
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
