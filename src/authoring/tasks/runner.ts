/** The object that users hold: a context, listeners, plugins, and what runs graphs of steps with them. */
import { randomUUID } from "node:crypto";
import { StemmaError } from "../../core/error.ts";
import type { Stemma } from "../../engine/stemma.ts";
import type { DurableOptions } from "./durable.ts";
import { DurableTasks } from "./durable.ts";
import type { RunnerEvent, RunnerEventListener } from "./events.ts";
import { EventBus } from "./events.ts";
import { leftOut } from "./filter.ts";
import { graphOf } from "./known-graphs.ts";
import { mermaidGraph } from "./mermaid.ts";
import type { Plugin } from "./plugin.ts";
import { Plugins } from "./plugin.ts";
import { checkDemands, checkLimits } from "./resources.ts";
import { Run } from "./run.ts";
import type { LoadOptions } from "./snapshot.ts";
import { checkedSnapshot, fitting, snapshotOf } from "./snapshot.ts";
import type { IExecutionStrategy } from "./strategy.ts";
import type { TaskRunnerExecutionConfig, TaskRunOutcome, TaskSnapshot, TaskStep } from "./step.ts";
import { inTurns } from "./turn.ts";
import type { CheckedSteps, ResultsOf } from "./typed.ts";

/**
 * Runs graphs of tasks that share a context.
 *
 * @example
 * const runner = new TaskRunner({ files: [] as string[] });
 * const results = await runner.execute([
 *   { name: "list", run: async (context) => ({ status: "success", data: await readdir(".") }) },
 *   { name: "count", dependencies: ["list"], run: async (context, signal, { results }: TaskTools<{ list: string[] }>) => ({
 *       status: "success", data: results.data("list").length }) },
 * ]);
 * console.log(results.get("count").data, runner.outcome?.status);
 */
export class TaskRunner<C = unknown> {
  readonly #context: C;
  readonly #events = new EventBus<C>();
  readonly #plugins = new Plugins<C>();
  #strategy: IExecutionStrategy<C> | undefined;
  #known: TaskSnapshot = {};
  #onMismatch: LoadOptions["onMismatch"];
  #run: Run<C> | undefined;

  constructor(context: C) {
    this.#context = context;
  }

  /** The definition of a graph, for Mermaid. */
  static getMermaidGraph<C>(steps: readonly TaskStep<C>[]): string {
    return mermaidGraph(steps);
  }

  on<E extends RunnerEvent>(event: E, listener: RunnerEventListener<C, E>): void {
    this.#events.on(event, listener);
  }

  off<E extends RunnerEvent>(event: E, listener: RunnerEventListener<C, E>): void {
    this.#events.off(event, listener);
  }

  /** Adds a plugin; it is installed before the next run. Throws usage.invalid for a second one of the same name. */
  use(plugin: Plugin<C>): this {
    this.#plugins.add(plugin);
    return this;
  }

  /** Enters tasks in another way. Retries, loops and limits of time are then the strategy's business. */
  setExecutionStrategy(strategy: IExecutionStrategy<C>): this {
    this.#strategy = strategy;
    return this;
  }

  /**
   * Goes on from a snapshot: tasks that have succeeded there do not run again in the runs that follow, and count for
   * those that depend on them; all others are evaluated again. The context is the one of this runner.
   *
   * @throws snapshot.invalid; `execute` throws snapshot.mismatch if it does not fit the graph
   */
  loadState(snapshot: TaskSnapshot, options: LoadOptions = {}): this {
    const { onMismatch } = options;
    if (onMismatch !== undefined && onMismatch !== "error" && onMismatch !== "ignore") {
      throw new StemmaError(
        "usage.invalid",
        `Expected onMismatch to be "error" or "ignore", got ${JSON.stringify(onMismatch)}.`,
      );
    }
    this.#known = checkedSnapshot(snapshot);
    this.#onMismatch = onMismatch;
    this.#run = undefined;
    return this;
  }

  /**
   * What is known now of the last run, also while it runs: results of the tasks that have ended, as plain JSON, with
   * those of the snapshot that was loaded for tasks that have not ended again.
   *
   * @throws json.not_serializable for an output that JSON cannot hold
   */
  getSnapshot(): TaskSnapshot {
    return snapshotOf(this.#run?.known ?? this.#known, this.#run?.results.entries() ?? []);
  }

  /** How the last run ended; undefined before. */
  get outcome(): TaskRunOutcome | undefined {
    return this.#run?.outcome;
  }

  /**
   * The same on the engine: what a run has done is on record, and after a crash it goes on from there. The context must be
   * JSON. Listeners and plugins of this runner are told of what happens here for the first time; its strategy is not used.
   *
   * @throws usage.invalid for a context that is not JSON, or when a snapshot was loaded: such a run goes on from its own
   * record; name.invalid
   * @example
   * const results = await runner.durable(stemma, { name: "nightly" }).execute(steps, { idempotencyKey: "2026-01-31" });
   */
  durable(stemma: Stemma, options: DurableOptions): DurableTasks<C> {
    if (Object.keys(this.#known).length > 0) {
      throw new StemmaError(
        "usage.invalid",
        "Expected a runner without a snapshot: a durable run goes on from its own record, by its id or idempotencyKey. Leave out loadState.",
      );
    }
    return new DurableTasks(stemma, this.#context, options, this.#events, this.#plugins);
  }

  /**
   * Runs the graph, and gives the results in the order in which the tasks ended. A task that fails does not reject it.
   *
   * @throws TaskGraphValidationError (code workflow.invalid) for a graph that cannot be run, before anything runs;
   * usage.invalid, step.invalid for options or steps that cannot be; snapshot.mismatch; what a plugin threw
   */
  async execute<const S extends readonly TaskStep<C>[]>(
    steps: S & CheckedSteps<S>,
    config: TaskRunnerExecutionConfig = {},
  ): Promise<ResultsOf<S>> {
    checkConfig(config);
    const graph = await inTurns(graphOf<C>(steps));
    const { resourceLimits, filter } = config;
    if (resourceLimits !== undefined) await inTurns(checkDemands(graph, resourceLimits));
    const without = await inTurns(leftOut(graph, filter));
    const known = await inTurns(fitting(this.#known, graph, without, this.#onMismatch));
    await this.#plugins.install({ events: this.#events });
    const run = new Run<C>({
      runId: randomUUID(),
      graph,
      context: this.#context,
      config,
      events: this.#events,
      strategy: this.#strategy,
      known,
      leftOut: without,
    });
    this.#run = run;
    return (await run.go()) as ResultsOf<S>;
  }
}

/** Throws usage.invalid; RangeError for a limit of time that is none. */
function checkConfig({ concurrency, timeout, abortGrace, resourceLimits }: TaskRunnerExecutionConfig): void {
  if (resourceLimits !== undefined) checkLimits(resourceLimits);
  const lanes = concurrency === undefined || Number.isNaN(concurrency) ? Number.POSITIVE_INFINITY : concurrency;
  if (lanes !== Number.POSITIVE_INFINITY && !(Number.isInteger(lanes) && lanes >= 1)) {
    throw new StemmaError(
      "usage.invalid",
      `Expected concurrency to be a whole number from 1, got ${String(concurrency)}. Leave it out for no limit.`,
    );
  }
  for (const [name, ms] of Object.entries({ timeout, abortGrace })) {
    if (ms !== undefined && !(ms >= 0)) {
      // The class that AbortSignal.timeout throws, which users may be prepared for.
      throw new RangeError(`Expected ${name} to be milliseconds from 0, got ${String(ms)}.`);
    }
  }
}
