/** One request of a webhook: to a checked address, with every bound that a stranger's server could try. */
import { request as httpRequest } from "node:http";
import type { IncomingMessage, RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import { isStemmaError } from "../../core/error.ts";
import type { Guard, Target } from "./guard.ts";

export type Post = {
  url: URL;
  body: string;
  headers: Readonly<Record<string, string>>;
  /** Headers of the user's own, which may be passwords: they are for the host that they were given for. */
  own: Readonly<Record<string, string>>;
  timeoutMs: number;
  signal: AbortSignal;
};

/** What became of a request. Of the answer only its status is kept: what it says may be anything, a secret even. */
export type Posted = {
  /** Left out where there was no answer. */
  status?: number;
  /** Why there was none, or none that counts: a code, and words without the path of the address. */
  error?: { code: string; message: string };
  /** How long the receiver asks to be left alone. */
  retryAfterMs?: number;
  /** How often it was sent elsewhere. */
  redirects?: number;
};

const redirectsMax = 3;
const answerBytesMax = 65_536;
const headerBytesMax = 16_384;

/** Sends it, and never throws. */
export async function post(guard: Guard, wish: Post): Promise<Posted> {
  const timeout = AbortSignal.timeout(wish.timeoutMs);
  const signal = AbortSignal.any([timeout, wish.signal]);
  let { url } = wish;
  for (let redirects = 0; ; redirects += 1) {
    const sent = redirects === 0 ? {} : { redirects };
    try {
      const target = await unlessAborted(guard.target(url), signal);
      const sameOrigin = url.origin === wish.url.origin;
      const headers = { ...(sameOrigin ? wish.own : {}), ...wish.headers };
      const { status, location, retryAfter } = await once(target, wish.body, headers, signal);
      const next = status === 307 || status === 308 ? locationOf(location, url) : undefined;
      if (next === undefined) return { status, ...retryAfterOf(status, retryAfter), ...sent };
      if (redirects === redirectsMax) return { status, error: tooFar, ...sent };
      // What was sent over TLS is not sent in the open.
      if (url.protocol === "https:" && next.protocol !== "https:") return { status, error: inTheOpen, ...sent };
      url = next;
    } catch (error) {
      return { error: errorOf(error, timeout.aborted, wish.timeoutMs), ...sent };
    }
  }
}

const tooFar = { code: "redirects", message: `It was sent elsewhere more than ${redirectsMax} times.` };
const inTheOpen = { code: "redirects", message: "It was sent from https to http." };

type Answer = { status: number; location: string | undefined; retryAfter: string | undefined };

function once(
  { url, lookup }: Target,
  body: string,
  headers: Record<string, string>,
  signal: AbortSignal,
): Promise<Answer> {
  const options: RequestOptions = {
    method: "POST",
    lookup,
    signal,
    // A connection of its own: one that is kept was checked for another request.
    agent: false,
    maxHeaderSize: headerBytesMax,
    headers: { ...headers, "content-length": Buffer.byteLength(body), connection: "close" },
  };
  return new Promise((resolve, reject) => {
    const request = url.protocol === "https:" ? httpsRequest(url, options) : httpRequest(url, options);
    request.on("error", reject);
    request.on("response", (response) => {
      const { statusCode: status = 0, headers: said } = response;
      const answer = { status, location: said.location, retryAfter: said["retry-after"] };
      // What was answered is known by now: however the rest of it ends, it is that.
      void drained(response).then(() => {
        request.destroy();
        resolve(answer);
      });
    });
    request.end(body);
  });
}

/** Reads what is left of an answer, up to a bound, and keeps nothing of it. */
function drained(response: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    let bytes = 0;
    response.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > answerBytesMax) resolve();
    });
    for (const end of ["end", "error", "close"]) response.on(end, () => resolve());
  });
}

/** A resolver takes no signal. */
async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason as Error);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
    promise.catch(() => {});
    aborted.catch(() => {});
  }
}

function locationOf(location: string | undefined, base: URL): URL | undefined {
  return location !== undefined && URL.canParse(location, base.href) ? new URL(location, base.href) : undefined;
}

const asksToWait: ReadonlySet<number> = new Set([429, 503]);
const retryAfterMsMax = 24 * 3_600_000;

function retryAfterOf(status: number, header: string | undefined): { retryAfterMs?: number } {
  if (header === undefined || !asksToWait.has(status)) return {};
  const ms = /^\d{1,9}$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return ms > 0 ? { retryAfterMs: Math.min(ms, retryAfterMsMax) } : {};
}

function errorOf(error: unknown, timedOut: boolean, timeoutMs: number): { code: string; message: string } {
  if (timedOut) return { code: "timeout", message: `There was no answer within ${timeoutMs} ms.` };
  if (isStemmaError(error)) return { code: error.code, message: error.message };
  const { code } = error as NodeJS.ErrnoException;
  // Messages of Node name addresses and no paths; of others only the code is kept, so that none tells a secret.
  return { code: code ?? "failed", message: `The request failed${code === undefined ? "" : ` (${code})`}.` };
}
