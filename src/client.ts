/** @module A Stemma on a server: the same methods, over HTTP. */

export { StemmaClient, client } from "./api/client/client.ts";
export type { ClientOptions } from "./api/client/connection.ts";
export type { RemoteRun } from "./api/client/remote-run.ts";
export type { ClientWebhooks } from "./api/client/webhooks.ts";
export type { Delivery } from "./api/webhooks/delivery-log.ts";
export type { NewWebhook } from "./api/webhooks/webhooks.ts";
export type { RunWebhook, Webhook, WebhookWish } from "./api/webhooks/wish.ts";
export type { KnownWorkflow } from "./api/contract/routes.ts";
export { StemmaError, isStemmaError } from "./core/error.ts";
