/** A graph that was built: an immutable definition, run in memory or given to the engine. */
import { isStemmaError, StemmaError } from "../../core/error.ts";
import { checkAnswers, checkSame, forked } from "./answers.ts";
import type { CheckpointStorage } from "./checkpoint.ts";
import { checkWhole, notRestored } from "./checkpoint.ts";
import type { GraphDefinition } from "./definition.ts";
import { signatureOf } from "./definition.ts";
import type { DurableGraph, DurableOptions } from "./durable.ts";
import { durable } from "./durable.ts";
import type { GraphStatus, WorkflowEvent } from "./events.ts";
import { Executor } from "./executor.ts";
import type { Stemma } from "../../engine/stemma.ts";
import { running } from "./loop.ts";
import type { Shared } from "./message.ts";
import { entryState } from "./message.ts";
import { toPlain } from "./plain.ts";
import type { RunControl, RunRequest } from "./request.ts";
import { requestOf } from "./request.ts";
import type { Answer, Saving, WorkflowRunResult } from "./run.ts";
import { GraphRun } from "./run.ts";
import { Channel, WorkflowStream } from "./stream.ts";

export type RunOptions = {
  /** Events as they happen, in the place of the result at the end. Default false. */
  readonly stream?: boolean;
  /** Where checkpoints of this run go, and are read from. */
  readonly checkpointStorage?: CheckpointStorage;
  /** Default "fail". */
  readonly onSaveFailure?: Saving["onSaveFailure"];
  /** The shared state that a fresh run begins with. Default: none. */
  readonly state?: Readonly<Record<string, unknown>>;
  /** Stops the run: it is `cancelled`, and can be continued from its last checkpoint. */
  readonly signal?: AbortSignal;
};

/** A run to be carried on, and answers for it. */
type Ready = { run: GraphRun; answers: readonly Answer[] };

export class Workflow<I = unknown, Y = unknown> {
  readonly graph: GraphDefinition;
  readonly signature: string;
  /** Only for inference; never there at run time. */
  declare readonly types?: { input: I; yields: Y };
  /** Runs that share these executors come one after the other. */
  readonly #isShared: boolean;
  /** The run that has the executors, where they are shared. What is not in here holds nothing. */
  #active: object | undefined;
  /** Runs that only wait for answers, oldest first, and those of them that are being given some. */
  readonly #waiting = new Set<GraphRun>();
  readonly #answered = new Set<GraphRun>();
  #last: GraphRun | undefined;

  readonly #storage: CheckpointStorage | undefined;

  /** @param storage of the checkpoints of its runs; one that is given with a run is used in its place */
  constructor(graph: GraphDefinition, storage?: CheckpointStorage) {
    this.graph = graph;
    this.#storage = storage;
    this.signature = signatureOf(graph);
    this.#isShared = [...graph.nodes.values()].some((node) => node instanceof Executor);
  }

  get name(): string {
    return this.graph.name;
  }

  /** Of the last run that was started; "idle" before the first. */
  get status(): GraphStatus {
    return this.#last?.status ?? "idle";
  }

  /**
   * Runs it on a message, carries on with answers to its requests, or from a checkpoint. Without a store: for a run that
   * survives its process, see `durable`, or give a `checkpointStorage`.
   *
   * A graph carries out one run at a time. A stream begins with its first `next()`, and lets go at its end, with `break` out
   * of `for await`, with `return()` or with `await using`. One that was read by hand and dropped half-read lets go only
   * when it is collected: nobody can tell it from one that is read later.
   *
   * @throws at once: usage.invalid for parameters that do not fit together, then workflow.already_running. Later:
   * run.failed, run.cancelled, checkpoint.not_found, checkpoint.mismatch, wait.not_open, wait.invalid_answer
   * @example
   * const { outputs } = await graph.run("hello");
   * for await (const event of graph.run("hello", { stream: true })) console.log(event.type);
   */
  run(input: I | RunControl<I>, options: RunOptions & { stream: true }): WorkflowStream<Y>;
  run(input: I | RunControl<I>, options?: RunOptions): Promise<WorkflowRunResult<Y>>;
  run(input: I | RunControl<I>, given: RunOptions = {}): Promise<WorkflowRunResult<Y>> | WorkflowStream<Y> {
    const options = this.#storage === undefined ? given : { checkpointStorage: this.#storage, ...given };
    const request = requestOf(input, options.checkpointStorage !== undefined);
    if (this.#active !== undefined) throw this.#alreadyRunning();
    if (options.stream === true) return new WorkflowStream<Y>(() => this.#launch(request, options));
    const { end, channel } = this.#launch(request, options);
    channel.close();
    return end;
  }

  /**
   * The same graph under the engine: each invocation is a step, each superstep ends with a checkpoint, a request is a
   * wait, a graph inside is a called run. With a Stemma it is offered there, and so are the graphs inside it.
   *
   * @throws what `Stemma.offer` throws
   * @example
   * await using stemma = await new Stemma({ store: sqlite("stemma.db") }).start();
   * const greeting = graph.durable(stemma, { name: "greet" });
   * console.log(await (await stemma.run(greeting, "hello")).result());
   */
  durable(stemma: Pick<Stemma, "offer">, options?: DurableOptions): DurableGraph<I, Y>;
  durable(options?: DurableOptions): DurableGraph<I, Y>;
  durable(first: Pick<Stemma, "offer"> | DurableOptions = {}, second: DurableOptions = {}): DurableGraph<I, Y> {
    if (!("offer" in first)) return durable<I, Y>(this, first);
    const made = durable<I, Y>(this, second);
    first.offer(made, ...made.inner);
    return made;
  }

  #launch(
    request: RunRequest,
    options: RunOptions,
  ): { channel: Channel; end: Promise<WorkflowRunResult<Y>>; leave: () => void } {
    if (this.#active !== undefined) throw this.#alreadyRunning();
    // What is held is known by this object alone, so that a late end of one run cannot let go of another's.
    const mine = {};
    if (this.#isShared) this.#active = mine;
    const release = (): void => {
      if (this.#active === mine) this.#active = undefined;
    };
    const channel = new Channel();
    const stop = new AbortController();
    const end = this.#carryOut(request, options, stop.signal, (event) => channel.push(event)).finally(() => {
      release();
      channel.close();
    });
    // Whoever reads the events is told of the error at their end.
    end.catch(() => undefined);
    const leave = (): void => {
      stop.abort();
      release();
      channel.close();
    };
    return { channel, end, leave };
  }

  async #carryOut(
    request: RunRequest,
    options: RunOptions,
    stop: AbortSignal,
    hear: (event: WorkflowEvent) => void,
  ): Promise<WorkflowRunResult<Y>> {
    const { run, answers } = await this.#prepare(request, options);
    const signal = options.signal === undefined ? stop : AbortSignal.any([stop, options.signal]);
    const cancel = (): void => run.cancel(signal.reason);
    if (signal.aborted) cancel();
    signal.addEventListener("abort", cancel);
    const pending = this.#waiting.size - this.#answered.size;
    if (request.kind === "message" && pending > 0) {
      run.note({ what: "requests of earlier runs are still pending", count: pending });
    }
    this.#last = run;
    try {
      const result = await run.proceed<Y>(answers, hear);
      this.#waiting.delete(run);
      if (result.status === "suspended") this.#waiting.add(run);
      return result;
    } catch (error) {
      this.#waiting.delete(run);
      throw error;
    } finally {
      this.#answered.delete(run);
      signal.removeEventListener("abort", cancel);
    }
  }

  /** Everything that can be refused is refused here, before the run is touched. */
  async #prepare(request: RunRequest, options: RunOptions): Promise<Ready> {
    const { checkpointStorage: storage, onSaveFailure } = options;
    const saving: Saving = { storage, onSaveFailure };
    if (request.kind === "message") {
      const data = toPlain(request.message, "input", this.graph.classes);
      const shared = Object.entries(options.state ?? {}).map(([key, value]) => [
        key,
        toPlain(value, `state ${key}`, this.graph.classes),
      ]);
      const state = entryState(this.graph.start, data, [], Object.fromEntries(shared) as Shared);
      return { run: new GraphRun(running(this.graph), this.signature, { state }, saving), answers: [] };
    }
    if (request.kind === "responses") {
      const run = this.#askedBy(Object.keys(request.responses));
      // From here on nobody else gives it answers: they would be taken twice.
      if (this.#answered.has(run)) throw this.#alreadyAnswered(run);
      this.#answered.add(run);
      try {
        const answers = await checkAnswers(run.parts, run.state, request.responses);
        if (storage !== undefined) run.saveTo(saving);
        return { run, answers };
      } catch (error) {
        this.#answered.delete(run);
        throw error;
      }
    }
    const { checkpointId } = request;
    const checkpoint = await (storage as CheckpointStorage).load(checkpointId).catch((error: unknown) => {
      throw isStemmaError(error) ? error : notRestored(checkpointId, error);
    });
    checkWhole(checkpoint);
    checkSame(checkpoint, this.graph, this.signature);
    const { fork } = request;
    const state = fork === undefined ? checkpoint.state : forked(checkpoint.state, fork, this.graph);
    const parts = running(this.graph);
    const answers = await checkAnswers(parts, state, request.responses);
    const from = { kind: fork === undefined ? ("resume" as const) : ("fork" as const), checkpoint };
    return { run: new GraphRun(parts, this.signature, { state, from }, saving), answers };
  }

  /** The waiting run that asked all of these. Throws wait.not_open. */
  #askedBy(ids: readonly string[]): GraphRun {
    const waiting = [...this.#waiting].toReversed();
    const found = waiting.find((run) => ids.every((id) => Object.hasOwn(run.state.requests, id)));
    if (found !== undefined) return found;
    const open = waiting.flatMap((run) => Object.keys(run.state.requests));
    const message =
      open.length === 0
        ? "No pending requests found."
        : `Expected ids of open requests of one run; open: ${open.join(", ")}.`;
    throw new StemmaError("wait.not_open", message, { data: { requests: ids, open } });
  }

  #alreadyAnswered({ id }: GraphRun): StemmaError {
    const message = `Run ${id} is going on with answers that it was given. Give others when it rests again.`;
    return new StemmaError("workflow.already_running", message, { data: { workflow: this.graph.name, run: id } });
  }

  #alreadyRunning(): StemmaError {
    return new StemmaError(
      "workflow.already_running",
      "Workflow is already running; concurrent runs are not allowed on the same instance. Give its executors as factories.",
      { data: { workflow: this.graph.name } },
    );
  }
}
