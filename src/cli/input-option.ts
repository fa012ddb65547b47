/** `--input`, `--value`, `--record`: JSON on the command line, `@file`, or `-` for standard input. */
import { createReadStream } from "node:fs";
import type { Readable } from "node:stream";
import { StemmaError } from "../core/error.ts";
import type { Json } from "../core/json.ts";
import { parse } from "../core/json.ts";
import { limits } from "../core/limits.ts";

/**
 * The value that the option stands for; `undefined` where it is left out.
 *
 * @param name of the option, for messages
 * @throws StemmaError `json.invalid`, `json.too_deep`, `payload.too_large`; `usage.invalid` for a file that cannot be read
 */
export async function readInput(option: string | undefined, name: string = "--input"): Promise<Json | undefined> {
  if (option === undefined) return undefined;
  if (option === "-") return parse(await textOf(process.stdin, "standard input"), "standard input");
  if (!option.startsWith("@")) return parse(option, name);
  const file = option.slice(1);
  return parse(await textOf(createReadStream(file), file), file);
}

/** The text of a stream, of which no more is read than an input may have: the rest is refused with it. */
async function textOf(stream: Readable, what: string): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > limits.payloadBytesMax) break;
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new StemmaError(
      "usage.invalid",
      `Expected a file with JSON, ${what} cannot be read (${code ?? String(error)}).`,
      {
        data: { file: what },
        cause: error,
      },
    );
  }
  if (bytes > limits.payloadBytesMax) {
    const message = `${what}: expected at most ${limits.payloadBytesMax} bytes of JSON, found more. Keep the data elsewhere and give a reference to it.`;
    throw new StemmaError("payload.too_large", message, { data: { limit: limits.payloadBytesMax } });
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks));
  } catch (error) {
    throw new StemmaError("json.invalid", `${what}: expected JSON in UTF-8, found bytes that are no UTF-8.`, {
      cause: error,
    });
  }
}
