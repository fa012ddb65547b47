/**
 * What may start, and what is skipped, in view of what has ended. It knows no clock, no promises and no code of tasks:
 * whoever drives it says how tasks ended, and finds in `freed` what may start now and in `skipped` what never will.
 */
import { filled } from "./filled.ts";
import type { Graph } from "./graph.ts";
import type { TaskStatus, TaskStep } from "./step.ts";

/** Where a task stands. Numbers, because there may be a million of them; from `success` on it has ended. */
export const pending = 0;
export const ready = 1;
export const running = 2;
export const success = 3;
export const failure = 4;
export const skipped = 5;
export const cancelled = 6;
/** Left out of this run: satisfied, and without a result. */
export const absent = 7;

const statuses: readonly TaskStatus[] = ["success", "failure", "skipped", "cancelled"];
const numbers: Readonly<Record<TaskStatus, number>> = { success, failure, skipped, cancelled };

/** The word for a task that has ended. */
export function statusOf(state: number): TaskStatus {
  return statuses[state - success] as TaskStatus;
}

/** The number for a word; undefined for what is no status. */
export function stateOf(status: unknown): number | undefined {
  if (status === "success") return success;
  return typeof status === "string" && Object.hasOwn(numbers, status) ? numbers[status as TaskStatus] : undefined;
}

export class Plan<C> {
  graph: Graph<C>;
  readonly state: number[];
  /** Tasks that may start because of what ended last; taken out by the driver. */
  readonly freed: number[] = [];
  /** Tasks that will not start because of what ended last, each behind the one that is to blame; taken out likewise. */
  readonly skipped: { task: number; because: number }[] = [];
  /** Per task: ends that it still waits for. */
  readonly #left: number[];
  /** Tasks with `none-failed` of which a dependency has succeeded. */
  readonly #hopeful = new Set<number>();
  #extended = false;

  constructor(graph: Graph<C>) {
    this.graph = graph;
    this.state = filled<number>(graph.steps.length, pending);
    this.#left = [...graph.waiting];
  }

  /** Finds what may start without waiting for anything, from a position on. */
  start(from = 0): void {
    for (let task = from; task < this.state.length; task++) {
      if (this.#left[task] === 0 && this.state[task] === pending) this.#free(task);
    }
  }

  /** A task has ended: what does that free, and what does it skip, and so on down the graph? */
  settle(task: number, state: number): void {
    this.state[task] = state;
    const before = this.skipped.length;
    this.#follow(task);
    for (let at = before; at < this.skipped.length; at++) this.#follow((this.skipped[at] as { task: number }).task);
  }

  /** Marks as cancelled what has not started, but for some: those that wait for others, and those that might start. */
  cancel(but: (step: TaskStep<C>) => boolean): { waiting: number[]; queued: number[] } {
    const found: { waiting: number[]; queued: number[] } = { waiting: [], queued: [] };
    for (const [task, state] of this.state.entries()) {
      if (state > ready || but(this.graph.steps[task] as TaskStep<C>)) continue;
      this.state[task] = cancelled;
      found[state === ready ? "queued" : "waiting"].push(task);
    }
    return found;
  }

  /** Puts the tasks of another graph behind these, and gives the position of the first. */
  extend(more: Graph<C>): number {
    const from = this.state.length;
    if (!this.#extended) {
      const { steps, names, index, waiting, first, next, target } = this.graph;
      this.graph = {
        ...this.graph,
        steps: [...steps],
        names: [...names],
        index: new Map(index),
        waiting: [...waiting],
        first: [...first],
        next: [...next],
        target: [...target],
      };
      this.#extended = true;
    }
    append(this.graph as unknown as Growing<C>, more, from);
    for (const count of more.waiting) {
      this.state.push(pending);
      this.#left.push(count);
    }
    return from;
  }

  #free(task: number): void {
    this.state[task] = ready;
    this.freed.push(task);
  }

  #follow(from: number): void {
    const { first, next, target, steps } = this.graph;
    const state = this.state[from] as number;
    const satisfied =
      state === success || state === absent || (state === failure && steps[from]?.continueOnError === true);
    for (let edge = first[from] as number; edge >= 0; edge = next[edge] as number) {
      const task = target[edge] as number;
      if (this.state[task] !== pending) continue;
      const left = ((this.#left[task] as number) -= 1);
      const { trigger } = steps[task] as TaskStep<C>;
      if (trigger === undefined || trigger === "all") {
        if (!satisfied) this.#skip(task, from);
        else if (left === 0) this.#free(task);
      } else this.#pull(trigger, task, from, satisfied, left);
    }
  }

  #pull(
    trigger: Exclude<TaskStep["trigger"], undefined>,
    task: number,
    from: number,
    satisfied: boolean,
    left: number,
  ): void {
    if (trigger === "any") {
      if (satisfied) this.#free(task);
      else if (left === 0) this.#skip(task, from);
    } else if (trigger === "none-failed") {
      if (satisfied) this.#hopeful.add(task);
      else if (this.state[from] !== skipped) this.#skip(task, from);
      if (left > 0 || this.state[task] !== pending) return;
      if (this.#hopeful.has(task)) this.#free(task);
      else this.#skip(task, from);
    } else if (left === 0) this.#free(task);
  }

  #skip(task: number, because: number): void {
    this.state[task] = skipped;
    this.skipped.push({ task, because });
  }
}

type Growing<C> = {
  steps: TaskStep<C>[];
  names: string[];
  index: Map<string, number>;
  waiting: number[];
  first: number[];
  next: number[];
  target: number[];
};

function append<C>(graph: Growing<C>, more: Graph<C>, from: number): void {
  const edges = graph.target.length;
  for (const [i, name] of more.names.entries()) {
    graph.index.set(name, from + i);
    graph.names.push(name);
    graph.steps.push(more.steps[i] as TaskStep<C>);
    graph.waiting.push(more.waiting[i] as number);
    graph.first.push(shifted(more.first[i] as number, edges));
  }
  for (const edge of more.next) graph.next.push(shifted(edge, edges));
  for (const task of more.target) graph.target.push(from + task);
}

function shifted(edge: number, by: number): number {
  return edge < 0 ? -1 : edge + by;
}
