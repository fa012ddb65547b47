/**
 * One run of a graph. Tasks are carried out in *lanes*: a lane enters a task, waits for it, and goes on with the next one
 * that is ready. So a chain of a million tasks is one loop, and a limit of concurrency is a number of lanes.
 */
import type { Careful } from "./careful.ts";
import { carefully, checkedResult, isPlain, isResult } from "./careful.ts";
import { hasLimit, Limited, resultOfThrown, thrownOf } from "./attempt.ts";
import { toRecord } from "../../engine/failure.ts";
import { Deadlines, timerMsMax } from "./deadlines.ts";
import type { EventBus, RunnerEvent, RunnerEventPayloads } from "./events.ts";
import { Origin } from "./events.ts";
import type { Growing } from "./further.ts";
import { Further } from "./further.ts";
import type { Graph } from "./graph.ts";
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
import { inTurns, nextTurn, turnIsOver } from "./turn.ts";

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

/** Lanes that are opened before those that are open may go on. More at once would only fill the memory. */
const burst = 32;
/** Tasks between two looks at the clock, where nothing is entered. */
const stretch = 256;
const abortGraceMs = 100;

export class Run<C> implements Surroundings, Careful<C>, Growing<C> {
  readonly runId: string;
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
  readonly #lanesMax: number;
  readonly #scarce: Scarce | undefined;
  readonly #ready: Ready;
  readonly #further: Further<C>;
  readonly #over = Promise.withResolvers<void>();
  readonly #tally = new Tally();
  /** Taken once: each look at the global costs as much as the clock itself. */
  readonly #clock = performance;
  /** Whether successes have no further consequences. */
  #quick: boolean;
  #startedAt = 0;
  #lanes = 0;
  /** Tasks that have not ended. */
  #left: number;
  /** Whether more lanes will be opened without anybody's doing. */
  #opening = false;
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
    this.plan = new Plan(graph);
    this.results = new Results(this.plan);
    this.#further = new Further(this, config.resourceLimits);
    this.#left = graph.steps.length;
    this.#lanesMax = lanesMax(config.concurrency);
    const newLine = (): Ready =>
      graph.prioritised ? new Ranking((task) => this.#step(task).priority ?? 0) : new Line(graph.steps.length);
    const { resourceLimits } = config;
    this.#scarce =
      resourceLimits === undefined
        ? undefined
        : new Scarce(resourceLimits, newLine, (task) => this.#step(task).resources);
    this.#ready = this.#scarce ?? newLine();
    this.#quick = this.#scarce === undefined && !graph.triggered;
  }

  /** Carries it out. Rejects only for errors of this code. */
  async go(): Promise<Map<string, TaskResult>> {
    const { context, graph } = this.#options;
    this.#startedAt = Date.now();
    this.tell("workflowStart", { context, steps: graph.steps });
    await inTurns(this.#recall());
    if (this.#stop.begin(() => this.#onStop())) {
      this.#cancel(message("cancelledBeforeExecution"), message("cancelledBeforeExecution"), () => false);
    } else {
      this.plan.start();
      this.#queue();
      this.#open(this.#clock.now());
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

  async #lane(first: number, from: number): Promise<void> {
    const { plan } = this;
    let now = from;
    for (let task = first; task >= 0;) {
      const step = this.#step(task);
      let value: unknown;
      if (!isPlain(step, this)) value = await carefully(this, task, step);
      else if (hasLimit(step)) value = await this.#within(task, step, now);
      else {
        this.begin(task, now);
        try {
          value = await step.run(this.context, this.signal, new Tools(this, task));
        } catch (thrown) {
          value = resultOfThrown(thrown, this.#stop.signal);
        }
      }
      now = this.#clock.now();
      // It was given up, and others have gone on in its place.
      if (plan.state[task] !== running) return;
      let only = -1;
      if (this.#quick && this.#events.silent && isSuccess(value)) only = this.#succeeded(task, value, now);
      else this.#returned(task, value, now);
      if (turnIsOver(now)) {
        if (only >= 0) plan.freed.push(only);
        only = -1;
        await nextTurn();
        now = this.#clock.now();
      }
      task = this.#next(only, now);
    }
    this.#lanes--;
  }

  /** A success in a run in which there is nothing to do but to go on. Gives the task that it frees, if that is one. */
  #succeeded(task: number, value: TaskResult, now: number): number {
    this.results.ended[task] = now;
    this.results.addSuccess(task, value);
    if (--this.#left === 0) this.#over.resolve();
    return this.plan.succeed(task);
  }

  /** Enters a task within its limit of time. When that is over, the lane is given up, and its place is free. */
  async #within(task: number, step: TaskStep<C>, now: number): Promise<unknown> {
    const limited = new Limited(step, this.signal, this.deadlines, this.begin(task, now), (result) => {
      if (this.plan.state[task] !== running) return;
      this.#lanes--;
      this.#returned(task, result, this.#clock.now());
      this.#queue();
      this.#open(this.#clock.now());
    });
    try {
      return await step.run(limited.around(this.context), limited.signal, new Tools(this, task));
    } catch (thrown) {
      return resultOfThrown(thrown, this.#stop.signal);
    } finally {
      limited.done();
    }
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
    const entered = !Number.isNaN(this.results.started[task]);
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

  /** The next task for a lane, or -1. `only` is one that is ready, and in no line yet; or -1. */
  #next(only: number, now: number): number {
    const { state, freed } = this.plan;
    // One behind another, the common case: no line to stand in.
    if (only >= 0 && this.#ready.size === 0 && state[only] === ready) {
      state[only] = running;
      return only;
    }
    if (only >= 0) freed.push(only);
    this.#queue();
    // Others first, so that all begin in the order in which they came; the last is for this lane.
    if (!this.#opening && this.#ready.size > 1 && this.#lanes < this.#lanesMax) this.#open(now, 1);
    return this.#take();
  }

  #queue(): void {
    const { freed } = this.plan;
    if (freed.length === 0) return;
    this.#ready.pushAll(freed);
    empty(freed);
  }

  #take(): number {
    for (;;) {
      const task = this.#ready.take();
      if (task < 0) return -1;
      // What was cancelled meanwhile is still in line.
      if (this.plan.state[task] !== ready) continue;
      this.plan.state[task] = running;
      return task;
    }
  }

  /** Opens a lane for each task that is ready, as far as lanes go, but for the last ones that are left to others. */
  #open(from: number, left = 0): void {
    if (this.#opening) return;
    let now = from;
    for (let n = 1; this.#lanes < this.#lanesMax && this.#ready.size > left; n++) {
      const task = this.#take();
      if (task < 0) return;
      this.#lanes++;
      this.#lane(task, now).catch(this.#over.reject);
      now = this.#clock.now();
      const late = turnIsOver(now);
      if (n < burst && !late) continue;
      this.#opening = true;
      // Those that do nothing end now, and their lanes go on with the rest.
      this.#openMore(late).catch(this.#over.reject);
      return;
    }
  }

  /** Tasks that do nothing end in the turn in which they begin, and their lanes go on with the rest. */
  async #openMore(late: boolean): Promise<void> {
    if (late) await nextTurn();
    let before = 0;
    do {
      before = this.results.count;
      await Promise.resolve();
    } while (this.results.count - before > burst / 8);
    this.#opening = false;
    this.#open(this.#clock.now());
  }

  #onStop(): void {
    this.#cancel(message("workflowCancelled"), message("cancelledBeforeStart"), (step) => step.trigger === "finally");
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
    this.#queue();
    this.#open(this.#clock.now());
  }

  /** Ends the run without the tasks that do not mind that they were aborted. */
  #giveUp(): void {
    const now = this.#clock.now();
    for (let task = 0; task < this.plan.size; task++) {
      if (this.plan.state[task] !== running || this.#further.isOpen(task) || this.#step(task).trigger === "finally")
        continue;
      this.#lanes--;
      this.results.ended[task] = now;
      const text = message(this.asking.has(task) ? "cancelledInCondition" : "taskCancelled");
      this.close(task, { status: "cancelled", message: text });
    }
    this.#queue();
    this.#open(now);
  }
}

/** How many tasks at a time. */
function lanesMax(concurrency: number | undefined): number {
  return concurrency === undefined || Number.isNaN(concurrency) ? Number.POSITIVE_INFINITY : concurrency;
}

function isSuccess(value: unknown): value is TaskResult {
  return typeof value === "object" && value !== null && (value as TaskResult).status === "success";
}

function empty(tasks: number[]): void {
  // To set the length of a short array costs more than to take out what is in it.
  if (tasks.length > 16) tasks.length = 0;
  while (tasks.length > 0) tasks.pop();
}
