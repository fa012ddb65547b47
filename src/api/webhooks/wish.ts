/** What is asked for when a webhook is made, checked; and the webhook as it is shown, which has no secrets. */
import { validateHeaderName, validateHeaderValue } from "node:http";
import { StemmaError } from "../../core/error.ts";
import type { RunId, Timestamp } from "../../core/event.ts";
import { checkId, checkName } from "../../core/name.ts";
import { checkRunId } from "../../engine/id.ts";
import type { WebhookEvent } from "./events.ts";
import { defaultEvents, endEvents, eventsOf } from "./events.ts";
import type { Guard } from "./guard.ts";
import { keyOf } from "./signature.ts";
import type { Off } from "./switch.ts";

/** A webhook for one run, given when the run is started, restarted or forked. */
export type RunWebhook = {
  /** `https://…`: where to send. */
  url: string;
  /** What to sign with: `whsec_` and base64, or any other text. Without one, what is sent is not signed. */
  secret?: string;
  /** Headers of one's own, `{ authorization: "Bearer …" }`: kept like the secret. At most 20. */
  headers?: Readonly<Record<string, string>>;
  /** What to hear of. Default: how the run ends. */
  events?: readonly string[];
};

/** A webhook for many runs. */
export type WebhookWish = RunWebhook & {
  /** What to sign with, at least 24 characters. Default: a new one, which is shown once. */
  secret?: string;
  /** What to hear of: "run.failed", "run.*", "wait.*" … Default: how runs end, and that one asks something. */
  events?: readonly string[];
  /** Only of runs of this workflow; of runs that have this tag then; of this run. */
  workflow?: string;
  tag?: string;
  run?: RunId;
  by?: string;
};

/** What a webhook is, without what has to stay secret: neither its secret, nor its headers, nor its whole address. */
export type Webhook = {
  id: RunId;
  /** Scheme, host and port of its address: the rest may be as good as a password. */
  origin: string;
  events: WebhookEvent[];
  workflow?: string;
  tag?: string;
  run?: RunId;
  /** Names of its own headers. */
  headers?: string[];
  signed: boolean;
  at: Timestamp;
  by?: string;
  /** Nothing more is sent to it of what happens; a ping, or what is sent again, that arrives switches it on. */
  off?: Off;
};

/** What is kept apart from everything that can be looked at. */
export type Sealed = { url: string; secret?: string; headers?: Readonly<Record<string, string>> };

const headersMax = 20;
const headerCharsMax = 4000;
/** Who takes the secret of a run's webhook from elsewhere cannot always choose how long it is. */
const runSecretCharsMin = 1;

/** Throws webhook.invalid, webhook.refused, name.invalid, run.invalid_id. */
export function checkWish(guard: Guard, wish: WebhookWish): { filter: Omit<Webhook, "id" | "at">; sealed: Sealed } {
  return checked(guard, wish, eventsOf(wish.events ?? defaultEvents));
}

/** As `checkWish`, for a webhook of one run. */
export function checkRunWish(
  guard: Guard,
  run: RunId,
  wish: RunWebhook,
): { filter: Omit<Webhook, "id" | "at">; sealed: Sealed } {
  const { url, secret, headers, events = endEvents } = wish;
  const plain = { url, ...(secret === undefined ? {} : { secret }), ...(headers === undefined ? {} : { headers }) };
  return checked(guard, { ...plain, run }, eventsOf(events), runSecretCharsMin);
}

function checked(
  guard: Guard,
  { url, secret, headers, workflow, tag, run, by }: WebhookWish,
  events: WebhookEvent[],
  secretCharsMin?: number,
): { filter: Omit<Webhook, "id" | "at">; sealed: Sealed } {
  const { href, origin } = guard.checkUrl(url);
  if (secret !== undefined) keyOf(secret, secretCharsMin);
  const own = headers === undefined ? undefined : checkHeaders(headers);
  const filter = {
    origin,
    events,
    ...(workflow === undefined ? {} : { workflow: checkName(workflow, "workflow of a webhook") }),
    ...(tag === undefined ? {} : { tag: checkName(tag, "tag of a webhook") }),
    ...(run === undefined ? {} : { run: checkRunId(run) }),
    ...(own === undefined ? {} : { headers: Object.keys(own) }),
    signed: secret !== undefined,
    ...(by === undefined ? {} : { by: checkId(by, "by") }),
  };
  const sealed = {
    url: href,
    ...(secret === undefined ? {} : { secret }),
    ...(own === undefined ? {} : { headers: own }),
  };
  return { filter, sealed };
}

/** What the message itself says, or the connection. */
const reserved =
  /^(webhook-.*|content-.*|host|connection|keep-alive|upgrade|te|trailer|transfer-encoding|expect|proxy-.*)$/;

/** Names in lower case. Throws webhook.invalid; no value is in its message. */
function checkHeaders(headers: Readonly<Record<string, string>>): Record<string, string> | undefined {
  const all = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value] as const);
  if (all.length > headersMax) throw invalid(`at most ${headersMax}`, String(all.length));
  for (const [name, value] of all) {
    if (reserved.test(name) || !isHeader(name, value)) {
      throw invalid("names and values of HTTP other than the message's own", JSON.stringify(name.slice(0, 60)));
    }
  }
  return all.length === 0 ? undefined : Object.fromEntries(all);
}

function isHeader(name: string, value: unknown): boolean {
  if (typeof value !== "string" || value.length > headerCharsMax) return false;
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
    return true;
  } catch {
    return false;
  }
}

function invalid(expected: string, found: string): StemmaError {
  return new StemmaError("webhook.invalid", `Expected headers of a webhook to be ${expected}, got ${found}.`);
}
