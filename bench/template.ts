/**
 * The rows that a run leaves behind, as values. They are read from a file in which Stemma ran the workflow once, so the
 * floors write exactly the rows and bytes that Stemma writes, into the same tables with the same indexes.
 */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { open, shortSteps, work } from "./work.ts";

export type Cell = null | number | string | Uint8Array;
export type Row = Record<string, Cell>;

export type Template = {
  /** What makes the tables and their indexes. */
  schema: readonly string[];
  /** The run's row as it is in the end. */
  run: Row;
  /** Its events in order: created, started, ten outcomes of steps, succeeded. */
  events: readonly Row[];
};

/** Runs the short workflow once in a file of its own in `folder`, and reads what it left. */
export async function templateIn(folder: string): Promise<Template> {
  const file = join(folder, "template.db");
  {
    await using engine = await open(file);
    await engine.start();
    const run = await engine.stemma.run(work, { steps: shortSteps });
    await run.result();
  }
  const database = new DatabaseSync(file, { readOnly: true });
  const schema = database.prepare("select sql from sqlite_schema where sql is not null and name not like 'sqlite_%'");
  const events = database.prepare("select * from events order by seq");
  // Among its columns is a number that takes more than 53 bits.
  events.setReadBigInts(true);
  const template = {
    schema: schema.all().map((row) => String(row["sql"])),
    run: database.prepare("select * from runs").get() as Row,
    events: events.all() as Row[],
  };
  database.close();
  if (template.events.length !== shortSteps + 3) {
    throw new Error(
      `Expected ${shortSteps + 3} events of a run of ${shortSteps} steps, got ${template.events.length}.`,
    );
  }
  return template;
}
