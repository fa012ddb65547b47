/**
 * Opens a file as a Stemma database. What makes a commit durable is set at every open and read back, because a driver
 * or a build of SQLite may have another default than the last one had. Nothing is written to a file before it is known
 * to be ours or empty.
 */
import { DatabaseSync } from "node:sqlite";

import { StemmaError } from "../../core/error.ts";
import { isBusy } from "./failure.ts";
import { migrate } from "./migrations.ts";

export type OpenOptions = {
  /** Absolute path, or `:memory:`. */
  readonly path: string;
  readonly synchronous: "full" | "normal";
  /** How long a locked file is waited for. */
  readonly busyMs: number;
};

/** "Stem" as a 32-bit number: what the header of our files says (https://sqlite.org/fileformat2.html, offset 68). */
export const applicationId = 0x5374656d;

/** What `pragma synchronous` answers. */
const synchronousLevels = { full: 2, normal: 1 } as const;

/** Pages in the log before a checkpoint is tried: 16 MB, so that a busy store syncs its main file less often. */
const checkpointPages = 4000;

/** Opens and, if needed, creates or migrates. Throws errors of SQLite as they are, and `store.*` for all else. */
export function openDatabase(options: OpenOptions): DatabaseSync {
  const database = new DatabaseSync(options.path, {
    timeout: options.busyMs,
    enableForeignKeyConstraints: true,
    enableDoubleQuotedStringLiterals: false,
    allowExtension: false,
    defensive: true,
  });
  try {
    refuseForeign(database, options);
    makeDurable(database, options);
    migrate(database, options.path, applicationId);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function refuseForeign(database: DatabaseSync, { path, busyMs }: OpenOptions): void {
  // Both in one transaction: another process may be making this very database.
  const [id, tables] = waitWhileBusy(busyMs, () => {
    database.exec("begin");
    try {
      const count = database.prepare("select count(*) as n from sqlite_schema").get()?.["n"];
      return [pragma(database, "application_id"), count];
    } finally {
      if (database.isTransaction) database.exec("commit");
    }
  });
  if (id === applicationId || (id === 0 && tables === 0)) return;
  throw new StemmaError(
    "store.corrupt",
    `Expected a Stemma database or no file at ${path}; found an SQLite database of another program. Choose another path.`,
    { data: { path, applicationId: id } },
  );
}

function makeDurable(database: DatabaseSync, { path, synchronous, busyMs }: OpenOptions): void {
  const journal = path === ":memory:" ? "memory" : "wal";
  // The busy handler of SQLite does not cover the change to WAL, which two processes may make at once.
  waitWhileBusy(busyMs, () => database.exec(`pragma journal_mode = ${journal}`));
  database.exec(`
    pragma synchronous = ${synchronous};
    pragma trusted_schema = off;
    pragma wal_autocheckpoint = ${checkpointPages};
    pragma cache_size = -16000;
  `);
  expectSetting(database, path, "journal_mode", journal);
  expectSetting(database, path, "synchronous", synchronousLevels[synchronous]);
  expectSetting(database, path, "foreign_keys", 1);
}

function expectSetting(database: DatabaseSync, path: string, name: string, expected: string | number): void {
  const found = pragma(database, name);
  if (found === expected) return;
  throw new StemmaError(
    "store.not_durable",
    `Expected ${name} = ${expected} for ${path}, found ${String(found)}. Is it on a network file system? Use a local disk.`,
    { data: { path, setting: name, expected, found } },
  );
}

/** The value of a setting. Only names from this folder come here, so none has to be escaped. */
function pragma(database: DatabaseSync, name: string): unknown {
  return Object.values(database.prepare(`pragma ${name}`).get() ?? {})[0];
}

function waitWhileBusy<T>(busyMs: number, work: () => T): T {
  const until = performance.now() + busyMs;
  for (;;) {
    try {
      return work();
    } catch (error) {
      if (!isBusy(error) || performance.now() >= until) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}
