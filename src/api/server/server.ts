/** A server for a Stemma: a handler to put into a server of one's own, or one that listens by itself. */
import { readFileSync } from "node:fs";
import type { AgentfieldOptions } from "../agentfield/wire.ts";
import { agentfieldOf } from "../agentfield/agentfield.ts";
import type { Agents } from "../agents/agents.ts";
import { liveAgents } from "../agents/live-agents.ts";
import type { Log } from "../../engine/body.ts";
import { limits } from "../../core/limits.ts";
import { StemmaError } from "../../core/error.ts";
import { defaultLog } from "../../engine/log.ts";
import type { Stemma } from "../../engine/stemma.ts";
import { openapi } from "../contract/openapi.ts";
import { appOf } from "./app.ts";
import { Hub } from "./hub.ts";
import type { Listening } from "./listen.ts";
import { listen } from "./listen.ts";
import { Metrics } from "./metrics.ts";
import type { Place } from "./origin.ts";
import { isLoopback } from "./origin.ts";
import type { WebhookOptions, WebhookSeams } from "../webhooks/webhooks.ts";
import { Webhooks } from "../webhooks/webhooks.ts";
import type { Token } from "./principal.ts";
import { recognizer } from "./principal.ts";
import type { Rate } from "./rate.ts";
import { Buckets } from "./rate.ts";

export type ServerOptions = {
  /** One token that may do everything, at least 16 characters: `openssl rand -hex 32` makes one. */
  token?: string;
  /** Tokens with names and scopes. Without any, whoever reaches the server may do everything. */
  tokens?: readonly Token[];
  /** Default 4747; 0 for any that is free. */
  port?: number;
  /** Address to listen on. Default "127.0.0.1": this machine alone. Any other needs a token. */
  host?: string;
  /** Names in `Host` under which it is reached besides those of this machine: "flows.example". Default none. */
  hosts?: readonly string[];
  /** Origins of pages of others that may ask: "https://ui.example". Default none. */
  origins?: readonly string[];
  /** How often one token (or address, without tokens) may ask. Default 1000 a second, 2000 at once. */
  rate?: Rate;
  /** Streams of events that may be open at a time. Default 2000. */
  streams?: number;
  /** Milliseconds without an event after which a stream sends a comment. Default 15,000. */
  heartbeatMs?: number;
  /** How webhooks are sent, from the first request on, or once it listens; false: not by this server. */
  webhooks?: WebhookOptions | false;
  /**
   * Whether functions of remote nodes are carried out: nodes register with it, and it gives them their work. It takes a
   * Stemma that was started. Default true.
   */
  agents?: boolean;
  /**
   * Whether agents written with AgentField's SDK find here what they need of its control plane: the part of its API that is
   * listed in the guide on agents, below `/api`. It takes `agents`. Default true.
   */
  agentfield?: boolean | AgentfieldOptions;
  /** Default: warnings and errors to standard error. */
  log?: Log;
};

export type StemmaServer = {
  /** Nodes and their executions; nothing where they are switched off. */
  readonly agents: Agents | undefined;
  /** Answers a request: for a server of one's own, such as `Bun.serve` or a route of Next. */
  readonly fetch: (request: Request, env?: unknown) => Response | Promise<Response>;
  /**
   * Listens, and gives the address once it does.
   *
   * @throws usage.invalid for an address beyond this machine without a token
   */
  listen(): Promise<Listening>;
  /** Ends all streams. What listens does it by itself when it is closed. */
  close(): Promise<void>;
};

/** What a test can put in the place of a limit. */
type Seams = { arrivalMs: number; webhooks: Partial<WebhookSeams> };

const portDefault = 4747;

/** A wrong token may be a slip; many are a search. */
const failedRate: Rate = { perSecond: 2, burst: 20 };

/**
 * The engine over HTTP: every route of docs/openapi.json. The Stemma stays the caller's: closing the server does not
 * stop it.
 *
 * @throws usage.invalid, name.invalid for options that make no sense
 * @example
 * await using listening = await server(stemma, { port: 4747 }).listen();
 * console.log(listening.url); // http://127.0.0.1:4747
 * @example
 * export default { fetch: server(stemma, { token: process.env.TOKEN, hosts: ["flows.example"] }).fetch };
 */
export function server(stemma: Stemma, options: ServerOptions = {}, seams: Partial<Seams> = {}): StemmaServer {
  const { token, tokens = [], host = "127.0.0.1", port = portDefault, hosts = [], origins = [] } = options;
  const { rate = { perSecond: 1000, burst: 2000 }, streams = limits.streamsMax, log = defaultLog } = options;
  const all: Token[] = [...tokens, ...(token === undefined ? [] : [{ name: "token", token, scope: "admin" as const }])];
  const recognize = all.length === 0 ? undefined : recognizer(all);
  const hub = new Hub(stemma.store, log);
  const webhooks =
    options.webhooks === false ? undefined : new Webhooks(stemma.store, log, options.webhooks, seams.webhooks);
  const counts = new Metrics();
  const place: Place = { open: false };
  const agents = options.agents === false ? undefined : liveAgents({ stemma, hub, log });
  const { agentfield = true } = options;
  const wire =
    agents === undefined || agentfield === false
      ? undefined
      : agentfieldOf(
          { stemma, agents, webhooks, log, stopped: hub.stopped.signal },
          agentfield === true ? {} : agentfield,
        );
  let document: object | undefined;
  const app = appOf({
    stemma,
    hub,
    webhooks,
    agents,
    agentfield: wire,
    log,
    counts,
    place,
    recognize,
    openapi: () => (document ??= openapi(packageVersion())),
    metrics: () => counts.text(hub.head),
    names: { hosts, origins: origins.map(checkedOrigin) },
    requests: new Buckets(rate),
    failures: new Buckets(failedRate),
    streamsMax: streams,
    heartbeatMs: options.heartbeatMs ?? 15_000,
    arrivalMs: seams.arrivalMs ?? limits.requestArrivalMsMax,
  });
  const fetch = (request: Request, env?: unknown): Response | Promise<Response> => {
    webhooks?.start();
    return app.fetch(request, env ?? {});
  };
  const stop = async (): Promise<void> => {
    await agents?.stop();
    await Promise.all([hub.stop(), webhooks?.stop()]);
  };
  return {
    agents,
    fetch,
    close: stop,
    async listen() {
      const open = !isLoopback(host);
      if (open && recognize === undefined) {
        throw new StemmaError(
          "usage.invalid",
          `Expected a token to listen on ${host}, which others reach too: whoever reaches it could do everything. Give { token }, or listen on 127.0.0.1.`,
        );
      }
      place.open = open;
      const listening = await listen({ fetch, host, port, stopping: stop });
      webhooks?.start();
      // What nodes have in hand is looked after from now on, also if nobody asks.
      await agents?.start().catch((error: unknown) => {
        log.warn("Nodes cannot be looked after yet; it is tried again when one says something", {
          error: String(error),
        });
      });
      place.port = listening.port;
      return listening;
    },
  };
}

function checkedOrigin(origin: string): string {
  if (URL.canParse(origin) && new URL(origin).origin === origin) return origin;
  throw new StemmaError(
    "usage.invalid",
    `Expected an origin such as "https://ui.example" (no path, no "*"), got ${JSON.stringify(origin)}.`,
  );
}

function packageVersion(): string {
  const file = new URL("../../../package.json", import.meta.url);
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}
