/**
 * Errors as they go over the wire: problem details (RFC 9457, https://www.rfc-editor.org/rfc/rfc9457) whose `code` and
 * status come from the one table of codes. What is wrong inside the server is said to its log, not to whoever asked.
 */
import { errorCodes, isStemmaError } from "../../core/error.ts";
import type { ErrorCode } from "../../core/error.ts";
import type { ErrorRecord } from "../../core/event.ts";
import { StepError, toRecord } from "../../engine/failure.ts";

export type Problem = {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: ErrorCode;
  retryable: boolean;
  data?: Record<string, unknown>;
  /** What a run ended with, as it is on record. */
  cause?: ErrorRecord;
};

/** Texts for what is the server's own trouble: a message could name files, hosts or values that are nobody's business. */
const inside: Partial<Record<ErrorCode, string>> = {
  "engine.stopped": "This server is stopping. Ask again, or ask another.",
  "server.stopping": "This server is stopping. Ask again, or ask another.",
  "store.busy": "The store is busy. Ask again.",
  "store.unavailable": "The store cannot be asked now. Ask again.",
  "store.full": "The store has no room left.",
};

export function problemOf(error: unknown): Problem {
  const code = isStemmaError(error) ? error.code : "engine.bug";
  const { status, retryable } = errorCodes[code];
  const common = { type: `urn:stemma:error:${code}`, title: titleOf(code), status, code, retryable };
  if (!isStemmaError(error) || status >= 500 || code.startsWith("store.")) {
    return { ...common, detail: inside[code] ?? "Something is wrong inside the server; its log says what." };
  }
  const { message: detail, data, cause } = error;
  const problem: Problem = { ...common, detail };
  if (Object.keys(data).length > 0) problem.data = data;
  if (cause instanceof StepError) problem.cause = toRecord(cause);
  return problem;
}

export function problemResponse(problem: Problem, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(problem), {
    status: problem.status,
    headers: { "content-type": "application/problem+json", ...headers },
  });
}

/** `run.not_found` as words: "run: not found". */
function titleOf(code: ErrorCode): string {
  return code.replace(".", ": ").replaceAll("_", " ");
}
