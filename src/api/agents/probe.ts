/** Asks nodes over HTTP: bounded in time and in what they answer, and never led elsewhere by a redirect. */
import type { Registration } from "./node.ts";

/** `refused`: nothing listens there. `another`: a process that says that it is another one. */
export type Found = "there" | "refused" | "silent" | "another";
export type Probe = (registration: Registration) => Promise<Found>;

const probeMs = 2000;
const healthBytesMax = 65_536;

/** Whether the process of a registration is there: `GET {url}/health`. */
export const probe: Probe = async ({ url, instance }) => {
  try {
    const response = await fetch(`${url}/health`, { redirect: "manual", signal: AbortSignal.timeout(probeMs) });
    const text = await readText(response, healthBytesMax);
    if (!response.ok) return "silent";
    const said = instanceIn(text);
    return said === undefined || said === instance ? "there" : "another";
  } catch (error) {
    return isRefused(error) ? "refused" : "silent";
  }
};

function instanceIn(text: string): string | undefined {
  try {
    const { instance } = JSON.parse(text) as { instance?: unknown };
    return typeof instance === "string" ? instance : undefined;
  } catch {
    return undefined;
  }
}

/** The body as text, up to a bound; throws beyond it. */
export async function readText(response: Response, bytesMax: number): Promise<string> {
  const reader = response.body?.getReader() as ReadableStreamDefaultReader<Uint8Array> | undefined;
  if (reader === undefined) return "";
  const decoder = new TextDecoder();
  let [text, bytes] = ["", 0];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    bytes += value.byteLength;
    if (bytes > bytesMax) {
      void reader.cancel().catch(() => {});
      throw new Error(`it answered with more than ${bytesMax} bytes`);
    }
    text += decoder.decode(value, { stream: true });
  }
}

/** Whether nothing listens at the address: nobody can have been told anything. */
export function isRefused(error: unknown): boolean {
  for (let at: unknown = error, depth = 0; depth < 5 && typeof at === "object" && at !== null; depth += 1) {
    const { code, cause, errors } = at as { code?: unknown; cause?: unknown; errors?: unknown[] };
    if (code === "ECONNREFUSED" || code === "ENOTFOUND") return true;
    at = cause ?? errors?.[0];
  }
  return false;
}
