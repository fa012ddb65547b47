/**
 * Asks the paid service, as often as a paid service has to be asked: it waits out "too many requests", faults and lost
 * connections itself, always with the same idempotency key, so that no try can be charged beside another one.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import type { Classification, Subject } from "./classify.ts";

const triesMax = 6;
const firstBackoffMs = 100;
/** However long the service asks to wait: a step must not hold its place for longer. */
const waitMsMax = 5_000;
const answerMsMax = 15_000;
const complaintCharsMax = 500;

const classification = z.object({
  licence: z.string().min(1),
  confidence: z.number().min(0).max(1),
  conflict: z.boolean(),
  bundled: z.array(z.string()),
  facts: z.object({
    hasReadme: z.boolean(),
    readmeWords: z.int().min(0),
    hasInstallSection: z.boolean(),
    hasExample: z.boolean(),
    copyrightHolders: z.array(z.string()),
  }),
}) satisfies z.ZodType<Classification>;

/** One try: an answer, or why there is none and how long the service asks to wait. */
type Try = { answer: Classification } | { trouble: string; waitMs?: number };

/**
 * The classification of one package.
 *
 * @param options.key the step's idempotency key
 * @param options.abort ends a try or a wait between tries at once
 * @throws when the request is refused for good (another 4xx), or when six tries had no answer
 */
export async function askService(
  service: string,
  subject: Subject,
  options: { key: string; abort: AbortSignal },
): Promise<Classification> {
  let trouble = "";
  for (let attempt = 1; attempt <= triesMax; attempt++) {
    const outcome = await tryOnce(new URL("/classify", service), subject, options);
    if ("answer" in outcome) return outcome.answer;
    trouble = outcome.trouble;
    if (attempt === triesMax) break;
    const waitMs = outcome.waitMs ?? firstBackoffMs * 2 ** (attempt - 1);
    await sleep(Math.min(waitMs, waitMsMax), undefined, { signal: options.abort });
  }
  throw new Error(`no answer for ${subject.name}@${subject.version} after ${triesMax} tries; the last one: ${trouble}`);
}

async function tryOnce(url: URL, subject: Subject, { key, abort }: { key: string; abort: AbortSignal }): Promise<Try> {
  abort.throwIfAborted();
  let status: number;
  let text: string;
  let retryAfter: string | null;
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": key },
      body: JSON.stringify(subject),
      signal: AbortSignal.any([abort, AbortSignal.timeout(answerMsMax)]),
    });
    status = response.status;
    retryAfter = response.headers.get("retry-after");
    text = await response.text();
  } catch (error) {
    abort.throwIfAborted();
    return { trouble: `no connection (${reasonOf(error)})` };
  }
  if (status === 200) return { answer: classification.parse(JSON.parse(text)) };
  const trouble = `${status} ${text.slice(0, complaintCharsMax)}`;
  if (status !== 429 && status < 500)
    throw new Error(`the paid service refuses ${subject.name}@${subject.version}: ${trouble}`);
  const waitMs = waitMsOf(retryAfter);
  return waitMs === undefined ? { trouble } : { trouble, waitMs };
}

/** `Retry-After` in seconds or as a date (RFC 9110, 10.2.3), as milliseconds; undefined if it is neither. */
function waitMsOf(retryAfter: string | null): number | undefined {
  if (retryAfter === null) return undefined;
  if (/^\d+$/.test(retryAfter)) return Number(retryAfter) * 1000;
  const at = Date.parse(retryAfter);
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now());
}

/** `fetch` says only "fetch failed"; what happened is in its cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
}
