/** Names of the runs that webhooks are kept in: records, which are no work of the user (`core/record-names`). */
import { recordOf } from "../../core/record-names.ts";

/** Of webhooks for many runs, of those of one run, of how far the feed was read for them, of deliveries, and of what is off. */
export const webhookRecords: Readonly<Record<"subscription" | "ofRun" | "cursor" | "delivery" | "off", string>> = {
  subscription: `${recordOf}a webhook`,
  ofRun: `${recordOf}the webhook of a run`,
  cursor: `${recordOf}what webhooks have heard`,
  delivery: `${recordOf}a webhook delivery`,
  off: `${recordOf}a webhook that is off`,
};
