/** Carries out invocations in memory and tells of them; a graph inside a graph is carried out here too. */
import { StemmaError } from "../../core/error.ts";
import type { Json } from "../../core/json.ts";
import { toRecord } from "../../engine/failure.ts";
import type { Heard } from "./context.ts";
import { digest, inputOf } from "./declared-input.ts";
import type { Delivery, Drop, Running } from "./deliver.ts";
import type { Telling } from "./events.ts";
import type { Executor } from "./executor.ts";
import type { Call, Tools } from "./invoke.ts";
import { invoke } from "./invoke.ts";
import { ownStates, restoreExecutors, running, untilRest, withDone } from "./loop.ts";
import type { Effects, GraphRequest, GraphState, SettledInvocation } from "./message.ts";
import { entryState } from "./message.ts";
import { fromPlain, toPlain } from "./plain.ts";
import type { Host, Invoked } from "./superstep.ts";
import { SuperstepFailure, withAnswers } from "./superstep.ts";
import { WorkflowExecutor } from "./sub-workflow.ts";

/** How long an executor may take to notice that it was aborted, in milliseconds. */
const abortGraceMs = 1000;

export type Place = {
  readonly runId: string;
  /** The first of the runs that went on from each other. */
  readonly line: string;
  readonly abort: AbortSignal;
  /** In front of ids of executors, for graphs inside: `outer/`. */
  readonly path: string;
  readonly tell: (telling: Telling) => string;
};

export class MemoryHost implements Host {
  readonly prefix: string;
  readonly #parts: Running;
  readonly #place: Place;
  /** What led to the graph, where it is inside another. */
  readonly #way: string;
  /** Executors of graphs inside, by the executor that holds them. */
  readonly #inside = new Map<string, Running>();

  constructor(parts: Running, place: Place, prefix: string, way = "") {
    this.#way = way;
    this.#parts = parts;
    this.#place = place;
    this.prefix = prefix;
  }

  async invoke(call: Call, snapshot: Json | undefined): Promise<Invoked> {
    const { tell, path, abort } = this.#place;
    const { delivery } = call;
    const executorId = `${path}${delivery.executor}`;
    const executor = this.#parts.executors.get(delivery.executor) as Executor;
    const invoked = tell({ type: "executor_invoked", executorId, data: delivery.data, causes: delivery.causes });
    try {
      if (abort.aborted) throw abort.reason;
      const work: Promise<Nested> =
        executor instanceof WorkflowExecutor
          ? this.#nested(executor, call, snapshot, invoked)
          : this.#handle(executor, { call, snapshot, invoked }).then((effects) => ({ effects, ends: [] }));
      const { effects, ends } = await within(abort, work);
      const data = [...effects.sent.map((sent) => sent.data), ...effects.yielded];
      const place = tell({
        type: "executor_completed",
        executorId,
        causes: ends.length === 0 ? [invoked] : ends,
        data: data.length === 0 ? null : data,
      });
      return { effects, place };
    } catch (caught) {
      const thrown = caught instanceof Unfinished ? caught.error : caught;
      const error = thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown });
      const data = toRecord(thrown) as Json;
      const place = tell({ type: "executor_failed", executorId, causes: [invoked], data });
      const failed = { error, place, stopped: abort.aborted };
      return caught instanceof Unfinished ? { ...failed, unfinished: caught.snapshot } : failed;
    }
  }

  /** It is not done again, and what it said is said again: whoever goes on from there has not heard it. */
  reused({ executor, causes }: Delivery, { effects, place }: SettledInvocation): string {
    const data = [...effects.sent.map((sent) => sent.data), ...effects.yielded];
    const reused = this.#place.tell({
      type: "executor_reused",
      executorId: `${this.#place.path}${executor}`,
      causes: [...causes, place],
      data: data.length === 0 ? null : data,
    });
    for (const said of effects.yielded) this.#hear(executor, { type: "yield", data: said }, reused);
    for (const request of effects.requests) this.#hear(executor, { type: "request", request }, reused);
    return reused;
  }

  dropped({ message, reason, target }: Drop): void {
    this.#place.tell({
      type: "message_dropped",
      executorId: `${this.#place.path}${message.source.replace(/^internal:/u, "")}`,
      causes: message.causes,
      data: { reason, message: message.id, ...(target === undefined ? {} : { target }) },
    });
  }

  #handle(executor: Executor, { call, snapshot, invoked }: Entering): Promise<Effects> {
    const { runId, abort } = this.#place;
    const hear = (heard: Heard): void => this.#hear(executor.id, heard, invoked);
    const keyOf = (): string => this.#keyOf(executor.id, call, snapshot);
    const tools = { runId, attempt: 1, abort, hear };
    return invoke(executor, call, Object.defineProperty(tools, "idempotencyKey", { get: keyOf }) as Tools);
  }

  /**
   * The same where a run goes on from a checkpoint and does the same, led to by the same, in whatever superstep: answers
   * may come in another order. Another one where something that the executor can read was changed.
   */
  #keyOf(executor: string, call: Call, snapshot: Json | undefined): string {
    const { way, nth } = call.delivery;
    return digest([this.#place.line, this.#way, executor, way, nth, inputOf(call, snapshot, digest)]);
  }

  #hear(executor: string, heard: Heard, invoked: string): void {
    const { tell, path } = this.#place;
    const about = { executorId: `${path}${executor}`, causes: [invoked] };
    if (heard.type === "custom") tell({ type: "data", ...about, data: { name: heard.name, data: heard.data } });
    else if (heard.type === "reserved") {
      tell({ type: "warning", ...about, data: { what: "reserved name of an event", name: heard.name } });
    } else if (heard.type === "late") {
      tell({ type: "warning", ...about, data: { what: "said when its handler had ended", said: heard.what } });
    } else if (heard.type === "request") tell({ type: "request_info", ...about, data: heard.request });
    else {
      const designation = this.#parts.graph.designation(executor);
      if (designation !== "hidden") tell({ type: designation, ...about, data: heard.data });
    }
  }

  /**
   * Each message begins a run inside; an answer goes to the one that asked. Their states are the executor's own. One that
   * failed, or was stopped, goes on from its last superstep.
   */
  async #nested(executor: WorkflowExecutor, call: Call, snapshot: Json | undefined, invoked: string): Promise<Nested> {
    const { delivery } = call;
    const children = { ...(snapshot as Record<string, Child> | undefined) };
    const { request } = delivery;
    const own = `${call.state.iteration + 1}.${delivery.index}`;
    const key =
      request === undefined ? own : (Object.keys(children).find((name) => asked(children[name], request)) ?? own);
    const before = children[key];
    const way = before?.way ?? [this.#way, executor.id, delivery.way, delivery.nth].join("/");
    const inside = new Inside(executor, this.#place, invoked);
    const parts = this.#inside.get(executor.id) ?? running(executor.graph);
    this.#inside.set(executor.id, parts);
    const host = new MemoryHost(parts, inside.place, `${call.prefix}${executor.id}.${key}.`, way);
    const ids = new Set(Object.keys(before?.requests ?? {}));
    const done = await inside.run(parts, host, startOf(executor, delivery, before, invoked), before?.yielded ?? []);
    if ("error" in done)
      throw new Unfinished(done.error, { ...children, [key]: { ...done.child, way } } as unknown as Json);
    const { state, yielded } = done;
    const requests = Object.values(state.requests).filter(({ id }) => !ids.has(id));
    if (Object.keys(state.requests).length > 0) children[key] = { ...state, way };
    else delete children[key];
    const direct = executor.options.allowDirectOutput === true;
    if (direct) for (const data of yielded) this.#hear(executor.id, { type: "yield", data }, invoked);
    for (const asking of requests) this.#hear(executor.id, { type: "request", request: questionOf(asking) }, invoked);
    const effects: Effects = {
      sent: direct ? [] : yielded.map((data) => ({ data })),
      yielded: direct ? yielded : [],
      requests: requests.map(questionOf),
      writes: [],
      snapshot: children as unknown as Json,
    };
    return { effects, ends: inside.ends() };
  }
}

type Entering = { call: Call; snapshot: Json | undefined; invoked: string };

/**
 * A graph inside. `yielded`: what its supersteps have yielded, where the invocation that they are of was not done. `way`:
 * what led to it.
 */
type Child = GraphState & { readonly yielded?: readonly Json[]; readonly way?: string };

type Nested = { effects: Effects; ends: readonly string[] };

/** A graph inside that did not come to rest, with how far it came. */
class Unfinished extends Error {
  readonly error: Error;
  readonly snapshot: Json;

  constructor(error: Error, snapshot: Json) {
    super(error.message, { cause: error });
    this.error = error;
    this.snapshot = snapshot;
  }
}

/** Whether a graph inside asked this, and waits for the answer or has begun to work on it. */
function asked(child: GraphState | undefined, { id }: GraphRequest): boolean {
  return child !== undefined && (Object.hasOwn(child.requests, id) || child.answered.includes(id));
}

/** Where a run inside begins, or goes on. */
function startOf(
  executor: WorkflowExecutor,
  delivery: Delivery,
  before: Child | undefined,
  invoked: string,
): GraphState {
  const { request, data } = delivery;
  if (before === undefined) return entryState(executor.graph.start, data, [invoked]);
  const { yielded: _, way: __, ...state } = before;
  if (request === undefined || !Object.hasOwn(state.requests, request.id)) return state;
  return withAnswers(state, [{ id: request.id, data, causes: [invoked] }]);
}

/** One run of a graph inside, as it is told of outside. */
class Inside {
  readonly place: Place;
  readonly #executor: WorkflowExecutor;
  readonly #yielded: Json[] = [];
  /** Executors' ends that nothing inside came from. */
  readonly #ends = new Set<string>();

  constructor(executor: WorkflowExecutor, outside: Place, invoked: string) {
    this.#executor = executor;
    const executorId = `${outside.path}${executor.id}`;
    const tell = (telling: Telling): string => {
      const { type, data = null } = telling;
      if (type === "output") this.#yielded.push(data);
      // What is shown on the way is shown by whoever holds the graph; what it asks is asked there, if nobody answers it here.
      const told =
        type === "intermediate"
          ? { ...telling, executorId }
          : type === "output" || type === "request_info"
            ? { ...telling, type: "data" as const }
            : telling;
      const causes = told.causes ?? [invoked];
      const id = outside.tell({ ...told, causes });
      for (const cause of causes) this.#ends.delete(cause);
      if (type === "executor_completed") this.#ends.add(id);
      return id;
    };
    this.place = { ...outside, path: `${executorId}/`, tell };
  }

  ends(): readonly string[] {
    return [...this.#ends];
  }

  /** To rest, with the answers that are given here. */
  async run(
    parts: Running,
    host: Host,
    start: GraphState,
    before: readonly Json[],
  ): Promise<{ state: GraphState; yielded: readonly Json[] } | { child: Child; error: Error }> {
    let [state, yielded] = [start, before];
    this.#yielded.push(...before);
    const rounds = {
      end: async (reached: GraphState) => {
        yielded = [...this.#yielded];
        return (state = reached);
      },
    };
    try {
      await restoreExecutors(parts, ownStates(start));
      state = await untilRest(parts, start, host, rounds);
      for (let answers = await this.#intercepted(state); answers.length > 0; answers = await this.#intercepted(state)) {
        state = await untilRest(parts, withAnswers(state, answers), host, rounds);
      }
      return { state, yielded: this.#yielded };
    } catch (thrown) {
      // What was yielded in the superstep that failed is said again with what is done of it.
      if (!(thrown instanceof SuperstepFailure)) return { child: { ...state, yielded }, error: thrown as Error };
      return { child: { ...withDone(state, thrown), yielded }, error: thrown.error };
    }
  }

  async #intercepted(state: GraphState): Promise<{ id: string; data: Json; causes: string[] }[]> {
    const { options, graph } = this.#executor;
    const answers = [];
    for (const request of options.intercept === undefined ? [] : Object.values(state.requests)) {
      const executorId = `${this.place.path}${request.executor}`;
      const found = await options.intercept?.(fromPlain(request.data, graph.classes), {
        executorId,
        requestId: request.id,
      });
      if (found === undefined) continue;
      const data = toPlain(found.answer, `answer to ${request.id}`, graph.classes);
      const told = { name: "request intercepted", data: { request: request.id, answer: data } };
      const cause = this.place.tell({ type: "data", executorId, causes: request.causes, data: told });
      answers.push({ id: request.id, data, causes: [cause] });
    }
    return answers;
  }
}

/** What is asked outside: it is the executor that holds the graph which asks there, from where it stands. */
function questionOf({ id, data, prompt, expiresMs }: GraphRequest): Effects["requests"][number] {
  return {
    id,
    data,
    ...(prompt === undefined ? {} : { prompt }),
    ...(expiresMs === undefined ? {} : { expiresMs }),
  };
}

/** The work's end; after an abort it has a moment to notice. */
function within<T>(abort: AbortSignal, work: Promise<T>): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  let timer: NodeJS.Timeout | undefined;
  const giveUp = (): void => {
    timer = setTimeout(() => reject(abort.reason as Error), abortGraceMs);
  };
  if (abort.aborted) giveUp();
  else abort.addEventListener("abort", giveUp);
  work.then(resolve, reject);
  return promise.finally(() => {
    clearTimeout(timer);
    abort.removeEventListener("abort", giveUp);
  });
}

/** Why a run that nobody wants any more ends. */
export function cancelledRun(run: string, reason: unknown): StemmaError {
  return new StemmaError("run.cancelled", `Run ${run} was cancelled.`, { data: { run }, cause: reason });
}
