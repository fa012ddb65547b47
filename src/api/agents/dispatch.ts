/**
 * Gives an execution to a node: `POST {url}/reasoners/{name}` with the bare input. A node answers 202 and reports later, or
 * 200 with the result at once. One that is away, or has no room, is no failure of the execution: it waits.
 */
import { StemmaError } from "../../core/error.ts";
import type { ErrorRecord } from "../../core/event.ts";
import { parse } from "../../core/json.ts";
import { limits } from "../../core/limits.ts";
import type { Dispatch, Place } from "./course.ts";
import type { RetryPolicy } from "../../core/retry.ts";
import type { KeptFunction, Registration } from "./node.ts";
import type { NodeAnswer } from "./post-to-node.ts";
import { postToNode } from "./post-to-node.ts";
import { isRefused, readText } from "./probe.ts";

/**
 * How long a node may hold the line, where its function has no limit. Whether it is there is looked after all the while, so
 * this is no sign of life: it is when nobody waits for an answer any more.
 */
export const heldMsMax: number = 30 * 60_000;
const stopMs = 5000;

export type Parcel = {
  registration: Registration;
  called: KeptFunction;
  token: string;
  input: unknown;
  headers: Readonly<Record<string, string>>;
  abort: AbortSignal;
};

/** What came of giving it to a node, besides what a dispatch can be: `away` and whether it may have got there. */
export type Given = Exclude<Dispatch, { state: "waiting" }> | { state: "away"; sent: boolean } | { state: "busy" };

export async function give(parcel: Parcel): Promise<Given> {
  const { registration, called, token, headers, abort } = parcel;
  const { timeoutMs, retry } = called;
  const late = AbortSignal.timeout(timeoutMs ?? heldMsMax);
  let answer: NodeAnswer;
  try {
    const { path, body } = requestOf(parcel);
    answer = await postToNode(`${registration.url}/${path}`, {
      headers: { "content-type": "application/json", accept: "application/json", ...headers },
      body: JSON.stringify(body),
      signal: AbortSignal.any([abort, late]),
    });
  } catch (error) {
    const place = placeOf(registration);
    if (late.aborted && !abort.aborted) {
      await tellToStop(token, place, "its time is up");
      return { state: "failed", error: tooLate(registration, timeoutMs), ...triedAt(place, token, retry) };
    }
    const sent = !isRefused(error);
    // Nobody waits for it any more: it was cancelled, or is given out anew.
    if (abort.aborted && sent) void tellToStop(token, place, "nobody waits for it");
    return { state: "away", sent };
  }
  const { status, text, instance } = answer;
  const tried = triedAt(placeOf(registration, instance), token, retry);
  if (status === 202)
    return { state: "working", at: Date.now(), ...tried, ...(timeoutMs === undefined ? {} : { timeoutMs }) };
  if (status === 429 || status === 503) return { state: "busy" };
  if (status === 502 || status === 504) return { state: "away", sent: true };
  if (status < 200 || status > 299)
    return { state: "failed", error: errorOf(status, text), final: status < 500, ...tried };
  try {
    return { state: "done", ...tried, ...(text === "" ? {} : { output: parse(text, "answer of a node") }) };
  } catch (error) {
    const message = error instanceof StemmaError ? error.message : String(error);
    const data = { status, category: "bad_response" };
    return { state: "failed", error: { name: "NodeError", message, code: "node.bad_answer", data }, ...tried };
  }
}

/** A node that holds the line of `holder` speaks of what it was given: it works on it, and answers later. */
export function held({ registration, called: { timeoutMs, retry }, token }: Parcel, holder: string): Given {
  const tried = triedAt(placeOf(registration), token, retry);
  return { state: "working", at: Date.now(), ...tried, heldMs: timeoutMs ?? heldMsMax, holder };
}

function placeOf({ node, version, url, instance }: Registration, said?: string): Place {
  return { node, version, url, instance: said ?? instance };
}

type Tried = { place: Place; token: string; retry?: RetryPolicy };

function triedAt(place: Place, token: string, retry: RetryPolicy | undefined): Tried {
  return { place, token, ...(retry === undefined ? {} : { retry }) };
}

function tooLate({ node, version }: Registration, timeoutMs = heldMsMax): ErrorRecord {
  const message = `It took longer than ${timeoutMs} ms on ${node} ${version}.`;
  return { name: "StemmaError", message, code: "step.timed_out" };
}

function requestOf({ registration, called, token, input, headers }: Parcel): { path: string; body: unknown } {
  const given = input === undefined ? null : input;
  const { kind, name } = called;
  if (registration.serverless !== true) {
    return { path: `${kind === "skill" ? "skills" : "reasoners"}/${encodeURIComponent(name)}`, body: given };
  }
  // Who stands between may pass on the body alone, so the context is in it too.
  const context = Object.fromEntries(
    Object.entries(headers).flatMap(([header, value]) => {
      const part = contextHeader.exec(header)?.[1];
      return part === undefined ? [] : [[part.replaceAll("-", "_"), value]];
    }),
  );
  const asked = { target: name, [kind]: name, type: kind, input: given };
  return { path: "execute", body: { ...asked, execution_context: { ...context, execution_id: token } } };
}

/** `x-run-id`, and what other wires add: `x-agentfield-replay-mode`. */
const contextHeader = /^x-(?:agentfield-)?((?:run|workflow|parent-execution|session|actor)-id|replay-[a-z-]+)$/;

const shownMax = 2000;

function errorOf(status: number, text: string): ErrorRecord {
  const said = messageIn(text);
  const code = status < 500 ? "node.refused" : "node.failed";
  const message = `The node answered with status ${status}${said === "" ? "" : `: ${said}`}`;
  return { name: "NodeError", message, code, data: { status, answer: text.slice(0, shownMax) } };
}

function messageIn(text: string): string {
  try {
    const { error, message, detail } = JSON.parse(text) as { error?: unknown; message?: unknown; detail?: unknown };
    const said = [error, message, detail].find((one) => typeof one === "string");
    return typeof said === "string" ? said.slice(0, shownMax) : "";
  } catch {
    return text.slice(0, 200);
  }
}

/** Tells a node to stop working on an execution. Best effort: whether it hears it, nobody knows. */
export async function tellToStop(token: string, { url }: Place, reason: string): Promise<void> {
  try {
    const response = await fetch(`${url}/_internal/executions/${encodeURIComponent(token)}/cancel`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ execution_id: token, reason }),
      redirect: "manual",
      signal: AbortSignal.timeout(stopMs),
    });
    await readText(response, limits.nodeAnswerBytesMax);
  } catch {
    // It is gone, or does not know of such a thing.
  }
}
