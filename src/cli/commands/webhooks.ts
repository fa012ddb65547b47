/** `stemma webhooks`: who is told of what happens, by a server: lists them, makes and removes them, and says what became of it. */
import type { Command } from "commander";
import { StemmaError } from "../../core/error.ts";
import type { Delivery } from "../../api/webhooks/delivery-log.ts";
import type { NewWebhook } from "../../api/webhooks/webhooks.ts";
import type { Webhook, WebhookWish } from "../../api/webhooks/wish.ts";
import { relativeText } from "../look.ts";
import { clientOf, serverOf, withPlaceOptions } from "../place.ts";
import type { CommonOptions } from "../store-option.ts";
import { table } from "../table.ts";
import { note, paintNote, print, printJson, terminalWidth } from "../terminal.ts";

type WebhooksOptions = CommonOptions & {
  add?: string;
  event?: string[];
  workflow?: string;
  tag?: string;
  run?: string;
  remove?: string;
  ping?: string;
  deliveries?: string;
  redeliver?: string;
  key?: string;
};

const actions = ["add", "remove", "ping", "deliveries", "redeliver"] as const;

export function addWebhooks(program: Command): void {
  const several = (value: string, before: string[] | undefined): string[] => [...(before ?? []), value];
  const command = program
    .command("webhooks")
    .description("list the webhooks of a server, make, remove and try them, and say what became of what was sent")
    .option("--add <url>", "make one; its secret is that in $STEMMA_WEBHOOK_SECRET, or a new one, and is shown once")
    .option("--event <name>", "with --add: what it hears of, such as run.failed or wait.*; may be repeated", several)
    .option("--workflow <name>", "with --add: only of runs of this workflow")
    .option("--tag <tag>", "with --add: only of runs that have this tag")
    .option("--run <run>", "with --add: only of this run")
    .option("--remove <webhook>", "remove one, with its secret")
    .option("--ping <webhook>", "send it a message, to try it out")
    .option("--deliveries <webhook>", "what was sent to it, and what became of each attempt")
    .option("--redeliver <delivery>", "send a message once more")
    .option("--key <key>", "idempotency key: a webhook that is made, tried or sent again with it is so once");
  withPlaceOptions(command).action(webhooks);
}

async function webhooks(options: WebhooksOptions): Promise<void> {
  const url = serverOf(options);
  if (url === undefined) {
    throw new StemmaError(
      "usage.invalid",
      "Webhooks are sent by a server. Name it: --server http://127.0.0.1:4747, or in $STEMMA_SERVER. stemma serve starts one.",
    );
  }
  const asked = actions.filter((action) => options[action] !== undefined);
  if (asked.length > 1) {
    throw new StemmaError(
      "usage.invalid",
      `Expected one of ${asked.map((one) => `--${one}`).join(", ")}, got them all.`,
    );
  }
  const { webhooks: hooks } = clientOf(url);
  const { add, remove, ping, deliveries, redeliver, key } = options;
  const once = key === undefined ? {} : { idempotencyKey: key };
  if (add !== undefined) return showNew(await hooks.create(wishOf(add, options), once), options);
  if (remove !== undefined) {
    await hooks.remove(remove);
    return options.json === true ? printJson({}) : print(`removed ${remove}`);
  }
  if (ping !== undefined) return showDeliveries([await hooks.ping(ping, once)], options);
  if (redeliver !== undefined) return showDeliveries([await hooks.redeliver(redeliver, once)], options);
  if (deliveries === undefined) return showAll(await hooks.list(), options);
  const page = await hooks.deliveries(deliveries);
  if (options.json === true) return printJson(page);
  showDeliveries(page.deliveries, options);
}

function wishOf(url: string, { event, workflow, tag, run }: WebhooksOptions): WebhookWish {
  // Words of a command are seen by others.
  const secret = process.env["STEMMA_WEBHOOK_SECRET"] || undefined;
  return {
    url,
    ...(secret === undefined ? {} : { secret }),
    ...(event === undefined ? {} : { events: event }),
    ...(workflow === undefined ? {} : { workflow }),
    ...(tag === undefined ? {} : { tag }),
    ...(run === undefined ? {} : { run }),
  };
}

function showNew(made: NewWebhook, { json }: WebhooksOptions): void {
  if (json === true) return printJson(made);
  print(`webhook  ${made.id}`, `secret   ${made.secret}`);
  note(paintNote("Keep the secret: it is not shown again. The receiver verifies with it what it is sent.", "dim"));
}

function showAll(found: readonly Webhook[], { json }: WebhooksOptions): void {
  if (json === true) return printJson({ webhooks: found });
  if (found.length === 0) return note(paintNote("No webhooks. Make one: stemma webhooks --add https://…", "dim"));
  const now = Date.now();
  const rows = found.map(({ id, origin, events, workflow, tag, run, at, by }) => {
    const only = [workflow, tag, run].filter((one) => one !== undefined);
    return [id, origin, events.join(" "), only.join(" "), relativeText(at, now), by ?? ""].map((text) => ({ text }));
  });
  const titles = ["webhook", "to", "events", "only", "made", "by"];
  const columns = titles.map((title) => ({ title, cut: title === "events" || title === "to" }));
  print(...table(columns, rows, terminalWidth()));
}

function showDeliveries(found: readonly Delivery[], { json }: WebhooksOptions): void {
  if (json === true) return printJson({ deliveries: found });
  if (found.length === 0) return note(paintNote("Nothing was sent to it yet.", "dim"));
  const now = Date.now();
  const rows = found.map(({ id, type, run, status, at, attempts, nextAt }) => {
    const last = attempts.at(-1);
    const came = last === undefined ? "" : String(last.status ?? last.error?.code ?? "");
    const next = nextAt === undefined ? "" : `, again ${relativeText(nextAt, now)}`;
    const tried = attempts.length === 0 ? "" : `${attempts.length}: ${came}${next}`;
    return [id, type, run ?? "", status, tried, relativeText(at, now)].map((text) => ({ text }));
  });
  const titles = ["delivery", "event", "run", "status", "attempts", "made"];
  print(
    ...table(
      titles.map((title) => ({ title, cut: title === "attempts" })),
      rows,
      terminalWidth(),
    ),
  );
}
