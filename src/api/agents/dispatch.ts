/**
 * Gives an execution to a node: `POST {url}/reasoners/{name}` with the bare input. A node answers 202 and reports later, or
 * 200 with the result at once. One that is away, or has no room, is no failure of the execution: it waits.
 */
import { StemmaError } from "../../core/error.ts";
import type { ErrorRecord } from "../../core/event.ts";
import { parse } from "../../core/json.ts";
import { limits } from "../../core/limits.ts";
import type { Dispatch, Place } from "./course.ts";
import type { KeptFunction, Registration } from "./node.ts";
import { isRefused, readText } from "./probe.ts";

/** How long a node may take to say that it has taken an execution, or to answer with the result where it has no limit. */
const answerMs = 90_000;
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
  const { node, version, url } = registration;
  const { timeoutMs, retry } = called;
  const limit = AbortSignal.any([abort, AbortSignal.timeout(timeoutMs ?? answerMs)]);
  let answer: { status: number; text: string; instance: string | null };
  try {
    const { path, body } = requestOf(parcel);
    const response = await fetch(`${url}/${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json", ...headers },
      body: JSON.stringify(body),
      redirect: "manual",
      signal: limit,
    });
    const text = await readText(response, limits.nodeAnswerBytesMax);
    answer = { status: response.status, text, instance: response.headers.get("x-stemma-instance") };
  } catch (error) {
    return { state: "away", sent: !isRefused(error) };
  }
  const { status, text, instance } = answer;
  const place: Place = { node, version, url, instance: instance ?? registration.instance };
  const tried = { place, token, ...(retry === undefined ? {} : { retry }) };
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
