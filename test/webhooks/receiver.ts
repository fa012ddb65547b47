/** Who receives webhooks in tests: a real server that remembers what came, and counts connections. */
import { createServer } from "node:http";
import type { IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { until } from "../stage.ts";

export type Request = { path: string; headers: IncomingHttpHeaders; body: string; message: Message };
type Message = { type: string; timestamp: string; data: Record<string, unknown> };
export type Answer = { status: number; headers?: Record<string, string>; body?: string } | "none";

export type Receiver = AsyncDisposable & {
  readonly url: string;
  readonly port: number;
  readonly requests: Request[];
  /** Connections, whatever came of them. */
  connections: number;
  /** What the n-th request, from 1, is answered. Default: 200. */
  answer: (n: number, request: Request) => Answer;
  /** Until so many requests have come. */
  got(count: number): Promise<Request[]>;
};

export async function receiver({
  host = "127.0.0.1",
  port = 0,
}: { host?: string; port?: number } = {}): Promise<Receiver> {
  const requests: Request[] = [];
  const server = createServer((incoming, outgoing) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", () => {
      const body = Buffer.concat(chunks).toString();
      const message = (body.startsWith("{") ? JSON.parse(body) : {}) as Message;
      const request = { path: incoming.url ?? "", headers: incoming.headers, body, message };
      requests.push(request);
      const answer = self.answer(requests.length, request);
      if (answer === "none") return;
      outgoing.writeHead(answer.status, answer.headers ?? {}).end(answer.body ?? "thanks");
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  const { port: bound } = server.address() as AddressInfo;
  const self: Receiver = {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${bound}`,
    port: bound,
    requests,
    connections: 0,
    answer: () => ({ status: 200 }),
    async got(count) {
      await until(() => requests.length >= count);
      return requests;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  server.on("connection", () => void (self.connections += 1));
  return self;
}
