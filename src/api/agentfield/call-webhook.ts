/** What a call says of a webhook of its own. */
import type { Json } from "../../core/json.ts";
import { objectOf } from "./restart-request.ts";

/** A webhook of a single call is none that this server sends: that is said, and the call is made. */
export function webhookOf(body: Json | undefined): { webhook_registered: boolean; webhook_error?: string } {
  const { webhook } = objectOf(body);
  if (webhook === undefined || webhook === null) return { webhook_registered: false };
  return {
    webhook_registered: false,
    webhook_error: "webhooks of single calls are not sent; subscribe to the ends of runs",
  };
}
