/** One run of a graph: what is to be done with each task, and what became of it. Lanes carry it out. */
import type { Careful } from "./careful.ts";
import { carefully, checkedResult, isPlain, isResult, statusIn } from "./careful.ts";
import { hasLimit, Limited, resultOfThrown, thrownOf } from "./attempt.ts";
import { toRecord } from "../../engine/failure.ts";
import { Deadlines, timerMsMax } from "./deadlines.ts";
import type { EventBus, RunnerEvent, RunnerEventPayloads } from "./events.ts";
import { Origin } from "./events.ts";
import type { Growing } from "./further.ts";
import { Further } from "./further.ts";
import type { Graph } from "./graph.ts";
import type { Traffic } from "./lanes.ts";
import { Lanes } from "./lanes.ts";
import { message, skippedBecause } from "./messages.ts";
import { absent, failure, Plan, ready, running, skipped, stateOf, success } from "./plan.ts";
import type { Ready } from "./ready.ts";
import { Line, Ranking } from "./ready.ts";
import { Scarce } from "./resources.ts";
import { Results } from "./results.ts";
import { Stop } from "./stop.ts";
import { Tally } from "./tally.ts";
import type { IExecutionStrategy } from "./strategy.ts";
import type { TaskResult, TaskRunnerExecutionConfig, TaskRunOutcome, TaskSnapshot, TaskStep } from "./step.ts";
import type { Surroundings } from "./tools.ts";
import { Tools } from "./tools.ts";
import { inTurns } from "./turn.ts";

export type RunOptions<C> = {
  runId: string;
  graph: Graph<C>;
  context: C;
  config: TaskRunnerExecutionConfig;
  events: EventBus<C>;
  /** In place of the runner's own way to enter tasks. */
  strategy: IExecutionStrategy<C> | undefined;
  /** What is known of an earlier run: its successes do not run again. */
  known: TaskSnapshot;
  /** Tasks that this run is not about. */
  leftOut: readonly number[];
};

/** Tasks between two looks at the clock, where nothing is entered. */
const stretch = 256;
const abortGraceMs = 100;

export class Run<C> implements Surroundings, Careful<C>, Growing<C>, Traffic {
  readonly runId: string;
  /** When the clock was looked at last; see `Lanes`. */
  readonly time: Float64Array = new Float64Array(1);
  readonly plan: Plan<C>;
  readonly results: Results<C>;
  readonly context: C;
  readonly strategy: IExecutionStrategy<C> | undefined;
  readonly dryRun: boolean;
  readonly deadlines: Deadlines = new Deadlines();
  /** Tasks of which the condition is being asked. */
  readonly asking: Set<number> = new Set();
  readonly known: TaskSnapshot;
  outcome: TaskRunOutcome | undefined;
  readonly #options: RunOptions<C>;
  readonly #origin: Origin;
  readonly #events: EventBus<C>;
  readonly #stop: Stop;
  readonly #lanes: Lanes;
  readonly #scarce: Scarce | undefined;
  readonly #ready: Ready;
  readonly #further: Further<C>;
  /** By position, tasks that were entered with a limit of time. */
  readonly #limited: (Limited | undefined)[] = [];
  readonly #over = Promise.withResolvers<void>();
  readonly #tally = new Tally();
  /** Taken once: each look at the global costs as much as the clock itself. */
  readonly #clock = performance;
  /** Whether successes have no further consequences. */
  #quick: boolean;
  #startedAt = 0;
  /** Tasks that have not ended. */
  #left: number;
  #grace: NodeJS.Timeout | undefined;

  constructor(options: RunOptions<C>) {
    const { config, graph } = options;
    this.#options = options;
    this.runId = options.runId;
    this.context = options.context;
    this.known = options.known;
    this.strategy = options.strategy;
    this.dryRun = config.dryRun === true;
    this.#events = options.events;
    this.#origin = new Origin(options.runId);
    this.#stop = new Stop(config.signal, config.timeout);
    this.#left = graph.steps.length;
    const newLine = (): Ready =>
      graph.prioritised ? new Ranking((task) => this.#step(task).priority ?? 0) : new Line(graph.steps.length);
    const { resourceLimits } = config;
    this.#scarce =
      resourceLimits === undefined
        ? undefined
        : new Scarce(resourceLimits, newLine, (task) => this.#step(task).resources);
    this.#ready = this.#scarce ?? newLine();
    this.plan = new Plan(graph, this.#ready);
    this.results = new Results(this.plan);
    this.#further = new Further(this, resourceLimits);
    this.#lanes = new Lanes(this, this.#ready, lanesMax(config.concurrency), this.time);
    this.#quick = this.#scarce === undefined && !graph.triggered;
  }

  /** Carries it out. Rejects only for errors of this code. */
  async go(): Promise<Map<string, TaskResult>> {
    const { context, graph } = this.#options;
    this.#startedAt = Date.now();
    this.tell("workflowStart", { context, steps: graph.steps });
    await inTurns(this.#recall());
    if (this.#stop.begin(() => this.#onStop())) {
      this.#cancel(message("CANCELLED_BEFORE_START"), message("CANCELLED_BEFORE_START"), () => false);
    } else {
      this.plan.start();
      this.#lanes.open();
    }
    if (this.#left === 0) this.#over.resolve();
    try {
      await this.#over.promise;
    } finally {
      clearTimeout(this.#grace);
      this.#stop.close();
      this.deadlines.close();
    }
    this.outcome = this.#tally.outcome(this.runId, this.plan, this.#startedAt, this.#stop.stopped);
    const results = this.results.asMap();
    this.tell("workflowEnd", { context, results });
    return results;
  }

  get signal(): AbortSignal | undefined {
    // What runs although the run was stopped is not to be stopped by that.
    return this.#stop.stopped === undefined ? this.#stop.signal : undefined;
  }

  get stopped(): boolean {
    return this.#stop.stopped !== undefined;
  }

  nameOf(task: number): string {
    return this.plan.graph.names[task] as string;
  }

  dependenciesOf(task: number): readonly string[] {
    return this.#step(task).dependencies ?? [];
  }

  resultOf(name: string): TaskResult | undefined {
    return this.results.byName(name);
  }

  tell<E extends RunnerEvent>(event: E, payload: RunnerEventPayloads<C>[E]): void {
    if (this.#events.hears(event)) this.#events.tell(event, this.#origin.mark(payload));
  }

  /** The task is entered now. Gives the time, which listeners may have taken. */
  begin(task: number, now: number): number {
    let then = now;
    if (this.#events.hears("taskStart")) {
      this.tell("taskStart", { step: this.#step(task) });
      then = this.#clock.now();
    }
    this.results.started[task] = then;
    return then;
  }

  #step(task: number): TaskStep<C> {
    return this.plan.graph.steps[task] as TaskStep<C>;
  }

  /** Takes over what is known, and leaves out what this run is not about. */
  *#recall(): Generator<void> {
    const { known, leftOut } = this.#options;
    const { plan } = this;
    for (const task of leftOut) plan.state[task] = absent;
    this.#left -= leftOut.length;
    const over = [...leftOut];
    let n = 0;
    for (const name of Object.keys(known)) {
      const task = plan.graph.index.get(name);
      if (task !== undefined && plan.state[task] !== absent && this.recalled(task)) over.push(task);
      if (++n % stretch === 0) yield;
    }
    // Only when it is known of all whether they run do we ask what that frees.
    for (const task of over) {
      plan.settle(task, plan.state[task] as number);
      if (++n % stretch === 0) yield;
    }
    for (const task of over) {
      if (this.#step(task).expand !== undefined) this.joined(-this.#further.recall(task, this.known));
    }
  }

  /** There are further tasks to come; or, below zero, fewer. */
  joined(count: number): void {
    this.#left += count;
  }

  /** Whether a task is known to have succeeded; then it has ended. */
  recalled(task: number): boolean {
    const name = this.nameOf(task);
    const result = Object.hasOwn(this.known, name) ? this.known[name] : undefined;
    if (result?.status !== "success") return false;
    this.plan.state[task] = success;
    this.results.add(task, result);
    this.#left--;
    return true;
  }

  start(task: number): boolean {
    return this.plan.begin(task);
  }

  enter(task: number): Promise<unknown> {
    const now = this.time[0] as number;
    const step = this.#step(task);
    if (!isPlain(step, this)) return carefully(this, task, step);
    if (step.timeout === undefined && this.#events.silent) {
      this.results.started[task] = now;
      return step.run(this.context, this.signal, new Tools(this, task));
    }
    const started = this.begin(task, now);
    if (!hasLimit(step)) return step.run(this.context, this.signal, new Tools(this, task));
    const limited = new Limited(step, this.signal, this.deadlines, started, (result) => this.#expired(task, result));
    while (this.#limited.length < task) this.#limited.push(undefined);
    this.#limited[task] = limited;
    return step.run(limited.around(this.context), limited.signal, new Tools(this, task));
  }

  thrown(error: unknown): TaskResult {
    return resultOfThrown(error, this.#stop.signal);
  }

  left(task: number, value: unknown): boolean {
    const now = this.time[0] as number;
    const { plan } = this;
    if (this.#limited.length > 0) this.#limited[task]?.done();
    // It was given up, and others have gone on in its place.
    if (plan.state[task] !== running) return false;
    if (this.#quick && this.#events.silent && statusIn(value) === "success") {
      this.results.ended[task] = now;
      this.results.add(task, value as TaskResult);
      plan.succeed(task);
      if (--this.#left === 0) this.#over.resolve();
    } else this.#returned(task, value, now);
    return true;
  }

  fault(error: unknown): void {
    this.#over.reject(error);
  }

  /** The time of a task is over: its lane is given up, and others go on in its place. */
  #expired(task: number, result: TaskResult): void {
    if (this.plan.state[task] !== running) return;
    this.#lanes.giveUp();
    this.#returned(task, result, this.#clock.now());
    this.#lanes.open();
  }

  /** A task has returned: it has ended, unless it has become several. */
  #returned(task: number, value: unknown, now: number): void {
    const result = isResult(value) ? value : checkedResult(this.nameOf(task), value);
    this.results.ended[task] = now;
    this.#scarce?.release(task);
    if (!this.#further.becomesSeveral(task, result)) this.close(task, result);
  }

  /** A task has ended. */
  close(task: number, returned: TaskResult): void {
    const state = stateOf(returned.status) as number;
    const thrown = state === failure ? thrownOf(returned) : undefined;
    const result = thrown === undefined ? returned : { ...returned, failure: toRecord(thrown.thrown) };
    if (state === failure) {
      const allowed = this.#step(task).continueOnError === true;
      this.#tally.failed({ task: this.nameOf(task), error: result.error, ...thrown }, allowed);
    }
    this.plan.settle(task, state);
    this.#note(task, result, state);
    if (this.plan.skipped.length > 0) this.#inTurns(this.#skip(this.plan.skipped.splice(0)));
  }

  /** Puts a result where everybody finds it, and tells of it. */
  #note(task: number, result: TaskResult, state: number): void {
    this.results.add(task, result);
    this.#left--;
    const step = this.#step(task);
    if (!this.#events.silent) this.#tellEnd(task, step, state);
    this.#further.ended(task, result);
    if (this.#left === 0) this.#over.resolve();
  }

  #tellEnd(task: number, step: TaskStep<C>, state: number): void {
    const entered = this.results.started[task] !== 0;
    const result = this.results.of(task) as TaskResult;
    if (state === skipped) this.tell("taskSkipped", { step, result });
    // One that says itself that it is skipped has begun, and what has begun ends.
    if (state !== skipped || entered) this.tell("taskEnd", { step, result });
  }

  *#skip(tasks: readonly { task: number; because: number }[]): Generator<void> {
    for (const [n, { task, because }] of tasks.entries()) {
      const name = this.nameOf(because);
      const { status, error, cause = { task: name, status } } = this.results.of(because) as TaskResult;
      this.#note(task, { status: "skipped", message: skippedBecause(name, error), cause }, skipped);
      if (n % stretch === stretch - 1) yield;
    }
  }

  /** Work of this run that nobody waits for: the run is not over before it is. */
  #inTurns(work: Generator<void>): void {
    const { done } = work.next();
    if (done !== true) inTurns(work).catch(this.#over.reject);
  }

  prepare(task: number, further: Graph<C>): void {
    this.#further.prepare(task, further);
    this.#quick = false;
  }

  #onStop(): void {
    this.#cancel(
      message("WORKFLOW_CANCELLED"),
      message("TASK_CANCELLED_BEFORE_START"),
      (step) => step.trigger === "finally",
    );
    this.deadlines.abort(this.#stop.stopped?.error);
    const graceMs = this.#options.config.abortGrace ?? abortGraceMs;
    if (this.#left > 0) this.#grace = setTimeout(() => this.#giveUp(), Math.min(graceMs, timerMsMax));
  }

  /** Cancels what has not begun. */
  #cancel(waitingText: string, queuedText: string, but: (step: TaskStep<C>) => boolean): void {
    const { waiting, queued } = this.plan.cancel(but);
    for (const task of this.#ready.clear()) if (this.plan.state[task] === ready) this.#ready.push(task);
    this.#inTurns(this.#cancelAll(queued, queuedText, waiting, waitingText));
  }

  *#cancelAll(
    queued: readonly number[],
    queuedText: string,
    waiting: readonly number[],
    waitingText: string,
  ): Generator<void> {
    let n = 0;
    for (const [tasks, text] of [
      [queued, queuedText],
      [waiting, waitingText],
    ] as const) {
      for (const task of tasks) {
        this.close(task, { status: "cancelled", message: text });
        if (++n % stretch === 0) yield;
      }
    }
    this.#lanes.open();
  }

  /** Ends the run without the tasks that do not mind that they were aborted. */
  #giveUp(): void {
    this.#inTurns(this.#giveUpAll());
  }

  *#giveUpAll(): Generator<void> {
    const now = this.#clock.now();
    for (let task = 0; task < this.plan.size; task++) {
      if (task % stretch === stretch - 1) yield;
      if (this.plan.state[task] !== running || this.#further.isOpen(task) || this.#step(task).trigger === "finally")
        continue;
      this.#lanes.giveUp();
      this.results.ended[task] = now;
      const text = message(this.asking.has(task) ? "CANCELLED_DURING_CONDITION" : "TASK_CANCELLED");
      this.close(task, { status: "cancelled", message: text });
    }
    this.#lanes.open();
  }
}

/** How many tasks at a time. */
function lanesMax(concurrency: number | undefined): number {
  return concurrency === undefined || Number.isNaN(concurrency) ? Number.POSITIVE_INFINITY : concurrency;
}
