/**
 * Restarts of this wire, in the words of the engine. Who restarts a run by an execution of it means: everything that this
 * execution caused is done again, and all else is reused. By the clock, as it is said elsewhere, it would be less.
 */
import { StemmaError, isStemmaError } from "../../core/error.ts";
import type { RunId } from "../../core/event.ts";
import { parseKey } from "../../core/identity.ts";
import { isTerminal } from "../../core/run.ts";
import type { Change } from "../../engine/change.ts";
import { callerOf } from "../../engine/children.ts";
import type { Stemma } from "../../engine/stemma.ts";
import type { RunRow } from "../../store/store.ts";
import type { CourseCall } from "../agents/course.ts";
import type { CallGiven, Execution } from "../agents/execution.ts";
import type { Answer } from "./answer.ts";
import { timeText } from "./answer.ts";
import { attachWebhook } from "./call-webhook.ts";
import type { WebhookText } from "./call-webhook.ts";
import type { Named } from "./executions.ts";
import { executionAt, namedBy, notFound, rootOf, rowOf, targetOf } from "./executions.ts";
import type { CallHeaders, Replay } from "./headers.ts";
import { replayContext } from "./headers.ts";
import { askedTag, belongsTo, inherited, replayOf, replayTags } from "./lineage.ts";
import type { Asked } from "./mount.ts";
import type { RestartRequest } from "./restart-request.ts";
import { restartRequest } from "./restart-request.ts";
import type { Wire } from "./wire.ts";

export async function restart(wire: Wire, { params, body, once, by }: Asked): Promise<Answer> {
  const request = restartRequest(body);
  const named = params["execution"] ?? "";
  const found = await namedBy(wire, named);
  const root = await rootOf(wire.stemma.store, found.row.id);
  const again = request.scope === "workflow" ? root : await alone(wire, found);
  expectEnded(again);
  expectOffered(wire, again);
  const marker = request.scope === "workflow" && request.effective !== "none" ? named : undefined;
  const from = request.effective === "succeeded-before" && again.id === root.id ? await cutAt(wire, root, found) : [];
  const replay: Replay = {
    mode: request.effective,
    source: root.id,
    ...(marker === undefined ? {} : { before: marker }),
  };
  const change: Change = {
    matching: "earliest",
    ...(request.effective === "none" ? { reuse: "none" } : {}),
    ...fromText(from),
    ...("input" in request ? { input: request.input } : {}),
    ...("patch" in request ? { patch: request.patch } : {}),
    ...("context" in request ? { context: request.context } : {}),
    ...(request.reason === undefined ? {} : { reason: request.reason }),
    tags: [...inherited(again.state.tags), askedTag(request, named), ...replayTags(replay)],
    ...once,
    ...by,
  };
  const made = await wire.stemma[request.kind](again.id, change);
  const webhook = await attachWebhook(wire, made.id, body);
  return restarted(request, { named, root, again, made: made.id, marker, webhook });
}

type Restarted = {
  named: string;
  root: RunRow;
  again: RunRow;
  made: RunId;
  marker: string | undefined;
  webhook: WebhookText;
};

function restarted(request: RestartRequest, { named, root, again, made, marker, webhook }: Restarted): Answer {
  const at = timeText(Date.now());
  return {
    status: 202,
    headers: { "x-execution-id": made, "x-run-id": made, "x-workflow-id": made },
    body: {
      execution_id: made,
      run_id: made,
      workflow_id: made,
      status: "queued",
      target: again.state.workflow,
      type: "reasoner",
      created_at: at,
      enqueued_at: at,
      source_execution_id: named,
      source_run_id: root.id,
      restarted_execution_id: again.id,
      ...(marker === undefined || request.effective !== "succeeded-before"
        ? {}
        : { replay_before_execution_id: marker }),
      replay_mode: request.effective,
      scope: request.scope,
      kind: request.kind,
      ...webhook,
    },
  };
}

/** The run that is carried out again where only one execution is: of one that was reused, the run that made it. */
async function alone(wire: Wire, { row, call }: Named): Promise<RunRow> {
  if (call === undefined) return row;
  const { reused } = await callIn(wire, row, call);
  const made = reused && (await rowOf(wire.stemma.store, (await executionAt(wire, reused.origin)).execution));
  if (made === undefined) throw notFound(`${row.id}~${call}`);
  return made;
}

/** A call of an execution by the id that it has on this wire. */
async function callIn({ agents }: Wire, row: RunRow, id: string): Promise<CourseCall> {
  const found = (await agents.course(row.id)).byMessage.get(id);
  if (found === undefined || !("target" in found)) throw notFound(`${row.id}~${id}`);
  return found;
}

function expectEnded({ id, state }: RunRow): void {
  if (isTerminal(state.status)) return;
  throw new StemmaError(
    "run.not_terminal",
    `Expected a run that has ended; the source run ${id} is still ${state.status}. Wait for its end, or cancel it first.`,
    { data: { run: id, status: state.status } },
  );
}

/** A run that nobody could carry out is not made. Throws workflow.not_found. */
function expectOffered({ agents }: Wire, row: RunRow): void {
  if (!agents.isExecution(row)) return;
  const { node, name } = targetOf(row.state.workflow);
  const has = agents.nodes().some((one) => one.node === node && one.functions.some((offered) => offered.name === name));
  if (has) return;
  throw new StemmaError("workflow.not_found", `No agent that is registered here offers ${row.state.workflow}.`);
}

/**
 * Where it runs again, for an execution below the root: the keys of the calls that lead to it. One that failed is not
 * reused anyway, and with it what it had done before: then nothing has to be cut, unless something came of its failure.
 */
async function cutAt(wire: Wire, root: RunRow, { row, call }: Named): Promise<readonly string[]> {
  const { stemma } = wire;
  const keys = call === undefined ? [] : [(await callIn(wire, row, call)).key];
  for (let at = row; at.id !== root.id;) {
    const caller = callerOf(at.state.origin);
    const above = caller && (await rowOf(stemma.store, caller.run));
    if (caller === undefined || above === undefined) return [];
    keys.unshift(caller.key);
    at = above;
  }
  const isSuccess = call !== undefined || row.state.status === "succeeded";
  if (keys.length === 0 || isSuccess || (await causedAnything(stemma, row))) return keys;
  return [];
}

/** Whether its caller did anything because of how a call ended. */
async function causedAnything(stemma: Stemma, { state }: RunRow): Promise<boolean> {
  const caller = callerOf(state.origin);
  if (caller === undefined) return false;
  const { key } = caller;
  const change: Change = { from: key, matching: "earliest" };
  const { steps } = await stemma.plan(caller.run, change, { kind: "restart" }).catch((error: unknown) => {
    // It has no outcome, so nothing came of it.
    if (isStemmaError(error, "step.not_found")) return { steps: [] };
    throw error;
  });
  const calls = steps.filter((step) => step.key !== key && parseKey(step.key).name.includes("."));
  return calls.some(({ reason }) => reason === "cut");
}

function fromText([from, ...inside]: readonly string[]): Change {
  if (from === undefined) return {};
  return inside.length === 0 ? { from } : { from, inside };
}

/**
 * A call without a caller that says what it may be answered from: a fork of that run, where it is one of the same function.
 * Of a run that is not here, or by an execution that was none of it, nothing can be reused.
 */
export async function startUnder(wire: Wire, { replay }: CallHeaders, given: CallGiven): Promise<Execution> {
  const { agents, stemma } = wire;
  if (replay === undefined || replay.mode === "none") {
    return agents.call(given);
  }
  const tags = [...(given.tags ?? []), ...replayTags(replay)];
  const found = await namedBy(wire, replay.source).catch(unlessMissing);
  const source = found === undefined ? undefined : await rootOf(stemma.store, found.row.id);
  const marker = replay.before === undefined ? undefined : await namedBy(wire, replay.before).catch(unlessMissing);
  const isOf = async ({ row }: Named): Promise<boolean> => (await rootOf(stemma.store, row.id)).id === source?.id;
  const isUsable = replay.before === undefined || (marker !== undefined && (await isOf(marker)));
  if (source?.state.workflow !== given.target || !isUsable) return agents.call({ ...given, tags });
  const from = marker === undefined || replay.mode !== "succeeded-before" ? [] : await cutAt(wire, source, marker);
  const { input, context, by, idempotencyKey } = given;
  const made = await stemma.fork(source.id, {
    matching: "earliest",
    input,
    tags,
    ...("context" in given ? { context } : {}),
    ...fromText(from),
    ...(by === undefined ? {} : { by }),
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
  });
  return agents.read(made.id);
}

function unlessMissing(error: unknown): undefined {
  if (!isStemmaError(error, "run.not_found") && !isStemmaError(error, "run.invalid_id")) throw error;
}

/** What an agent is told beside its execution: on whose behalf it is, and what its calls may be answered from. */
export async function contextHeaders({ stemma }: Wire, row: RunRow, root: RunId): Promise<Record<string, string>> {
  const { session, actor } = belongsTo(row.state.tags);
  const replay = replayOf(root === row.id ? row.state.tags : ((await rowOf(stemma.store, root))?.state.tags ?? []));
  return {
    ...(session === undefined ? {} : { "x-session-id": session }),
    ...(actor === undefined ? {} : { "x-actor-id": actor }),
    ...(replay === undefined ? {} : replayContext(replay)),
  };
}
