/**
 * A graph under the engine. Each invocation is a step caused by those that sent its messages, so what was done of a
 * superstep survives a crash and a failing sibling; each superstep ends with a checkpoint, so a run of any length is
 * taken up from its last one; a request is a wait; a graph inside is a called run.
 */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { Digest, Seq } from "../../core/event.ts";
import type { Json } from "../../core/json.ts";
import { grown } from "../../core/growing-list.ts";
import { StateMemory } from "../../core/state-memory.ts";
import type { Operations, Place, RunInfo, Segment, Workflow } from "../../engine/body.ts";
import { sha256 } from "../../engine/hash.ts";
import { checkFit } from "../../engine/schema.ts";
import { StemmaError } from "../../core/error.ts";
import { misplacedIn } from "./answers.ts";
import type { Heard } from "./context.ts";
import { inputOf } from "./declared-input.ts";
import type { GraphDefinition } from "./definition.ts";
import { prototypeOf, signatureOf } from "./definition.ts";
import type { Delivery, Drop, Running } from "./deliver.ts";
import { enterAlone } from "./enter.ts";
import { Equals } from "./equals.ts";
import type { Executor } from "./executor.ts";
import type { Call } from "./invoke.ts";
import { responseHandlerOf } from "./invoke.ts";
import { running, untilRest } from "./loop.ts";
import type { Effects, GraphRequest, GraphState, SettledInvocation } from "./message.ts";
import { entryState } from "./message.ts";
import { fromPlain, toPlain } from "./plain.ts";
import { fit, jsonSchemaOf } from "./schema.ts";
import type { Host, Invoked } from "./superstep.ts";
import { SuperstepFailure, withAnswers } from "./superstep.ts";
import type { Intercept } from "./sub-workflow.ts";
import { WorkflowExecutor } from "./sub-workflow.ts";

/** 48 bits of what an invocation is: enough to tell the requests of one run apart. */
const requestDigits = 12;

export type DurableOptions = {
  /** Default: the name of the graph. */
  readonly name?: string;
  /** Raised when runs in flight must not continue with this graph. Default 1. */
  readonly version?: number;
};

/** A workflow for `new Stemma({ workflows })`; `inner` are those of graphs inside, to be offered with it. */
export type DurableGraph<I, Y> = Workflow<I, Y[]> & { readonly inner: readonly Workflow[] };

/** @param held there for a graph inside: the executor that holds it */
export function durable<I, Y>(
  { graph }: { graph: GraphDefinition },
  options: DurableOptions,
  held?: { path: string; intercept: Intercept | undefined },
): DurableGraph<I, Y> {
  const { name = graph.name, version = 1 } = options;
  const path = held?.path ?? "";
  const inner = new Map<string, DurableGraph<unknown, unknown>>();
  for (const id of graph.nodes.keys()) {
    const executor = prototypeOf(graph, id);
    if (!(executor instanceof WorkflowExecutor)) continue;
    const holds = { path: `${path}${id}/`, intercept: executor.options.intercept };
    inner.set(id, durable(executor, { name: `${name}.${id}`, version }, holds));
  }
  const schema = inputSchema<I>(graph);
  return {
    name,
    version,
    source: held?.intercept === undefined ? sourceOf(graph) : `${sourceOf(graph)}\n${String(held.intercept)}`,
    ...(schema === undefined ? {} : { schema }),
    inner: [...inner.values()].flatMap((child) => [child, ...child.inner]),
    body(operations, info) {
      const life = new DurableRun({ graph, inner, held }, operations, info);
      return { done: life.carryOut(), causes: () => life.causes() };
    },
  };
}

/** What the code of a graph is known by: all of its executors' code. */
function sourceOf(graph: GraphDefinition): string {
  const handlers = [...graph.nodes.keys()].flatMap((id) => {
    const executor = prototypeOf(graph, id);
    return [...executor.handlers, ...executor.responseHandlers].map(({ run }) => String(run));
  });
  return [signatureOf(graph), ...handlers].join("\n");
}

/** Refuses what the start has no handler for; the value stays as it is, for the handler's own schema to make its own of. */
function inputSchema<I>(graph: GraphDefinition): StandardSchemaV1<unknown, I> | undefined {
  const schemas = prototypeOf(graph, graph.start).handlers.map(({ input }) => input);
  if (schemas.includes(undefined)) return undefined;
  const validate = async (value: unknown): Promise<StandardSchemaV1.Result<I>> => {
    for (const schema of schemas) if ((await fit(schema, value)) !== undefined) return { value: value as I };
    return { issues: [{ message: `The start '${graph.start}' has no handler for it.` }] };
  };
  return { "~standard": { version: 1, vendor: "stemma", validate } };
}

/**
 * What a checkpoint of a durable run holds. `equals`: what invocations are counted by. `asked`: requests whose waits it
 * carries; left out where there are none.
 */
type Saved = {
  readonly state: GraphState;
  readonly outputs: readonly Json[];
  readonly equals: readonly string[];
  readonly asked?: readonly string[];
};

/** What a step of a graph gives. `mark`: what it was known by, where its requests are named by that. */
type Recorded = Effects & { readonly mark?: string };

type Yielded = { index: number; executor: string; effects: Effects };

/** Where a graph is: the graphs inside it, and what it is inside of. */
type Standing = {
  readonly graph: GraphDefinition;
  readonly inner: ReadonlyMap<string, Workflow>;
  readonly held: { path: string; intercept: Intercept | undefined } | undefined;
};

/**
 * A success that was recorded for an equal invocation may be given to this one. Requests that gave themselves no id have
 * that one's ids then, and get their own.
 */
function ownRequests(id: string, own: string, { mark, ...effects }: Recorded): Effects {
  if (mark === undefined || mark === own) return effects;
  const [theirs, ours] = [`${id}-${mark}`, `${id}-${own}`];
  const requests = effects.requests.map((request) =>
    request.id.startsWith(theirs) ? { ...request, id: ours + request.id.slice(theirs.length) } : request,
  );
  return { ...effects, requests };
}

class DurableRun implements Host {
  readonly prefix = "";
  readonly #held: Standing["held"];
  readonly #parts: Running;
  readonly #inner: ReadonlyMap<string, Workflow>;
  readonly #operations: Operations;
  readonly #info: RunInfo;
  #segment: Segment;
  #outputs: readonly Json[];
  readonly #equals: Equals;
  /** Of what was saved last: all of it is plain values that nobody changes. */
  readonly #memory = new StateMemory(sha256);
  /** Of the shared state that executors saw last. */
  readonly #seen = new StateMemory(sha256);
  /** Outcomes since the last checkpoint. */
  #recent: Seq[] = [];
  #yielded: Yielded[] = [];
  /** Requests whose waits are open, or whose answers have not been taken yet. */
  readonly #open = new Set<string>();
  readonly #arrived: { id: string; data: Json; causes: string[] }[] = [];
  #failedWait: Error | undefined;
  #wake: (() => void) | undefined;

  constructor({ graph, inner, held }: Standing, operations: Operations, info: RunInfo) {
    this.#parts = running(graph);
    this.#held = held;
    this.#inner = inner;
    this.#operations = operations;
    this.#info = info;
    this.#segment = info.segment;
    const restored = info.restored as Saved | undefined;
    this.#outputs = [...(restored?.outputs ?? [])];
    this.#equals = new Equals(restored?.equals ?? []);
  }

  causes(): readonly Seq[] {
    return this.#recent.length === 0 ? [this.#segment.seq] : this.#recent;
  }

  async carryOut(): Promise<unknown[]> {
    const { graph } = this.#parts;
    const { restored, input } = this.#info;
    this.#checkPlaces(restored as Saved | undefined);
    const entry = (): GraphState =>
      entryState(graph.start, toPlain(input, "input", graph.classes), [this.#place(this.#segment.seq)]);
    let state = (restored as Saved | undefined)?.state ?? entry();
    await this.#ask(state, (restored as Saved | undefined)?.asked);
    // As behind a superstep: whoever continues from a checkpoint asks as whoever went on from it did.
    state = this.#taken(state);
    for (;;) {
      state = await untilRest(this.#parts, state, this, { end: (reached) => this.#endOfSuperstep(reached) }).catch(
        (error: unknown) => Promise.reject(error instanceof SuperstepFailure ? error.error : (error as Error)),
      );
      if (Object.keys(state.requests).length === 0) break;
      await this.#someAnswer();
      state = this.#taken(state);
    }
    for (const [edge, buffers] of this.#operations.live() ? Object.entries(state.fanIn) : []) {
      this.#info.log.warn("A fan-in was still incomplete when the graph came to rest", {
        edge,
        from: Object.keys(buffers),
      });
    }
    return this.#outputs.map((output) => fromPlain(output, graph.classes));
  }

  /**
   * What was saved by another graph and has no place in this one would be lost without a word. So the run is set aside until
   * its own graph is there again; a fork or a restart, which somebody asked for, fails.
   */
  #checkPlaces(restored: Saved | undefined): void {
    const { graph } = this.#parts;
    const misplaced = restored === undefined ? undefined : misplacedIn(restored.state, graph);
    if (misplaced === undefined) return;
    const message = `The run has ${misplaced}, which is not in the graph any more. Go on with the graph that it was begun with, or fork it from before that.`;
    throw new StemmaError("run.divergence", message, { data: { run: this.#info.runId, graph: graph.name } });
  }

  async invoke(call: Call, snapshot: Json | undefined): Promise<Invoked> {
    const { delivery } = call;
    const executor = this.#parts.executors.get(delivery.executor) as Executor;
    const { id } = executor;
    /** What the invocation is known by, in the ids of its requests. */
    let mark = "";
    const across = (input: Digest | null): number => {
      const nth = this.#equals.next(id, input);
      mark = sha256(`${id}#${input ?? "-"}#${nth}`).slice(0, requestDigits);
      return nth;
    };
    const place = {
      scope: this.#segment.root,
      name: id,
      causes: this.#causesOf(delivery.causes),
      across,
      way: delivery.way,
    };
    const child = this.#inner.get(executor.id);
    if (child !== undefined) return this.#call(executor as WorkflowExecutor, child, call, place);
    const { effect, version } = executor.stepOptions;
    const outcome = await this.#operations.step({
      ...place,
      input: { value: inputOf(call, snapshot, (shared) => this.#seen.cut(shared).root) },
      ...(effect === undefined ? {} : { effect }),
      ...(version === undefined ? {} : { version }),
      run: (_, tools) => {
        const { idempotencyKey, attempt, abort, emit } = tools;
        const hear = (heard: Heard): void => {
          if (heard.type !== "late") return emit("events", { executor: id, ...heard });
          this.#info.log.warn("What an executor said when its handler had ended was not taken", {
            id,
            what: heard.what,
          });
        };
        const about = { runId: this.#info.runId, idempotencyKey, attempt, abort, hear };
        const requestId = (n: number): string => `${id}-${mark}${n === 0 ? "" : `-${n + 1}`}`;
        const entered = enterAlone(this.#parts.graph, executor, { call: { ...call, requestId }, snapshot }, about);
        return entered.then((said): Recorded => (said.requests.length === 0 ? said : { ...said, mark }));
      },
    });
    this.#recent.push(outcome.seq);
    if (!outcome.ok) return { error: outcome.error, place: this.#place(outcome.seq) };
    const effects = ownRequests(id, mark, outcome.value as Recorded);
    this.#yielded.push({ index: delivery.index, executor: id, effects });
    return { effects, place: this.#place(outcome.seq) };
  }

  /** Steps are found again by the engine, so nothing is settled here. */
  reused(_: Delivery, { place }: SettledInvocation): string {
    return place;
  }

  dropped({ message, reason, target }: Drop): void {
    if (this.#operations.live())
      this.#info.log.warn("A message went nowhere", { source: message.source, reason, target });
  }

  async #call(executor: WorkflowExecutor, workflow: Workflow, { delivery }: Call, place: Place): Promise<Invoked> {
    const { classes } = this.#parts.graph;
    const outcome = await this.#operations.call({
      ...place,
      workflow,
      input: { value: fromPlain(delivery.data, classes) },
    });
    this.#recent.push(outcome.seq);
    if (!outcome.ok) return { error: outcome.error, place: this.#place(outcome.seq) };
    const values = (outcome.value as unknown[]).map((value) => toPlain(value, `output of ${executor.id}`, classes));
    const direct = executor.options.allowDirectOutput === true;
    const sent = direct ? [] : values.map((data) => ({ data }));
    const effects: Effects = { sent, yielded: direct ? values : [], requests: [], writes: [] };
    this.#yielded.push({ index: delivery.index, executor: executor.id, effects });
    return { effects, place: this.#place(outcome.seq) };
  }

  async #endOfSuperstep(reached: GraphState): Promise<GraphState> {
    // Answers that came meanwhile go on record in front of the checkpoint, so they are in it.
    const state = this.#taken(reached);
    for (const { executor, effects } of this.#yielded.toSorted((a, b) => a.index - b.index)) {
      if (this.#parts.graph.designation(executor) === "output") this.#outputs = grown(this.#outputs, effects.yielded);
    }
    this.#yielded = [];
    const asked = [...this.#open];
    const equals = this.#equals.marks();
    const saved: Saved = { state, outputs: this.#outputs, equals, ...(asked.length === 0 ? {} : { asked }) };
    const options = { memory: this.#memory, carryWaits: true };
    this.#segment = await this.#operations.checkpoint(this.causes(), saved, options);
    this.#recent = [];
    this.#open.clear();
    await this.#ask(state, asked);
    return this.#taken(state);
  }

  /** Opens a wait for every request that has none; those that the last checkpoint carries first, as they are. */
  async #ask(state: GraphState, carried: readonly string[] = []): Promise<void> {
    const requests = Object.values(state.requests);
    const first = requests.filter(({ id }) => carried.includes(id));
    for (const request of new Set([...first, ...requests])) {
      if (this.#open.has(request.id)) continue;
      this.#open.add(request.id);
      if (!carried.includes(request.id) && (await this.#isIntercepted(request))) continue;
      const ask = await this.#waitOf(request);
      void this.#operations.wait(ask).then((outcome) => {
        this.#recent.push(outcome.seq);
        if (outcome.ok) {
          const data = toPlain(outcome.value, `answer to ${request.id}`, this.#parts.graph.classes);
          this.#arrived.push({ id: request.id, data, causes: [this.#place(outcome.seq)] });
        } else this.#failedWait ??= outcome.error;
        this.#wake?.();
      });
    }
  }

  /** Whether whoever holds this graph answers the request. It is a step, so that it stays answered as it was. */
  async #isIntercepted(request: GraphRequest): Promise<boolean> {
    const intercept = this.#held?.intercept;
    if (intercept === undefined) return false;
    const { classes } = this.#parts.graph;
    const executorId = `${this.#held?.path ?? ""}${request.executor}`;
    const outcome = await this.#operations.step({
      scope: this.#segment.root,
      name: "intercept",
      causes: this.#causesOf(request.causes),
      across: (input) => this.#equals.next("intercept", input),
      input: { value: { executorId, request: request.data } },
      run: async () => {
        const found = await intercept(fromPlain(request.data, classes), { executorId, requestId: request.id });
        return found === undefined ? null : { answer: toPlain(found.answer, `answer to ${request.id}`, classes) };
      },
    });
    this.#recent.push(outcome.seq);
    if (!outcome.ok) throw outcome.error;
    const said = outcome.value as { answer: Json } | null;
    if (said === null) return false;
    this.#arrived.push({ id: request.id, data: said.answer, causes: [this.#place(outcome.seq)] });
    return true;
  }

  async #waitOf(request: GraphRequest): Promise<Parameters<Operations["wait"]>[0]> {
    const { id, executor, data, prompt, expiresMs } = request;
    const asked = fromPlain(data, this.#parts.graph.classes);
    const handler = await responseHandlerOf(this.#parts.executors.get(executor) as Executor, asked);
    const response = handler?.response;
    const schema = response && jsonSchemaOf(response);
    const validate = (value: unknown): unknown => {
      const checked =
        response && checkFit(response, value, "wait.invalid_answer", `The answer does not fit request ${id}`);
      return checked instanceof Promise ? checked.then(() => value) : value;
    };
    return {
      scope: this.#segment.root,
      name: id,
      causes: this.#causesOf(request.causes),
      kind: prompt === undefined ? "external" : "approval",
      input: { value: asked },
      validate,
      ...(prompt === undefined ? {} : { prompt }),
      ...(schema === undefined ? {} : { schema }),
      ...(expiresMs === undefined ? {} : { until: (now: number) => now + expiresMs }),
    };
  }

  async #someAnswer(): Promise<void> {
    while (this.#arrived.length === 0 && this.#failedWait === undefined) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  #taken(state: GraphState): GraphState {
    if (this.#failedWait !== undefined) throw this.#failedWait;
    const answers = this.#arrived.splice(0);
    for (const { id } of answers) this.#open.delete(id);
    return answers.length === 0 ? state : withAnswers(state, answers);
  }

  #place(seq: Seq): string {
    return `${this.#info.runId}:${seq}`;
  }

  /** Events of this run; what was sent in a run that this one was forked from comes from where this one begins. */
  #causesOf(places: readonly string[]): Seq[] {
    const own = places.flatMap((place) => {
      const [run, seq] = place.split(":");
      return run === this.#info.runId ? [Number(seq)] : [];
    });
    return own.length === 0 ? [this.#segment.seq] : [...new Set(own)].sort((a, b) => a - b);
  }
}
