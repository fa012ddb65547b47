/** A node that does what a test says with each execution that it is given, and nothing by itself. */
import { createServer } from "node:http";
import type { IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";

export type Given = { path: string; headers: IncomingHttpHeaders; input: unknown; id: string };

export type RawNode = AsyncDisposable & {
  url: string;
  /** Executions that it was given, and ids of those that it was told to stop. */
  given: Given[];
  stopped: string[];
  /** Answers with this status from now on. */
  answer: { status: number; headers?: Record<string, string> };
};

export async function rawNode(answer: RawNode["answer"] = { status: 202 }): Promise<RawNode> {
  const server = createServer((request, response) => {
    let text = "";
    request.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    request.on("end", () => {
      const path = request.url ?? "";
      const [, stopped] = /executions\/(.+)\/cancel$/u.exec(path) ?? [];
      if (stopped !== undefined) node.stopped.push(stopped);
      if (path === "/health" || stopped !== undefined) return void response.end("{}");
      const { headers } = request;
      node.given.push({ path, headers, input: JSON.parse(text) as unknown, id: String(headers["x-execution-id"]) });
      response.writeHead(node.answer.status, node.answer.headers ?? {});
      return void response.end("{}");
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const node: RawNode = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    given: [],
    stopped: [],
    answer,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => void server.close(resolve));
    },
  };
  return node;
}
