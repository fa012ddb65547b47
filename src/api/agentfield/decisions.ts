/**
 * Decisions that come from where people decide, signed with a secret that is shared with it: over the time of signing and
 * the very bytes of the body (`t=<seconds>,v1=<hex>`), or over the body alone (`sha256=<hex>`).
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { isStemmaError } from "../../core/error.ts";
import type { RunId } from "../../core/event.ts";
import type { Json } from "../../core/json.ts";
import { limits } from "../../core/limits.ts";
import type { RunRow } from "../../store/store.ts";
import type { Answer } from "./answer.ts";
import { ok, refusal } from "./answer.ts";
import type { Decided } from "./approval.ts";
import { decisionOf, decisions } from "./approval.ts";
import type { Asked } from "./mount.ts";
import { objectOf } from "./restart-request.ts";
import { readExecution } from "./standing.ts";
import type { Wire } from "./wire.ts";

const signatureHeaders = ["x-hax-signature", "x-webhook-signature", "x-hub-signature-256", "x-agentfield-signature"];
/** How far the time of signing may be from now. */
const skewSeconds = 300;

export async function approvalResponse(wire: Wire, asked: Asked): Promise<Answer> {
  const { approvalSecret: secret } = wire;
  if (secret === undefined || secret === "") {
    return refusal(503, "webhook_not_configured", {
      message: "No secret is set for decisions: give approvalSecret to the server. Our own API answers waits too.",
    });
  }
  const signature = signatureHeaders.map((name) => asked.headers.get(name)).find((one) => one !== null) ?? undefined;
  if (signature === undefined || !isSigned(secret, asked.raw ?? "", signature, Date.now() / 1000)) {
    return refusal(401, "invalid_signature", {
      message: "Expected a signature of the body, made lately with the shared secret.",
    });
  }
  const said = saidIn(asked.body);
  if (said === undefined)
    return refusal(400, `Expected { requestId, decision }, decision being ${decisions.join(", ")}.`);
  const place = await placeOf(wire, said.id);
  if (place === undefined)
    return refusal(404, "approval_not_found", { message: `No open approval ${said.id.slice(0, 100)} here.` });
  return decide(wire, place, said);
}

/** Whether a signature is one of these bytes; each way in constant time. */
export function isSigned(secret: string, body: string, signature: string, nowSeconds: number): boolean {
  const parts = new Map(signature.split(",").map((part) => part.trim().split("=") as [string, string]));
  const [time, v1] = [parts.get("t"), parts.get("v1")];
  if (time !== undefined && v1 !== undefined) {
    const isFresh = /^\d{1,12}$/.test(time) && Math.abs(nowSeconds - Number(time)) <= skewSeconds;
    return isFresh && isMac(secret, `${time}.${body}`, v1);
  }
  return isMac(secret, body, signature.replace(/^sha256=/, ""));
}

function isMac(secret: string, text: string, given: string): boolean {
  const own = createHmac("sha256", secret).update(text).digest();
  if (!/^[0-9a-f]{64}$/i.test(given)) return false;
  return timingSafeEqual(own, Buffer.from(given, "hex"));
}

type Said = { id: string; decided: Decided };

const aliases: Readonly<Record<string, Decided["decision"]>> = {
  approve: "approved",
  continue: "approved",
  confirm: "approved",
  reject: "rejected",
  deny: "rejected",
  denied: "rejected",
  abort: "rejected",
  cancel: "rejected",
  changes_requested: "request_changes",
};

/**
 * Flat, or in an envelope `{ type, data: { requestId, response } }` of where people decide: there the response says what
 * was decided, under a name that depends on the form that was filled in; a form without such a question that was completed
 * is approved, and one that nobody filled in has expired.
 */
function saidIn(body: Json | undefined): Said | undefined {
  const flat = objectOf(body);
  const { type } = flat;
  const isEnvelope = isObject(flat["data"]);
  const given = isEnvelope ? objectOf(flat["data"]) : flat;
  const { feedback: own, response } = given;
  const inside = isEnvelope && isObject(response) ? objectOf(response) : {};
  const id = [given["requestId"], given["request_id"], given["approval_request_id"], isEnvelope ? null : given["id"]];
  const words = [given["decision"], inside["decision"], inside["action"], given["status"]];
  const word = isEnvelope && type === "expired" ? type : words.find(isText);
  const decision = decisionIn(word ?? (isEnvelope && type === "completed" ? "approved" : ""));
  const known = id.find(isText);
  if (known === undefined || decision === undefined) return undefined;
  const feedback = [own, inside["feedback"]].find(isText);
  return {
    id: known,
    decided: {
      decision,
      ...(feedback === undefined ? {} : { feedback }),
      ...(response === undefined || response === null ? {} : { response }),
    },
  };
}

function isObject(value: Json | undefined): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isText(value: Json | undefined): value is string {
  return typeof value === "string" && value !== "";
}

function decisionIn(given: string): Decided["decision"] | undefined {
  const word = given.toLowerCase();
  return decisions.find((one) => one === word) ?? (Object.hasOwn(aliases, word) ? aliases[word] : undefined);
}

type Place = { run: RunId; wait: string };

/** How many executions are looked through for a question that was decided with a server that is no more. */
const executionsMax = 500;

/** The question that an agent gave this id, here or with a server that is no more. */
async function placeOf(wire: Wire, id: string): Promise<Place | undefined> {
  const known = wire.decided.get(id) ?? (await openPlace(wire, id)) ?? (await settledPlace(wire, id));
  if (known !== undefined) wire.decided.set(id, known);
  return known;
}

async function openPlace(wire: Wire, id: string): Promise<Place | undefined> {
  let cursor: string | undefined;
  do {
    const page = await wire.stemma.waits({ kind: "approval", ...(cursor === undefined ? {} : { cursor }) });
    for (const { run, key } of page.waits) {
      const place = await placeIn(wire, await wire.stemma.row(run), id);
      if (place?.wait === key) return place;
    }
    ({ cursor } = page);
  } while (cursor !== undefined);
  return undefined;
}

/** Whoever tells of decisions tells again what was lost on the way, also when this server was started meanwhile. */
async function settledPlace(wire: Wire, id: string): Promise<Place | undefined> {
  let cursor: string | undefined;
  let looked = 0;
  do {
    const page = await wire.stemma.list({ limit: limits.pageRunsMax, ...(cursor === undefined ? {} : { cursor }) });
    for (const row of page.runs) {
      if (!wire.agents.isExecution(row)) continue;
      looked += 1;
      const place = await placeIn(wire, row, id);
      if (place !== undefined) return place;
      if (looked >= executionsMax) return undefined;
    }
    ({ cursor } = page);
  } while (cursor !== undefined);
  return undefined;
}

async function placeIn({ agents }: Wire, row: RunRow, id: string): Promise<Place | undefined> {
  if (!agents.isExecution(row)) return undefined;
  const { questions } = await agents.course(row.id);
  const question = questions.findLast(({ messages }) =>
    messages.some(({ note }) => isObject(note) && objectOf(note)["approval_request_id"] === id),
  );
  return question && { run: row.id, wait: question.key };
}

async function decide(wire: Wire, { run, wait }: Place, { id, decided }: Said): Promise<Answer> {
  const { stemma, agents } = wire;
  const isOver = decided.decision === "rejected" || decided.decision === "expired";
  const text = {
    requestId: id,
    execution_id: run,
    decision: decided.decision,
    new_status: isOver ? "cancelled" : "running",
  };
  const before = await agents.readAsked(run, wait);
  if (before.state !== "open") {
    const decision = decisionOf(before)?.decision ?? "withdrawn";
    const current = (await readExecution(wire, await agents.read(run))).status;
    const now = { decision, new_status: current, current_status: current, approval_status: decision };
    return ok({ ...text, ...now, status: "already_processed" });
  }
  try {
    await stemma.resume(run, wait, decided, { by: "approval webhook" });
  } catch (error) {
    if (!isStemmaError(error, "wait.not_open")) throw error;
    return ok({ ...text, status: "already_processed" });
  }
  // The execution is ended by whoever tells the agent, so that it hears why.
  return ok({ ...text, status: "processed" });
}
