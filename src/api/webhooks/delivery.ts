/**
 * One message on its way to one webhook: a run of a workflow of Stemma's own. So a delivery goes on after any crash, its
 * attempts are steps and the delays between them are waits that hold no process, and its history is the log of it.
 */
import { StemmaError } from "../../core/error.ts";
import type { RunId, Seq, Timestamp } from "../../core/event.ts";
import { encode } from "../../core/json.ts";
import { webhookRecords } from "./records.ts";
import type { Workflow } from "../../engine/body.ts";
import { ownWorkflow } from "../../engine/options.ts";
import { workflow } from "../../authoring/workflow/workflow.ts";
import type { Guard } from "./guard.ts";
import type { Message } from "./message.ts";
import type { Posted } from "./post.ts";
import { post } from "./post.ts";
import { keyOf, sign } from "./signature.ts";
import type { Sealed } from "./wish.ts";

export type DeliveryInput = {
  /** `webhook-id`: the same in every attempt and redelivery. */
  id: string;
  hook: RunId;
  /** What it is about; left out where it only tries the webhook out. */
  run?: RunId;
  seq?: Seq;
  message: Message;
  /** Milliseconds before the second attempt, the third, and so on; one more attempt than there are delays. */
  delays: number[];
};

/** `gone`: there is no use in another attempt. */
export type Attempt = Posted & { at: Timestamp; ms: number; outcome: "delivered" | "failed" | "gone" };

export type DeliveryParts = {
  guard: Guard;
  /** The secrets of a webhook; nothing where it was removed. */
  sealed(hook: RunId): Promise<Sealed | undefined>;
  /** How long one request may take. */
  timeoutMs: number;
  /** Told of the end: it arrived, or was given up. Does not throw. */
  ended(hook: RunId, outcome: "delivered" | "failing" | "gone"): Promise<void>;
};

export type DeliveryWorkflow = Workflow<DeliveryInput, { attempts: number }>;

/** The name of the step that is an attempt. */
export const attemptStep = "attempt";

export function deliveryWorkflow(parts: DeliveryParts): DeliveryWorkflow {
  const delivery = workflow({ name: webhookRecords.delivery }, async (ctx, input: DeliveryInput) => {
    for (let attempts = 1; ; attempts += 1) {
      const { outcome, retryAfterMs = 0 } = await ctx.step(attemptStep, { input: attempts }, (_attempts, { abort }) =>
        attempt(parts, input, abort, attempts > input.delays.length),
      );
      if (outcome === "delivered") return { attempts };
      const delay = input.delays[attempts - 1];
      if (delay === undefined || outcome === "gone") throw undelivered(input, attempts);
      await ctx.sleep("back-off", Math.max(delay, retryAfterMs));
    }
  });
  return ownWorkflow(delivery);
}

function undelivered({ id, hook }: DeliveryInput, attempts: number): StemmaError {
  return new StemmaError("webhook.undelivered", `Message ${id} was not delivered in ${attempts} attempts.`, {
    data: { webhook: hook, message: id, attempts },
  });
}

const statusGone = 410;

async function attempt(
  parts: DeliveryParts,
  input: DeliveryInput,
  signal: AbortSignal,
  isLast: boolean,
): Promise<Attempt> {
  const at = Date.now();
  const start = performance.now();
  const posted = await sendIt(parts, input, signal);
  // This process stops: that says nothing about the receiver, and is no attempt.
  signal.throwIfAborted();
  const ms = Math.round(performance.now() - start);
  const { status = 0, error } = posted;
  const isDelivered = status >= 200 && status < 300;
  const isGone = status === statusGone || error?.code === "webhook.not_found";
  if (isDelivered) await parts.ended(input.hook, "delivered");
  // A trial says nothing of what else would arrive.
  else if (status === statusGone) await parts.ended(input.hook, "gone");
  else if (isLast && !isGone && input.run !== undefined) await parts.ended(input.hook, "failing");
  return { at, ms, ...posted, outcome: isDelivered ? "delivered" : isGone ? "gone" : "failed" };
}

async function sendIt(parts: DeliveryParts, input: DeliveryInput, signal: AbortSignal): Promise<Posted> {
  const { id, hook, message } = input;
  let sealed: Sealed | undefined;
  try {
    sealed = await parts.sealed(hook);
  } catch (error) {
    if (!(error instanceof StemmaError) || error.code !== "webhook.invalid") throw error;
    return { error: { code: error.code, message: error.message } };
  }
  if (sealed === undefined) return { error: { code: "webhook.not_found", message: "The webhook was removed." } };
  const { url, secret, headers: own = {} } = sealed;
  const body = encode(message, "message of a webhook") ?? "";
  const timestamp = Math.floor(Date.now() / 1000);
  const signature =
    secret === undefined ? {} : { "webhook-signature": sign(keyOf(secret, 1), { id, timestamp, body }) };
  const headers = {
    "user-agent": "stemma",
    "content-type": "application/json",
    "webhook-id": id,
    "webhook-timestamp": String(timestamp),
    ...signature,
  };
  return post(parts.guard, { url: new URL(url), body, headers, own, timeoutMs: parts.timeoutMs, signal });
}
