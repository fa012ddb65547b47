/** What the routes do that make runs: start, restart and fork, each with a webhook of its own if one is given. */
import { StemmaError } from "../../core/error.ts";
import type { RunId } from "../../core/event.ts";
import type { RunRow } from "../../store/store.ts";
import type { Webhooks } from "../webhooks/webhooks.ts";
import type { RunWebhook } from "../webhooks/wish.ts";
import type { Handlers, Served } from "./handlers.ts";

type MakingRoute = "POST /v1/runs" | "POST /v1/runs/{run}/restart" | "POST /v1/runs/{run}/fork";

export function makingHandlersOf({ stemma, webhooks }: Served): Pick<Handlers, MakingRoute> {
  const made = async (webhook: RunWebhook | undefined, make: () => Promise<{ id: RunId }>): Promise<RunRow> =>
    stemma.row((await withWebhook(webhooks, webhook, make)).id);
  return {
    "POST /v1/runs": ({ body: { workflow, input, by: given, webhook, ...options }, by, once }) =>
      made(webhook, () => stemma.run(stemma.workflow(workflow), input, { ...options, ...by(given), ...once })),
    "POST /v1/runs/{run}/restart": ({ params, body: { webhook, ...body }, by, once }) =>
      made(webhook, () => stemma.restart(params["run"] ?? "", { ...body, ...by(body.by), ...once })),
    "POST /v1/runs/{run}/fork": ({ params, body: { webhook, ...body }, by, once }) =>
      made(webhook, () => stemma.fork(params["run"] ?? "", { ...body, ...by(body.by), ...once })),
  };
}

/**
 * Makes a run with its webhook. What is wrong with the webhook is said before there is a run; asked again with the same
 * idempotency key, it is the same run with the same webhook.
 */
async function withWebhook(
  webhooks: Webhooks | undefined,
  webhook: RunWebhook | undefined,
  make: () => Promise<{ id: RunId }>,
): Promise<{ id: RunId }> {
  if (webhook === undefined) return make();
  const there = webhooks ?? noWebhooks();
  there.check(webhook);
  const run = await make();
  await there.attach(run.id, webhook);
  return run;
}

export function noWebhooks(): never {
  throw new StemmaError("webhook.refused", "This server sends no webhooks. Start it without { webhooks: false }.");
}
