/**
 * What a test file has of PostgreSQL: the URL of the server that runs for this run of the tests, and schemas of its
 * own, which are removed at its end.
 */
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import pg from "pg";
import { inject } from "vitest";

/** The URL of the test database. The first who asks waits until the server is up. */
export async function postgresUrl(): Promise<string> {
  const answer = await text(connect(inject("postgres"), "127.0.0.1"));
  if (answer.startsWith("error")) throw new Error(answer);
  return answer;
}

/** The names that this process has given out. */
export const schemasMade: string[] = [];

/** A name that no other test uses. */
export function newSchema(): string {
  const name = `t_${process.pid}_${Date.now().toString(36)}_${schemasMade.length}`;
  schemasMade.push(name);
  return name;
}

/** Runs statements of the test's own, past the store. */
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

/** Removes schemas with all that is in them; one at a time, for each table counts against the locks of a transaction. */
export async function dropSchema(url: string, schemas: readonly string[]): Promise<void> {
  const drops = schemas.map((schema) => `drop schema if exists ${schema} cascade`);
  await sql(url, "set client_min_messages = warning", ...drops);
}
