/** A place for runs that several stores can be opened at, in one process or in many: a text that can be handed on. */
import type { PostgresStore } from "../src/postgres.ts";
import { postgres } from "../src/postgres.ts";
import { sqlite } from "../src/sqlite.ts";
import type { SqliteStore } from "../src/sqlite.ts";

/** A schema of a database, as a place. */
export function schemaAt(url: string, schema: string): string {
  return `${url}#${schema}`;
}

/** Opens a store at a place: the path of a file, or what `schemaAt` gave. */
export function storeAt(place: string, options: { now?: () => number } = {}): SqliteStore | PostgresStore {
  const [url = "", schema] = place.split("#");
  return schema === undefined ? sqlite({ path: place, ...options }) : postgres({ url, schema, ...options });
}
