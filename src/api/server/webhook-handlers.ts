/** What the routes of webhooks do. */
import type { WebhookRoute } from "../contract/webhooks.ts";
import type { Webhooks } from "../webhooks/webhooks.ts";
import type { Handlers, Served } from "./handlers.ts";
import { noWebhooks } from "./making.ts";

export function webhookHandlersOf({ stemma, webhooks }: Served): Pick<Handlers, WebhookRoute> {
  const idOf = (params: Readonly<Record<string, string>>, name: string): string => params[name] ?? "";
  const hooks = (): Webhooks => webhooks ?? noWebhooks();
  return {
    "GET /v1/webhooks": async () => ({ webhooks: await hooks().list() }),
    "POST /v1/webhooks": ({ body, by, once }) => hooks().create({ ...body, ...by(body.by) }, once),
    "DELETE /v1/webhooks/{webhook}": async ({ params, by }) => {
      await hooks().remove(idOf(params, "webhook"), by(undefined));
      return {};
    },
    "POST /v1/webhooks/{webhook}/ping": ({ params, by, once }) =>
      hooks().ping(idOf(params, "webhook"), { ...by(undefined), ...once }),
    "GET /v1/webhooks/{webhook}/deliveries": ({ params, query }) => hooks().deliveries(idOf(params, "webhook"), query),
    "POST /v1/deliveries/{delivery}/redeliver": ({ params, by, once }) =>
      hooks().redeliver(idOf(params, "delivery"), { ...by(undefined), ...once }),
    "GET /v1/runs/{run}/deliveries": async ({ params, query }) => {
      const { id } = await stemma.row(idOf(params, "run"));
      return hooks().deliveriesAbout(id, query);
    },
  };
}
