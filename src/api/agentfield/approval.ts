/**
 * Questions to people. An agent names its question and an address at which it wants to be told; the question is a wait of
 * its execution, so it outlives agent and server, and whoever asks it again after a crash is told what was decided. A
 * decision comes signed from elsewhere, or like any answer by our own API.
 */
import { StemmaError, isStemmaError } from "../../core/error.ts";
import type { Json } from "../../core/json.ts";
import { checkId } from "../../core/name.ts";
import { isTerminal } from "../../core/run.ts";
import type { AgentsHooks } from "../agents/agents.ts";
import type { CourseQuestion } from "../agents/course.ts";
import type { Asked as Question, Execution } from "../agents/execution.ts";
import { readId } from "../agents/execution.ts";
import type { Answer } from "./answer.ts";
import { ok, optionalTime, refusal } from "./answer.ts";
import { readExecution } from "./standing.ts";
import { found, ownId, targetOf } from "./executions.ts";
import type { Asked } from "./mount.ts";
import { objectOf } from "./restart-request.ts";
import type { Wire } from "./wire.ts";

/** What is kept with a question for whoever asked it. */
type Note = { approval_request_id: string; approval_request_url?: string; callback_url?: string };

export const decisions = ["approved", "rejected", "request_changes", "expired"] as const;
export type Decision = (typeof decisions)[number];

/** What a person says to the question, by whatever way: kept on record as the answer. */
export type Decided = { decision: Decision; feedback?: string; response?: Json };

const questionName = "approval";
const hoursDefault = 72;
const hoursMax = 24 * 366;

const answerSchema: Json = {
  type: "object",
  properties: {
    decision: { type: "string", enum: [...decisions] },
    feedback: { type: "string" },
    response: {},
  },
  required: ["decision"],
};

export async function requestApproval(wire: Wire, { params, body }: Asked): Promise<Answer> {
  const id = params["execution"] ?? "";
  const given = objectOf(body);
  const execution = await found(wire, id);
  const { node } = targetOf(execution.target);
  if (params["node"] !== undefined && params["node"] !== node) {
    return refusal(403, "execution_ownership_mismatch", { message: `Execution ${id} is not of ${params["node"]}.` });
  }
  const { token } = readId(ownId(id));
  const { questions } = await wire.agents.course(execution.id);
  const pending = questions.find(
    ({ messages, answer }) => answer === undefined && messages.some((one) => one.token === token),
  );
  if (pending !== undefined) {
    const { approval_request_id } = (pending.messages.at(-1)?.note ?? {}) as Partial<Note>;
    return refusal(409, "approval_already_requested", {
      message: `Execution ${id} waits for an approval already.`,
      ...(approval_request_id === undefined ? {} : { approval_request_id }),
    });
  }
  const { status } = await readExecution(wire, execution);
  // An execution that was given out anew asks again what it asked before.
  if (status !== "running" && status !== "waiting") {
    return refusal(409, "invalid_state", { message: `Expected an execution that is running; ${id} is ${status}.` });
  }
  const note = noteOf(wire, given, node, `${execution.run ?? id} ${questions.length + 1}`);
  const asked = await wire.agents.ask(ownId(id), {
    name: questionName,
    prompt: promptOf(given, note),
    schema: answerSchema,
    expires: hoursOf(given["expires_in_hours"]) * 3_600_000,
    idempotencyKey: `${token} ${note.approval_request_id}`.slice(0, 1000),
    note,
    ...subjectOf(given),
  });
  wire.decided.set(note.approval_request_id, { run: asked.run, wait: asked.wait });
  return ok({
    execution_id: id,
    status: "pending",
    approval_request_id: note.approval_request_id,
    approval_request_url: note.approval_request_url ?? "",
  });
}

/**
 * What is asked about, where the agent says it: then an equal question is the same one in a restart. Where it only says
 * under which id it asked elsewhere, each execution has to ask anew.
 */
function subjectOf(given: { readonly [name: string]: Json }): { input?: Json } {
  const parts = ["title", "description", "payload", "template_type", "project_id"].flatMap((name) => {
    const value = given[name];
    return value === undefined || value === null || value === "" ? [] : [[name, value]];
  });
  return parts.length === 0 ? {} : { input: Object.fromEntries(parts) as Json };
}

function promptOf({ title, description }: { readonly [name: string]: Json }, note: Note): string {
  const said = [title, description].flatMap((one) => (typeof one === "string" && one !== "" ? [one] : []));
  const text = said.length > 0 ? said.join(": ") : `Approval ${note.approval_request_id}`;
  return note.approval_request_url === undefined ? text : `${text} (${note.approval_request_url})`;
}

function noteOf(wire: Wire, given: { readonly [name: string]: Json }, node: string, made: string): Note {
  const own = given["approval_request_id"];
  const id =
    own === undefined || own === null || own === "" ? `approval of ${made}` : checkId(own, "approval_request_id");
  const url = given["approval_request_url"];
  const callback = given["callback_url"];
  return {
    approval_request_id: id,
    ...(typeof url === "string" && url !== "" ? { approval_request_url: checkId(url, "approval_request_url") } : {}),
    ...(typeof callback === "string" && callback !== "" ? { callback_url: checkCallback(wire, callback, node) } : {}),
  };
}

/** Only a node's own address is told, so nobody makes this server ask for others. Throws usage.invalid. */
function checkCallback({ agents }: Wire, given: string, node: string): string {
  const url = URL.canParse(given) && given.length <= 1000 ? new URL(given) : undefined;
  const own = agents.nodes().some((one) => one.node === node && new URL(one.url).origin === url?.origin);
  if (url !== undefined && own && url.username === "" && url.password === "") return url.href;
  throw new StemmaError(
    "usage.invalid",
    `Expected callback_url to be at the address with which ${node} is registered.`,
  );
}

function hoursOf(given: Json | undefined): number {
  if (given === undefined || given === null || given === 0) return hoursDefault;
  if (typeof given === "number" && given > 0 && given <= hoursMax) return given;
  throw new StemmaError("usage.invalid", `Expected expires_in_hours to be a number up to ${hoursMax}.`);
}

/** The last question of an execution. */
async function lastAsked(
  wire: Wire,
  execution: Execution,
): Promise<{ question: CourseQuestion; note: Note; asked: Question } | undefined> {
  if (execution.run === undefined) return undefined;
  const { questions } = await wire.agents.course(execution.run);
  const question = questions.at(-1);
  const note = question?.messages.at(-1)?.note as Note | undefined;
  if (question === undefined || typeof note?.approval_request_id !== "string") return undefined;
  return { question, note, asked: await wire.agents.readAsked(execution.run, question.key) };
}

/** Whether it was decided, and how. */
export function decisionOf({ state, value, error }: Question): Decided | undefined {
  switch (state) {
    case "open":
    case "withdrawn":
      return undefined;
    case "expired":
      return { decision: "expired" };
    case "failed":
      return { decision: "rejected", feedback: error?.message ?? "" };
    case "answered": {
      const { decision, feedback, response } = (
        typeof value === "object" && value !== null ? value : {}
      ) as Partial<Decided>;
      const known = decisions.find((one) => one === decision) ?? "rejected";
      return {
        decision: known,
        ...(typeof feedback === "string" ? { feedback } : {}),
        ...(response === undefined ? {} : { response }),
      };
    }
  }
}

/** What an execution's text says of its last question. */
export async function approvalOf(wire: Wire, execution: Execution): Promise<object> {
  if (!wire.agents.isExecution(await wire.stemma.row(execution.run ?? execution.caller?.run ?? ""))) return {};
  const last = await lastAsked(wire, execution);
  if (last === undefined) return {};
  const { note, asked } = last;
  return {
    approval_request_id: note.approval_request_id,
    approval_request_url: note.approval_request_url ?? null,
    approval_status: decisionOf(asked)?.decision ?? (asked.state === "open" ? "pending" : "withdrawn"),
  };
}

export async function approvalStatus(wire: Wire, { params }: Asked): Promise<Answer> {
  const id = params["execution"] ?? "";
  const execution = await found(wire, id);
  if (params["node"] !== undefined && params["node"] !== targetOf(execution.target).node) {
    return refusal(403, "execution_ownership_mismatch", { message: `Execution ${id} is not of ${params["node"]}.` });
  }
  const last = await lastAsked(wire, execution);
  if (last === undefined) return refusal(404, "approval_not_found", { message: `Execution ${id} has asked nobody.` });
  const { note, asked, question } = last;
  const decided = decisionOf(asked);
  const said = decided && (decided.response ?? { ...decided });
  return ok({
    execution_id: id,
    status: decided?.decision ?? "pending",
    request_id: note.approval_request_id,
    request_url: note.approval_request_url ?? "",
    requested_at: optionalTime(question.askedAt),
    ...(said === undefined ? {} : { response: said, responded_at: optionalTime(question.answer?.at) }),
    ...(decided?.feedback === undefined ? {} : { feedback: decided.feedback }),
  });
}

const tellMs = 10_000;

/** Tells the agent at the address that it gave; one that is rejected is not wanted any more. */
export function answeredHook(wire: Wire): NonNullable<AgentsHooks["answered"]> {
  return async ({ run, token, note, asked }) => {
    const { approval_request_id: id, callback_url: callback } = note as Note;
    const decided = decisionOf(asked);
    if (decided === undefined || typeof id !== "string") return;
    const isOver = decided.decision === "rejected" || decided.decision === "expired";
    try {
      if (callback !== undefined) await tell(callback, { token, id, decided, isOver });
    } finally {
      if (isOver && !isTerminal((await wire.stemma.row(run)).state.status)) {
        await wire.agents.cancel(run, { reason: `approval ${decided.decision}` }).catch((error: unknown) => {
          if (!isStemmaError(error)) throw error;
        });
      }
    }
  };
}

type Telling = { token: string; id: string; decided: Decided; isOver: boolean };

async function tell(callback: string, { token, id, decided, isOver }: Telling): Promise<void> {
  const { decision, feedback, response } = decided;
  const answer = await fetch(callback, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      execution_id: token,
      approval_request_id: id,
      decision,
      feedback: feedback ?? "",
      new_status: isOver ? "cancelled" : "running",
      ...(response === undefined
        ? {}
        : { response: typeof response === "string" ? response : JSON.stringify(response) }),
    }),
    redirect: "manual",
    signal: AbortSignal.timeout(tellMs),
  });
  await answer.body?.cancel();
  if (answer.status >= 500) throw new Error(`The agent answered ${answer.status} to the decision on ${id}.`);
}
