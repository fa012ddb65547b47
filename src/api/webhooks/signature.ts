/**
 * How webhooks are signed: the scheme of Standard Webhooks 1.0 (https://www.standardwebhooks.com), so that receivers can
 * verify with its libraries in any language. What is signed is `<id>.<timestamp>.<body>`, with HMAC-SHA256; the time is in
 * it, so a message that somebody recorded cannot be sent again later.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { StemmaError } from "../../core/error.ts";

const prefix = "whsec_";
const bytesNew = 32;
const bytesMin = 24;
const bytesMax = 64;
const textMax = 512;
const toleranceSDefault = 300;

/** A new secret: `whsec_` and 32 random bytes in base64. */
export function newSecret(): string {
  return prefix + randomBytes(bytesNew).toString("base64");
}

/**
 * The key of a secret: the bytes behind `whsec_` (24 to 64, in base64), or the UTF-8 bytes of any other text.
 *
 * @throws webhook.invalid, which never holds the secret
 */
export function keyOf(secret: string, charsMin: number = bytesMin): Buffer {
  if (typeof secret !== "string") throw invalid(`text, got a value of type ${typeof secret}`);
  if (!secret.startsWith(prefix)) {
    if (secret.length >= charsMin && secret.length <= textMax) return Buffer.from(secret, "utf8");
    throw invalid(`${charsMin} to ${textMax} characters, or ${prefix} and base64, got ${secret.length} characters`);
  }
  const base64 = secret.slice(prefix.length);
  const key = Buffer.from(base64, "base64");
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64) || key.length < bytesMin || key.length > bytesMax) {
    throw invalid(`${prefix} and ${bytesMin} to ${bytesMax} bytes in base64, got something else behind ${prefix}`);
  }
  return key;
}

function invalid(rest: string): StemmaError {
  const message = `Expected the secret of a webhook to be ${rest}. Leave it out, and a new one is made.`;
  return new StemmaError("webhook.invalid", message);
}

/** What is signed, and with what; `timestamp` in seconds since 1970. */
export type ToSign = { id: string; timestamp: number; body: string };

/** The value of `webhook-signature`: `v1,` and the base64 of the HMAC. */
export function sign(key: Buffer, { id, timestamp, body }: ToSign): string {
  return `v1,${createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64")}`;
}

/** Headers as servers have them: of `Headers`, or an object with names in lower case. */
export type WebhookHeaders = Headers | Readonly<Record<string, string | string[] | undefined>>;

/**
 * For receivers: whether a request was sent by who has the secret, unchanged, and lately. Give the body as it came, before
 * any JSON is read of it. Take each `webhook-id` once: one may come again.
 *
 * @param options `toleranceS`: how old, or how far ahead, the request may be, in seconds. Default 300. `now`: milliseconds
 * since 1970. Default: the system's clock.
 * @throws webhook.invalid for a secret that cannot be one
 * @example
 * if (!verifyWebhook(process.env.WEBHOOK_SECRET, request.headers, await request.text())) return new Response(null, { status: 401 });
 */
export function verifyWebhook(
  secret: string,
  headers: WebhookHeaders,
  body: string,
  options: { toleranceS?: number; now?: number } = {},
): boolean {
  const { toleranceS = toleranceSDefault, now = Date.now() } = options;
  const key = keyOf(secret, 1);
  const [id, time, signatures] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map((name) =>
    headerOf(headers, name),
  );
  if (id === undefined || time === undefined || signatures === undefined || !/^\d{1,12}$/.test(time)) return false;
  const timestamp = Number(time);
  if (Math.abs(now / 1000 - timestamp) > toleranceS) return false;
  const expected = Buffer.from(sign(key, { id, timestamp, body }));
  // Several where a secret is being changed for another.
  return signatures.split(" ").some((given) => {
    const found = Buffer.from(given);
    return found.length === expected.length && timingSafeEqual(found, expected);
  });
}

function headerOf(headers: WebhookHeaders, name: string): string | undefined {
  const found = headers instanceof Headers ? headers.get(name) : headers[name];
  return typeof found === "string" ? found : undefined;
}
