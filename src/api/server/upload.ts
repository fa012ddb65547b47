/**
 * A file that comes as the body of a request. It is put on the disk, bounded, because whoever takes it in reads it more
 * than once and believes nothing of it before it is whole.
 */
import { createReadStream, createWriteStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable, Transform } from "node:stream";
import type { ReadableStream as NodeStream } from "node:stream/web";
import { pipeline } from "node:stream/promises";
import { StemmaError } from "../../core/error.ts";
import { limits } from "../../core/limits.ts";

export const linesType = "application/x-ndjson";

/** So many files are on the disk at a time; each may be large. */
const atOnceMax = 2;

export class Uploads {
  #open = 0;

  /** Throws request.too_many. */
  begin(): () => void {
    if (this.#open >= atOnceMax) {
      throw new StemmaError(
        "request.too_many",
        "Expected fewer files at a time. Wait until one is taken in, and ask again.",
      );
    }
    this.#open += 1;
    return () => {
      this.#open -= 1;
    };
  }
}

export type Received = AsyncDisposable & { open: () => AsyncIterable<Uint8Array> };

/** Throws request.wrong_type, request.too_many, payload.too_large; json.invalid where it broke off. */
export async function receive(request: Request, uploads: Uploads): Promise<Received> {
  const { headers, body } = request;
  const encoding = headers.get("content-encoding") ?? "identity";
  // A form of any page can send text: what is not said to be this is refused, whatever is in it.
  if (
    !/^application\/x-ndjson *(?:; *charset *= *"?utf-8"? *)?$/i.test(headers.get("content-type") ?? "") ||
    encoding !== "identity"
  ) {
    throw new StemmaError("request.wrong_type", `Expected Content-Type ${linesType}, and no Content-Encoding.`);
  }
  const max = limits.importRequestBytesMax;
  if (Number(headers.get("content-length") ?? 0) > max) throw tooLarge(max);
  const done = uploads.begin();
  const folder = await mkdtemp(join(tmpdir(), "stemma-import-"));
  const path = join(folder, "family");
  const drop = async (): Promise<void> => {
    done();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const from = body === null ? Readable.from([]) : Readable.fromWeb(body as NodeStream<Uint8Array>);
    await pipeline(from, bounded(max), createWriteStream(path, { flags: "wx", mode: 0o600 }));
  } catch (error) {
    await drop();
    if (error instanceof StemmaError) throw error;
    if ((error as NodeJS.ErrnoException).code === "ENOSPC")
      throw new StemmaError("store.full", "There is no room for the file.", { cause: error });
    throw new StemmaError("json.invalid", "The body broke off.", { cause: error });
  }
  return { open: () => createReadStream(path), [Symbol.asyncDispose]: drop };
}

function bounded(max: number): Transform {
  let bytes = 0;
  return new Transform({
    transform(chunk: Uint8Array, _, next) {
      bytes += chunk.byteLength;
      if (bytes > max) next(tooLarge(max));
      else next(null, chunk);
    },
  });
}

function tooLarge(limit: number): StemmaError {
  return new StemmaError(
    "payload.too_large",
    `Expected a file of at most ${limit} bytes. A larger one is taken in on the store itself: stemma import --store.`,
    { data: { limit } },
  );
}
