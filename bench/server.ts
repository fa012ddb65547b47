/**
 * The PostgreSQL server of a run of the bench: the one of STEMMA_BENCH_POSTGRES or STEMMA_TEST_POSTGRES, else one that is
 * started when the first case asks for it, with its data on the disk of the bench's folder, and is gone at the end. What
 * is made in it are schemas, which are dropped when they have been measured.
 */
import { randomBytes } from "node:crypto";

import type { Running } from "../test/postgres/server.ts";
import { startPostgres } from "../test/postgres/server.ts";
import { expectOnDisk } from "./disk.ts";
import type { Database } from "./place.ts";
import { expectDurableServer, sql } from "./place.ts";

export class BenchServer implements AsyncDisposable {
  readonly #folder: string;
  readonly #schemas = new Set<string>();
  #url: Promise<string> | undefined;
  #running: Running | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** A schema that nobody has used. What was written before is on the disk, so that nobody pays for others. */
  async fresh(): Promise<Database> {
    this.#url ??= this.#start();
    const url = await this.#url;
    const schema = `bench_${randomBytes(6).toString("hex")}`;
    this.#schemas.add(schema);
    await sql(url, "checkpoint").catch(ignoreRefusal);
    return { url, schema };
  }

  async drop({ url, schema }: Database): Promise<void> {
    await sql(url, "set client_min_messages = warning", `drop schema if exists ${schema} cascade`);
    this.#schemas.delete(schema);
  }

  /** Its version; undefined if nothing was measured on it. */
  async version(): Promise<string | undefined> {
    if (this.#url === undefined) return undefined;
    const [row] = await sql(await this.#url, "select current_setting('server_version') as version");
    return String(row?.["version"]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const url = await this.#url?.catch(() => undefined);
    if (url === undefined) return;
    for (const schema of this.#schemas) await this.drop({ url, schema });
    await this.#running?.stop();
  }

  async #start(): Promise<string> {
    const own = process.env["STEMMA_BENCH_POSTGRES"] ?? process.env["STEMMA_TEST_POSTGRES"];
    if (own === undefined) {
      this.#running = await startPostgres({ parent: this.#folder });
      expectOnDisk(this.#running.folder);
    }
    const url = own ?? this.#running?.url ?? "";
    await expectDurableServer(url);
    return url;
  }
}

/** Not every user may ask for a checkpoint. */
function ignoreRefusal(error: unknown): void {
  if ((error as { code?: unknown }).code !== "42501") throw error;
}
