/**
 * The rows that a run leaves behind in PostgreSQL, as texts, with the types of their columns. They are read from a schema
 * in which Stemma ran the workflow once; its tables are then emptied, and the floor writes into them.
 */
import { sql } from "./place.ts";
import type { Database } from "./place.ts";
import { open, shortSteps, work } from "./work.ts";

export type Text = string | null;
export type TextRow = Record<string, Text>;
export type Column = { name: string; type: string };
export type Table = { columns: readonly Column[]; rows: readonly TextRow[] };
export type PostgresTemplate = { runs: Table; events: Table; feed: Table };

const tables = ["runs", "events", "feed"] as const;

/** Runs the short workflow once, reads what it left, and leaves the tables empty. */
export async function postgresTemplate(database: Database): Promise<PostgresTemplate> {
  {
    await using engine = await open(database);
    await engine.start();
    const run = await engine.stemma.run(work, { steps: shortSteps });
    await run.result();
  }
  const { url, schema } = database;
  const [runs, events, feed] = await Promise.all([
    tableOf(database, "runs", "id"),
    tableOf(database, "events", "seq"),
    tableOf(database, "feed", "position"),
  ]);
  if (events.rows.length !== shortSteps + 3 || runs.rows.length !== 1) {
    throw new Error(`Expected ${shortSteps + 3} events of one run, got ${events.rows.length} of ${runs.rows.length}.`);
  }
  await sql(url, `truncate ${[...tables, "unplaced"].map((table) => `${schema}.${table}`).join(", ")}`);
  return { runs, events, feed };
}

async function tableOf({ url, schema }: Database, table: string, order: string): Promise<Table> {
  const found = await sql(
    url,
    `select attname as name, format_type(atttypid, atttypmod) as type from pg_attribute
      where attrelid = '${schema}.${table}'::regclass and attnum > 0 and not attisdropped order by attnum`,
  );
  const columns = found.map(({ name, type }) => ({ name: String(name), type: String(type) }));
  const texts = columns.map(({ name }) => `${name}::text as ${name}`).join(", ");
  const rows = await sql(url, `select ${texts} from ${schema}.${table} t order by t.${order}`);
  return { columns, rows: rows as TextRow[] };
}
