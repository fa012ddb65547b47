/**
 * What each route does: a few words to the engine, no more. What was asked is checked by the contract before, and again
 * by the engine, which knows what it means.
 */
import { unseal } from "../../core/chain.ts";
import { StemmaError } from "../../core/error.ts";
import type { RunId } from "../../core/event.ts";
import { limits } from "../../core/limits.ts";
import { isTerminal } from "../../core/run.ts";
import { jsonSchemaOf } from "../../authoring/graph/schema.ts";
import type { Log, Workflow } from "../../engine/body.ts";
import { StepError } from "../../engine/failure.ts";
import type { Once } from "../../engine/requests.ts";
import type { Stemma } from "../../engine/stemma.ts";
import { isInspectable } from "../../store/inspection.ts";
import type { BodyOf, Ended, KnownWorkflow, QueryOf, ResultOf, RouteName } from "../contract/routes.ts";
import type { Agents } from "../agents/agents.ts";
import { agentHandlersOf } from "./agent-handlers.ts";
import type { Follower } from "./follow.ts";
import { followFeed, followRun, followStream } from "./follow.ts";
import type { Webhooks } from "../webhooks/webhooks.ts";
import type { Hub } from "./hub.ts";
import { recordHandlersOf } from "./record-handlers.ts";
import { makingHandlersOf } from "./making.ts";
import { webhookHandlersOf } from "./webhook-handlers.ts";

/** A request, once it is known who asks and that they may, and that what they say can be meant so. */
export type Call<R extends RouteName> = {
  params: Readonly<Record<string, string>>;
  query: QueryOf<R>;
  body: BodyOf<R>;
  /** What makes it one request however often it is sent. */
  once: Once;
  /** Who is put on record, given whom the body names. */
  by: (given: string | undefined) => { by?: string };
  /** Where an earlier stream broke off: the id of the last event. */
  lastEventId: number | undefined;
  signal: AbortSignal;
  /** As it came, for a handler that reads the body itself. */
  request: Request;
};

export type Served = {
  stemma: Stemma;
  hub: Hub;
  /** Left out where this server has none. */
  webhooks: Webhooks | undefined;
  agents: Agents | undefined;
  log: Log;
  openapi: () => object;
  metrics: () => string;
};

export type StreamRoute = "GET /v1/feed" | "GET /v1/runs/{run}/events" | "GET /v1/runs/{run}/stream";
export type PlainRoute = Exclude<RouteName, StreamRoute>;

export type Handlers = { readonly [R in PlainRoute]: (call: Call<R>) => Promise<ResultOf<R>> };
export type Followers = { readonly [R in StreamRoute]: (call: Call<R>) => Promise<Follower> };

export function handlersOf(served: Served): Handlers {
  const { stemma } = served;
  return {
    ...agentHandlersOf(served.agents),
    ...recordHandlersOf(stemma, served.log),
    "GET /health": async () => {
      await stemma.list({ limit: 1 });
      return { status: "ok" };
    },
    "GET /metrics": async () => served.metrics(),
    "GET /openapi.json": async () => served.openapi(),
    "GET /v1/waits": ({ query }) => stemma.waits(query),
    "GET /v1/payloads": async ({ query }) => ({
      texts: Object.fromEntries(await stemma.store.payloads(query.digest)),
    }),
    "GET /v1/workflows": async () => ({ workflows: stemma.workflows().map(knownWorkflow) }),
    "GET /v1/workers": async () => ({ workers: [...((await stemma.store.workers?.()) ?? [])] }),
    "GET /v1/doctor": async () => {
      const findings = isInspectable(stemma.store) ? await stemma.store.inspect() : [];
      return { ok: findings.every(({ level }) => level !== "problem"), store: stemma.store.name, findings };
    },
    "GET /v1/runs": ({ query }) => stemma.list(query),
    "GET /v1/runs/{run}": ({ params }) => stemma.row(runOf(params)),
    "GET /v1/runs/{run}/history": async ({ params, query: { after = -1, limit = limits.pageEventsMax } }) => {
      const { id } = await stemma.row(runOf(params));
      const page = await stemma.store.history(id, { after, limit });
      if (page === undefined) throw new StemmaError("run.not_found", `There is no run ${id} in this store.`);
      return { row: page.row, events: page.events.map(unseal), more: page.more };
    },
    "GET /v1/runs/{run}/result": (call) => resultOf(served, call),
    "GET /v1/runs/{run}/state": ({ params, query }) => stemma.stateAt(runOf(params), query.seq),
    "GET /v1/runs/{run}/trace": ({ params, query }) => stemma.trace(runOf(params), query),
    "GET /v1/runs/{run}/lineage": ({ params }) => stemma.lineage(runOf(params)),
    "GET /v1/runs/{run}/compare/{other}": ({ params, query }) =>
      stemma.compare(runOf(params), params["other"] ?? "", query),
    "POST /v1/runs/{run}/plan": ({ params, body: { change = {}, ...options } }) =>
      stemma.plan(runOf(params), change, options),
    ...makingHandlersOf(served),
    ...webhookHandlersOf(served),
    "POST /v1/runs/{run}/resume": ({ params, body: { wait, again, ...answer }, by, once }) => {
      const options = { ...by(answer.by), ...once };
      const said = ["value", "error"].filter((part) => part in answer);
      if (said.length > 1 || (again !== undefined && "error" in answer)) {
        throw new StemmaError("usage.invalid", "Expected an answer to be a value, an error or to wait again; got two.");
      }
      const run = runOf(params);
      if (again !== undefined) {
        return stemma.resuspend(run, wait, {
          ...options,
          ...again,
          ...("value" in answer ? { value: answer.value } : {}),
        });
      }
      if (answer.error !== undefined) return stemma.fail(run, wait, new StepError(answer.error), options);
      return stemma.resume(run, wait, answer.value, options);
    },
    "POST /v1/runs/{run}/signal": ({ params, body: { name, payload, by: given }, by, once }) =>
      stemma.signal(runOf(params), name, payload, { ...by(given), ...once }),
    "POST /v1/runs/{run}/decide": async ({ params, body: { step, decision, ...said }, by, once }) => {
      const isFailure = decision !== "run" && "fail" in decision;
      const made = isFailure ? { fail: new StepError(decision.fail) } : decision;
      await stemma.decide(runOf(params), step, made, { ...said, ...by(said.by), ...once });
      return {};
    },
    "POST /v1/runs/{run}/cancel": ({ params, body, by }) => stemma.cancel(runOf(params), { ...body, ...by(body.by) }),
    "POST /v1/runs/{run}/pause": ({ params, body, by, once }) =>
      stemma.pause(runOf(params), { ...body, ...by(body.by), ...once }),
    "POST /v1/runs/{run}/unpause": ({ params, body, by, once }) =>
      stemma.unpause(runOf(params), { ...body, ...by(body.by), ...once }),
  };
}

export function followersOf({ stemma, hub }: Served): Followers {
  return {
    "GET /v1/feed": ({ query, lastEventId }) => followFeed(stemma, hub, { ...query, ...afterOf(query, lastEventId) }),
    "GET /v1/runs/{run}/events": ({ params, query, lastEventId }) =>
      followRun(stemma, hub, runOf(params), afterOf(query, lastEventId).after ?? -1),
    "GET /v1/runs/{run}/stream": ({ params, query, lastEventId }) =>
      followStream(stemma, runOf(params), query.name, afterOf(query, lastEventId).after ?? 0),
  };
}

/** Who was cut off goes on from what they got last, whatever the address says that they began with. */
function afterOf({ after }: { after?: number }, lastEventId: number | undefined): { after?: number } {
  const from = lastEventId ?? after;
  return from === undefined ? {} : { after: from };
}

function runOf(params: Readonly<Record<string, string>>): RunId {
  return params["run"] ?? "";
}

function knownWorkflow({ name, version, timeoutMs, schema }: Workflow): KnownWorkflow {
  const input = schema === undefined ? undefined : jsonSchemaOf(schema);
  return {
    name,
    version,
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(input === undefined ? {} : { input }),
  };
}

/** The end of a run, or its status when it has not come within `wait`. Throws run.failed, run.cancelled, run.timed_out. */
async function resultOf(
  { stemma, hub }: Served,
  { params, query: { wait = 0 }, signal }: Call<"GET /v1/runs/{run}/result">,
): Promise<Ended> {
  const run = runOf(params);
  const { state } = await stemma.row(run);
  if (!isTerminal(state.status) && wait > 0) await untilEnd(stemma, hub, { run, after: state.seq, wait, signal });
  const { status } = (await stemma.row(run)).state;
  if (!isTerminal(status)) return { run, status };
  const output = await (await stemma.get(run)).result();
  return { run, status, ...(output === undefined ? {} : { output }) };
}

async function untilEnd(
  stemma: Stemma,
  hub: Hub,
  { run, after, wait, signal }: { run: RunId; after: number; wait: number; signal: AbortSignal },
): Promise<void> {
  const leave = await hub.join();
  try {
    const until = performance.now() + wait;
    const follower = await followRun(stemma, hub, run, after);
    for (let left = wait; left > 0 && !signal.aborted; left = until - performance.now()) {
      const { end } = await follower(left, signal);
      if (end === true || hub.stopped.signal.aborted) return;
    }
  } finally {
    leave();
  }
}
