/** @module The engine over HTTP: a handler for any server, or one that listens by itself. */

export { server } from "./api/server/server.ts";
export type { ServerOptions, StemmaServer } from "./api/server/server.ts";
export type { Listening } from "./api/server/listen.ts";
export type { Token } from "./api/server/principal.ts";
export type { Rate } from "./api/server/rate.ts";
export { verifyWebhook } from "./api/webhooks/signature.ts";
export type { WebhookHeaders } from "./api/webhooks/signature.ts";
export type { WebhookOptions } from "./api/webhooks/webhooks.ts";
export { openapi } from "./api/contract/openapi.ts";
