/** What agents say of executions that they have in hand: how they ended, and, on the way there, what people may want to know. */
import { isStemmaError } from "../../core/error.ts";
import type { ErrorRecord } from "../../core/event.ts";
import type { Json } from "../../core/json.ts";
import { isTerminal } from "../../core/run.ts";
import { readId } from "../agents/execution.ts";
import type { Execution, Report } from "../agents/execution.ts";
import type { Answer } from "./answer.ts";
import { ok, refusal } from "./answer.ts";
import { executionText } from "./execution-text.ts";
import { readExecution } from "./standing.ts";
import { found, ownId, targetOf } from "./executions.ts";
import { untilTold } from "./local-calls.ts";
import type { Asked } from "./mount.ts";
import { objectOf } from "./restart-request.ts";
import type { TerminalStatus } from "./status.ts";
import { canonicalStatus, isTerminalStatus } from "./status.ts";
import type { Wire } from "./wire.ts";

/** The same end again changes nothing; another one is refused, and so is an end while a person is asked. */
export async function reportStatus(wire: Wire, { params, body }: Asked): Promise<Answer> {
  const id = params["execution"] ?? "";
  const given = objectOf(body);
  const status = canonicalStatus(given["status"] ?? "running");
  const execution = await found(wire, id);
  if (status === "unknown") {
    return refusal(400, "invalid_status", {
      message: `Expected a status such as succeeded, got ${JSON.stringify(given["status"]).slice(0, 60)}.`,
    });
  }
  if (!isTerminalStatus(status))
    return ok({ success: true, execution_id: id, status: (await readExecution(wire, execution)).status });
  // What was sent before the end is taken before it, although it came on another line.
  await untilTold(wire, ownId(id), execution.target);
  const now = await readExecution(wire, execution);
  if (now.status === "waiting" && execution.waits.length > 0 && status === "succeeded") {
    return refusal(409, "invalid_transition", {
      message: `Execution ${id} waits for an approval: it can be running, failed or cancelled next.`,
    });
  }
  return take(wire, id, execution, status, given);
}

type Given = { readonly [name: string]: Json };

async function take(
  wire: Wire,
  id: string,
  execution: Execution,
  status: TerminalStatus,
  given: Given,
): Promise<Answer> {
  const said = ok({ success: true, execution_id: id, status });
  const refused = (now: string): Answer =>
    refusal(409, "invalid_transition", {
      message: `Execution ${id} has ended: it is ${now}, and stays so.`,
      status: now,
    });
  if (status === "cancelled") {
    if (execution.status === "cancelled") return said;
    if (isTerminal(execution.status)) return refused((await readExecution(wire, execution)).status);
    // A node that goes down gives up what it has in hand; that is not to be ended, but given to the next.
    if (isShutdown(given)) return ok({ success: true, execution_id: id, status: "running" });
    await wire.agents.cancel(ownId(id), {
      reason: textOf(given, "status_reason") ?? textOf(given, "error") ?? "cancelled by its agent",
    });
    return said;
  }
  const report: Report =
    status === "succeeded"
      ? { ok: true, ...(given["result"] === undefined ? {} : { output: unwrapped(given["result"]) }) }
      : { ok: false, error: errorOf(status, given) };
  try {
    await wire.agents.report(ownId(id), report);
    wire.awaiting.delete(readId(ownId(id)).run);
    return said;
  } catch (error) {
    if (!isStemmaError(error, "run.ended")) throw error;
    return refused((await readExecution(wire, await found(wire, id))).status);
  }
}

function isShutdown(given: Given): boolean {
  const details = given["error_details"];
  return typeof details === "object" && details !== null && !Array.isArray(details) && details["reason"] === "shutdown";
}

function textOf(given: Given, name: string): string | undefined {
  const value = given[name];
  return typeof value === "string" && value !== "" ? value.slice(0, 1000) : undefined;
}

/** Where agents that answer at the line put what they used, in the middle of their result. */
const usageKey = "__agentfield_usage__";

export function withoutUsage(output: unknown): unknown {
  if (typeof output !== "object" || output === null || !Object.hasOwn(output, usageKey)) return output;
  return Object.fromEntries(Object.entries(output).filter(([name]) => name !== usageKey));
}

/** What agents wrap, because it is no object, is unwrapped: whoever else calls them is to get what they gave. */
function unwrapped(result: Json): Json {
  if (typeof result !== "object" || result === null || Array.isArray(result)) return result;
  const [name, ...more] = Object.keys(result);
  const inner = result["result"];
  if (name !== "result" || more.length > 0 || inner === undefined) return result;
  return typeof inner === "object" && inner !== null && !Array.isArray(inner) ? result : inner;
}

function errorOf(status: "failed" | "timeout", given: Given): ErrorRecord {
  const message = textOf(given, "error") ?? textOf(given, "status_reason") ?? status;
  const details = given["error_details"];
  return {
    name: "Error",
    message,
    ...(status === "timeout" ? { code: "step.timed_out" } : {}),
    ...(details === undefined || details === null ? {} : { data: details }),
  };
}

export async function readStatus(wire: Wire, { params }: Asked): Promise<Answer> {
  return ok(await executionText(wire, await found(wire, params["execution"] ?? "")));
}

/** An execution with what it was given; with `redact=1` without any value. */
export async function executionDetails(wire: Wire, { params, query }: Asked): Promise<Answer> {
  const execution = await found(wire, params["execution"] ?? "");
  const { result, ...text } = (await executionText(wire, execution)) as { result: unknown };
  const { node, name } = targetOf(execution.target);
  const values = query.get("redact") === "1" ? {} : { input_data: execution.input ?? null, output_data: result };
  return ok({ ...text, agent_node_id: node, reasoner_id: name, ...values });
}

const batchMax = 500;

export async function batchStatus(wire: Wire, { body }: Asked): Promise<Answer> {
  const ids = objectOf(body)["execution_ids"];
  if (!Array.isArray(ids) || ids.length === 0 || ids.length > batchMax || !ids.every((id) => typeof id === "string")) {
    return refusal(400, `Expected execution_ids to be a list of 1 to ${batchMax} ids.`);
  }
  const one = async (id: string): Promise<[string, object]> => {
    try {
      return [id, await executionText(wire, await found(wire, id))];
    } catch (error) {
      const isMissing = isStemmaError(error, "run.not_found");
      return [id, { execution_id: id, status: isMissing ? "not_found" : "error" }];
    }
  };
  return ok(Object.fromEntries(await Promise.all([...new Set(ids)].map(one))));
}

/** An execution that waits for one that waits says so, for those that wait for it. What it asks itself counts more. */
export async function awaiterStatus(wire: Wire, { params, body }: Asked): Promise<Answer> {
  const id = params["execution"] ?? "";
  const { status, reason } = objectOf(body);
  if (status !== "waiting" && status !== "running") return refusal(400, "Expected status to be waiting or running.");
  const execution = await found(wire, id);
  if (params["node"] !== targetOf(execution.target).node) {
    return refusal(403, "execution_ownership_mismatch", {
      message: `Execution ${id} is not of ${params["node"] ?? ""}.`,
    });
  }
  const now = await readExecution(wire, execution);
  const { run } = readId(ownId(id));
  const isOwn = execution.waits.length > 0;
  const applied = !isTerminal(execution.status) && !isOwn && now.status !== "paused" && now.status !== status;
  if (applied && status === "waiting")
    wire.awaiting.set(run, typeof reason === "string" && reason !== "" ? reason.slice(0, 500) : "awaiting a child");
  if (applied && status === "running") wire.awaiting.delete(run);
  return ok({ execution_id: id, status: applied ? status : now.status, applied });
}

const entriesMax = 1000;

/** Logs are for people who look on: the last of them are kept, and none outlives the server. */
export async function takeLogs(wire: Wire, { params, body }: Asked): Promise<Answer> {
  const id = params["execution"] ?? "";
  const { entries } = objectOf(body);
  const all = Array.isArray(entries) ? entries.slice(0, entriesMax) : [objectOf(body)];
  const lines = all.filter((line) => typeof line === "object" && line !== null && !Array.isArray(line));
  wire.logs.add(id, lines);
  return ok({ success: true, accepted: lines.length });
}

export async function readLogs(wire: Wire, { params, query }: Asked): Promise<Answer> {
  const tail = Math.min(Number(query.get("tail") ?? entriesMax) || entriesMax, entriesMax);
  const logs = wire.logs.of(params["execution"] ?? "").map(({ entry }, i) => ({
    seq: i + 1,
    ...objectOf(entry),
  }));
  return ok({ execution_id: params["execution"], entries: logs.slice(-tail) });
}

export async function takeNote(wire: Wire, { headers, body }: Asked): Promise<Answer> {
  const id = headers.get("x-execution-id") ?? "";
  const { message, tags } = objectOf(body);
  if (id === "") return refusal(400, "Expected X-Execution-ID to say which execution the note is of.");
  if (typeof message !== "string" || message === "") return refusal(400, "Expected a message.");
  const note = { message: message.slice(0, 10_000), tags: Array.isArray(tags) ? tags.slice(0, 50) : [] };
  wire.notes.add(id, [note]);
  return ok({
    success: true,
    note: { ...note, timestamp: new Date().toISOString() },
    message: "Note added successfully",
  });
}

export async function readNotes(wire: Wire, { params }: Asked): Promise<Answer> {
  const id = params["execution"] ?? "";
  const notes = wire.notes.of(id).map(({ at, entry }) => ({
    ...(entry as object),
    timestamp: new Date(at).toISOString(),
  }));
  return ok({ execution_id: id, notes, total: notes.length });
}
