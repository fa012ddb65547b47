/** The app on a port, with the bounds that only the server of Node can set, and an end that loses no answer. */
import { STATUS_CODES, createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { RequestError, getRequestListener } from "@hono/node-server";
import { StemmaError } from "../../core/error.ts";
import { limits } from "../../core/limits.ts";
import { problemOf, problemResponse } from "./problem.ts";

export type Listening = AsyncDisposable & {
  /** `http://127.0.0.1:4747` */
  readonly url: string;
  readonly port: number;
  /** Takes no new requests, ends streams, and lets what is under way be answered for `timeoutMs` (default 10,000). */
  close(options?: { timeoutMs?: number }): Promise<void>;
};

export type ListenOptions = {
  fetch: (request: Request, env?: unknown) => Response | Promise<Response>;
  host: string;
  port: number;
  /** Called when it begins to close: streams have to end, or nobody would ever be done. */
  stopping: () => Promise<void>;
};

const drainMs = 10_000;

/** Throws usage.invalid when the port is taken or not to be had. */
export async function listen({ fetch, host, port, stopping }: ListenOptions): Promise<Listening> {
  // This is a part of somebody's program: what its globals are is not ours to say.
  const listener = getRequestListener(fetch, {
    hostname: host,
    overrideGlobalObjects: false,
    errorHandler: unreadable,
  });
  const bounds = {
    maxHeaderSize: limits.requestHeaderBytesMax,
    headersTimeout: limits.requestArrivalMsMax,
    requestTimeout: limits.requestArrivalMsMax * 2,
    connectionsCheckingInterval: 1000,
    // One that has none is refused by the app, which says why.
    requireHostHeader: false,
  };
  const server = createServer(bounds, (incoming, outgoing) => void listener(incoming, outgoing));
  answerUnparsed(server);
  const unused = unusedOf(server);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const why = error.code === "EADDRINUSE" ? "is taken" : `cannot be listened on (${error.code ?? error.message})`;
      const advice = "Give another port, or 0 for any that is free.";
      reject(new StemmaError("usage.invalid", `Port ${port} of ${host} ${why}. ${advice}`, { cause: error }));
    });
    server.listen(port, host, resolve);
  });
  const { port: bound } = server.address() as AddressInfo;
  let closing: Promise<void> | undefined;
  const close = ({ timeoutMs = drainMs }: { timeoutMs?: number } = {}): Promise<void> =>
    (closing ??= drain(server, unused, stopping, timeoutMs));
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${bound}`,
    port: bound,
    close,
    [Symbol.asyncDispose]: () => close(),
  };
}

/** What is no request at all, such as one with a Host that is no name, gets no further than this. */
function unreadable(error: unknown): Response {
  const isTheirs = error instanceof RequestError;
  return problemResponse(
    problemOf(isTheirs ? new StemmaError("usage.invalid", "Expected a request with a Host and a path.") : error),
  );
}

/** What cannot even be read as HTTP is answered like everything else, unless something else is being answered there. */
function answerUnparsed(server: Server): void {
  const answering = new WeakMap<Duplex, ServerResponse>();
  server.on("request", (incoming: IncomingMessage, outgoing: ServerResponse) => {
    answering.set(incoming.socket, outgoing);
    outgoing.once("close", () => answering.delete(incoming.socket));
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Duplex) => {
    if (!socket.writable || error.code === "ECONNRESET" || answering.get(socket)?.headersSent === true) {
      socket.destroy();
      return;
    }
    const problem = problemOf(unparsed(error.code));
    const body = JSON.stringify(problem);
    const head = [
      `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? ""}`,
      "Content-Type: application/problem+json",
      `Content-Length: ${Buffer.byteLength(body)}`,
      "Cache-Control: no-store",
      "X-Content-Type-Options: nosniff",
      "Connection: close",
    ];
    socket.end(`${head.join("\r\n")}\r\n\r\n${body}`, () => socket.destroy());
  });
}

function unparsed(code: string | undefined): StemmaError {
  if (code === "HPE_HEADER_OVERFLOW") {
    const limit = limits.requestHeaderBytesMax;
    return new StemmaError("request.headers_too_large", `Expected headers of at most ${limit} bytes.`, {
      data: { limit },
    });
  }
  if (code === "ERR_HTTP_REQUEST_TIMEOUT")
    return new StemmaError("request.too_slow", "Expected the whole request sooner. Send it again, without pauses.");
  return new StemmaError("usage.invalid", "Expected a request of HTTP/1.1.");
}

/** Connections on which nothing was asked yet: Node holds them for busy, and would wait for them. */
function unusedOf(server: Server): ReadonlySet<Socket> {
  const unused = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    unused.add(socket);
    socket.once("close", () => unused.delete(socket));
  });
  server.on("request", ({ socket }: { socket: Socket }) => unused.delete(socket));
  return unused;
}

async function drain(
  server: Server,
  unused: ReadonlySet<Socket>,
  stopping: () => Promise<void>,
  timeoutMs: number,
): Promise<void> {
  const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
  await stopping();
  const closeIdle = (): void => {
    for (const socket of unused) socket.destroy();
    server.closeIdleConnections();
  };
  closeIdle();
  // A connection that is kept open for the next request would be waited for in vain.
  const idle = setInterval(closeIdle, 50);
  const late = setTimeout(() => server.closeAllConnections(), timeoutMs);
  await closed;
  clearInterval(idle);
  clearTimeout(late);
}
