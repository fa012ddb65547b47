/**
 * What may start, and what is skipped, in view of what has ended. It knows no clock, no promises and no code of tasks:
 * whoever drives it says how tasks ended, and is given what may start now, and finds in `skipped` what never will.
 */
import type { Graph } from "./graph.ts";
import { MoreNames } from "./names.ts";
import { roomFor } from "./room.ts";
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

/** Takes tasks that may start, each of them once. */
export type Freed = { push(task: number): unknown };

export class Plan<C> {
  graph: Graph<C>;
  /** How many tasks there are. What is kept of them may have room for more. */
  size: number;
  state: Uint8Array;
  /** Tasks that will not start because of what ended last, each behind the one that is to blame; taken out likewise. */
  readonly skipped: { task: number; because: number }[] = [];
  /** Where tasks go that may start because of what ended last. */
  readonly #freed: Freed;
  /** Those of the graph: tasks that depend on others, and where those of each one begin. */
  #target: Int32Array;
  #first: Int32Array;
  /** Per task: ends that it still waits for. */
  #left: Int32Array;
  /** Tasks with `none-failed` of which a dependency has succeeded. */
  readonly #hopeful = new Set<number>();
  #extended = false;

  constructor(graph: Graph<C>, freed: Freed) {
    this.graph = graph;
    this.size = graph.steps.length;
    this.state = new Uint8Array(this.size);
    this.#freed = freed;
    this.#target = graph.target;
    this.#first = graph.first;
    this.#left = graph.waiting.slice();
  }

  /** Finds what may start without waiting for anything, from a position on. */
  start(from = 0): void {
    for (let task = from; task < this.size; task++) {
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
    for (let task = 0; task < this.size; task++) {
      const state = this.state[task] as number;
      if (state > ready || but(this.graph.steps[task] as TaskStep<C>)) continue;
      this.state[task] = cancelled;
      found[state === ready ? "queued" : "waiting"].push(task);
    }
    return found;
  }

  /** Puts the tasks of another graph behind these, and gives the position of the first. */
  extend(more: Graph<C>): number {
    const from = this.size;
    this.size += more.steps.length;
    if (!this.#extended) {
      const { steps, names, index, first } = this.graph;
      this.graph = {
        ...this.graph,
        steps: [...steps],
        names: [...names],
        index: new MoreNames(index),
        first: first.slice(),
      };
      this.#extended = true;
    }
    append(this.graph as unknown as Growing<C>, more, from);
    this.#target = this.graph.target;
    this.#first = this.graph.first;
    this.state = roomFor(this.state, this.size);
    this.#left = roomFor(this.#left, this.size);
    this.#left.set(more.waiting, from);
    return from;
  }

  #free(task: number): void {
    this.state[task] = ready;
    this.#freed.push(task);
  }

  /** Whether a task may still start; then it is running. */
  begin(task: number): boolean {
    if (this.state[task] !== ready) return false;
    this.state[task] = running;
    return true;
  }

  /** The same as `settle` for a success where no task has a trigger of its own, as nearly all of them have none. */
  succeed(from: number): void {
    const { state } = this;
    const target = this.#target;
    const left = this.#left;
    state[from] = success;
    const end = this.#first[from + 1] as number;
    for (let edge = this.#first[from] as number; edge < end; edge++) {
      const task = target[edge] as number;
      const before = left[task] as number;
      left[task] = before - 1;
      if (before !== 1 || state[task] !== pending) continue;
      state[task] = ready;
      this.#freed.push(task);
    }
  }

  #follow(from: number): void {
    const { steps } = this.graph;
    const state = this.state[from] as number;
    const satisfied =
      state === success || state === absent || (state === failure && steps[from]?.continueOnError === true);
    const end = this.#first[from + 1] as number;
    for (let edge = this.#first[from] as number; edge < end; edge++) {
      const task = this.#target[edge] as number;
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
  index: MoreNames;
  first: Int32Array;
  target: Int32Array;
};

function append<C>(graph: Growing<C>, more: Graph<C>, from: number): void {
  const edges = graph.first[from] as number;
  for (const [i, name] of more.names.entries()) {
    graph.index.set(name, from + i);
    graph.names.push(name);
    graph.steps.push(more.steps[i] as TaskStep<C>);
  }
  graph.first = roomFor(graph.first, from + more.first.length);
  for (const [i, edge] of more.first.entries()) graph.first[from + i] = edges + edge;
  graph.target = roomFor(graph.target, edges + more.target.length);
  for (const [edge, task] of more.target.entries()) graph.target[edges + edge] = from + task;
}
