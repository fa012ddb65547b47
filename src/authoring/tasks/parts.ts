/**
 * The parts of a task runner by themselves, for who puts one together by hand: what keeps the state of tasks, what drives
 * it, and the ways to enter a task. `TaskRunner` does not use them, and does more than they do together.
 */
import { StemmaError } from "../../core/error.ts";
import { looped, retried } from "./again.ts";
import { attempt } from "./attempt.ts";
import { checkedResult } from "./careful.ts";
import type { EventBus } from "./events.ts";
import type { TaskGraphValidation } from "./graph.ts";
import { readGraph, textOfProblems } from "./graph.ts";
import type { LogFormat } from "./logger.ts";
import { loggerPlugin } from "./logger.ts";
import { message, skippedBecause, textOfThrown } from "./messages.ts";
import { Plan, stateOf, success } from "./plan.ts";
import type { Plugin, PluginContext } from "./plugin.ts";
import { Ranking } from "./ready.ts";
import type { LoadOptions } from "./snapshot.ts";
import { checkedSnapshot, fitting, snapshotOf } from "./snapshot.ts";
import type { IExecutionStrategy } from "./strategy.ts";
import { executeBy } from "./strategy.ts";
import type { TaskResult, TaskSnapshot, TaskStep, TaskTools } from "./step.ts";
import { atOnce } from "./turn.ts";

/** A graph of which nothing is known but its edges. */
export type TaskGraph = { tasks: readonly { id: string; dependencies?: readonly string[] }[] };

/** Says what is wrong with a graph. */
export class TaskGraphValidator {
  validate<C>(graph: TaskGraph | readonly TaskStep<C>[]): TaskGraphValidation {
    const { errors } = atOnce(readGraph("tasks" in graph ? stepsOf(graph) : graph));
    return { isValid: errors.length === 0, errors };
  }

  /** All that is wrong in one line, as `TaskGraphValidationError` says it. */
  createErrorMessage(result: TaskGraphValidation): string {
    return textOfProblems(result);
  }
}

function stepsOf({ tasks }: TaskGraph): TaskStep[] {
  const run = (): Promise<TaskResult> => Promise.reject(new Error("Of a graph of edges nothing can be run."));
  return tasks.map(({ id, dependencies = [] }) => ({ name: id, dependencies, run }));
}

/** Enters a task once, within its limit of time. */
export class StandardExecutionStrategy<C = unknown> implements IExecutionStrategy<C> {
  execute(step: TaskStep<C>, context: C, signal?: AbortSignal, tools?: TaskTools): Promise<TaskResult> {
    return attempt(step, context, signal, tools);
  }
}

/** Enters a task again when it fails, as its `retry` says. */
export class RetryingExecutionStrategy<C = unknown> implements IExecutionStrategy<C> {
  readonly #inner: IExecutionStrategy<C>;

  constructor(inner: IExecutionStrategy<C>) {
    this.#inner = inner;
  }

  execute(step: TaskStep<C>, context: C, signal?: AbortSignal, tools?: TaskTools): Promise<TaskResult> {
    return retried(step, signal, () => executeBy(this.#inner, step, context, signal, tools));
  }
}

/** Enters a task again until it is done, as its `loop` says. */
export class LoopingExecutionStrategy<C = unknown> implements IExecutionStrategy<C> {
  readonly #inner: IExecutionStrategy<C>;

  constructor(inner: IExecutionStrategy<C>) {
    this.#inner = inner;
  }

  execute(step: TaskStep<C>, context: C, signal?: AbortSignal, tools?: TaskTools): Promise<TaskResult> {
    return looped(step, context, signal, () => executeBy(this.#inner, step, context, signal, tools));
  }
}

/** Enters nothing; everything succeeds. */
export class DryRunExecutionStrategy<C = unknown> implements IExecutionStrategy<C> {
  async execute(step: TaskStep<C>): Promise<TaskResult> {
    return { status: "success", message: message("DRY_RUN", step.name) };
  }
}

/** Writes a line to the console for each event. */
export class LoggerPlugin<C = unknown> implements Plugin<C> {
  readonly name: string;
  readonly version: string;
  readonly #plugin: Plugin<C>;

  constructor(options: LogFormat | { format?: LogFormat } = {}) {
    this.#plugin = loggerPlugin(typeof options === "string" ? options : (options.format ?? "text"));
    this.name = this.#plugin.name;
    this.version = this.#plugin.version;
  }

  install(context: PluginContext<C>): void | Promise<void> {
    return this.#plugin.install(context);
  }
}

/** Where each task of a graph stands. The first end of a task counts, and no other. */
export class TaskStateManager<C = unknown> {
  readonly #events: EventBus<C>;
  readonly #results = new Map<string, TaskResult>();
  readonly #pending = new Set<number>();
  readonly #running = new Set<number>();
  /** Tasks that may start and were not given yet. */
  #freed: number[] = [];
  #plan: Plan<C> = new Plan(atOnce(readGraph<C>([])).graph, this.#freed);
  #known: TaskSnapshot = {};
  #loading: LoadOptions = {};

  constructor(events: EventBus<C>) {
    this.#events = events;
  }

  /** Begins anew, with what a snapshot says of these steps if one was given. */
  initialize(steps: readonly TaskStep<C>[]): void {
    this.#freed = [];
    this.#plan = new Plan(atOnce(readGraph(steps)).graph, this.#freed);
    this.#results.clear();
    this.#running.clear();
    this.#pending.clear();
    for (const task of steps.keys()) this.#pending.add(task);
    this.#recall();
    this.#plan.start();
  }

  /** Takes over the successes of a snapshot, now and at each `initialize`. Throws snapshot.invalid, snapshot.mismatch. */
  hydrate(snapshot: TaskSnapshot, options: LoadOptions = {}): void {
    this.#known = checkedSnapshot(snapshot);
    this.#loading = options;
    if (this.#plan.size > 0) this.initialize(this.#plan.graph.steps);
  }

  /** What is known now, as plain JSON. */
  getSnapshot(): TaskSnapshot {
    return snapshotOf(this.#known, this.#results);
  }

  /** Tasks that may start now; each is given once. */
  processDependencies(): TaskStep<C>[] {
    const tasks: number[] = [];
    let sorted = true;
    for (const task of this.#freed) {
      if (!this.#pending.delete(task)) continue;
      if (task < (tasks.at(-1) ?? 0)) sorted = false;
      tasks.push(task);
    }
    this.#freed.length = 0;
    if (!sorted) tasks.sort((a, b) => a - b);
    return tasks.map((task) => this.#plan.graph.steps[task] as TaskStep<C>);
  }

  markRunning(step: TaskStep<C>): void {
    this.#running.add(this.#taskOf(step));
    this.#events.emit("taskStart", { step });
  }

  markCompleted(step: TaskStep<C>, result: TaskResult): void {
    if (!this.#end(step, result)) return;
    this.#events.emit("taskEnd", { step, result });
    this.#settle(step, result);
  }

  markSkipped(step: TaskStep<C>, result: TaskResult): void {
    if (!this.#end(step, result)) return;
    this.#events.emit("taskSkipped", { step, result });
    this.#settle(step, result);
  }

  /** Cancels what waits for others. */
  cancelAllPending(text: string): void {
    const tasks = [...this.#pending].filter((task) => !this.#running.has(task));
    for (const task of tasks) {
      const step = this.#plan.graph.steps[task] as TaskStep<C>;
      const result: TaskResult = { status: "cancelled", message: text };
      if (this.#end(step, result)) this.#events.emit("taskEnd", { step, result });
    }
  }

  /** The results, as they come in. */
  getResults(): Map<string, TaskResult> {
    return this.#results;
  }

  hasRunningTasks(): boolean {
    return this.#running.size > 0;
  }

  hasPendingTasks(): boolean {
    return this.#pending.size > 0;
  }

  #taskOf({ name }: TaskStep<C>): number {
    return this.#plan.graph.index.get(name) ?? -1;
  }

  #end(step: TaskStep<C>, result: TaskResult): boolean {
    const task = this.#taskOf(step);
    this.#running.delete(task);
    this.#pending.delete(task);
    if (this.#results.has(step.name)) return false;
    this.#results.set(step.name, result);
    return true;
  }

  #settle(step: TaskStep<C>, result: TaskResult): void {
    const task = this.#taskOf(step);
    const state = stateOf(result.status);
    if (task < 0 || state === undefined) return;
    this.#plan.settle(task, state);
    for (const { task: dependent, because } of this.#plan.skipped.splice(0)) {
      const parent = this.#plan.graph.steps[because] as TaskStep<C>;
      const text = skippedBecause(parent.name, this.#results.get(parent.name)?.error);
      const skip: TaskResult = { status: "skipped", message: text };
      const one = this.#plan.graph.steps[dependent] as TaskStep<C>;
      if (this.#end(one, skip)) this.#events.emit("taskSkipped", { step: one, result: skip });
    }
  }

  #recall(): void {
    const known = atOnce(fitting(this.#known, this.#plan.graph, [], this.#loading.onMismatch));
    const over: number[] = [];
    for (const [name, result] of Object.entries(known)) {
      const task = this.#plan.graph.index.get(name);
      if (task === undefined || result.status !== "success") continue;
      this.#plan.state[task] = success;
      this.#pending.delete(task);
      this.#results.set(name, result);
      over.push(task);
    }
    for (const task of over) this.#plan.settle(task, success);
  }
}

/** Drives the tasks of a `TaskStateManager`. Not to be confused with the one of `stemma/graph`, a graph as a node. */
export class WorkflowExecutor<C = unknown> {
  readonly #context: C;
  readonly #events: EventBus<C>;
  readonly #states: TaskStateManager<C>;
  readonly #strategy: IExecutionStrategy<C>;
  readonly #lanesMax: number;

  /** Throws usage.invalid for a concurrency of less than one; what is no number is no limit. */
  constructor(
    context: C,
    events: EventBus<C>,
    states: TaskStateManager<C>,
    strategy: IExecutionStrategy<C>,
    concurrency?: number,
  ) {
    this.#context = context;
    this.#events = events;
    this.#states = states;
    this.#strategy = strategy;
    this.#lanesMax = lanesOf(concurrency);
  }

  async execute(steps: readonly TaskStep<C>[], signal?: AbortSignal): Promise<Map<string, TaskResult>> {
    const states = this.#states;
    this.#events.emit("workflowStart", { context: this.#context, steps });
    states.initialize(steps);
    if (signal?.aborted === true) states.cancelAllPending(message("CANCELLED_BEFORE_START"));
    else await this.#drive(signal);
    const results = states.getResults();
    this.#events.emit("workflowEnd", { context: this.#context, results });
    return results;
  }

  async #drive(signal: AbortSignal | undefined): Promise<void> {
    const states = this.#states;
    const found: TaskStep<C>[] = [];
    const queue = new Ranking((at) => found[at]?.priority ?? 0);
    let lanes = 0;
    let wake = (): void => {};
    const abort = (): void => {
      states.cancelAllPending(message("WORKFLOW_CANCELLED"));
      wake();
    };
    signal?.addEventListener("abort", abort, { once: true });
    try {
      for (;;) {
        for (const step of states.processDependencies()) queue.push(found.push(step) - 1);
        for (let at = 0; lanes < this.#lanesMax && (at = queue.take()) >= 0;) {
          const step = found[at] as TaskStep<C>;
          if (signal?.aborted === true) states.markCompleted(step, cancelled("TASK_CANCELLED_BEFORE_START"));
          else {
            lanes++;
            void this.#carryOut(step, signal).finally(() => {
              lanes--;
              wake();
            });
          }
        }
        if (lanes === 0) break;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      // A cycle, or a dependency that is not there: nothing will ever start them.
      states.cancelAllPending(message("WORKFLOW_CANCELLED"));
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  async #carryOut(step: TaskStep<C>, signal: AbortSignal | undefined): Promise<void> {
    const states = this.#states;
    if (step.condition !== undefined) {
      try {
        const may = await step.condition(this.#context);
        if (signal?.aborted === true) return states.markCompleted(step, cancelled("CANCELLED_DURING_CONDITION"));
        if (!may) return states.markSkipped(step, { status: "skipped", message: message("SKIPPED_BY_CONDITION") });
      } catch (thrown) {
        const error = textOfThrown(thrown);
        const text = thrown instanceof Error ? error : message("CONDITION_EVALUATION_FAILED");
        return states.markCompleted(step, { status: "failure", message: text, error });
      }
    }
    states.markRunning(step);
    const startTime = performance.now();
    let result: TaskResult;
    try {
      result = checkedResult(step.name, await this.#strategy.execute(step, this.#context, signal));
    } catch (thrown) {
      result = { status: "failure", message: message("EXECUTION_STRATEGY_FAILED"), error: textOfThrown(thrown) };
    }
    const endTime = performance.now();
    states.markCompleted(step, { ...result, metrics: { startTime, endTime, duration: endTime - startTime } });
  }
}

function cancelled(text: Parameters<typeof message>[0]): TaskResult {
  return { status: "cancelled", message: message(text) };
}

function lanesOf(concurrency: number | undefined): number {
  if (typeof concurrency !== "number" || Number.isNaN(concurrency)) return Number.POSITIVE_INFINITY;
  if (concurrency >= 1) return concurrency;
  throw new StemmaError("usage.invalid", `Expected concurrency to be a whole number from 1, got ${concurrency}.`);
}
