/**
 * The server as a function from a request to an answer, made from the contract: each route with its checks in one order
 * (where it comes from, who asks, whether they may, what they say), then its handler. It listens nowhere, so it can be
 * part of any server.
 */
import { Hono } from "hono";
import type { Context } from "hono";
import type { ZodError } from "zod";
import { StemmaError } from "../../core/error.ts";
import { checkId } from "../../core/name.ts";
import { decodeHeader } from "../contract/header.ts";
import { contract } from "../contract/contract.ts";
import type { RouteSpec } from "../contract/route.ts";
import type { RouteName } from "../contract/routes.ts";
import type { Routes as AgentfieldRoutes } from "../agentfield/mount.ts";
import { mountAgentfield } from "../agentfield/mount.ts";
import { expectWork } from "../../engine/options.ts";
import type { Once } from "../../engine/requests.ts";
import { eventStream } from "./event-stream.ts";
import type { Call, Followers, Handlers, PlainRoute, Served, StreamRoute } from "./handlers.ts";
import { followersOf, handlersOf } from "./handlers.ts";
import type { Metrics } from "./metrics.ts";
import type { Names, Place } from "./origin.ts";
import { checkHost, checkOrigin } from "./origin.ts";
import type { Principal, Recognize } from "./principal.ts";
import { byOf, mayUse } from "./principal.ts";
import type { Problem } from "./problem.ts";
import { problemOf, problemResponse } from "./problem.ts";
import type { Buckets } from "./rate.ts";
import { readBody } from "./request-body.ts";
import { linesType } from "./upload.ts";

export type Parts = Served & {
  counts: Metrics;
  names: Names;
  place: Place;
  /** Undefined where no token is asked for. */
  recognize: Recognize | undefined;
  requests: Buckets;
  failures: Buckets;
  /** The part of AgentField's API that is answered here; undefined where none is. */
  agentfield: AgentfieldRoutes | undefined;
  streamsMax: number;
  heartbeatMs: number;
  /** How long a body may take to arrive. */
  arrivalMs: number;
};

type Bindings = {
  incoming?: { url?: string; socket?: { remoteAddress?: string }; headersDistinct?: NodeJS.Dict<string[]> };
};
type Env = { Bindings: Bindings; Variables: { route: string } };
type Asked = Context<Env>;

/** What no answer should be used for: nothing of it is shown as a page, kept, or read by pages of others. */
const safe = {
  "x-content-type-options": "nosniff",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-store",
};

export function appOf(parts: Parts): Hono<Env> {
  const app = new Hono<Env>();
  const handlers = handlersOf(parts);
  const followers = followersOf(parts);
  const { log, counts: metrics, names, place } = parts;

  app.use(async (c, next) => {
    const start = performance.now();
    c.set("route", "none");
    const origin = originOf(c, names, place, metrics);
    await (c.req.method === "OPTIONS" && origin !== undefined ? preflight(c) : next());
    for (const [name, value] of Object.entries(safe)) c.header(name, value);
    if (origin !== undefined) allow(c, origin);
    metrics.answered(c.get("route"), c.res.status, (performance.now() - start) / 1000);
  });
  app.onError((error, c) => {
    const problem = problemOf(error);
    if (problem.status >= 500) log.error(`${c.get("route")} failed`, { error: stackOf(error) });
    const answer = problemResponse(problem, adviceOn(problem));
    for (const [name, value] of Object.entries(safe)) answer.headers.set(name, value);
    return answer;
  });

  const paths = pathsOf(contract);
  const refused = (c: Asked, path: Path): Response => {
    // Who may not ask learns nothing about what there is.
    authorize(parts, c, path.isOpen ? nobody : anybody);
    const problem = problemOf(wrongMethod(c.req.raw.method, path));
    return problemResponse(problem, { allow: path.allowed.join(", ") });
  };
  for (const [name, spec] of Object.entries(contract) as [RouteName, RouteSpec][]) {
    const [method = "", text = ""] = name.split(" ");
    const path = paths.get(text);
    app.on(method, patternOf(text), async (c) => {
      c.set("route", name);
      // It gets here as the GET that it is but for the body.
      if (c.req.raw.method === "HEAD" && path?.allowed.includes("HEAD") === false) return refused(c, path);
      const principal = authorize(parts, c, spec);
      const call = await callOf(parts, c, name, spec, principal);
      // Who steers runs does not steer what the server keeps in the form of one, such as a webhook.
      const steered = spec.scope === "run" ? c.req.param("run") : undefined;
      if (steered !== undefined) expectWork(await parts.stemma.row(steered));
      if (isStream(name, followers)) return stream(parts, followers, name, call);
      const result = await perform(handlers, name, call);
      return spec.kind === "lines" ? linesOf(result as AsyncIterable<string>, parts, name) : answerOf(result, spec);
    });
  }
  for (const path of paths.values()) app.all(patternOf(path.text), (c) => refused(c, path));
  if (parts.agentfield !== undefined) {
    mountAgentfield(app, parts.agentfield, {
      authorize: (c, needed, authorization) => authorize(parts, c, needed, authorization),
      named: (c, route) => c.set("route", route),
      failed: (route, error) => log.error(`${route} failed`, { error: stackOf(error) }),
      guarded: parts.recognize !== undefined,
      arrivalMs: parts.arrivalMs,
    });
  }
  app.notFound((c) => {
    authorize(parts, c, anybody);
    throw new StemmaError("request.no_route", "There is no such route. GET /openapi.json says which there are.");
  });
  return app;
}

function answerOf(result: unknown, { kind, status = 200 }: RouteSpec): Response {
  const type = kind === "text" ? "text/plain; version=0.0.4; charset=utf-8" : "application/json";
  const text = kind === "text" ? String(result) : JSON.stringify(result);
  return new Response(text, { status, headers: { "content-type": type } });
}

/** What goes wrong in its midst breaks it off, without its last line: nobody takes it for whole. */
function linesOf(texts: AsyncIterable<string>, { log }: Parts, name: RouteName): Response {
  const body = ReadableStream.from(encoded(texts, (error) => log.warn(`${name} broke off`, { error: String(error) })));
  return new Response(body, { headers: { "content-type": linesType } });
}

async function* encoded(texts: AsyncIterable<string>, failed: (error: unknown) => void): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  try {
    for await (const text of texts) yield encoder.encode(text);
  } catch (error) {
    failed(error);
    throw error;
  }
}

/** What somebody who was refused does best, as headers. */
function adviceOn({ status, retryable }: Problem): Record<string, string> {
  if (status === 401) return { "www-authenticate": "Bearer" };
  return retryable && (status === 429 || status === 503) ? { "retry-after": "1" } : {};
}

/** As `checkOrigin`, once the name in `Host` is one of ours. What is refused is counted too. Throws request.forbidden, usage.invalid. */
function originOf(c: Asked, names: Names, place: Place, metrics: Metrics): string | undefined {
  try {
    const host = hostOf(c);
    checkHost(host, names, place);
    return checkOrigin(c.req.raw.headers, host ?? "", names);
  } catch (error) {
    metrics.answered("none", problemOf(error).status, 0);
    throw error;
  }
}

/**
 * The name under which this is asked: that in `Host`, or where the line of the request has one too, both. Two of them are
 * none: who stands between may have looked at the other.
 */
function hostOf(c: Asked): string | undefined {
  const { headersDistinct, url = "/" } = c.env.incoming ?? {};
  const all = headersDistinct?.["host"];
  if (all !== undefined && all.length !== 1) return undefined;
  const said = c.req.header("host");
  if (said === undefined && headersDistinct !== undefined && headersDistinct[":authority"] === undefined)
    throw new StemmaError("usage.invalid", "Expected a request with a Host.");
  const host = said ?? new URL(c.req.url).host;
  if (url.startsWith("/")) return host;
  return URL.canParse(url) && new URL(url).host === host.toLowerCase() ? host : undefined;
}

function allow(c: Asked, origin: string): void {
  c.header("access-control-allow-origin", origin);
  c.header("vary", "Origin");
  c.header("cross-origin-resource-policy", "cross-origin");
}

/** A browser asks beforehand whether a page of another origin may ask; only one that was named gets here. */
async function preflight(c: Asked): Promise<void> {
  c.res = new Response(null, {
    status: 204,
    headers: {
      "access-control-allow-methods": "GET, POST, DELETE",
      "access-control-allow-headers": "authorization, content-type, idempotency-key, last-event-id",
      "access-control-max-age": "600",
    },
  });
}

/** A path of the contract: the methods that it takes, and whether some of it needs no token. */
type Path = { text: string; allowed: string[]; isOpen: boolean };

function pathsOf(routes: Readonly<Record<string, RouteSpec>>): Map<string, Path> {
  const paths = new Map<string, Path>();
  for (const [name, { kind, scope }] of Object.entries(routes)) {
    const [method = "", text = ""] = name.split(" ");
    const path = paths.get(text) ?? { text, allowed: [], isOpen: false };
    paths.set(text, path);
    path.allowed.push(method);
    // A reader of headers alone would leave a stream or a file open that nobody reads.
    if (method === "GET" && kind !== "stream" && kind !== "lines") path.allowed.push("HEAD");
    if (scope === "none") path.isOpen = true;
  }
  return paths;
}

/** A path of the contract as Hono writes it. */
function patternOf(path: string): string {
  return path.replaceAll(/\{(\w+)\}/g, ":$1");
}

type Needed = Pick<RouteSpec, "scope" | "nodes">;
const nobody: Needed = { scope: "none" };
const anybody: Needed = { scope: "read", nodes: true };

/** Throws request.unauthorized, request.forbidden, request.too_many. */
function authorize(
  { recognize, requests, failures }: Parts,
  c: Asked,
  needed: Needed,
  authorization: string | undefined = c.req.header("authorization"),
): Principal | undefined {
  const address = c.env.incoming?.socket?.remoteAddress ?? "";
  if (needed.scope === "none" || recognize === undefined) {
    take(requests, `address ${address}`);
    return undefined;
  }
  const principal = recognize(authorization);
  if (principal === undefined) {
    // Who has a token is not held up by others of the same address (a proxy's, say) who try in vain.
    take(failures, address);
    throw new StemmaError("request.unauthorized", "Expected a token: Authorization: Bearer <token>.");
  }
  take(requests, `token ${principal.name}`);
  if (mayUse(principal, needed)) return principal;
  throw new StemmaError(
    "request.forbidden",
    `Expected a token of scope ${needed.scope}; that of ${principal.name} is of scope ${principal.scope}.`,
    { data: { needed: needed.scope, scope: principal.scope } },
  );
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function take(buckets: Buckets, who: string): void {
  if (!buckets.take(who)) throw tooMany();
}

function tooMany(): StemmaError {
  return new StemmaError("request.too_many", "Expected fewer requests at a time. Wait a second, and ask again.");
}

function wrongMethod(method: string, { text, allowed }: Path): StemmaError {
  const expected = new Intl.ListFormat("en", { type: "disjunction" }).format(allowed);
  const message = `Expected ${expected} for ${text}, got ${method}.`;
  return new StemmaError("request.wrong_method", message, { data: { method, allowed } });
}

async function callOf<R extends RouteName>(
  { recognize, arrivalMs }: Parts,
  c: Asked,
  name: R,
  spec: RouteSpec,
  principal: Principal | undefined,
): Promise<Call<R>> {
  const once = onceOf(c);
  const body = spec.body === undefined ? undefined : ((await readBody(c.req.raw, name, arrivalMs)) ?? {});
  return {
    params: c.req.param(),
    query: checked(spec.query, queryOf(c.req.url), "query", name),
    body: checked(spec.body, body, "body", name),
    once,
    by: (given) => byOf(recognize === undefined ? undefined : principal, given),
    lastEventId: lastEventId(c.req.header("last-event-id")),
    signal: c.req.raw.signal,
    request: c.req.raw,
  } as Call<R>;
}

/** Two keys are none: nobody could say which of them makes it one request. Throws usage.invalid, name.invalid. */
function onceOf(c: Asked): Once {
  const key = c.req.header("idempotency-key");
  if (key === undefined) return {};
  if ((c.env.incoming?.headersDistinct?.["idempotency-key"]?.length ?? 1) !== 1)
    throw new StemmaError("usage.invalid", "Expected one Idempotency-Key, got several.");
  return { idempotencyKey: checkId(decodeHeader(key), "Idempotency-Key") };
}

/** What is given several times is a list; whether there may be one is said by the schema. */
function queryOf(url: string): Record<string, string | string[]> {
  const query = Object.create(null) as Record<string, string | string[]>;
  for (const [name, value] of new URL(url).searchParams) {
    const known = query[name];
    query[name] = known === undefined ? value : [known, value].flat();
  }
  return { ...query };
}

function lastEventId(given: string | undefined): number | undefined {
  if (given === undefined || given === "") return undefined;
  if (/^\d{1,15}$/.test(given)) return Number(given);
  throw new StemmaError("usage.invalid", "Expected Last-Event-ID to be the id of an event: a whole number.");
}

const issuesMax = 5;

/** Throws usage.invalid with where it does not fit. */
function checked(schema: RouteSpec["query"], given: unknown, part: string, route: string): unknown {
  if (schema === undefined) return undefined;
  const result = schema.safeParse(given, { reportInput: false });
  if (result.success) return result.data;
  const issues = (result.error as ZodError).issues.slice(0, issuesMax).map(({ path, message }) => ({
    path: [`$${part}`, ...path.map(String)].join(".").slice(1, 200),
    message: message.slice(0, 200),
  }));
  const found = issues.map(({ path, message }) => `${path}: ${message}`).join("; ");
  throw new StemmaError("usage.invalid", `${route}: ${found}.`, { data: { issues } });
}

function isStream(name: RouteName, followers: Followers): name is StreamRoute {
  return name in followers;
}

/** The compiler knows that each route has the handler of its own types, and not that a route picked here still has. */
function perform(handlers: Handlers, name: PlainRoute, call: unknown): Promise<unknown> {
  return (handlers[name] as (call: unknown) => Promise<unknown>)(call);
}

async function stream(parts: Parts, followers: Followers, name: StreamRoute, call: unknown): Promise<Response> {
  const { hub, counts: metrics, log, streamsMax, heartbeatMs } = parts;
  if (hub.stopped.signal.aborted) throw new StemmaError("server.stopping", "This server is stopping.");
  if (metrics.streams >= streamsMax) throw tooMany();
  metrics.streams += 1;
  try {
    const leave = await hub.join();
    try {
      const follower = await (followers[name] as (call: unknown) => ReturnType<Followers[StreamRoute]>)(call);
      return eventStream(follower, {
        heartbeatMs,
        stopped: hub.stopped.signal,
        left: () => {
          metrics.streams -= 1;
          leave();
        },
        failed: (error) => log.warn(`${name} broke off`, { error: String(error) }),
      });
    } catch (error) {
      leave();
      throw error;
    }
  } catch (error) {
    metrics.streams -= 1;
    throw error;
  }
}
