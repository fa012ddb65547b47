/** A service that takes its time and charges once for each key; it keeps books of every request. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export type Books = {
  /** What was charged for, by key. */
  charged: Map<string, string>;
  /** How often each key was asked for. */
  requests: Map<string, number>;
  /** Keys of requests that have no answer yet. */
  open: Set<string>;
};

export async function paidService(): Promise<Books & AsyncDisposable & { url: string }> {
  const books: Books = { charged: new Map(), requests: new Map(), open: new Set() };
  const server = createServer((request, response) => {
    let text = "";
    request.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    request.on("end", () => {
      const key = String(request.headers["idempotency-key"]);
      const { what } = JSON.parse(text) as { what: string };
      books.requests.set(key, (books.requests.get(key) ?? 0) + 1);
      books.open.add(key);
      setTimeout(() => {
        books.open.delete(key);
        books.charged.set(key, what);
        response.setHeader("content-type", "application/json");
        response.end(JSON.stringify({ receipt: `paid for ${what}` }));
      }, 150);
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return {
    ...books,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => void server.close(resolve));
    },
  };
}
