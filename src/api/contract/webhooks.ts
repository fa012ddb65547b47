/** Routes of webhooks: who is told of what happens, what became of it, and once more. */
import { z } from "zod";
import type { RunWebhook, WebhookWish } from "../webhooks/wish.ts";
import { webhookEvents } from "../webhooks/events.ts";
import type { ContractPart } from "./route.ts";
import { optional, text, whole } from "./route.ts";
import { nothing } from "./shapes.ts";

const deliveriesMax = 50;

const runId = z.string().regex(/^run_[0-7][0-9a-hjkmnp-tv-z]{25}$/);
const time = z.number().int().describe("Milliseconds since 1970");

const wished = {
  url: text,
  secret: optional(text),
  headers: optional(z.record(z.string(), z.string())),
  events: optional(z.array(z.string()).max(50)),
};

/** Of one run, given when it is started, restarted or forked. */
export const runWebhook: z.ZodType<RunWebhook> = z.strictObject(wished).meta({ id: "RunWebhook" });

const wish: z.ZodType<WebhookWish> = z
  .strictObject({ ...wished, workflow: optional(text), tag: optional(text), run: optional(text), by: optional(text) })
  .meta({ id: "WebhookWish" });

const shown = {
  id: runId,
  origin: z.string().describe("Scheme, host and port of its address"),
  events: z.array(z.enum(webhookEvents as readonly [string, ...string[]])),
  workflow: z.string().optional(),
  tag: z.string().optional(),
  run: runId.optional(),
  headers: z.array(z.string()).optional().describe("Names of its own headers"),
  signed: z.boolean(),
  at: time,
  by: z.string().optional(),
};

const webhook = z.strictObject(shown).meta({ id: "Webhook" });
const newWebhook = z
  .strictObject({ ...shown, secret: z.string().describe("Shown here, and never again") })
  .meta({ id: "NewWebhook" });

const attempt = z.strictObject({
  at: time,
  ms: z.number(),
  outcome: z.enum(["delivered", "failed", "gone"]),
  status: z.number().int().optional(),
  error: z.strictObject({ code: z.string(), message: z.string() }).optional(),
  retryAfterMs: z.number().optional(),
  redirects: z.number().int().optional(),
});

const delivery = z
  .strictObject({
    id: runId,
    webhook: runId,
    message: z.string().describe("The webhook-id that the receiver sees"),
    type: z.string(),
    run: runId.optional(),
    seq: z.number().int().optional(),
    status: z.enum(["pending", "delivered", "failed", "cancelled"]),
    at: time,
    attempts: z.array(attempt),
    nextAt: time.optional(),
  })
  .meta({ id: "Delivery" });

const page = z.strictObject({ cursor: optional(text), limit: optional(whole(1, deliveriesMax)) });
const deliveries = z.strictObject({ deliveries: z.array(delivery), cursor: z.string().optional() });

export type WebhookRoute =
  | "GET /v1/webhooks"
  | "POST /v1/webhooks"
  | "DELETE /v1/webhooks/{webhook}"
  | "POST /v1/webhooks/{webhook}/ping"
  | "GET /v1/webhooks/{webhook}/deliveries"
  | "POST /v1/deliveries/{delivery}/redeliver"
  | "GET /v1/runs/{run}/deliveries";

export const webhookRoutes: ContractPart<WebhookRoute> = {
  "GET /v1/webhooks": {
    summary: "Lists webhooks, without their secrets.",
    scope: "admin",
    errors: [],
    result: z.strictObject({ webhooks: z.array(webhook) }),
  },
  "POST /v1/webhooks": {
    summary: "Makes a webhook, which hears of what happens from now on, and gives its secret this once.",
    scope: "admin",
    status: 201,
    errors: [
      "webhook.invalid",
      "webhook.refused",
      "webhook.not_found",
      "name.invalid",
      "run.invalid_id",
      "run.conflict",
      "limit.exceeded",
    ],
    body: wish,
    result: newWebhook,
  },
  "DELETE /v1/webhooks/{webhook}": {
    summary: "Removes a webhook with its secret, and takes back what is not delivered.",
    scope: "admin",
    errors: ["webhook.not_found", "run.invalid_id"],
    result: nothing,
  },
  "POST /v1/webhooks/{webhook}/ping": {
    summary: "Sends a message of type webhook.ping, once, to try a webhook out.",
    scope: "admin",
    status: 202,
    errors: ["webhook.not_found", "run.invalid_id"],
    result: delivery,
  },
  "GET /v1/webhooks/{webhook}/deliveries": {
    summary: "Lists deliveries of a webhook with their attempts, newest first, a page at a time.",
    scope: "admin",
    errors: ["webhook.not_found", "run.invalid_id"],
    query: page,
    result: deliveries,
  },
  "POST /v1/deliveries/{delivery}/redeliver": {
    summary: "Sends a message once more, with the same webhook-id, as a delivery of its own.",
    scope: "admin",
    status: 202,
    errors: ["webhook.not_found", "run.invalid_id"],
    result: delivery,
  },
  "GET /v1/runs/{run}/deliveries": {
    summary: "Lists deliveries about a run, to all webhooks, with their attempts, newest first, a page at a time.",
    scope: "read",
    errors: [],
    query: page,
    result: deliveries,
  },
};
