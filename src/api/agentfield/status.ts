/**
 * Statuses as AgentField's agents and tools know them, and how those of runs read there. There is one roll-up, for
 * lists, details and graphs alike: a run says what its root says, and only where that has not ended does it say what the
 * others are about.
 */
import type { RunState } from "../../core/reduce.ts";

export const wireStatuses = [
  "unknown",
  "pending",
  "queued",
  "waiting",
  "running",
  "paused",
  "succeeded",
  "failed",
  "cancelled",
  "timeout",
] as const;

export type WireStatus = (typeof wireStatuses)[number];

const aliases: Readonly<Record<string, WireStatus>> = {
  ...(Object.fromEntries(wireStatuses.map((status) => [status, status])) as Record<WireStatus, WireStatus>),
  success: "succeeded",
  successful: "succeeded",
  completed: "succeeded",
  complete: "succeeded",
  done: "succeeded",
  ok: "succeeded",
  error: "failed",
  failure: "failed",
  errored: "failed",
  canceled: "cancelled",
  cancel: "cancelled",
  pause: "paused",
  hold: "paused",
  on_hold: "paused",
  suspended: "paused",
  timed_out: "timeout",
  wait: "queued",
  awaiting_approval: "waiting",
  awaiting_human: "waiting",
  approval_pending: "waiting",
  in_progress: "running",
  processing: "running",
};

/** What is meant by a status as somebody wrote it; `unknown` for what nobody says. */
export function canonicalStatus(given: unknown): WireStatus {
  const name = typeof given === "string" ? given.trim().toLowerCase() : "";
  return Object.hasOwn(aliases, name) ? (aliases[name] ?? "unknown") : "unknown";
}

/** How a call of an agent ends. */
export type TerminalStatus = "succeeded" | "failed" | "cancelled" | "timeout";

export function isTerminalStatus(status: WireStatus): status is TerminalStatus {
  return status === "succeeded" || status === "failed" || status === "cancelled" || status === "timeout";
}

/**
 * How a run's status reads here. While an agent works its run is at rest, which is nobody's business: it is `running`. It
 * is `waiting` where a person is asked, or somebody has to decide.
 *
 * @param isAsked whether the run waits for a person, or for one that does
 */
export function wireStatusOf({ status, reason }: Pick<RunState, "status" | "reason">, isAsked: boolean): WireStatus {
  switch (status) {
    case "timed_out":
      return "timeout";
    case "suspended":
      return isAsked || reason !== "waiting" ? "waiting" : "running";
    case "running":
      return isAsked ? "waiting" : "running";
    default:
      return status;
  }
}

/**
 * The status of a whole run. Its root knows best how it ended: a failure that the root caught is none of the run's. Else
 * paused > active > failed > timeout > cancelled > succeeded, where waiting, queued and pending are active.
 */
export function rollUp(statuses: readonly WireStatus[], root?: WireStatus): WireStatus {
  if (root !== undefined && isTerminalStatus(root)) return root;
  const has = (...some: WireStatus[]): boolean => statuses.some((status) => some.includes(status));
  if (has("paused")) return "paused";
  if (has("running", "waiting", "queued", "pending", "unknown")) return "running";
  for (const status of ["failed", "timeout", "cancelled", "succeeded"] as const) if (has(status)) return status;
  return "unknown";
}
