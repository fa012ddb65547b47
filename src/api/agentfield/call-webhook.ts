/** A webhook that is given with a single call or restart: it becomes that of its run. */
import { StemmaError, isStemmaError } from "../../core/error.ts";
import type { RunId } from "../../core/event.ts";
import type { Json } from "../../core/json.ts";
import type { RunWebhook } from "../webhooks/wish.ts";
import { objectOf } from "./restart-request.ts";
import type { Wire } from "./wire.ts";

export type WebhookText = { webhook_registered: boolean; webhook_error?: string };

/**
 * What is wrong with it never fails the call; it is said beside it. A call that was answered from another run has none: its
 * end was told of when it came.
 */
export async function attachWebhook(
  { webhooks }: Wire,
  run: RunId | undefined,
  body: Json | undefined,
): Promise<WebhookText> {
  const { webhook } = objectOf(body);
  if (webhook === undefined || webhook === null || run === undefined) return { webhook_registered: false };
  try {
    if (webhooks === undefined) throw new StemmaError("webhook.refused", "This server sends no webhooks.");
    const given = wishOf(webhook);
    webhooks.check(given);
    await webhooks.attach(run, given);
    return { webhook_registered: true };
  } catch (error) {
    if (!isStemmaError(error)) throw error;
    return { webhook_registered: false, webhook_error: error.message };
  }
}

function wishOf(given: Json): RunWebhook {
  const { url, secret, headers } = objectOf(given);
  return {
    url: typeof url === "string" ? url : "",
    ...(typeof secret === "string" && secret !== "" ? { secret } : {}),
    ...(headers === undefined || headers === null ? {} : { headers: objectOf(headers) as Record<string, string> }),
  };
}
