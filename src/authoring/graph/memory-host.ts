/** Carries out invocations in memory and tells of them; a graph inside a graph is carried out here too. */
import { StemmaError } from "../../core/error.ts";
import type { Json } from "../../core/json.ts";
import { toRecord } from "../../engine/failure.ts";
import type { Heard } from "./context.ts";
import type { Drop, Running } from "./deliver.ts";
import type { Telling } from "./events.ts";
import type { Executor } from "./executor.ts";
import type { Call } from "./invoke.ts";
import { invoke } from "./invoke.ts";
import { restoreExecutors, running, untilRest } from "./loop.ts";
import type { Effects, GraphRequest, GraphState } from "./message.ts";
import { entryState } from "./message.ts";
import { fromPlain, toPlain } from "./plain.ts";
import type { Host, Invoked } from "./superstep.ts";
import { SuperstepFailure, withAnswers } from "./superstep.ts";
import { WorkflowExecutor } from "./sub-workflow.ts";

/** How long an executor may take to notice that it was aborted, in milliseconds. */
const abortGraceMs = 1000;

export type Place = {
  readonly runId: string;
  readonly abort: AbortSignal;
  /** In front of ids of executors, for graphs inside: `outer/`. */
  readonly path: string;
  readonly tell: (telling: Telling) => string;
};

export class MemoryHost implements Host {
  readonly prefix: string;
  readonly #parts: Running;
  readonly #place: Place;
  /** Executors of graphs inside, by the executor that holds them. */
  readonly #inside = new Map<string, Running>();

  constructor(parts: Running, place: Place, prefix: string) {
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
      const work =
        executor instanceof WorkflowExecutor
          ? this.#nested(executor, call, snapshot, invoked)
          : this.#handle(executor, call, invoked);
      const effects = await within(abort, work);
      const data = [...effects.sent.map((sent) => sent.data), ...effects.yielded];
      const place = tell({
        type: "executor_completed",
        executorId,
        causes: [invoked],
        data: data.length === 0 ? null : data,
      });
      return { effects, place };
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown });
      const data = toRecord(thrown) as Json;
      const place = tell({ type: "executor_failed", executorId, causes: [invoked], data });
      return { error, place, stopped: abort.aborted };
    }
  }

  dropped({ message, reason, target }: Drop): void {
    this.#place.tell({
      type: "message_dropped",
      executorId: `${this.#place.path}${message.source.replace(/^internal:/u, "")}`,
      causes: message.causes,
      data: { reason, message: message.id, ...(target === undefined ? {} : { target }) },
    });
  }

  #handle(executor: Executor, call: Call, invoked: string): Promise<Effects> {
    const { runId, abort, path } = this.#place;
    const idempotencyKey = `${runId}/${path}${executor.id}/${call.state.iteration + 1}.${call.delivery.index}`;
    const hear = (heard: Heard): void => this.#hear(executor.id, heard, invoked);
    return invoke(executor, call, { runId, idempotencyKey, attempt: 1, abort, hear });
  }

  #hear(executor: string, heard: Heard, invoked: string): void {
    const { tell, path } = this.#place;
    const about = { executorId: `${path}${executor}`, causes: [invoked] };
    if (heard.type === "custom") tell({ type: "data", ...about, data: { name: heard.name, data: heard.data } });
    else if (heard.type === "request") tell({ type: "request_info", ...about, data: heard.request });
    else {
      const designation = this.#parts.graph.designation(executor);
      if (designation !== "hidden") tell({ type: designation, ...about, data: heard.data });
    }
  }

  /** Each message begins a run inside; an answer goes to the one that asked. Their states are the executor's own. */
  async #nested(executor: WorkflowExecutor, call: Call, snapshot: Json | undefined, invoked: string): Promise<Effects> {
    const { delivery } = call;
    const children = { ...(snapshot as Record<string, GraphState> | undefined) };
    const { request } = delivery;
    const key =
      request === undefined
        ? `${call.state.iteration + 1}.${delivery.index}`
        : (Object.keys(children).find((name) => Object.hasOwn(children[name]?.requests ?? {}, request.id)) ?? "");
    const before = children[key];
    const start =
      request === undefined || before === undefined
        ? entryState(executor.graph.start, delivery.data, [invoked])
        : withAnswers(before, [{ id: request.id, data: delivery.data, causes: [invoked] }]);
    const asked = new Set(Object.keys(start.requests));
    const { state, yielded } = await this.#inner(executor, start, `${call.prefix}${executor.id}.${key}.`);
    const requests = Object.values(state.requests).filter(({ id }) => !asked.has(id));
    if (Object.keys(state.requests).length > 0) children[key] = state;
    else delete children[key];
    const direct = executor.options.allowDirectOutput === true;
    if (direct) for (const data of yielded) this.#hear(executor.id, { type: "yield", data }, invoked);
    return {
      sent: direct ? [] : yielded.map((data) => ({ data })),
      yielded: direct ? yielded : [],
      requests: requests.map(questionOf),
      writes: [],
      snapshot: children as unknown as Json,
    };
  }

  async #inner(
    executor: WorkflowExecutor,
    start: GraphState,
    prefix: string,
  ): Promise<{ state: GraphState; yielded: Json[] }> {
    const path = `${this.#place.path}${executor.id}/`;
    const parts = this.#inside.get(executor.id) ?? running(executor.graph);
    this.#inside.set(executor.id, parts);
    await restoreExecutors(parts, start.executors);
    const yielded: Json[] = [];
    const tell = (telling: Telling): string => {
      // Outputs inside are messages outside; what is shown on the way is shown here.
      if (telling.type === "output") yielded.push(telling.data ?? null);
      return this.#place.tell(telling.type === "output" ? { ...telling, type: "data" } : telling);
    };
    const host = new MemoryHost(parts, { ...this.#place, path, tell }, prefix);
    const rest = (from: GraphState): Promise<GraphState> =>
      untilRest(parts, from, host, { end: async (state) => state }).catch((error: unknown) =>
        Promise.reject(error instanceof SuperstepFailure ? error.error : (error as Error)),
      );
    let state = await rest(start);
    for (let answers = this.#intercepted(executor, state); answers.length > 0;) {
      state = await rest(withAnswers(state, answers));
      answers = this.#intercepted(executor, state);
    }
    return { state, yielded };
  }

  #intercepted(
    { options, graph, id }: WorkflowExecutor,
    state: GraphState,
  ): { id: string; data: Json; causes: string[] }[] {
    return Object.values(state.requests).flatMap((request) => {
      const executorId = `${this.#place.path}${id}/${request.executor}`;
      const found = options.intercept?.(fromPlain(request.data, graph.classes), { executorId });
      if (found === undefined) return [];
      return [{ id: request.id, data: toPlain(found.answer, `answer to ${request.id}`, graph.classes), causes: [] }];
    });
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
