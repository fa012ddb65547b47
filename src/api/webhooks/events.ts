/** What webhooks can hear of: events of runs and of their waits, each with what of its data is told. */
import { StemmaError } from "../../core/error.ts";
import type { EventData, EventType } from "../../core/event.ts";

export type WebhookEvent = Extract<EventType, `run.${string}` | `wait.${string}`> &
  Exclude<EventType, "run.set" | "run.patched" | "run.warned">;

type Told = { readonly [T in WebhookEvent]: readonly (keyof EventData[T] & string)[] };

/** By the type of event: the parts of its data that are sent. What is internal (seeds, plans, messages) is in none. */
export const told: Told = {
  "run.created": ["origin", "by", "reason"],
  "run.started": [],
  "run.suspended": ["reason", "until"],
  "run.paused": ["by", "reason"],
  "run.unpaused": ["by", "reason"],
  "run.succeeded": ["output"],
  "run.failed": ["error", "frontier"],
  "run.cancelled": ["by", "reason"],
  "run.timed_out": ["limitMs"],
  "wait.opened": ["key", "kind", "given", "prompt", "reason", "schema", "tags", "until", "value", "by"],
  "wait.answered": ["key", "value", "by", "reason"],
  "wait.failed": ["key", "error", "by", "reason"],
  "wait.refused": ["key", "error", "by", "reason"],
  "wait.expired": ["key", "value"],
  "wait.withdrawn": ["key", "reason"],
};

export const webhookEvents: readonly WebhookEvent[] = Object.keys(told) as WebhookEvent[];

/** How runs end. */
export const endEvents: readonly WebhookEvent[] = ["run.succeeded", "run.failed", "run.cancelled", "run.timed_out"];

/** What is heard of where nothing is said: that a run ended, or asks something. */
export const defaultEvents: readonly WebhookEvent[] = [...endEvents, "wait.opened"];

export function isWebhookEvent(type: string): type is WebhookEvent {
  return Object.hasOwn(told, type);
}

/** The events that were asked for, each once; `run.*` and `wait.*` are all of a kind. Throws webhook.invalid. */
export function eventsOf(asked: readonly string[]): WebhookEvent[] {
  const known = webhookEvents.filter((event) => asked.includes(event) || asked.includes(`${event.split(".")[0]}.*`));
  const wrong = asked.find((event) => !isWebhookEvent(event) && event !== "run.*" && event !== "wait.*");
  if (wrong === undefined && known.length > 0) return known;
  const found = wrong === undefined ? "none" : JSON.stringify(wrong.slice(0, 60));
  throw new StemmaError(
    "webhook.invalid",
    `Expected events of a webhook to be some of ${webhookEvents.join(", ")}, run.* and wait.*; got ${found}.`,
  );
}
