/** What the routes of webhooks do, and what starting a run with a webhook does besides. */
import { StemmaError } from "../../core/error.ts";
import type { Stemma } from "../../engine/stemma.ts";
import type { RunHandle } from "../../engine/run-handle.ts";
import type { WebhookRoute } from "../contract/webhooks.ts";
import type { Webhooks } from "../webhooks/webhooks.ts";
import type { RunWebhook } from "../webhooks/wish.ts";
import type { Handlers } from "./handlers.ts";

/** @param given nothing where this server has no webhooks */
export function webhookHandlersOf(stemma: Stemma, given: Webhooks | undefined): Pick<Handlers, WebhookRoute> {
  const idOf = (params: Readonly<Record<string, string>>, name: string): string => params[name] ?? "";
  const hooks = (): Webhooks => given ?? refuse();
  return {
    "GET /v1/webhooks": async () => ({ webhooks: await hooks().list() }),
    "POST /v1/webhooks": ({ body, by }) => hooks().create({ ...body, ...by(body.by) }),
    "DELETE /v1/webhooks/{webhook}": async ({ params }) => {
      await hooks().remove(idOf(params, "webhook"));
      return {};
    },
    "POST /v1/webhooks/{webhook}/ping": ({ params }) => hooks().ping(idOf(params, "webhook")),
    "GET /v1/webhooks/{webhook}/deliveries": ({ params, query }) => hooks().deliveries(idOf(params, "webhook"), query),
    "POST /v1/deliveries/{delivery}/redeliver": ({ params }) => hooks().redeliver(idOf(params, "delivery")),
    "GET /v1/runs/{run}/deliveries": async ({ params, query }) => {
      const { id } = await stemma.row(idOf(params, "run"));
      return hooks().deliveriesAbout(id, query);
    },
  };
}

/**
 * Makes a run with its webhook. What is wrong with the webhook is said before there is a run; asked again with the same
 * idempotency key, it is the same run with the same webhook.
 */
export async function withWebhook(
  hooks: Webhooks | undefined,
  webhook: RunWebhook | undefined,
  make: () => Promise<RunHandle<unknown>>,
): Promise<RunHandle<unknown>> {
  if (webhook === undefined) return make();
  const there = hooks ?? refuse();
  there.check(webhook);
  const run = await make();
  await there.attach(run.id, webhook);
  return run;
}

function refuse(): never {
  throw new StemmaError("webhook.refused", "This server sends no webhooks. Start it without { webhooks: false }.");
}
