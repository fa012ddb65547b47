/**
 * The one error of Stemma. What went wrong is a literal `code`; HTTP status, exit code of the CLI and whether it is
 * worth trying again are derived from the code, in one table, so that no two surfaces can disagree.
 */

/** What each code means to the surfaces: `status` for HTTP, `exit` for the CLI, `retryable` for callers. */
export const errorCodes = {
  "usage.invalid": { status: 400, exit: 2, retryable: false },
  "request.unauthorized": { status: 401, exit: 4, retryable: false },
  "request.forbidden": { status: 403, exit: 4, retryable: false },
  "request.no_route": { status: 404, exit: 2, retryable: false },
  "request.wrong_method": { status: 405, exit: 2, retryable: false },
  "request.too_slow": { status: 408, exit: 4, retryable: true },
  "request.wrong_type": { status: 415, exit: 2, retryable: false },
  "request.headers_too_large": { status: 431, exit: 2, retryable: false },
  "request.too_many": { status: 429, exit: 4, retryable: true },
  "server.unreachable": { status: 503, exit: 4, retryable: true },
  "server.stopping": { status: 503, exit: 4, retryable: true },
  "server.invalid_answer": { status: 502, exit: 4, retryable: false },

  "engine.bug": { status: 500, exit: 1, retryable: false },
  "engine.stopped": { status: 503, exit: 4, retryable: true },

  "workflow.invalid": { status: 400, exit: 2, retryable: false },
  "workflow.duplicate": { status: 400, exit: 2, retryable: false },
  "workflow.not_found": { status: 404, exit: 3, retryable: false },
  "workflow.invalid_input": { status: 422, exit: 2, retryable: false },

  "run.not_found": { status: 404, exit: 3, retryable: false },
  "run.invalid_id": { status: 400, exit: 2, retryable: false },
  "run.not_terminal": { status: 409, exit: 4, retryable: false },
  "run.ended": { status: 409, exit: 4, retryable: false },
  "run.conflict": { status: 409, exit: 4, retryable: false },
  "run.failed": { status: 409, exit: 1, retryable: false },
  "run.cancelled": { status: 409, exit: 1, retryable: false },
  "run.timed_out": { status: 409, exit: 1, retryable: false },
  "run.transition": { status: 409, exit: 4, retryable: false },
  "run.divergence": { status: 409, exit: 4, retryable: false },

  "node.not_found": { status: 404, exit: 3, retryable: false },
  "function.not_found": { status: 404, exit: 3, retryable: false },

  "step.nested": { status: 409, exit: 1, retryable: false },
  "step.outside": { status: 409, exit: 1, retryable: false },
  "step.failed": { status: 409, exit: 1, retryable: false },
  "step.timed_out": { status: 504, exit: 1, retryable: false },
  "step.invalid": { status: 400, exit: 2, retryable: false },
  "step.not_found": { status: 404, exit: 3, retryable: false },
  "step.not_in_doubt": { status: 409, exit: 4, retryable: false },
  "step.in_doubt": { status: 409, exit: 4, retryable: false },

  "wait.not_open": { status: 409, exit: 4, retryable: false },
  "wait.invalid_answer": { status: 422, exit: 2, retryable: false },
  "wait.expired": { status: 409, exit: 1, retryable: false },

  "workflow.already_running": { status: 409, exit: 4, retryable: true },

  "graph.invalid": { status: 400, exit: 2, retryable: false },
  "graph.undeliverable": { status: 409, exit: 1, retryable: false },
  "graph.unknown_route": { status: 409, exit: 1, retryable: false },
  "graph.dead_end": { status: 409, exit: 1, retryable: false },
  "graph.predicate_failed": { status: 409, exit: 1, retryable: false },
  "graph.not_converged": { status: 409, exit: 1, retryable: false },
  "graph.no_handler": { status: 409, exit: 1, retryable: false },
  "graph.duplicate_request": { status: 409, exit: 1, retryable: false },

  "override.unused": { status: 409, exit: 4, retryable: false },

  "snapshot.invalid": { status: 400, exit: 2, retryable: false },
  "snapshot.mismatch": { status: 409, exit: 4, retryable: false },

  "event.invalid": { status: 500, exit: 1, retryable: false },
  "checkpoint.not_found": { status: 404, exit: 3, retryable: false },
  "checkpoint.mismatch": { status: 409, exit: 4, retryable: false },
  "checkpoint.unreadable": { status: 500, exit: 1, retryable: false },
  "checkpoint.not_quiescent": { status: 409, exit: 1, retryable: false },

  "json.not_serializable": { status: 422, exit: 2, retryable: false },
  "json.invalid": { status: 400, exit: 2, retryable: false },
  "json.too_deep": { status: 413, exit: 2, retryable: false },
  "payload.too_large": { status: 413, exit: 2, retryable: false },
  "payload.missing": { status: 500, exit: 1, retryable: false },
  "limit.exceeded": { status: 429, exit: 4, retryable: false },
  "name.invalid": { status: 400, exit: 2, retryable: false },
  "duration.invalid": { status: 400, exit: 2, retryable: false },

  "cursor.beyond_end": { status: 409, exit: 4, retryable: false },

  "import.refused": { status: 422, exit: 2, retryable: false },

  "webhook.invalid": { status: 422, exit: 2, retryable: false },
  "webhook.not_found": { status: 404, exit: 3, retryable: false },
  "webhook.refused": { status: 422, exit: 2, retryable: false },
  "webhook.undelivered": { status: 502, exit: 4, retryable: false },

  "lease.lost": { status: 409, exit: 4, retryable: true },
  "commit.conflict": { status: 409, exit: 4, retryable: true },

  "store.not_found": { status: 404, exit: 3, retryable: false },
  "store.unavailable": { status: 503, exit: 4, retryable: true },
  "store.busy": { status: 503, exit: 4, retryable: true },
  "store.full": { status: 507, exit: 4, retryable: true },
  "store.not_writable": { status: 503, exit: 4, retryable: false },
  "store.corrupt": { status: 500, exit: 4, retryable: false },
  "store.newer": { status: 409, exit: 4, retryable: false },
  "store.not_durable": { status: 500, exit: 4, retryable: false },
  "store.closed": { status: 503, exit: 4, retryable: false },
} as const;

/** A literal code, stable for ever: programs compare it, messages may change. */
export type ErrorCode = keyof typeof errorCodes;

const brand = Symbol.for("stemma.error");

/**
 * Every error that Stemma throws. `message` says what was expected, what came, and what to do.
 *
 * @example
 * try { await run.result(); } catch (error) { if (isStemmaError(error, "run.failed")) console.log(error.data); }
 */
export class StemmaError extends Error {
  override readonly name: string = "StemmaError";
  readonly code: ErrorCode;
  /** Facts for programs: ids, paths, limits. Always plain JSON. */
  readonly data: Record<string, unknown>;

  constructor(code: ErrorCode, message: string, options: { data?: Record<string, unknown>; cause?: unknown } = {}) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.data = options.data ?? {};
    Object.defineProperty(this, brand, { value: true });
  }

  /** Whether the same call may succeed later without anything being changed. */
  get retryable(): boolean {
    return errorCodes[this.code].retryable;
  }
}

/** Whether `error` is a StemmaError, of any copy of this package, and of the given code if one is given. */
export function isStemmaError(error: unknown, code?: ErrorCode): error is StemmaError {
  if (typeof error !== "object" || error === null || !(brand in error)) return false;
  return code === undefined || (error as unknown as StemmaError).code === code;
}
