/**
 * Types of events as the file keeps them: a number for each type that this version knows, because the name would be a
 * twentieth of the file. A type that is not in the list is kept by its name (behind a colon, or SQLite would take a name
 * of digits for a number), so nothing is lost of an event that this version does not know. The list only grows at its end: files hold these numbers for ever.
 */
import type { EventType } from "../../core/event.ts";

const types = [
  "run.created",
  "run.started",
  "run.suspended",
  "run.paused",
  "run.unpaused",
  "run.succeeded",
  "run.failed",
  "run.cancelled",
  "run.timed_out",
  "run.set",
  "step.started",
  "step.attempt_failed",
  "step.succeeded",
  "step.failed",
  "step.cancelled",
  "step.reused",
  "step.overridden",
  "step.in_doubt",
  "step.decided",
  "wait.opened",
  "wait.answered",
  "wait.failed",
  "wait.refused",
  "wait.expired",
  "wait.withdrawn",
  "signal.received",
  "scope.closed",
  "checkpoint",
  "cancel.requested",
  "child.started",
  "child.ended",
  "run.patched",
  "run.warned",
] as const satisfies readonly EventType[];

const numbers: ReadonlyMap<string, number> = new Map(types.map((type, i) => [type, i]));

export function typeToFile(type: string): number | string {
  return numbers.get(type) ?? `:${type}`;
}

/** A number that is not in the list comes from a newer version; the event's reader refuses it by that name. */
export function typeFromFile(kept: number | string): string {
  return typeof kept === "string" ? kept.slice(1) : (types[kept] ?? `number ${kept}`);
}
