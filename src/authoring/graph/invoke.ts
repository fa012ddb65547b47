/** One executor at work on one message. */
import { StemmaError } from "../../core/error.ts";
import type { Heard, WorkflowContext } from "./context.ts";
import { collector, duplicateRequest } from "./context.ts";
import type { Delivery } from "./deliver.ts";
import type { AnyResponseHandler, Executor } from "./executor.ts";
import type { Effects, GraphState, Shared } from "./message.ts";
import type { ValueClass } from "./plain.ts";
import { fromPlain, toPlain } from "./plain.ts";
import { fit } from "./schema.ts";
import type { Reducers } from "./shared-state.ts";

export type Call = {
  readonly delivery: Delivery;
  /** As this executor sees it. */
  readonly shared: Shared;
  readonly state: GraphState;
  readonly reducers: Reducers;
  readonly classes: readonly ValueClass[];
  /** In front of ids of requests, so that they are not those of another run. */
  readonly prefix: string;
  /** The id of the n-th request (from 0) that gives itself none. */
  readonly requestId: (n: number) => string;
};

export type Tools = Pick<WorkflowContext, "runId" | "idempotencyKey" | "attempt" | "abort"> & {
  hear: (heard: Heard) => void;
};

/** Runs the handler that fits. Throws what it throws, and graph.no_handler where none does. */
export async function invoke(executor: Executor, call: Call, tools: Tools): Promise<Effects> {
  const { delivery, classes, state } = call;
  const { hear, runId, attempt, abort } = tools;
  const { said, close, methods } = collector({
    executor: executor.id,
    shared: call.shared,
    reducers: call.reducers,
    classes,
    requestId: call.requestId,
    checkRequest(id) {
      if (executor.responseHandlers.length === 0) throw noHandler(executor.id, "an answer to its request");
      if (Object.hasOwn(state.requests, id) || state.answered.includes(id)) throw duplicateRequest(id);
    },
    hear,
  });
  const context: WorkflowContext<unknown, unknown> = {
    executorId: executor.id,
    runId,
    attempt,
    abort,
    // In memory it is made for those who ask.
    get idempotencyKey() {
      return tools.idempotencyKey;
    },
    sourceExecutorIds: delivery.sources.map((source) => source.replace(/^internal:/u, "")),
    ...(delivery.request === undefined ? {} : { requestId: delivery.request.id }),
    ...methods,
  };
  await (delivery.request === undefined ? handle(executor, call, context) : answer(executor, call, context));
  close();
  await checkRequests(executor, said.requests, classes);
  const own: unknown = await executor.onCheckpointSave();
  if (own === undefined) return said;
  return { ...said, snapshot: toPlain(own, `state of executor ${executor.id}`, classes) };
}

async function handle(
  executor: Executor,
  { delivery, classes }: Call,
  context: WorkflowContext<unknown, unknown>,
): Promise<void> {
  for (const { input, run } of executor.handlers) {
    const found = await fit(input, fromPlain(delivery.data, classes));
    if (found === undefined) continue;
    await run(found.value, context);
    return;
  }
  throw noHandler(executor.id, "its message");
}

async function answer(
  executor: Executor,
  { delivery, classes }: Call,
  context: WorkflowContext<unknown, unknown>,
): Promise<void> {
  const asked = fromPlain(delivery.request?.data ?? null, classes);
  const found = await responseHandlerOf(executor, asked);
  if (found === undefined) throw noHandler(executor.id, "the answer");
  const response = await fit(found.response, fromPlain(delivery.data, classes));
  if (response === undefined) throw noHandler(executor.id, "such an answer");
  await found.run(asked, response.value, context);
}

/** The first handler of answers that takes this request. */
export async function responseHandlerOf(executor: Executor, asked: unknown): Promise<AnyResponseHandler | undefined> {
  for (const candidate of executor.responseHandlers) {
    if ((await fit(candidate.request, asked)) !== undefined) return candidate;
  }
  return undefined;
}

/** An answer to a question for which there is no handler would be lost, so it is not asked. */
async function checkRequests(
  executor: Executor,
  requests: Effects["requests"],
  classes: readonly ValueClass[],
): Promise<void> {
  for (const { id, data } of requests) {
    if ((await responseHandlerOf(executor, fromPlain(data, classes))) === undefined) {
      throw noHandler(executor.id, `the answer to request ${id}`);
    }
  }
}

export function noHandler(executor: string, what: string): StemmaError {
  return new StemmaError("graph.no_handler", `Executor '${executor}' has no handler for ${what}.`, {
    data: { executor },
  });
}
