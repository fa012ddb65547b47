/** Webhooks of a server, over HTTP. What makes, removes, lists or tries them asks for a token of scope `admin`. */
import type { RunId } from "../../core/event.ts";
import type { Once } from "../../engine/requests.ts";
import type { ResultOf } from "../contract/routes.ts";
import type { Delivery } from "../webhooks/delivery-log.ts";
import type { NewWebhook } from "../webhooks/webhooks.ts";
import type { Webhook, WebhookWish } from "../webhooks/wish.ts";
import type { Connection } from "./connection.ts";

type Page = { cursor?: string; limit?: number };
type Deliveries = ResultOf<"GET /v1/webhooks/{webhook}/deliveries">;

export type ClientWebhooks = {
  /**
   * Makes a webhook, which hears of what happens from now on. Its secret is in this answer and in no other, but for one to
   * the same question with the same key.
   *
   * @throws run.conflict for the key of another one; webhook.not_found for that of one that was removed; webhook.invalid; webhook.refused for an address that is not of the public internet and was not allowed
   * @example
   * const { id, secret } = await stemma.webhooks.create({ url: "https://ops.example/hook", events: ["run.failed"] });
   */
  create(wish: WebhookWish, once?: Once): Promise<NewWebhook>;
  list(): Promise<Webhook[]>;
  /** Removes it with its secret, and takes back what is not delivered. Throws webhook.not_found. */
  remove(id: RunId): Promise<void>;
  /** Sends a message of type `webhook.ping`, once. Throws webhook.not_found. */
  ping(id: RunId, once?: Once): Promise<Delivery>;
  /** With their attempts, newest first. Throws webhook.not_found. */
  deliveries(id: RunId, page?: Page): Promise<Deliveries>;
  /** Those about a run, to all webhooks. Throws run.not_found. */
  deliveriesAbout(run: RunId, page?: Page): Promise<Deliveries>;
  /** Sends a message once more, with the same `webhook-id`. Throws webhook.not_found. */
  redeliver(delivery: RunId, once?: Once): Promise<Delivery>;
};

export function webhooksOver(connection: Connection): ClientWebhooks {
  return {
    create: (wish, { idempotencyKey } = {}) => connection.ask("POST /v1/webhooks", { body: wish, idempotencyKey }),
    list: async () => (await connection.ask("GET /v1/webhooks")).webhooks,
    async remove(webhook) {
      await connection.ask("DELETE /v1/webhooks/{webhook}", { params: { webhook } });
    },
    ping: (webhook, { idempotencyKey } = {}) =>
      connection.ask("POST /v1/webhooks/{webhook}/ping", { params: { webhook }, idempotencyKey }),
    deliveries: (webhook, query = {}) =>
      connection.ask("GET /v1/webhooks/{webhook}/deliveries", { params: { webhook }, query }),
    deliveriesAbout: (run, query = {}) => connection.ask("GET /v1/runs/{run}/deliveries", { params: { run }, query }),
    redeliver: (delivery, { idempotencyKey } = {}) =>
      connection.ask("POST /v1/deliveries/{delivery}/redeliver", { params: { delivery }, idempotencyKey }),
  };
}
