/**
 * Statuses of a run and the one table that says which event may change which into which. Every surface (store, list,
 * API, CLI, UI, feed) shows what this table made of the events; none has rules of its own.
 *
 *     queued → running → suspended | paused → running → succeeded | failed | cancelled | timed_out
 */
import { StemmaError } from "./error.ts";
import type { EventType } from "./event.ts";

export const statuses = [
  "queued",
  "running",
  "suspended",
  "paused",
  "succeeded",
  "failed",
  "cancelled",
  "timed_out",
] as const;

export type Status = (typeof statuses)[number];

/** Statuses that never change again. */
export type TerminalStatus = "succeeded" | "failed" | "cancelled" | "timed_out";
export const terminalStatuses: readonly TerminalStatus[] = ["succeeded", "failed", "cancelled", "timed_out"];
export const terminal: ReadonlySet<Status> = new Set(terminalStatuses);

export function isTerminal(status: Status): boolean {
  return terminal.has(status);
}

const anyOpen = ["queued", "running", "suspended", "paused"] as const;
const worked = ["running", "suspended", "paused"] as const;

/** From which statuses each event may come, and to which it leads (`null`: it stays as it is). */
const transitions: Partial<Record<EventType, { from: readonly Status[]; to: Status }>> = {
  "run.started": { from: ["queued", "running", "suspended"], to: "running" },
  "run.suspended": { from: anyOpen, to: "suspended" },
  "run.paused": { from: ["queued", "running", "suspended", "paused"], to: "paused" },
  "run.unpaused": { from: ["paused"], to: "running" },
  "run.succeeded": { from: ["running"], to: "succeeded" },
  "run.failed": { from: ["queued", "running", "suspended"], to: "failed" },
  "run.cancelled": { from: anyOpen, to: "cancelled" },
  "run.timed_out": { from: anyOpen, to: "timed_out" },
  "wait.answered": { from: worked, to: "running" },
  "wait.failed": { from: worked, to: "running" },
  "wait.expired": { from: worked, to: "running" },
  "child.ended": { from: worked, to: "running" },
};

/** What a run's status is after an event. A terminal status refuses every event. */
export function nextStatus(status: Status | undefined, type: EventType): Status {
  if (status === undefined) {
    if (type === "run.created") return "queued";
    throw new StemmaError("run.transition", `Expected run.created as the first event of a run, got ${type}.`);
  }
  if (type === "run.created" || isTerminal(status)) {
    throw new StemmaError("run.transition", `A run that is ${status} takes no ${type}.`, { data: { status, type } });
  }
  const transition = transitions[type];
  if (transition === undefined) return status;
  if (!transition.from.includes(status)) {
    throw new StemmaError(
      "run.transition",
      `${type} is possible when a run is ${transition.from.join(", ")}; this one is ${status}.`,
      { data: { status, type, from: [...transition.from] } },
    );
  }
  // An answer to a paused run is kept, and so is that it cannot go on; that does not unpause it.
  const stays = status === "paused" && (!type.startsWith("run.") || type === "run.suspended");
  return stays ? status : transition.to;
}
