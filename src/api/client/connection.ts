/**
 * Requests to a server, typed by the contract. Errors come back as what they were: a problem becomes the StemmaError of
 * its code, with the recorded error that it names as its cause.
 */
import type { ErrorCode } from "../../core/error.ts";
import { errorCodes, isStemmaError, StemmaError } from "../../core/error.ts";
import type { ErrorRecord } from "../../core/event.ts";
import { StepError } from "../../engine/failure.ts";
import { encodeHeader } from "../contract/header.ts";
import type { BodyOf, QueryOf, ResultOf, RouteName } from "../contract/routes.ts";

export type ClientOptions = {
  /** Address of the server: "http://127.0.0.1:4747". */
  url: string | URL;
  /** Sent as `Authorization: Bearer …`. */
  token?: string;
  /** In place of the global `fetch`. */
  fetch?: (request: Request) => Promise<Response>;
};

/** What a request says, besides its route. */
export type Wish<R extends RouteName> = {
  params?: Readonly<Record<string, string>>;
  query?: QueryOf<R>;
  body?: BodyOf<R>;
  idempotencyKey?: string | undefined;
  lastEventId?: number | undefined;
  signal?: AbortSignal | undefined;
};

const triesMax = 4;
const firstPauseMs = 100;

export class Connection {
  readonly url: string;
  readonly #token: string | undefined;
  readonly #fetch: (request: Request) => Promise<Response>;

  /** Throws usage.invalid for what is no address of a server. */
  constructor({ url, token, fetch = (request) => globalThis.fetch(request) }: ClientOptions) {
    this.url = addressOf(url);
    this.#token = token;
    this.#fetch = fetch;
  }

  /**
   * The answer to a request. One that may be repeated (it only looks, or has a key) is, when the server cannot be reached.
   *
   * @throws server.unreachable, server.invalid_answer, and whatever the route throws
   */
  async ask<R extends RouteName>(route: R, wish: Wish<R> = {}): Promise<ResultOf<R>> {
    const mayRepeat = route.startsWith("GET ") || wish.idempotencyKey !== undefined;
    for (let tries = 1; ; tries += 1) {
      try {
        const response = await this.open(route, wish);
        return await jsonOf<ResultOf<R>>(response);
      } catch (error) {
        const again = mayRepeat && tries < triesMax && isStemmaError(error) && passes.has(error.code);
        if (!again || wish.signal?.aborted === true) throw error;
        await new Promise((resolve) => setTimeout(resolve, firstPauseMs * 2 ** (tries - 1)));
      }
    }
  }

  /** As `ask`, with a file of lines as the body, once. Throws what reading the file throws. */
  async send<R extends RouteName>(route: R, wish: Wish<R>, bytes: AsyncGenerator<Uint8Array>): Promise<ResultOf<R>> {
    let failed: unknown;
    const watched = async function* (): AsyncGenerator<Uint8Array> {
      try {
        yield* bytes;
      } catch (error) {
        failed = error;
        throw error;
      }
    };
    try {
      return await jsonOf<ResultOf<R>>(await this.open(route, wish, ReadableStream.from(watched())));
    } catch (error) {
      throw failed ?? error;
    }
  }

  /** The response to a request, once its head is there and says that all is well. Throws as `ask`. */
  async open<R extends RouteName>(route: R, wish: Wish<R>, lines?: ReadableStream<Uint8Array>): Promise<Response> {
    const request = this.#requestOf(route, wish, lines);
    let response: Response;
    try {
      response = await this.#fetch(request);
    } catch (error) {
      if (wish.signal?.aborted === true) throw error;
      const message = `The server at ${this.url} cannot be reached. Is it running? stemma serve starts one.`;
      throw new StemmaError("server.unreachable", message, { data: { url: this.url }, cause: error });
    }
    if (response.ok) return response;
    throw await errorOf(response, this.url);
  }

  #requestOf<R extends RouteName>(route: R, wish: Wish<R>, lines?: ReadableStream<Uint8Array>): Request {
    const [method = "", path = ""] = route.split(" ");
    const filled = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(wish.params?.[name] ?? ""));
    const search = searchOf(wish.query ?? {});
    const headers = new Headers({ accept: "application/json, text/event-stream" });
    if (this.#token !== undefined) headers.set("authorization", `Bearer ${this.#token}`);
    if (wish.idempotencyKey !== undefined) headers.set("idempotency-key", encodeHeader(wish.idempotencyKey));
    if (wish.lastEventId !== undefined) headers.set("last-event-id", String(wish.lastEventId));
    if (wish.body !== undefined) headers.set("content-type", "application/json");
    if (lines !== undefined) headers.set("content-type", "application/x-ndjson");
    // What is sent piece by piece is sent before it is answered.
    const file = lines === undefined ? {} : { body: lines, duplex: "half" as const };
    return new Request(`${this.url}${filled}${search}`, {
      method,
      headers,
      redirect: "error",
      ...file,
      ...(wish.body === undefined ? {} : { body: JSON.stringify(wish.body) }),
      ...(wish.signal === undefined ? {} : { signal: wish.signal }),
    });
  }
}

/** What passes by itself: the same request may well succeed a moment later. */
const passes: ReadonlySet<ErrorCode> = new Set([
  "server.unreachable",
  "server.stopping",
  "engine.stopped",
  "store.busy",
  "store.unavailable",
  "request.too_many",
]);

function addressOf(url: string | URL): string {
  const given = String(url);
  const parsed = URL.canParse(given) ? new URL(given) : undefined;
  if (parsed === undefined || !/^https?:$/.test(parsed.protocol) || parsed.username !== "" || parsed.search !== "") {
    const found = parsed === undefined ? JSON.stringify(given.slice(0, 200)) : `${parsed.protocol}//…`;
    throw new StemmaError(
      "usage.invalid",
      `Expected the address of a server, such as http://127.0.0.1:4747, got ${found}.`,
    );
  }
  return `${parsed.origin}${parsed.pathname.replace(/\/+$/, "")}`;
}

function searchOf(query: object): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query) as [string, unknown][]) {
    if (value === undefined) continue;
    for (const one of Array.isArray(value) ? (value as unknown[]) : [value]) search.append(name, String(one));
  }
  return search.size === 0 ? "" : `?${search.toString()}`;
}

async function jsonOf<T>(response: Response): Promise<T> {
  const text = await response.text().catch((error: unknown) => {
    throw new StemmaError("server.unreachable", `The answer of ${response.url} broke off.`, { cause: error });
  });
  try {
    return JSON.parse(text) as T;
  } catch (error) {
    throw notOurs(response, error);
  }
}

async function errorOf(response: Response, url: string): Promise<StemmaError> {
  const text = await response.text().catch(() => "");
  let problem: { code?: string; detail?: string; data?: Record<string, unknown>; cause?: ErrorRecord };
  try {
    problem = JSON.parse(text) as typeof problem;
  } catch (error) {
    // Who stands between (a proxy) says it in its own words when the server is away.
    if (response.status >= 502 && response.status <= 504) {
      return new StemmaError("server.unreachable", `The server at ${url} is not there (status ${response.status}).`);
    }
    return notOurs(response, error);
  }
  const { code = "", detail = "", data, cause } = problem;
  if (!Object.hasOwn(errorCodes, code)) return notOurs(response);
  return new StemmaError(code as ErrorCode, detail, {
    ...(data === undefined ? {} : { data }),
    ...(cause === undefined ? {} : { cause: new StepError(cause) }),
  });
}

function notOurs(response: Response, cause?: unknown): StemmaError {
  return new StemmaError(
    "server.invalid_answer",
    `Expected an answer of a stemma server of this version, got status ${response.status} with something else. Is the address right?`,
    { data: { status: response.status }, ...(cause === undefined ? {} : { cause }) },
  );
}
