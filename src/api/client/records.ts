/** What a client asks about runs on record: proof, provenance, golden runs, files of families, and keeping house. */
import type { Duration } from "../../core/duration.ts";
import { StemmaError } from "../../core/error.ts";
import type { RunId } from "../../core/event.ts";
import type { ProvDocument } from "../../core/prov.ts";
import type { OpenFile } from "../../engine/export-file.ts";
import type { GoldenMark, GoldenOptions, GoldenQuery } from "../../engine/golden.ts";
import type { Imported, ImportOptions } from "../../engine/import.ts";
import type { PrunedRuns, PruneOptions } from "../../engine/prune.ts";
import type { By } from "../../engine/requests.ts";
import type { Verification, VerifyOptions } from "../../engine/verify.ts";
import type { Why, WhyOptions } from "../../engine/why.ts";
import type { PruneBody } from "../contract/routes.ts";
import type { Connection } from "./connection.ts";

export abstract class RemoteRecords {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Whether a run, its family, or everything (a token of scope `admin`) is what was written. As `Stemma.verify`; the work
   * is done by the server, which says nothing of its progress.
   */
  verify(id?: RunId, options: Omit<VerifyOptions, "onProgress"> = {}): Promise<Verification> {
    const { family, expect, signal } = options;
    if (expect !== undefined && (id === undefined || family === true)) {
      throw new StemmaError("usage.invalid", "Expected one run with `expect`: a hash is that of one history.");
    }
    if (id === undefined) return this.#connection.ask("GET /v1/verify", { signal });
    const query = { ...(family === undefined ? {} : { family }), ...expect };
    return this.#connection.ask("GET /v1/runs/{run}/verify", { params: { run: id }, query, signal });
  }

  /** Where a value comes from. As `Stemma.why`. */
  why(id: RunId, key?: string, options: WhyOptions = {}): Promise<Why> {
    const query = { ...options, ...(key === undefined ? {} : { key }) };
    return this.#connection.ask("GET /v1/runs/{run}/why", { params: { run: id }, query });
  }

  /** What happened, as a W3C PROV-JSON document. */
  prov(id: RunId, options: { family?: boolean } = {}): Promise<ProvDocument> {
    return this.#connection.ask("GET /v1/runs/{run}/prov", { params: { run: id }, query: options });
  }

  /** Marks a run as golden. As `Stemma.golden`. */
  golden(id: RunId, { tags, idempotencyKey, ...options }: GoldenOptions = {}): Promise<GoldenMark> {
    const body = { ...options, ...(tags === undefined ? {} : { tags: [...tags] }) };
    return this.#connection.ask("POST /v1/runs/{run}/golden", { params: { run: id }, body, idempotencyKey });
  }

  /** Un-marks golden runs: of a workflow, by a name, or of one run. Gives the marks that were there. */
  async ungolden(query: GoldenQuery, by: By = {}): Promise<GoldenMark[]> {
    return (await this.#connection.ask("POST /v1/ungolden", { body: { ...query, ...by } })).marks;
  }

  /** Which runs are golden, the one that was marked last first. */
  async goldens(query: GoldenQuery = {}): Promise<GoldenMark[]> {
    return (await this.#connection.ask("GET /v1/goldens", { query })).marks;
  }

  /** The family of a run as the texts of one file. As `Stemma.export`. Throws server.unreachable where it broke off. */
  async *export(id: RunId): AsyncGenerator<string> {
    const response = await this.#connection.open("GET /v1/runs/{run}/export", { params: { run: id } });
    let last = "";
    try {
      for await (const chunk of (response.body ?? new ReadableStream<Uint8Array>()).pipeThrough(
        new TextDecoderStream(),
      )) {
        last = (last + chunk).slice(-lastLineChars);
        yield chunk;
      }
    } catch (error) {
      throw brokenOff(this.#connection.url, error);
    }
    if (!last.includes('\n{"end":')) throw brokenOff(this.#connection.url);
  }

  /** Takes in a family that was exported. As `Stemma.import`; asks for a token of scope `admin`. */
  import(open: OpenFile, { takeOver, maxBytes }: ImportOptions = {}): Promise<Imported> {
    const query = takeOver === undefined ? {} : { takeOver };
    return this.#connection.send("POST /v1/import", { query }, bytesOf(open(), maxBytes ?? Infinity));
  }

  /** Removes runs that ended long enough ago. As `Stemma.prune`, without `compact`; asks for a token of scope `admin`. */
  prune({ olderThan, status, compact, ...options }: PruneOptions): Promise<PrunedRuns> {
    if (compact === true) {
      throw new StemmaError(
        "usage.invalid",
        "A server does not make its file smaller: it would stand still. Do it on the store itself.",
      );
    }
    const body = { ...options, olderThan: ago(olderThan), ...(status === undefined ? {} : { status: [...status] }) };
    // Which statuses there can be is said by the server.
    return this.#connection.ask("POST /v1/prune", { body: body as PruneBody });
  }
}

/** More than the last line of a file has. */
const lastLineChars = 1000;

function ago(olderThan: Duration | Date): Duration {
  return olderThan instanceof Date ? Math.max(0, Date.now() - olderThan.getTime()) : olderThan;
}

async function* bytesOf(texts: AsyncIterable<string | Uint8Array>, max: number): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  let bytes = 0;
  for await (const text of texts) {
    const chunk = typeof text === "string" ? encoder.encode(text) : text;
    bytes += chunk.byteLength;
    if (bytes > max) throw new StemmaError("import.refused", `It is larger than ${max} bytes. Nothing was written.`);
    yield chunk;
  }
}

function brokenOff(url: string, cause?: unknown): StemmaError {
  return new StemmaError("server.unreachable", `The file that ${url} gave broke off. Ask again.`, { cause });
}
