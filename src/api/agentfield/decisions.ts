/**
 * Decisions that come from where people decide, signed with a secret that is shared with it: over the time of signing and
 * the very bytes of the body (`t=<seconds>,v1=<hex>`), or over the body alone (`sha256=<hex>`).
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { isStemmaError } from "../../core/error.ts";
import type { RunId } from "../../core/event.ts";
import type { Json } from "../../core/json.ts";
import type { Answer } from "./answer.ts";
import { ok, refusal } from "./answer.ts";
import type { Decided } from "./approval.ts";
import { decisionOf, decisions } from "./approval.ts";
import type { Asked } from "./mount.ts";
import { objectOf } from "./restart-request.ts";
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
  reject: "rejected",
  denied: "rejected",
  changes_requested: "request_changes",
};

/** Flat, or inside an envelope as `data`. */
function saidIn(body: Json | undefined): Said | undefined {
  const flat = objectOf(body);
  const inner = flat["data"];
  const given = typeof inner === "object" && inner !== null && !Array.isArray(inner) ? inner : flat;
  const id = given["requestId"] ?? given["request_id"] ?? given["approval_request_id"] ?? given["id"];
  const named = given["decision"] ?? given["status"];
  const word = typeof named === "string" ? named.toLowerCase() : "";
  const decision = decisions.find((one) => one === word) ?? (Object.hasOwn(aliases, word) ? aliases[word] : undefined);
  if (typeof id !== "string" || id === "" || decision === undefined) return undefined;
  const { feedback, response } = given;
  return {
    id,
    decided: {
      decision,
      ...(typeof feedback === "string" ? { feedback } : {}),
      ...(response === undefined || response === null ? {} : { response }),
    },
  };
}

type Place = { run: RunId; wait: string };

/** The question that an agent gave this id, here or with a server that is no more. */
async function placeOf(wire: Wire, id: string): Promise<Place | undefined> {
  const known = wire.decided.get(id);
  if (known !== undefined) return known;
  let cursor: string | undefined;
  do {
    const page = await wire.stemma.waits({ kind: "approval", ...(cursor === undefined ? {} : { cursor }) });
    for (const { run, key } of page.waits) {
      if (!wire.agents.isExecution(await wire.stemma.row(run))) continue;
      const { questions } = await wire.agents.course(run);
      const question = questions.find((one) => one.key === key);
      const isIt = question?.messages.some(
        ({ note }) => (note as { approval_request_id?: unknown } | undefined)?.approval_request_id === id,
      );
      if (isIt === true) return { run, wait: key };
    }
    ({ cursor } = page);
  } while (cursor !== undefined);
  return undefined;
}

async function decide({ stemma, agents }: Wire, { run, wait }: Place, { id, decided }: Said): Promise<Answer> {
  const isOver = decided.decision === "rejected" || decided.decision === "expired";
  const text = {
    requestId: id,
    execution_id: run,
    decision: decided.decision,
    new_status: isOver ? "cancelled" : "running",
  };
  const before = await agents.readAsked(run, wait);
  if (before.state !== "open") {
    return ok({ ...text, status: "already_processed", decision: decisionOf(before)?.decision ?? "withdrawn" });
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
