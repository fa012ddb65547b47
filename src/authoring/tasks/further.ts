/** The further tasks of tasks of a run in memory: they join its plan when the one that they come from returns. */
import { resultOfThrown } from "./attempt.ts";
import type { Graph } from "./graph.ts";
import { buildGraph, TaskGraphValidationError } from "./graph.ts";
import { message } from "./messages.ts";
import type { Whole } from "./opened.ts";
import { blameOf, Opened } from "./opened.ts";
import type { Plan } from "./plan.ts";
import { stateOf, success } from "./plan.ts";
import { checkDemand } from "./resources.ts";
import type { Results } from "./results.ts";
import type { TaskResult, TaskSnapshot, TaskStep } from "./step.ts";
import { atOnce } from "./turn.ts";

/** What further tasks need of the run that they join. */
export type Growing<C> = {
  readonly plan: Plan<C>;
  readonly results: Results<C>;
  joined(count: number): void;
  /** Whether a task is known to have succeeded; then it has ended. */
  recalled(task: number): boolean;
  close(task: number, result: TaskResult): void;
};

export class Further<C> {
  readonly #run: Growing<C>;
  readonly #resourceLimits: Readonly<Record<string, number>>;
  readonly #opened = new Opened();
  /** Of tasks that are about to return. */
  readonly #prepared = new Map<number, Graph<C>>();

  constructor(run: Growing<C>, resourceLimits: Readonly<Record<string, number>> = {}) {
    this.#run = run;
    this.#resourceLimits = resourceLimits;
  }

  /** Takes the further tasks of a task that is about to return. Throws for those that cannot be carried out. */
  prepare(task: number, further: Graph<C>): void {
    const { index } = this.#run.plan.graph;
    for (const [i, name] of further.names.entries()) {
      if (index.has(name)) throw duplicateName(name);
      checkDemand(further.steps[i] as TaskStep<C>, this.#resourceLimits);
    }
    this.#prepared.set(task, further);
  }

  /** Whether a task that has returned has further tasks. Then these begin, and it ends with the last of them. */
  becomesSeveral(task: number, result: TaskResult): boolean {
    const further = this.#prepared.get(task);
    if (further === undefined) return false;
    this.#prepared.delete(task);
    const { plan } = this.#run;
    const from = this.#join(further);
    const count = further.steps.length;
    this.#opened.add(task, result, from, count);
    const over: number[] = [];
    for (let i = from; i < from + count; i++) if (this.#run.recalled(i)) over.push(i);
    for (const one of over) plan.settle(one, success);
    plan.start(from);
    for (const one of over) this.#closeWhole(this.#opened.ended(one, undefined));
    return true;
  }

  /** Whether a task has returned, and waits for its further tasks. */
  isOpen(task: number): boolean {
    return this.#opened.has(task);
  }

  /** A task has ended: if it was the last that another one waits for, so has that one. */
  ended(task: number, result: TaskResult): void {
    if (!this.#opened.any) return;
    const { name, continueOnError } = this.#run.plan.graph.steps[task] as TaskStep<C>;
    this.#closeWhole(this.#opened.ended(task, blameOf(name, result, continueOnError === true)));
  }

  /** What is known of the further tasks of one that has succeeded: they ended, and their steps are not needed. */
  recall(task: number, known: TaskSnapshot): number {
    const { plan, results } = this.#run;
    const names = Object.keys(known).filter((name) => name.startsWith(`${plan.graph.names[task] as string}/`));
    const steps = names.map((name) => ({ name, run: () => Promise.reject(new Error("This task has ended.")) }));
    const from = this.#join(atOnce(buildGraph<C>(steps)));
    for (const [i, name] of names.entries()) {
      const result = known[name] as TaskResult;
      plan.state[from + i] = stateOf(result.status) ?? success;
      results.add(from + i, result);
    }
    return names.length;
  }

  #join(further: Graph<C>): number {
    const from = this.#run.plan.extend(further);
    this.#run.results.extend();
    this.#run.joined(further.steps.length);
    return from;
  }

  #closeWhole(whole: { task: number; open: Whole } | undefined): void {
    if (whole === undefined) return;
    const { task, open } = whole;
    this.#run.results.ended[task] = performance.now();
    this.#run.close(task, open.blamed ?? this.#collected(task, open));
  }

  #collected(task: number, { result, from, count }: Whole): TaskResult {
    const { plan, results } = this.#run;
    const step = plan.graph.steps[task] as TaskStep<C>;
    if (step.collect === undefined) return result;
    try {
      const parts = Array.from({ length: count }, (_, i) => results.of(from + i) as TaskResult);
      return { ...result, data: step.collect(parts, result) };
    } catch (thrown) {
      return resultOfThrown(thrown, undefined);
    }
  }
}

function duplicateName(taskId: string): TaskGraphValidationError {
  const text = message("DUPLICATE_TASK", taskId);
  const errors = [{ type: "duplicate_task", message: text, details: { taskId } } as const];
  return new TaskGraphValidationError({ isValid: false, errors });
}
