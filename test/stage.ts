/** A store of its own and a working Stemma on it, for tests of what users see. */
import { join } from "node:path";
import { Stemma } from "../src/index.ts";
import type { Event, Log, RunHandle, StemmaOptions, Store, Workflow } from "../src/index.ts";
import type { Seams } from "../src/engine/stemma.ts";
import { around } from "../src/testing/around.ts";
import { schemaAt, storeAt } from "./place.ts";
import { newSchema } from "./postgres/database.ts";

export const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** A logger that keeps what it is told. */
export function listening(): Log & { lines: string[] } {
  const lines: string[] = [];
  const write =
    (level: string): Log["info"] =>
    (message, data) =>
      void lines.push(`${level} ${message} ${JSON.stringify(data ?? {})}`);
  return { lines, debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
}

/** Where the test database is; undefined: this file runs on SQLite. */
const url = process.env["STEMMA_TEST_URL"];
/** Whether this file runs on PostgreSQL (`npx vitest --project postgres`). */
export const onPostgres: boolean = url !== undefined;

/**
 * At which commits a story is made to crash when it is told once for each: all of them, or every third on PostgreSQL,
 * where each is told in a schema of its own and the engine has nothing of its own to show.
 */
export const crashStride: number = onPostgres ? 3 : 1;

/** A place for runs that nobody else has, for `storeAt`: a schema of the test database, or a file in this folder. */
export function newPlace(folder: string): string {
  return url === undefined ? join(folder, `${newSchema()}.db`) : schemaAt(url, newSchema());
}

/** A fresh store that nobody else has: in memory, or a schema of the test database. */
export function fresh(options: { now?: () => number } = {}): Store & AsyncDisposable {
  return storeAt(url === undefined ? ":memory:" : schemaAt(url, newSchema()), options);
}

/**
 * A store that is asked one thing at a time: of calls that are made at once the first comes first, as it need not where
 * each has a connection of its own.
 */
export function inTurn<S extends Store>(store: S): S {
  let before: Promise<unknown> = Promise.resolve();
  return around(store, ({ make }) => (before = before.catch(() => {}).then(() => make())), {});
}

/** Starts working on the workflows given; `await using` stops it and closes the store. */
export async function stage(
  workflows: readonly Workflow[],
  options: Partial<StemmaOptions> = {},
  seams: Partial<Seams> = {},
): Promise<{ stemma: Stemma; [Symbol.asyncDispose](): Promise<void> }> {
  const store = options.store ?? fresh();
  // Where the files run a second time, every run at rest is read again; the first time, they are taken up from memory.
  const warm = process.env["STEMMA_TEST_URL"] === undefined ? {} : { warm: 0 };
  const stemma = new Stemma({ store, workflows, log: silent, ...warm, ...options }, { lingerMs: 30, ...seams });
  await stemma.start();
  return {
    stemma,
    async [Symbol.asyncDispose]() {
      await stemma.stop({ timeout: 1000 });
      if (options.store === undefined) await store.close();
    },
  };
}

/** The error that a promise ends with; a value is a failure of the test. */
export async function errorOf(
  promise: Promise<unknown>,
): Promise<Error & { code?: string; data?: Record<string, unknown> }> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error("expected an error, got a value");
}

/** `type key` of each event, for reading a history at a glance. */
export async function outline(run: RunHandle): Promise<string[]> {
  return (await run.history()).map((event: Event) =>
    "key" in event.data ? `${event.type} ${event.data.key}` : event.type,
  );
}

/** Waits until something is so; the test's own limit of time is the only one. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 3));
}
