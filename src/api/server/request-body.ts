/** The body of a request: read up to a bound in size and in time, and then as strict as any JSON from outside. */
import { StemmaError } from "../../core/error.ts";
import type { Json } from "../../core/json.ts";
import { parse } from "../../core/json.ts";
import { limits } from "../../core/limits.ts";

/**
 * The JSON of the body; undefined where there is none.
 *
 * @throws request.wrong_type, request.too_slow, payload.too_large, json.invalid, json.too_deep
 */
export async function readBody(request: Request, what: string, withinMs: number): Promise<Json | undefined> {
  const length = request.headers.get("content-length");
  if (length !== null && Number(length) > limits.requestBytesMax) throw tooLarge(what);
  const bytes = await readBytes(request, what, withinMs);
  if (bytes.byteLength === 0) return undefined;
  checkType(request.headers, what);
  return parse(textOf(bytes, what), what, limits.requestBytesMax);
}

/** A body that is not said to be JSON may have been sent by a form of any page: it is refused, whatever is in it. */
function checkType(headers: Headers, what: string): void {
  const encoding = headers.get("content-encoding");
  const type = headers.get("content-type") ?? "";
  const fits = /^application\/json *(?:; *charset *= *"?utf-8"? *)?$/i.test(type);
  if (fits && (encoding === null || encoding.toLowerCase() === "identity")) return;
  throw new StemmaError(
    "request.wrong_type",
    `${what}: expected Content-Type application/json in UTF-8, and no Content-Encoding.`,
  );
}

async function readBytes(request: Request, what: string, withinMs: number): Promise<Uint8Array> {
  const reader = request.body?.getReader() as ReadableStreamDefaultReader<Uint8Array> | undefined;
  if (reader === undefined) return new Uint8Array(0);
  const chunks: Uint8Array[] = [];
  let size = 0;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const message = `${what}: expected the body within ${withinMs} ms.`;
    timer = setTimeout(() => reject(new StemmaError("request.too_slow", message)), withinMs);
  });
  try {
    for (;;) {
      const { done, value } = await Promise.race([reader.read(), late]);
      if (done) return joined(chunks, size);
      size += value.byteLength;
      if (size > limits.requestBytesMax) throw tooLarge(what);
      chunks.push(value);
    }
  } catch (error) {
    void reader.cancel().catch(() => {});
    if (error instanceof StemmaError) throw error;
    throw new StemmaError("json.invalid", `${what}: the body broke off.`);
  } finally {
    clearTimeout(timer);
  }
}

function joined(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const [only] = chunks;
  if (chunks.length === 1 && only !== undefined) return only;
  const all = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.byteLength;
  }
  return all;
}

function textOf(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new StemmaError("json.invalid", `${what}: expected JSON in UTF-8; these bytes are none.`);
  }
}

function tooLarge(what: string): StemmaError {
  const limit = limits.requestBytesMax;
  return new StemmaError("payload.too_large", `${what}: expected a body of at most ${limit} bytes.`, {
    data: { limit },
  });
}
