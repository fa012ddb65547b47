/**
 * AgentField's API on the server, beside our own. Requests pass the same checks of place and token; what differs is how
 * a token may be sent, and what an error looks like. What the API has and this server does not is answered 501, never as
 * if it had been done.
 */
import type { Context, Env, Hono } from "hono";
import type { Json } from "../../core/json.ts";
import { decodeHeader } from "../contract/header.ts";
import type { RouteSpec } from "../contract/route.ts";
import type { Principal } from "../server/principal.ts";
import { byOf } from "../server/principal.ts";
import { readBody } from "../server/request-body.ts";
import type { Answer } from "./answer.ts";
import { answerOf, refusal } from "./answer.ts";
import type { Matched } from "./match.ts";
import { matcher } from "./match.ts";

/** A request of this API, once it is known who asks and that they may. */
export type Asked = {
  params: Readonly<Record<string, string>>;
  query: URLSearchParams;
  headers: Headers;
  body: Json | undefined;
  /** The body as it came, for routes that check a signature. */
  raw?: string;
  /** What makes it one request however often it is sent. */
  once: { idempotencyKey?: string };
  /** Who asks, for the record. */
  by: { by?: string };
  /** Aborted when whoever asks is gone. */
  signal: AbortSignal;
};

type Needed = Pick<RouteSpec, "scope" | "nodes">;

export type Route = Needed & { handle: (asked: Asked) => Promise<Answer>; raw?: true };
export type Routes = Readonly<Record<string, Route>>;

export type MountOptions<E extends Env> = {
  /** Throws request.unauthorized, request.forbidden, request.too_many. */
  authorize: (c: Context<E>, needed: Needed, authorization: string | undefined) => Principal | undefined;
  /** Told which route it is, for the counts. */
  named: (c: Context<E>, route: string) => void;
  /** Told what went wrong in here. */
  failed: (route: string, error: unknown) => void;
  /** Whether tokens are asked for. */
  guarded: boolean;
  arrivalMs: number;
};

/** Beneath which all paths are of this API. */
const base = "/api";

export function mountAgentfield<E extends Env>(app: Hono<E>, routes: Routes, options: MountOptions<E>): void {
  const match = matcher(routes);
  const missing: Matched<Route> = {
    name: `${base}/*`,
    route: { scope: "read", nodes: true, handle: notHere },
    params: {},
  };
  const answer = async (c: Context<E>): Promise<Response> => {
    const found = match(c.req.method, new URL(c.req.url).pathname) ?? missing;
    options.named(c, found.name);
    const answered = await perform(c, found, options).catch((error: unknown) => {
      const refused = answerOf(error);
      if (refused.status >= 500) options.failed(found.name, error);
      return refused;
    });
    return responseOf(answered);
  };
  app.all(base, answer);
  app.all(`${base}/*`, answer);
}

async function perform<E extends Env>(
  c: Context<E>,
  { name, route, params }: Matched<Route>,
  { authorize, arrivalMs, guarded }: MountOptions<E>,
): Promise<Answer> {
  const { raw } = c.req;
  const principal = authorize(c, route, authorizationOf(raw.headers));
  const copy = route.raw === true ? raw.clone() : undefined;
  const body = raw.method === "GET" || raw.method === "HEAD" ? undefined : await readBody(raw, name, arrivalMs);
  const key = raw.headers.get("idempotency-key");
  return route.handle({
    params,
    query: new URL(raw.url).searchParams,
    headers: raw.headers,
    body,
    ...(copy === undefined ? {} : { raw: await copy.text() }),
    once: key === null ? {} : { idempotencyKey: decodeHeader(key) },
    by: guarded ? byOf(principal, undefined) : {},
    signal: raw.signal,
  });
}

/** Its agents send their key in a header of its own; its tools as everybody does. */
function authorizationOf(headers: Headers): string | undefined {
  const key = headers.get("x-api-key");
  return headers.get("authorization") ?? (key === null ? undefined : `Bearer ${key}`);
}

async function notHere(): Promise<Answer> {
  return refusal(501, "not_implemented", {
    message:
      "This server speaks the part of AgentField's API by which agents register, call each other, report and are restarted; this endpoint is not in it.",
  });
}

function responseOf({ status, body, text, headers = {} }: Answer): Response {
  const unauthorized: Record<string, string> = status === 401 ? { "www-authenticate": "Bearer" } : {};
  return new Response(text ?? JSON.stringify(body), {
    status,
    headers: { "content-type": "application/json", ...unauthorized, ...headers },
  });
}
