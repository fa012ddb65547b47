/** `ctx` of functions of a node: calls and questions, asked of the server. */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { jsonSchemaOf } from "../../authoring/graph/schema.ts";
import type { Duration } from "../../core/duration.ts";
import type { ErrorCode } from "../../core/error.ts";
import { StemmaError } from "../../core/error.ts";
import { decode, encode } from "../../core/json.ts";
import type { Status } from "../../core/run.ts";
import { isTerminal } from "../../core/run.ts";
import type { Log } from "../../engine/body.ts";
import { StepError } from "../../engine/failure.ts";
import { labelled } from "../../engine/log.ts";
import type { FunctionName } from "../../engine/node-function.ts";
import { partsOfFunction } from "../../engine/node-function.ts";
import { checkFit } from "../../engine/schema.ts";
import type { Execution } from "../agents/execution.ts";
import { patiently } from "./patiently.ts";
import type { InHand, Parcel, WorkParts } from "./work.ts";

export type AgentCallOptions = {
  /** The second value given with the called run. Default: that of this execution's run. */
  context?: unknown;
  tags?: readonly string[];
  /** How long the called execution may take. */
  timeout?: Duration;
};

export type AgentWaitOptions<O> = {
  /** What is asked about: shown to whoever answers, and part of what the question is. */
  input?: unknown;
  schema?: StandardSchemaV1<unknown, O>;
  prompt?: string;
  reason?: string;
  expires?: Duration;
  tags?: readonly string[];
};

/** What a function of a node does its work with. */
export type AgentContext = {
  /**
   * Calls a function of a node, this one or another, and waits for its output. It is on record like the call of a workflow:
   * reused in a restart or fork, and, when this process dies, answered from the record when the function is entered again.
   *
   * @throws StepError with what the function threw; node.not_found, function.not_found; run.cancelled, run.timed_out
   * @example const facts = await ctx.call<string[]>("reader.facts", { text });
   */
  call<O = unknown>(target: FunctionName, input?: unknown, options?: AgentCallOptions): Promise<O>;
  /**
   * Asks a question, and waits for its answer, which `stemma.resume` gives. It stays open while this process is away.
   *
   * @throws StepError with what it was failed with; wait.expired; wait.invalid_answer
   * @example const { approve } = await ctx.wait("approval", { input: draft, prompt: "Publish?", schema });
   */
  wait<O = unknown>(name: string, options?: AgentWaitOptions<O>): Promise<O>;
  /** The same each time that this execution is entered, also in a restart: send it to services so that they do not act twice. */
  readonly idempotencyKey: string;
  /** The id of this execution, under which this process has it. */
  readonly executionId: string;
  /** The run that nobody called, from which calls lead here. */
  readonly runId: string;
  /** Which entering of this execution this is, from 1. */
  readonly attempt: number;
  /** Aborted when the execution is not wanted any more. */
  readonly abort: AbortSignal;
  readonly log: Log;
};

/** How long one request waits for the end of what was called, or for an answer; then it is asked again. */
const lookMs = 30_000;

export function agentContext(parcel: Parcel, inHand: InHand, parts: WorkParts): AgentContext {
  const { id, run, dispatch, idempotencyKey } = parcel;
  const abort = inHand.abort.signal;
  const counts = { calls: 0, questions: 0 };
  const waiting = async <T>(call: () => Promise<T>): Promise<T> => {
    inHand.waitsFor += 1;
    try {
      return await call();
    } finally {
      inHand.waitsFor -= 1;
    }
  };
  return {
    executionId: id,
    runId: run,
    idempotencyKey,
    attempt: Number(dispatch.slice(dispatch.lastIndexOf(".") + 1)),
    abort,
    log: labelled(parts.log, { execution: id, run }, () => true),
    call<O>(target: FunctionName, input?: unknown, options: AgentCallOptions = {}) {
      counts.calls += 1;
      const once = `${id} call ${counts.calls}`;
      return unawaited(waiting(() => callBy<O>(parts, { id, once, abort }, target, input, options)));
    },
    wait<O>(name: string, options: AgentWaitOptions<O> = {}) {
      counts.questions += 1;
      const once = `${id} ask ${counts.questions}`;
      return unawaited(waiting(() => askBy<O>(parts, { id, once, abort }, name, options)));
    },
  };
}

/** For which execution something is asked, under which key. */
type By = { id: string; once: string; abort: AbortSignal };

async function callBy<O>(
  parts: WorkParts,
  { id, once, abort: signal }: By,
  target: FunctionName,
  input: unknown,
  { context, tags, timeout }: AgentCallOptions,
): Promise<O> {
  partsOfFunction(target);
  const body = {
    target,
    caller: id,
    ...plain(input, "input", `input of ${target}`),
    ...plain(context, "context", `context of ${target}`),
    ...(tags === undefined ? {} : { tags: [...tags] }),
    ...(timeout === undefined ? {} : { timeout }),
  };
  let execution = await patiently(parts, "POST /v1/calls", { body, idempotencyKey: once, signal });
  while (!isTerminal(execution.status)) {
    const wish = { params: { call: execution.id }, query: { wait: lookMs }, signal };
    execution = await patiently(parts, "GET /v1/calls/{call}", wish);
  }
  return outputOf(execution) as O;
}

const ends: Partial<Record<Status, ErrorCode>> = { cancelled: "run.cancelled", timed_out: "run.timed_out" };

function outputOf({ id, target, status, output, error }: Execution): unknown {
  if (status === "succeeded") return output;
  const code = ends[status];
  if (code === undefined && error !== undefined) throw new StepError(error, target);
  const message = `The call of ${target} (${id}) ${status.replace("_", " ")}.`;
  throw new StemmaError(code ?? "run.failed", message, { data: { execution: id, status } });
}

async function askBy<O>(
  parts: WorkParts,
  { id, once, abort: signal }: By,
  name: string,
  { input, schema, prompt, reason, expires, tags }: AgentWaitOptions<O>,
): Promise<O> {
  const shape = schema === undefined ? undefined : jsonSchemaOf(schema);
  const body = {
    name,
    ...plain(input, "input", `input of question ${name}`),
    ...(shape === undefined ? {} : { schema: shape }),
    ...(prompt === undefined ? {} : { prompt }),
    ...(reason === undefined ? {} : { reason }),
    ...(expires === undefined ? {} : { expires }),
    ...(tags === undefined ? {} : { tags: [...tags] }),
  };
  let asked = await patiently(parts, "POST /v1/calls/{call}/waits", {
    params: { call: id },
    body,
    idempotencyKey: once,
    signal,
  });
  while (asked.state === "open") {
    const wish = { params: { call: id, wait: asked.wait }, query: { wait: lookMs }, signal };
    asked = await patiently(parts, "GET /v1/calls/{call}/waits/{wait}", wish);
  }
  if (asked.state === "answered") {
    if (schema === undefined) return asked.value as O;
    return (await checkFit(schema, asked.value, "wait.invalid_answer", `The answer does not fit ${name}`)) as O;
  }
  if (asked.state === "failed" && asked.error !== undefined) throw new StepError(asked.error, asked.wait);
  const code = asked.state === "expired" ? "wait.expired" : "run.ended";
  throw new StemmaError(code, `The question ${name} was not answered: it is ${asked.state}.`, { data: { wait: name } });
}

/** A value as JSON says it; left out where there is none. Throws json.*. */
function plain<K extends string>(value: unknown, name: K, what: string): { [name in K]?: unknown } {
  const text = encode(value, what);
  return (text === undefined ? {} : { [name]: decode(text) }) as { [name in K]?: unknown };
}

/** A failure that nobody awaits is on record; it must not end the process as an unhandled rejection. */
function unawaited<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
