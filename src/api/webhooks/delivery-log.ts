/** What became of deliveries: read from the runs that they are, because there is no other log. */
import type { Event, RunId, Timestamp } from "../../core/event.ts";
import { limits } from "../../core/limits.ts";
import { webhookRecords } from "./records.ts";
import { readHistory } from "../../engine/history-pages.ts";
import { fromValue } from "../../engine/value.ts";
import type { RunRow, Store } from "../../store/store.ts";
import type { Attempt, DeliveryInput } from "./delivery.ts";
import { attemptStep } from "./delivery.ts";

export type DeliveryStatus = "pending" | "delivered" | "failed" | "cancelled";

export type Delivery = {
  id: RunId;
  webhook: RunId;
  /** The `webhook-id` that the receiver sees. */
  message: string;
  /** Type of the event that it tells, and where that is; a trial is of none. */
  type: string;
  run?: RunId;
  seq?: number;
  status: DeliveryStatus;
  at: Timestamp;
  attempts: Attempt[];
  /** When it is tried next. */
  nextAt?: Timestamp;
};

/** The tag by which the deliveries of a webhook are found, and those about a run. */
export const toTag = (hook: RunId): string => `to ${hook}`;
export const aboutTag = (run: RunId): string => `about ${run}`;

/** Those with a tag, newest first. Throws usage.invalid for a cursor that is none. */
export async function readDeliveries(
  store: Store,
  tag: string,
  { cursor, limit }: { cursor?: string; limit: number },
): Promise<{ deliveries: Delivery[]; cursor?: string }> {
  const query = { workflow: webhookRecords.delivery, tag, limit: Math.min(limit, limits.pageRunsMax) };
  const page = await store.list(cursor === undefined ? query : { ...query, cursor });
  const deliveries = await Promise.all(page.runs.map(async (row) => (await readDelivery(store, row)).delivery));
  return { deliveries, ...(page.cursor === undefined ? {} : { cursor: page.cursor }) };
}

/** One, and what it was made from. */
export async function readDelivery(
  store: Store,
  { id, state }: RunRow,
): Promise<{ delivery: Delivery; input: DeliveryInput }> {
  const { events } = await readHistory(store, id);
  const input = (await inputOf(store, events)) as DeliveryInput;
  const { hook, id: message, run, seq } = input;
  const delivery = {
    id,
    webhook: hook,
    message,
    type: input.message.type,
    ...(run === undefined ? {} : { run }),
    ...(seq === undefined ? {} : { seq }),
    status: statusOf(state.status),
    at: state.createdAt,
    attempts: events.flatMap((event) => attemptOf(event) ?? []),
    ...(state.status === "suspended" && state.until !== undefined ? { nextAt: state.until } : {}),
  };
  return { delivery, input };
}

async function inputOf(store: Store, [created]: readonly Event[]): Promise<unknown> {
  if (created?.type !== "run.created") return undefined;
  const { input } = created.data;
  return fromValue(input, "digest" in input ? await store.payloads([input.digest]) : new Map<string, string>());
}

function attemptOf(event: Event): Attempt | undefined {
  const isAttempt = event.type === "step.succeeded" && event.data.key.split("#")[0] === attemptStep;
  // What is said of an attempt is short, so it stands in its event.
  return isAttempt ? (fromValue(event.data.output, new Map()) as Attempt) : undefined;
}

function statusOf(status: RunRow["state"]["status"]): DeliveryStatus {
  if (status === "succeeded") return "delivered";
  if (status === "failed" || status === "timed_out") return "failed";
  return status === "cancelled" ? "cancelled" : "pending";
}
