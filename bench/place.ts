/**
 * Where a measured Stemma keeps its runs: a file in the fresh folder of a case, or a fresh schema of a PostgreSQL
 * database. Whatever is measured, durability is read back at the end.
 */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import pg from "pg";

import { postgres } from "../src/postgres.ts";
import type { PostgresStore } from "../src/postgres.ts";
import { sqlite } from "../src/sqlite.ts";
import type { SqliteStore } from "../src/sqlite.ts";
import { expectDurable } from "./connections.ts";

export type Database = { url: string; schema: string };

/** What every program is given: a folder, and if it is to be measured on PostgreSQL, a schema. */
export type Where = { folder: string; postgres?: Database };

/** A file by its path, or a schema. */
export type Place = string | Database;

export function placeOf({ folder, postgres: database }: Where): Place {
  return database ?? join(folder, "stemma.db");
}

export function storeAt(place: Place): SqliteStore | PostgresStore {
  return typeof place === "string" ? sqlite(place) : postgres(place);
}

/** Reads rows past the store. `text` is given the name of the table of runs. */
export async function readAt(place: Place, text: (runs: string) => string): Promise<Record<string, unknown>[]> {
  if (typeof place !== "string") return sql(place.url, text(`${place.schema}.runs`));
  using database = new DatabaseSync(place, { readOnly: true });
  return database.prepare(text("runs")).all();
}

/** Throws unless what is committed there survives a power cut. */
export async function expectDurableAt(place: Place): Promise<void> {
  if (typeof place === "string") expectDurable();
  else await expectDurableServer(place.url);
}

/** Throws unless the server syncs each commit of this user. */
export async function expectDurableServer(url: string): Promise<void> {
  const found = await sql(url, "select current_setting('fsync') || ' ' || current_setting('synchronous_commit') as is");
  if (found[0]?.["is"] !== "on on") {
    throw new Error(`Expected fsync and synchronous_commit to be on, found ${String(found[0]?.["is"])}.`);
  }
}

/** Runs statements on a connection of their own, and gives the rows of the last one. */
export async function sql(url: string, ...statements: string[]): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    let rows: Record<string, unknown>[] = [];
    for (const statement of statements) ({ rows } = await client.query<Record<string, unknown>>(statement));
    return rows;
  } finally {
    await client.end();
  }
}
