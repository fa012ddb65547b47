/**
 * A paid classification service, as one meets them: it takes its time, it is sometimes busy (429) or broken (500), it
 * charges for every answer, and it knows idempotency keys. A real HTTP server in a process of its own:
 *
 *     node examples/audit/paid-service.ts --database ledger.db
 *
 * It also publishes reports, under idempotency keys too. It prints one line, `{"url":"http://127.0.0.1:…"}`, when it is
 * ready, and ends cleanly on SIGTERM.
 * Which requests fail, and how long each takes, is decided by a hash of the key: the same run meets the same trouble.
 */
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { z } from "zod";
import { classify } from "./classify.ts";
import { Ledger } from "./ledger.ts";

const bodyBytesMax = 1024 * 1024;
/** How much of a body that is too long is read and thrown away, so that its sender gets to see the answer. */
const discardedBytesMax = 16 * 1024 * 1024;
const keyCharsMax = 255;
const latencyMs = { min: 15, max: 60 };
/** Shares of keys whose first request is refused. */
const busyShare = 0.04;
const brokenShare = 0.03;
const retryAfterSeconds = 1;

const report = z.strictObject({ title: z.string().min(1) });

const subject = z.strictObject({
  name: z.string().min(1),
  version: z.string(),
  prompt: z.string().optional(),
  licenceField: z.string().nullable(),
  licenceText: z.string(),
  readme: z.string(),
});

/** What a key is in for: how long its requests take, and what becomes of the first one. */
export function fateOf(key: string): { latency: number; first: 200 | 429 | 500 } {
  const hash = createHash("sha256").update(key).digest();
  const share = hash.readUInt32BE(0) / 2 ** 32;
  const latency = latencyMs.min + Math.round((hash.readUInt32BE(4) / 2 ** 32) * (latencyMs.max - latencyMs.min));
  return { latency, first: share < busyShare ? 429 : share < busyShare + brokenShare ? 500 : 200 };
}

/** The service as a server that is not yet listening. Its books stay open until the caller closes them. */
export function paidService(ledger: Ledger): Server {
  const server = createServer((request, response) => {
    // While the service stops, no connection is kept open for a next request.
    response.once("finish", () => {
      if (!server.listening) request.socket.end();
    });
    answer(ledger, request, response).catch((error: unknown) => {
      // A client that dies while it sends is not our fault; its request stays in the books without an outcome.
      if (!request.complete) return;
      console.error(error);
      if (response.headersSent) response.destroy();
      else reply(response, 500, { error: "the service has a fault; its log says which" });
    });
  });
  return server;
}

async function answer(ledger: Ledger, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname } = new URL(request.url ?? "/", "http://localhost");
  if (pathname === "/ledger" && request.method === "GET") return reply(response, 200, ledger.figures());
  if (pathname === "/classify" && request.method === "POST") return classification(ledger, request, response);
  if (pathname === "/publish" && request.method === "POST") return publication(ledger, request, response);
  if (pathname === "/publish" && request.method === "GET") {
    const published = ledger.published(keyOf(request) ?? "");
    return published ? reply(response, 200, published) : reply(response, 404, { error: "nothing has this key" });
  }
  return reply(response, 404, {
    error: `there is no ${request.method} ${pathname}; try POST /classify, POST /publish or GET /ledger`,
  });
}

function keyOf(request: IncomingMessage): string | null {
  const key = request.headers["idempotency-key"];
  return typeof key === "string" && key !== "" && key.length <= keyCharsMax ? key : null;
}

/** Publishing takes its time and never fails; whoever loses its answer may ask what became of it. */
async function publication(ledger: Ledger, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const key = keyOf(request);
  const parsed = report.safeParse(parseJson((await readBody(request)) ?? ""));
  if (key === null || !parsed.success) {
    return reply(response, 400, { error: "expected the header Idempotency-Key, and a title as JSON" });
  }
  ledger.publishRequest(key);
  const published = ledger.publish(key, parsed.data.title);
  await sleep(fateOf(key).latency);
  reply(response, 200, published);
}

async function classification(ledger: Ledger, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const known = keyOf(request);
  const number = ledger.request(known);
  const refuse = (status: number, error: string, headers: Record<string, string> = {}): void => {
    ledger.refuse(number, status);
    reply(response, status, { error }, headers);
  };

  const body = await readBody(request);
  if (body === undefined) return refuse(413, `expected a body of at most ${bodyBytesMax} bytes`);
  if (known === null) return refuse(400, `expected the header Idempotency-Key with 1 to ${keyCharsMax} characters`);
  const parsed = subject.safeParse(parseJson(body));
  if (!parsed.success) return refuse(400, `expected a package as JSON: ${z.prettifyError(parsed.error)}`);

  const fate = fateOf(known);
  await sleep(fate.latency);
  if (fate.first !== 200 && ledger.isFirst(number, known)) {
    return fate.first === 429
      ? refuse(429, "too many requests, try again later", { "retry-after": String(retryAfterSeconds) })
      : refuse(500, "an internal error, as they happen");
  }

  const sale = ledger.sell(number, known, body, () => JSON.stringify(classify(parsed.data)));
  if (sale.status === 422) return reply(response, 422, { error: "this Idempotency-Key was used with another body" });
  response.writeHead(200, { "content-type": "application/json", "idempotent-replayed": String(sale.repeated) });
  response.end(sale.answer);
}

/** The whole body as text, or undefined if it is too long. */
async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > discardedBytesMax) break;
    if (length <= bodyBytesMax) chunks.push(chunk);
  }
  return length > bodyBytesMax ? undefined : Buffer.concat(chunks).toString("utf8");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function reply(response: ServerResponse, status: number, value: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify(value));
}

function main(): void {
  const { values } = parseArgs({ options: { database: { type: "string" }, port: { type: "string", default: "0" } } });
  if (values.database === undefined) throw new Error("expected --database FILE: where the ledger is kept");
  const ledger = new Ledger(values.database);
  const server = paidService(ledger);
  server.listen({ host: "127.0.0.1", port: Number(values.port) }, () => {
    const address = server.address();
    if (typeof address !== "object" || address === null) throw new Error("expected a port to listen on");
    console.log(JSON.stringify({ url: `http://127.0.0.1:${address.port}` }));
  });
  const stop = (): void => {
    server.close(() => ledger.close());
    server.closeIdleConnections();
  };
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
  // Whoever started this process with a channel is gone: nobody else would ever stop it.
  process.once("disconnect", stop);
  process.channel?.unref();
}

if (import.meta.main) main();
