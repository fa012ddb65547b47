/** What stands in the tables of a store, past the store: to see that something wrote nothing, or only added. */
import { DatabaseSync } from "node:sqlite";
import { sql } from "./postgres/database.ts";

/** The tables that hold runs. What workers say of themselves, and where the feed has come to, is not about any run. */
const tables = ["runs", "events", "payloads", "payload_uses", "tags", "inbox", "emitted", "effects", "packs"];

/** Every row of the store at a place (see `place.ts`), as a text each. */
export async function rowsAt(place: string): Promise<Set<string>> {
  const [path = "", schema] = place.split("#");
  const rows = new Set<string>();
  const add = (table: string, found: readonly unknown[]): void => {
    for (const row of found) rows.add(`${table} ${JSON.stringify(row, asText)}`);
  };
  if (schema !== undefined) {
    for (const table of tables) add(table, await sql(path, `select * from ${schema}.${table}`));
    return rows;
  }
  const db = new DatabaseSync(path, { readOnly: true });
  for (const table of tables) {
    const all = db.prepare(`select * from ${table}`);
    all.setReadBigInts(true);
    add(table, all.all());
  }
  db.close();
  return rows;
}

function asText(_: string, value: unknown): unknown {
  if (typeof value === "bigint") return String(value);
  return value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value;
}
