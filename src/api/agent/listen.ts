/** What a node listens for: executions that it is given, that one is not wanted any more, and whether it is there. */
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { StemmaError, errorCodes, isStemmaError } from "../../core/error.ts";
import type { Json } from "../../core/json.ts";
import { parse } from "../../core/json.ts";
import { limits } from "../../core/limits.ts";
import type { Work } from "./work.ts";

export type ListeningNode = { url: string; port: number; close(): Promise<void> };

export async function listenFor(
  work: Work,
  { port = 0, host = "127.0.0.1" }: { port?: number; host?: string },
): Promise<ListeningNode> {
  const server = createServer({ maxHeaderSize: limits.requestHeaderBytesMax }, (request, response) => {
    void answer(work, request, response);
  });
  server.requestTimeout = limits.requestArrivalMsMax;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve();
    });
  });
  const { port: found } = server.address() as AddressInfo;
  return {
    port: found,
    url: `http://${host.includes(":") ? `[${host}]` : host}:${found}`,
    async close() {
      const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

async function answer(work: Work, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { instance, nodeId, version } = work.node;
  const say = (status: number, body: object): void => {
    response.writeHead(status, { "content-type": "application/json", "x-stemma-instance": instance });
    response.end(JSON.stringify(body));
  };
  try {
    const { method = "", url = "" } = request;
    if (method === "GET" && url === "/health") {
      return say(200, { status: "running", node_id: nodeId, version, instance });
    }
    const [, cancelled] = /^\/_internal\/executions\/([^/?]{1,2000})\/cancel$/.exec(url) ?? [];
    if (method === "POST" && cancelled !== undefined) {
      await readJson(request);
      const id = decodeURIComponent(cancelled);
      return say(200, { cancelled: work.cancel(id), execution_id: id });
    }
    const [, name] = /^\/(?:reasoners|skills)\/([^/?]{1,2000})$/.exec(url) ?? [];
    if (method === "POST" && name !== undefined) return await take(work, decodeURIComponent(name), request, say);
    say(404, { error: "There is nothing here: this is a node of a Stemma server." });
  } catch (error) {
    const status = isStemmaError(error) ? errorCodes[error.code].status : 400;
    if (!response.headersSent) say(status, { error: error instanceof Error ? error.message : String(error) });
  }
}

async function take(
  work: Work,
  name: string,
  request: IncomingMessage,
  say: (status: number, body: object) => void,
): Promise<void> {
  const input = await readJson(request);
  const [id, run, dispatch, idempotencyKey] = [
    "x-execution-id",
    "x-run-id",
    "x-stemma-dispatch",
    "x-stemma-idempotency-key",
  ].map((header) => request.headers[header]);
  if (typeof id !== "string" || typeof run !== "string") {
    return say(400, {
      error: "Expected X-Execution-ID and X-Run-ID: functions of this node are called through its server.",
    });
  }
  const parcel = {
    id,
    run,
    input,
    dispatch: typeof dispatch === "string" ? dispatch : `${id}.1`,
    idempotencyKey: typeof idempotencyKey === "string" ? idempotencyKey : id,
  };
  const taken = work.take(name, parcel);
  if (taken === "unknown") return say(404, { error: `There is no function ${JSON.stringify(name)} on this node.` });
  if (taken === "busy") return say(503, { error: "There is no room for it now." });
  say(202, { status: "processing", execution_id: id });
}

/** Throws request.wrong_type, payload.too_large, json.invalid. */
async function readJson(request: IncomingMessage): Promise<Json> {
  // A page of somebody else's can send anything else without asking.
  if (!/^application\/json\b/i.test(request.headers["content-type"] ?? "")) {
    throw new StemmaError("request.wrong_type", "Expected Content-Type application/json.");
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength;
    if (bytes > limits.requestBytesMax) {
      throw new StemmaError("payload.too_large", `Expected a body of at most ${limits.requestBytesMax} bytes.`);
    }
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString("utf8");
  return parse(text === "" ? "null" : text, "body", limits.requestBytesMax);
}
