/** What is answered on AgentField's wire: JSON with a status, and an error as its clients read one. */
import type { StemmaError } from "../../core/error.ts";
import { errorCodes, isStemmaError } from "../../core/error.ts";
import { problemOf } from "../server/problem.ts";

export type Answer = {
  status: number;
  body: object;
  /** In the place of the body, where it is no JSON. */
  text?: string;
  headers?: Readonly<Record<string, string>>;
};

export function ok(body: object, headers?: Readonly<Record<string, string>>): Answer {
  return { status: 200, body, ...(headers === undefined ? {} : { headers }) };
}

/**
 * A refusal. `error` is what their clients show, or compare where it is a code such as `invalid_state`; then `message`
 * says it in words.
 */
export function refusal(status: number, error: string, more: object = {}): Answer {
  return { status, body: { error, ...more } };
}

/** What an agent or a caller did wrong is theirs to know; what went wrong in here is only named. */
export function answerOf(error: unknown): Answer {
  const { status, detail, code } = problemOf(error);
  const category = isStemmaError(error) ? categoryOf(error) : "internal_error";
  return refusal(statusOf(error, status), detail, {
    code,
    ...(category === undefined ? {} : { error_category: category }),
  });
}

/** There what cannot be read, and what nobody offers, is a bad request. */
function statusOf(error: unknown, status: number): number {
  if (isStemmaError(error, "workflow.not_found") || isStemmaError(error, "workflow.invalid_input")) return 400;
  return status;
}

function categoryOf({ code }: StemmaError): string | undefined {
  if (errorCodes[code].status >= 500) return "internal_error";
  return code === "request.too_many" || code === "limit.exceeded" ? "concurrency_limit" : undefined;
}

/** Times as this wire has them: RFC 3339 in UTC, to the millisecond. */
export function timeText(at: number): string {
  return new Date(at).toISOString();
}

export function optionalTime(at: number | undefined): string | null {
  return at === undefined ? null : timeText(at);
}
