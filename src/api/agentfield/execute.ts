/** Calls of agents: at the line or to be asked for later, by anybody or by another agent in the middle of its work. */
import { StemmaError } from "../../core/error.ts";
import type { RunId } from "../../core/event.ts";
import type { Json } from "../../core/json.ts";
import { isTerminal } from "../../core/run.ts";
import type { Execution } from "../agents/execution.ts";
import { readId } from "../agents/execution.ts";
import type { Answer } from "./answer.ts";
import { refusal, timeText } from "./answer.ts";
import { executionAt, rootOf, wireId } from "./executions.ts";
import { readExecution } from "./standing.ts";
import type { CallHeaders } from "./headers.ts";
import { callHeaders } from "./headers.ts";
import { belongsTags } from "./lineage.ts";
import { callerOf } from "./local-calls.ts";
import type { Asked } from "./mount.ts";
import { startUnder } from "./replay.ts";
import { objectOf } from "./restart-request.ts";
import { attachWebhook } from "./call-webhook.ts";
import type { Wire } from "./wire.ts";

type Started = { execution: Execution; root: RunId; kind: "reasoner" | "skill"; headers: CallHeaders };

export async function executeAsync(wire: Wire, asked: Asked): Promise<Answer> {
  const { execution, root, kind } = await start(wire, asked);
  const { id, target, status, createdAt = Date.now() } = execution;
  const at = timeText(createdAt);
  return {
    status: 202,
    body: {
      execution_id: wireId(id),
      run_id: root,
      workflow_id: root,
      status: isTerminal(status) ? (await readExecution(wire, execution)).status : "queued",
      target,
      type: kind,
      created_at: at,
      enqueued_at: at,
      ...(await attachWebhook(wire, execution.run, asked.body)),
    },
    headers: await headersOf(wire, execution, root),
  };
}

/** Waits for the end; a caller that is gone is not waited for, and what it called goes on. */
export async function executeSync(wire: Wire, asked: Asked): Promise<Answer> {
  const { execution, root } = await start(wire, asked);
  const signal = AbortSignal.any([asked.signal, wire.stopped]);
  const ended = isTerminal(execution.status)
    ? execution
    : await wire.agents.read(execution.id, { waitMs: wire.callTimeoutMs, signal });
  const shown = await readExecution(wire, ended);
  const { id, status, error } = shown;
  const common = {
    execution_id: id,
    run_id: root,
    workflow_id: root,
    status,
    ...(await attachWebhook(wire, execution.run, asked.body)),
  };
  const headers = await headersOf(wire, ended, root);
  if (!isTerminal(ended.status)) {
    const message = `It has not ended within ${wire.callTimeoutMs} ms, and goes on: GET /api/v1/executions/${id} says how it ends.`;
    return { ...refusal(504, message, { error_category: "agent_timeout", ...common }), headers };
  }
  const times = { duration_ms: shown.duration_ms ?? 0, finished_at: shown.completed_at };
  if (status === "succeeded") {
    return { status: 200, body: { ...common, result: ended.output ?? null, ...times }, headers };
  }
  const message = error ?? status;
  const details = { error_message: message, error_details: shown.error_details ?? null, ...times };
  const { code, category } = refusalOf(ended);
  return { ...refusal(code, message, { error_category: category, ...common, ...details }), headers };
}

/** What the agent itself refused is passed on as it said it; that it failed is its gateway's to say. */
function refusalOf({ status, error }: Execution): { code: number; category: string } {
  if (status === "cancelled") return { code: 409, category: "cancelled" };
  if (status === "timed_out" || error?.code === "step.timed_out") return { code: 504, category: "agent_timeout" };
  const { data } = error ?? {};
  const said = typeof data === "object" && data !== null && !Array.isArray(data) ? data["status"] : undefined;
  if (typeof said === "number" && said >= 400 && said < 500) return { code: said, category: "agent_error" };
  if (error?.code === "node.lost") return { code: 504, category: "agent_unreachable" };
  return { code: 502, category: "agent_error" };
}

async function start(wire: Wire, asked: Asked): Promise<Started> {
  const headers = callHeaders(asked.headers);
  const { target = "" } = asked.params;
  const { input, context } = objectOf(asked.body);
  const kind = kindOf(wire, target);
  const caller = headers.parent === undefined ? undefined : await callerOf(wire, headers);
  const given = {
    target,
    input: input ?? {},
    tags: belongsTags(headers),
    matching: "earliest" as const,
    // A call of this wire says all that it is known by: what its caller was given besides is none of it.
    ...contextOf(context, caller !== undefined),
    ...asked.by,
    ...asked.once,
  };
  const execution =
    caller === undefined
      ? await startUnder(wire, headers, given)
      : await wire.agents.call({
          ...given,
          caller: caller.id,
          ...(caller.local === undefined ? {} : { note: { parent: caller.local } }),
        });
  // A call that its caller has not taken in yet, such as one that is paused, is known by that alone.
  const root = execution.run ?? execution.caller?.run ?? readId(execution.id).run;
  return { execution, root: (await rootOf(wire.stemma.store, root)).id, kind, headers };
}

function contextOf(context: Json | undefined, isCalled: boolean): { context?: Json } {
  const isEmpty = typeof context === "object" && context !== null && Object.keys(context).length === 0;
  if (context !== undefined && context !== null && !isEmpty) return { context };
  return isCalled ? { context: {} } : {};
}

/** Throws usage.invalid for what is no target, workflow.not_found for what nobody offers. */
function kindOf({ agents }: Wire, target: string): "reasoner" | "skill" {
  const parts = target.split(".");
  const [node = "", name = ""] = parts;
  if (parts.length !== 2 || node === "" || name === "") {
    throw new StemmaError(
      "usage.invalid",
      `Expected a target such as node.function, with one dot; got ${JSON.stringify(target.slice(0, 200))}.`,
    );
  }
  const offers = agents.nodes().flatMap((one) => (one.node === node ? one.functions : []));
  const offered = offers.find((one) => one.name === name);
  if (offered !== undefined) return offered.kind;
  throw new StemmaError(
    "workflow.not_found",
    `No agent that is registered here offers ${JSON.stringify(target.slice(0, 200))}.`,
  );
}

async function headersOf(wire: Wire, execution: Execution, root: RunId): Promise<Record<string, string>> {
  const { id, node, reused } = execution;
  const versions = new Set(wire.agents.nodes().flatMap((one) => (one.node === node?.node ? [one.version] : [])));
  const hit = reused === undefined ? undefined : (await executionAt(wire, reused.from)).execution;
  return {
    "x-execution-id": wireId(id),
    "x-run-id": root,
    "x-workflow-id": root,
    ...(node === undefined || versions.size === 0 ? {} : { "x-routed-version": node.version }),
    ...(hit === undefined ? {} : { "x-agentfield-replay-hit": wireId(hit) }),
  };
}
