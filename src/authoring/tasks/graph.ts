/**
 * The graph of steps as numbers: names are looked up once, and everything that runs it goes by positions. What cannot
 * be run is found here, before anything runs. Checking a graph of a million steps takes a while, so it is a generator
 * that pauses now and then: who must not block the event loop looks at the clock in the pauses.
 */
import { StemmaError } from "../../core/error.ts";
import { firstCycle } from "./cycle.ts";
import { filled } from "./filled.ts";
import { message, textOfThrown } from "./messages.ts";
import type { Names } from "./names.ts";
import { NameIndex } from "./names.ts";
import type { TaskStep } from "./step.ts";

/** A checked graph. It is shared by runs, and never changed. */
export type Graph<C> = {
  readonly steps: readonly TaskStep<C>[];
  readonly names: readonly string[];
  readonly index: Names;
  /** Names of the dependencies of all tasks, one after another. */
  readonly dependencies: readonly string[];
  /** How many dependencies each task has. */
  readonly waiting: Int32Array;
  /** Tasks that depend on others: those of task `i` from `first[i]` on and before `first[i + 1]`. */
  readonly target: Int32Array;
  readonly first: Int32Array;
  /** Whether priorities differ, so that the order in which tasks became ready is not enough. */
  readonly prioritised: boolean;
  /** Whether some tasks wait for something else than the success of all. */
  readonly triggered: boolean;
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

  constructor(result: TaskGraphValidation, text: string = textOfProblems(result)) {
    super("workflow.invalid", text, { data: { errors: result.errors } });
    this.result = result;
  }
}

/** All that is wrong, in one line. */
export function textOfProblems({ errors }: TaskGraphValidation): string {
  return message("INVALID_GRAPH", errors.map((problem) => problem.message).join("; "));
}

/** Steps between two pauses, and dependencies: a single step may have very many of these. */
const stretch = 512;
const edgesMax = 4096;

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
  reading.makeRoom();
  for (let from = 0; from < steps.length;) {
    from = reading.readEdges(from, Math.min(from + stretch, steps.length));
    yield;
  }
  reading.addUp();
  for (let from = 0; from < steps.length;) {
    from = reading.turnRound(from, Math.min(from + stretch, steps.length));
    yield;
  }
  const { graph, missing, errors } = reading;
  for (const problem of missing) errors.push(problem);
  if (!reading.forward && missing.length === 0) {
    const cyclePath = yield* firstCycle(graph);
    if (cyclePath !== undefined) {
      errors.push({ type: "cycle", message: message("CYCLE", cyclePath.join(" -> ")), details: { cyclePath } });
    }
  }
  const { prioritised, triggered } = reading;
  return { graph: { ...graph, prioritised, triggered }, errors };
}

const triggers: ReadonlySet<unknown> = new Set(["all", "any", "none-failed", "always", "finally"]);
const triggerNames = '"all", "any", "none-failed", "always" or "finally"';

class Reading<C> {
  readonly graph: {
    steps: readonly TaskStep<C>[];
    names: string[];
    index: NameIndex;
    dependencies: string[];
    waiting: Int32Array;
    target: Int32Array;
    first: Int32Array;
  };
  readonly errors: GraphProblem[] = [];
  readonly missing: GraphProblem[] = [];
  prioritised = false;
  triggered = false;
  /** Whether all tasks depend on earlier ones: then there is no cycle, and nobody has to search for one. */
  forward = true;
  /** Per dependency, the task that it is; -1 for one that is missing. */
  #sources = new Int32Array(0);
  /** Where the next edge of each task goes. */
  #room = new Int32Array(0);
  #at = 0;
  /** Dependencies of the next step that were dealt with before the last pause. */
  #inside = 0;

  constructor(steps: readonly TaskStep<C>[]) {
    this.graph = {
      steps,
      names: filled(steps.length, ""),
      index: new NameIndex(steps.length),
      dependencies: [],
      waiting: new Int32Array(steps.length),
      target: new Int32Array(0),
      first: new Int32Array(steps.length + 1),
    };
  }

  readNames(from: number, to: number): void {
    const { steps, names, index, waiting } = this.graph;
    for (let i = from; i < to; i++) {
      const { name, dependencies, priority, trigger } = checkStep(steps[i], i);
      names[i] = name;
      index.set(name, i);
      if (index.size <= i - this.errors.length) this.errors.push(duplicate(name));
      if (priority !== undefined && priority !== 0) this.prioritised = true;
      if (trigger !== undefined && trigger !== "all") {
        if (!triggers.has(trigger)) throw notAStep(name, `a trigger of ${triggerNames}, got ${textOfThrown(trigger)}`);
        this.triggered = true;
      }
      if (dependencies === undefined) continue;
      if (!Array.isArray(dependencies)) throw notAStep(name, "dependencies as an array");
      waiting[i] = dependencies.length;
      for (const dependency of dependencies) this.graph.dependencies.push(dependency as string);
    }
  }

  makeRoom(): void {
    // Of tasks with one name the first has it. Only a graph that is refused has any.
    if (this.errors.length > 0)
      for (const [i, name] of [...this.graph.names.entries()].reverse()) this.graph.index.set(name, i);
    const edges = this.graph.dependencies.length;
    this.#sources = new Int32Array(edges);
    this.graph.target = new Int32Array(edges);
  }

  /**
   * Looks up the dependencies of a stretch of the steps, and counts for each task those that depend on it. Gives the step
   * to go on with.
   */
  readEdges(from: number, to: number): number {
    const { names, index, dependencies, waiting, first } = this.graph;
    let at = this.#at;
    const stop = at + edgesMax;
    for (let i = from; i < to; i++) {
      const end = at + (waiting[i] as number) - this.#inside;
      for (; at < end; at++) {
        if (at === stop) return this.#pauseIn(i, at, end);
        const dependency = dependencies[at] as string;
        const source = index.get(dependency) ?? -1;
        this.#sources[at] = source;
        if (source < 0) this.missing.push(missingDependency(names[i] as string, dependency));
        else first[source + 1] = (first[source + 1] as number) + 1;
        if (source >= i) this.forward = false;
      }
      this.#inside = 0;
    }
    this.#at = at;
    return to;
  }

  /** Goes on later with a step in the midst of its dependencies. */
  #pauseIn(step: number, at: number, end: number): number {
    this.#at = at;
    this.#inside = (this.graph.waiting[step] as number) - (end - at);
    return step;
  }

  addUp(): void {
    const { first } = this.graph;
    for (let i = 1; i < first.length; i++) first[i] = (first[i] as number) + (first[i - 1] as number);
    this.#room = first.slice();
    this.#at = 0;
  }

  /** From where edges come is known; puts down where they lead to, in the order of the steps. Gives the next step. */
  turnRound(from: number, to: number): number {
    const { waiting, target } = this.graph;
    let at = this.#at;
    const stop = at + edgesMax;
    for (let i = from; i < to; i++) {
      const end = at + (waiting[i] as number) - this.#inside;
      for (; at < end; at++) {
        if (at === stop) return this.#pauseIn(i, at, end);
        const source = this.#sources[at] as number;
        if (source < 0) continue;
        const place = this.#room[source] as number;
        this.#room[source] = place + 1;
        target[place] = i;
      }
      this.#inside = 0;
    }
    this.#at = at;
    return to;
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
  return { type: "duplicate_task", message: message("DUPLICATE_TASK", taskId), details: { taskId } };
}

function missingDependency(taskId: string, missingDependencyId: string): GraphProblem {
  const text = message("MISSING_DEPENDENCY", taskId, missingDependencyId);
  return { type: "missing_dependency", message: text, details: { taskId, missingDependencyId } };
}
