/**
 * A graph of tasks as a body of the engine: each task a step, caused by those that it depends on. Whatever it does next
 * follows from the outcomes that it was given, in their order, so it takes the same path in recall as it did live.
 *
 * Much of it is done a slice in each turn of the event loop. An outcome is taken in when all is asked for that those
 * before it have freed, however many turns that takes and whenever it came: so no ask depends on when outcomes come.
 */
import type { RunId, Seq } from "../../core/event.ts";
import { StemmaError } from "../../core/error.ts";
import type { Json } from "../../core/json.ts";
import { decode, encode } from "../../core/json.ts";
import type { Operations, Outcome, RunInfo, Unread } from "../../engine/body.ts";
import type { ContextPatch } from "./context-patch.ts";
import { patched } from "./context-patch.ts";
import { tellOf } from "./durable-listeners.ts";
import type { TaskInput, TaskOutput } from "./durable-task.ts";
import { carryOut, engineOptions, outputOf, resultOfError } from "./durable-task.ts";
import type { RunnerEvent, RunnerEventPayloads } from "./events.ts";
import { furtherOf, under } from "./expand.ts";
import type { Graph } from "./graph.ts";
import { buildGraph } from "./graph.ts";
import { InputTexts } from "./input-text.ts";
import { skippedBecause, textOfThrown } from "./messages.ts";
import type { Whole } from "./opened.ts";
import { blameOf, Opened } from "./opened.ts";
import { absent, failure, Plan, ready, running, stateOf, statusOf } from "./plan.ts";
import type { Ready } from "./ready.ts";
import { Line, Ranking } from "./ready.ts";
import { checkDemand, Scarce } from "./resources.ts";
import type { TaskResult, TaskStep } from "./step.ts";
import { atOnce } from "./turn.ts";

export type DurableRunOptions<C> = {
  graph: Graph<C>;
  concurrency: number;
  resourceLimits: Readonly<Record<string, number>>;
  leftOut: readonly number[];
};

/** Asks and outcomes in one turn of the event loop; an ask takes some twenty microseconds. */
const sliceMax = 100;
/** What most tasks put out, which need not be parsed. */
const bareOutput = '{"result":{"status":"success"}}';

export class DurableRun<C> {
  readonly #options: DurableRunOptions<C>;
  readonly #operations: Operations;
  readonly #start: Seq;
  readonly #runId: RunId | undefined;
  /** Tasks that were entered here. */
  readonly #entered = new Set<number>();
  readonly #root: string;
  readonly #plan: Plan<C>;
  /** Tasks that may start because of what was taken in last. */
  readonly #freed: number[] = [];
  readonly #scarce: Scarce;
  readonly #ready: Ready;
  readonly #opened = new Opened();
  /** Scope of the further tasks of a task, and its name there. */
  readonly #places = new Map<number, { scope: string; name: string }>();
  readonly #results: (TaskResult | undefined)[] = [];
  /** While the run is recalled. */
  #texts: InputTexts | undefined;
  /** Per task that ended: the events that its end is. */
  readonly #ends: (Seq | readonly Seq[] | undefined)[] = [];
  readonly #failures: { task: string; error: Error; allowed: boolean }[] = [];
  readonly #over = Promise.withResolvers<void>();
  readonly #order: number[] = [];
  #context: Json | undefined;
  /** The last input of a task without dependencies. */
  #bare: { value: TaskInput } | undefined;
  /** Outcomes to be taken in, in their order, when all is asked for that may start. */
  #heard: Heard[] = [];
  #taken = 0;
  /** Whether it goes on in the next turn. */
  #waiting = false;
  /** Whether the outcome that is being taken in came live. */
  #live = false;
  #lanes = 0;
  #left: number;

  constructor(
    options: DurableRunOptions<C>,
    operations: Operations,
    info: Pick<RunInfo, "segment" | "input"> & { runId?: RunId },
  ) {
    const { graph, resourceLimits } = options;
    this.#options = options;
    this.#operations = operations;
    this.#start = info.segment.seq;
    this.#root = info.segment.root;
    this.#runId = info.runId;
    if (this.#runId !== undefined) this.#texts = new InputTexts();
    this.#context = info.input as Json | undefined;
    this.#plan = new Plan(graph, this.#freed);
    const newLine = (): Ready =>
      graph.prioritised ? new Ranking((task) => this.#step(task).priority ?? 0) : new Line();
    this.#scarce = new Scarce(resourceLimits, newLine, (task) => this.#step(task).resources);
    this.#ready = this.#scarce;
    this.#left = graph.steps.length - options.leftOut.length;
  }

  /** Gives the context in the end. Throws if a task failed and was not allowed to. */
  async go(): Promise<Json> {
    const plan = this.#plan;
    for (const task of this.#options.leftOut) plan.state[task] = absent;
    for (const task of this.#options.leftOut) plan.settle(task, absent);
    plan.start();
    this.#goOn();
    if (this.#left === 0) this.#over.resolve();
    await this.#over.promise;
    const failed = this.#failures.filter(({ allowed }) => !allowed);
    if (failed.length === 0) return this.#context ?? null;
    const errors = failed.map(({ error }) => error);
    const text = failed.map(({ task, error }) => `'${task}' (${error.message})`).slice(0, 10);
    const cause = errors.length === 1 ? errors[0] : new AggregateError(errors, `${errors.length} tasks failed`);
    throw new StemmaError(
      "run.failed",
      `Of the tasks ${failed.length === 1 ? "one" : failed.length} failed: ${text.join(", ")}.`,
      { data: { failed: failed.map(({ task }) => task).slice(0, 100) }, cause },
    );
  }

  /** The events that the end of the whole is caused by: the ends of the tasks that nothing depends on. */
  causes(): readonly Seq[] {
    const { first } = this.#plan.graph;
    const last: number[] = [];
    for (let task = 0; task < this.#plan.size; task++) if (first[task] === first[task + 1]) last.push(task);
    return this.#seqs(last);
  }

  /** The context now. */
  get context(): Json | undefined {
    return this.#context;
  }

  /** What is known, in the order in which the tasks ended. */
  results(): [name: string, result: TaskResult][] {
    return this.#order.map((task) => [this.#nameOf(task), this.#results[task] as TaskResult]);
  }

  /** Tasks that have no end. */
  unended(): string[] {
    const names: string[] = [];
    for (let task = 0; task < this.#plan.size; task++) {
      if (this.#plan.state[task] !== absent && this.#results[task] === undefined) names.push(this.#nameOf(task));
    }
    return names;
  }

  #step(task: number): TaskStep<C> {
    return this.#plan.graph.steps[task] as TaskStep<C>;
  }

  #nameOf(task: number): string {
    return this.#plan.graph.names[task] as string;
  }

  #resultOf(name: string): TaskResult | undefined {
    return this.#results[this.#plan.graph.index.get(name) ?? -1];
  }

  #seqs(tasks: readonly number[]): Seq[] {
    const seqs = new Set(tasks.flatMap((task) => this.#ends[task] ?? []));
    return seqs.size === 0 ? [this.#start] : [...seqs].toSorted((a, b) => a - b);
  }

  /** Whether it goes on by itself, without a further outcome. */
  get isGoingOn(): boolean {
    return this.#waiting;
  }

  /** Asks for all that may start, then takes in the next outcome: as much as one turn has room for. */
  #goOn(): void {
    if (this.#waiting) return;
    for (let room = sliceMax; room > 0; room--) {
      const task = this.#take();
      if (task >= 0) this.#ask(task);
      else if (!this.#takeIn()) return;
    }
    this.#waiting = true;
    this.#operations
      .turn()
      .then(() => {
        this.#waiting = false;
        this.#goOn();
      })
      .catch(this.#over.reject);
  }

  /** The next task that may start, as far as places and resources go; -1 where there is none. */
  #take(): number {
    const freed = this.#freed;
    if (freed.length > 0) {
      if (freed.length > 1) freed.sort((a, b) => a - b);
      for (const task of freed) this.#ready.push(task);
      freed.length = 0;
    }
    while (this.#lanes < this.#options.concurrency) {
      const task = this.#ready.take();
      if (task < 0) return -1;
      if (this.#plan.state[task] !== ready) continue;
      this.#plan.state[task] = running;
      this.#lanes++;
      return task;
    }
    return -1;
  }

  /** False where there is nothing to take in. */
  #takeIn(): boolean {
    const heard = this.#heard[this.#taken++];
    if (heard !== undefined) {
      this.#live = heard.live;
      this.#came(heard.task, heard.outcome);
      return true;
    }
    this.#heard = [];
    this.#taken = 0;
    return false;
  }

  readonly #hear = (task: number, outcome: Outcome | Unread): void => {
    this.#heard.push({ task, outcome, live: this.#runId !== undefined && this.#operations.live() });
    try {
      this.#goOn();
    } catch (error) {
      this.#over.reject(error);
    }
  };

  #ask(task: number): void {
    if (this.#isRecalled(task)) return;
    const step = this.#step(task);
    const { index } = this.#plan.graph;
    const dependencies = step.dependencies ?? [];
    const place = this.#places.get(task);
    const owner = place === undefined ? [] : [index.get(ownerOf(this.#nameOf(task))) as number];
    this.#operations.stepTo(
      {
        scope: place?.scope ?? this.#root,
        name: place?.name ?? step.name,
        causes: this.#seqs([...dependencies.map((name) => index.get(name) as number), ...owner]),
        input: this.#inputOf(dependencies),
        intent: true,
        ...engineOptions(step),
        run: (given, tools) =>
          carryOut(step, given as TaskInput, tools, {
            onStart: () => this.#tellStart(task),
            onRetry: (attempt, delay, result) => this.#tell("taskRetry", { step, attempt, delay, result }),
          }),
      },
      (outcome) => this.#hear(task, outcome),
    );
  }

  /** Whether its outcome is on record and will be given: then nothing is made of the task but that. */
  #isRecalled(task: number): boolean {
    if (this.#texts === undefined) return false;
    if (this.#operations.live()) {
      this.#texts = undefined;
      return false;
    }
    const step = this.#step(task);
    const place = this.#places.get(task) ?? { scope: this.#root, name: step.name };
    return this.#operations.again(place, this.#textOf(step, this.#texts), task, this.#hear);
  }

  #textOf({ dependencies = [] }: TaskStep<C>, texts: InputTexts): string {
    if (dependencies.length === 0) return texts.bare(this.#context);
    const known: { name: string; task: number; result: TaskResult }[] = [];
    for (const name of dependencies) {
      const task = this.#plan.graph.index.get(name) ?? -1;
      const result = this.#results[task];
      if (result !== undefined) known.push({ name, task, result });
    }
    return texts.of(this.#context, known);
  }

  /** Tasks without dependencies are given the context and nothing else. */
  #inputOf(dependencies: readonly string[]): { value: TaskInput } {
    const context = this.#context;
    if (dependencies.length > 0) {
      const known = dependencies.flatMap((name) => {
        const result = this.#resultOf(name);
        return result === undefined ? [] : [[name, result] as const];
      });
      return { value: { ...(context === undefined ? {} : { context }), results: Object.fromEntries(known) } };
    }
    if (this.#bare === undefined || this.#bare.value.context !== context)
      this.#bare = { value: context === undefined ? {} : { context } };
    return this.#bare;
  }

  #came(task: number, outcome: Outcome | Unread): void {
    const step = this.#step(task);
    this.#ends[task] = outcome.seq;
    this.#lanes--;
    this.#scarce.release(task);
    if ("text" in outcome) this.#succeeded(task, step, this.#read(task, step, outcome.text));
    else if (!outcome.ok) this.#close(task, resultOfError(step, outcome.error), outcome.error);
    else this.#succeeded(task, step, outputOf(outcome.value));
  }

  #read(task: number, step: TaskStep<C>, text: string): TaskOutput {
    // What a task with further ones comes to is put together when these have ended.
    if (step.expand === undefined) this.#texts?.note(task, text);
    return text === bareOutput ? { result: { status: "success" } } : outputOf(decode(text));
  }

  #succeeded(task: number, step: TaskStep<C>, { result, changes }: TaskOutput): void {
    if (changes !== undefined) this.#context = this.#changed(changes);
    if (step.expand === undefined || result.status !== "success") this.#close(task, result);
    else this.#expand(task, step, result);
  }

  #changed(changes: ContextPatch): Json {
    return patched(this.#context ?? null, changes);
  }

  #close(task: number, result: TaskResult, error?: Error): void {
    const state = stateOf(result.status) as number;
    const step = this.#step(task);
    if (state === failure) {
      const allowed = step.continueOnError === true;
      this.#failures.push({ task: step.name, error: error ?? new Error(result.error), allowed });
    }
    this.#plan.settle(task, state);
    this.#note(task, result);
    const { skipped } = this.#plan;
    for (const { task: dependent, because } of skipped.length === 0 ? [] : skipped.splice(0)) {
      const name = this.#nameOf(because);
      const found = this.#results[because];
      const cause = found?.cause ?? { task: name, status: statusOf(this.#plan.state[because] as number) };
      this.#ends[dependent] = this.#ends[because];
      this.#note(dependent, { status: "skipped", message: skippedBecause(name, found?.error), cause });
    }
  }

  #note(task: number, result: TaskResult): void {
    this.#results[task] = result;
    this.#order.push(task);
    this.#left--;
    this.#tellEnd(task, result);
    const { name, continueOnError } = this.#step(task);
    const whole = this.#opened.ended(task, blameOf(name, result, continueOnError === true));
    if (whole !== undefined) this.#closeWhole(whole.task, whole.open);
    if (this.#left === 0) this.#over.resolve();
  }

  /** Once in a process, however many attempts there are. */
  #tellStart(task: number): void {
    if (this.#entered.has(task)) return;
    this.#entered.add(task);
    this.#tell("taskStart", { step: this.#step(task) });
  }

  /** Only of what happens now: what is given again was told when it happened. */
  #tellEnd(task: number, result: TaskResult): void {
    if (!this.#live) return;
    const step = this.#step(task);
    this.#tell(result.status === "skipped" ? "taskSkipped" : "taskEnd", { step, result });
  }

  #tell<E extends RunnerEvent>(event: E, payload: RunnerEventPayloads<C>[E]): void {
    if (this.#runId !== undefined) tellOf(this.#runId, event, payload);
  }

  /** Asks for the further tasks of one that has succeeded. They follow from its record, so nothing of them need be kept. */
  #expand(task: number, step: TaskStep<C>, result: TaskResult): void {
    let further: Graph<C>;
    try {
      const steps = furtherOf(step, result, structuredClone(this.#context) as C);
      further = atOnce(buildGraph(steps.map((one) => under(`${this.#nameOf(task)}/`, one))));
      for (const one of further.steps) checkDemand(one, this.#options.resourceLimits);
    } catch (thrown) {
      return this.#close(task, { status: "failure", error: textOfThrown(thrown) });
    }
    const count = further.steps.length;
    if (count === 0) return this.#closeWhole(task, { result, from: 0, count, left: 0, blamed: undefined });
    const place = this.#places.get(task);
    const scope = this.#operations.open(place?.scope ?? this.#root, place?.name ?? step.name);
    const from = this.#plan.extend(further);
    this.#left += count;
    for (const [i, { name }] of further.steps.entries()) {
      this.#places.set(from + i, { scope, name: name.slice(this.#nameOf(task).length + 1) });
    }
    this.#opened.add(task, result, from, count);
    this.#plan.start(from);
  }

  #closeWhole(task: number, { result, from, count, blamed }: Whole): void {
    const step = this.#step(task);
    const parts = Array.from({ length: count }, (_, i) => from + i);
    if (count > 0) this.#ends[task] = this.#seqs(parts);
    if (blamed !== undefined) {
      const failed = this.#failures.filter((one) => one.task.startsWith(`${step.name}/`));
      const cause = failed.length === 1 ? failed[0]?.error : new AggregateError(failed.map(({ error }) => error));
      return this.#close(task, blamed, new Error(blamed.error ?? blamed.message, { cause }));
    }
    try {
      if (step.collect === undefined) return this.#close(task, result);
      const collected = step.collect(
        parts.map((part) => this.#results[part] as TaskResult),
        result,
      );
      // What depends on it is given this, so it is what a record can hold.
      const text = encode(collected, `output of task ${step.name}`);
      this.#close(task, { ...result, data: text === undefined ? undefined : decode(text) });
    } catch (thrown) {
      this.#close(task, { status: "failure", error: textOfThrown(thrown) });
    }
  }
}

type Heard = { task: number; outcome: Outcome | Unread; live: boolean };

function ownerOf(name: string): string {
  return name.slice(0, name.lastIndexOf("/"));
}
