/**
 * Asks the paid service once. What to do about "too many requests", faults and lost connections is the step's business:
 * this client only says which of them are worth another attempt, and when.
 */
import { z } from "zod";
import { fatal, retryAfter } from "../../src/index.ts";
import type { RetryOptions } from "../../src/index.ts";
import type { Classification, Subject } from "./classify.ts";

/** How a step that asks the service is tried: always with its own idempotency key, so no attempt is charged beside another. */
export const patience: { retry: RetryOptions; timeout: string } = {
  retry: { attempts: 6, delay: "100ms", maxDelay: "5s" },
  timeout: "15s",
};

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

/**
 * The classification of one package.
 *
 * @param options.key the step's idempotency key
 * @param options.abort ends the request at once
 * @throws what may be tried again, marked with the delay that the service asks for; or what may not (another 4xx, an
 * answer of another shape), marked as fatal
 */
export async function askService(
  service: string,
  subject: Subject,
  { key, abort }: { key: string; abort: AbortSignal },
): Promise<Classification> {
  const response = await fetch(new URL("/classify", service), {
    method: "POST",
    headers: { "content-type": "application/json", "idempotency-key": key },
    body: JSON.stringify(subject),
    signal: abort,
  });
  const text = await response.text();
  if (response.status === 200) return read(text);
  const complaint = `${response.status} ${text.slice(0, complaintCharsMax)}`;
  const error = new Error(`the paid service did not classify ${subject.name}@${subject.version}: ${complaint}`);
  if (response.status !== 429 && response.status < 500) throw fatal(error);
  const waitMs = waitMsOf(response.headers.get("retry-after"));
  throw waitMs === undefined ? error : retryAfter(waitMs, error);
}

function read(text: string): Classification {
  try {
    return classification.parse(JSON.parse(text));
  } catch (error) {
    throw fatal(error);
  }
}

/** `Retry-After` in seconds or as a date (RFC 9110, 10.2.3), as milliseconds; undefined if it is neither. */
function waitMsOf(header: string | null): number | undefined {
  if (header === null) return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now());
}
