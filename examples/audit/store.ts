/**
 * Where the runs of the demonstration are kept: in a file, or in a schema of a PostgreSQL database, which may be that of
 * a server of its own. What is shown of a place never holds its password.
 */
import { randomBytes } from "node:crypto";
import { postgres } from "../../src/postgres.ts";
import type { PostgresStore } from "../../src/postgres.ts";
import { StemmaError } from "../../src/index.ts";
import { sqlite } from "../../src/sqlite.ts";
import type { SqliteStore } from "../../src/sqlite.ts";

/** What was asked for. */
export type StoreChoice = "sqlite" | "postgres" | { readonly url: string };

/** Where that is. */
export type StorePlace =
  | { readonly file: string }
  | {
      readonly url: string;
      readonly schema: string;
      /** Whether it is still there when the demonstration is over. */
      readonly lasts: boolean;
    };

/**
 * What `--store` says.
 *
 * @throws StemmaError `usage.invalid`
 */
export function storeChoice(text: string): StoreChoice {
  if (text === "sqlite" || text === "postgres") return text;
  const expected =
    "Expected --store to be sqlite, postgres, or a URL such as postgres://user:password@host:5432/database";
  // What is wrong with a URL is not shown: it may be its password.
  const got = /^[\w.-]{1,40}$/.test(text) ? JSON.stringify(text) : "something else";
  if (!/^postgres(?:ql)?:\/\//.test(text)) throw new StemmaError("usage.invalid", `${expected}, got ${got}.`);
  // Nothing is connected to yet: it throws for what cannot be a database.
  openStore(placeAt(text, true));
  return { url: text };
}

/** A schema that nobody has: an older run that nobody finished would be worked on with the new one. */
export function placeAt(url: string, lasts: boolean): StorePlace {
  return { url, schema: `stemma_audit_${randomBytes(4).toString("hex")}`, lasts };
}

export function openStore(place: StorePlace): SqliteStore | PostgresStore {
  return "file" in place ? sqlite(place.file) : postgres({ url: place.url, schema: place.schema });
}

/** How a worker is told of it. Every user of a machine sees the arguments of all processes, so a URL is none of them. */
export function toldToWorker(place: StorePlace): { args: readonly string[]; env: Readonly<Record<string, string>> } {
  if ("file" in place) return { args: ["--store", place.file], env: {} };
  return { args: ["--schema", place.schema], env: { STEMMA_STORE: place.url } };
}

/** What a worker was told; undefined if it was not. */
export function placeTold(store: string | undefined, schema: string | undefined): StorePlace | undefined {
  const url = process.env["STEMMA_STORE"];
  if (store !== undefined) return { file: store };
  return url === undefined || schema === undefined ? undefined : { url, schema, lasts: true };
}
