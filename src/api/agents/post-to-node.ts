/** One request of a server to a node: no redirects, a bounded answer, and no bound of its own on how long that may take. */
import { request as httpRequest } from "node:http";
import type { RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import { limits } from "../../core/limits.ts";

export type NodeAnswer = { status: number; text: string; instance: string | undefined };

/**
 * Each has a connection of its own: one that was kept may have been closed by the node just now, and then nobody knows
 * whether it has heard.
 *
 * @throws what Node throws where there is no answer, and the reason of the signal
 */
export function postToNode(
  url: string,
  { body, headers, signal }: { body: string; headers: Readonly<Record<string, string>>; signal: AbortSignal },
): Promise<NodeAnswer> {
  const more = { "content-length": String(Buffer.byteLength(body)), connection: "close" };
  const options: RequestOptions = { method: "POST", agent: false, signal, headers: { ...headers, ...more } };
  return new Promise((resolve, reject) => {
    const target = new URL(url);
    const request = target.protocol === "https:" ? httpsRequest(target, options) : httpRequest(target, options);
    request.on("error", reject);
    request.on("response", (response) => {
      const parts: Buffer[] = [];
      let bytes = 0;
      response.on("data", (part: Buffer) => {
        bytes += part.length;
        parts.push(part);
        const most = limits.nodeAnswerBytesMax;
        if (bytes > most) response.destroy(new Error(`it answered with more than ${most} bytes`));
      });
      response.on("error", reject);
      response.on("aborted", () => reject(new Error("its answer broke off")));
      response.on("end", () => {
        const instance = response.headers["x-stemma-instance"];
        const text = Buffer.concat(parts).toString("utf8");
        resolve({ status: response.statusCode ?? 0, text, instance: Array.isArray(instance) ? instance[0] : instance });
      });
    });
    request.end(body);
  });
}
