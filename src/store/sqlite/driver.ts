/**
 * One connection to SQLite, and the rule for when it fails. All that the store does goes through `read` and `write`;
 * both are synchronous from begin to commit, so no transaction is ever open while other code runs.
 *
 * The connection has three states: none (before the first call, and after a failure), open, and closed for good. An
 * error of COMMIT or of the disk leaves it in doubt what is in the file, and syncing again proves nothing (a kernel
 * reports a failed fsync once and forgets it: Rebello et al., "Can Applications Recover from fsync Failures?", 2020).
 * So the connection is closed, and the file is opened and read anew.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";

import { StemmaError } from "../../core/error.ts";
import { failureOf, isFatal, isFull } from "./failure.ts";
import type { OpenOptions } from "./open.ts";
import { openDatabase } from "./open.ts";
import type { Place } from "./place.ts";
import { displaced, filesOpen, isInPlace, logOpened, placeOf } from "./place.ts";

export type DriverOptions = OpenOptions & {
  /** Carries out each COMMIT. Tests throw from it, before or after: the store cannot know whether it went through. */
  readonly commit?: (commit: () => void) => void;
};

/** What the operations of the store see of the driver: prepared statements, cached by their text. */
export type Statements = { prepare(sql: string): StatementSync };

/**
 * Connections to files that are not at their path any more. They are kept and never closed: closing would remove the
 * log at that path, which by now may be another database's.
 */
const adrift: DatabaseSync[] = [];

export class Driver implements Statements {
  readonly path: string;
  readonly #options: DriverOptions;
  readonly #statements = new Map<string, StatementSync>();
  #database: DatabaseSync | undefined;
  #opened = false;
  /** Whether a commit went through, so that a medium that takes none now is expected to take some again. */
  #written = false;
  /** The files of the open connection; of the last one while there is none. */
  #place: Place | undefined;
  #closed = false;

  constructor(options: DriverOptions) {
    this.path = options.path;
    this.#options = options;
  }

  prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#open().prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  /** Runs `work` on one snapshot of the database. */
  read<T>(work: () => T): T {
    const result = this.#within("begin", work);
    this.#attempt(() => this.prepare("commit").run());
    return result;
  }

  /** Runs `work`, which is a single statement: that sees one snapshot by itself. */
  readOnce<T>(work: () => T): T {
    return this.#attempt(work);
  }

  /**
   * Runs `work` in a transaction that holds the write lock from its beginning.
   *
   * Where COMMIT fails, the file is opened again and `landed` is asked, in a transaction of its own, whether what
   * `work` returned is there; the answer of `write` is what is true. If the file cannot be opened again, nobody can
   * tell: the error then has `outcome: "unknown"` in its data.
   */
  write<T>(work: () => T, landed: (result: T) => boolean): T {
    const result = this.#within("begin immediate", work);
    try {
      const commit = (): void => void this.prepare("commit").run();
      if (this.#options.commit === undefined) commit();
      else this.#options.commit(commit);
    } catch (error) {
      this.#undo();
      if (isFull(error) || !this.#hasLanded(() => landed(result), error))
        throw failureOf(error, this.path, this.#written);
    }
    this.#expectInPlace();
    this.#written = true;
    return result;
  }

  #expectInPlace(): void {
    if (this.#place === undefined) return;
    const now = placeOf(this.path, this.#place);
    if (isInPlace(this.#place, now)) {
      this.#place = now;
      return;
    }
    if (this.#database !== undefined) adrift.push(this.#database);
    this.#database = undefined;
    this.#statements.clear();
    throw displaced(this.path);
  }

  /** Runs `work` in a transaction and undoes it. */
  rehearse<T>(work: () => T): T {
    const result = this.#within("begin immediate", work);
    this.#attempt(() => this.prepare("rollback").run());
    return result;
  }

  /** Writes the file anew without what is free in it, and cuts it and the log to what is left. */
  compact(): void {
    this.#attempt(() => {
      this.prepare("vacuum").run();
      // Where somebody still reads the old pages, the log is copied back by whoever writes next.
      this.prepare("pragma wal_checkpoint(truncate)").all();
    });
    this.#expectInPlace();
  }

  /** Changes exactly when another connection has committed (https://sqlite.org/pragma.html#pragma_data_version). */
  dataVersion(): number {
    return this.#attempt(() => this.prepare("pragma data_version").get()?.["data_version"] as number);
  }

  /** Throws `store.closed` once the driver is closed. */
  expectOpen(): void {
    if (!this.#closed) return;
    throw new StemmaError("store.closed", `The store ${this.path} was closed. Make a new one, or close it later.`);
  }

  close(): void {
    this.#closed = true;
    this.#drop();
  }

  #open(): DatabaseSync {
    this.expectOpen();
    if (this.#database === undefined) {
      // What was open before must be what is opened again; above all, no empty file may be made in its stead.
      if (this.#place !== undefined && !isInPlace(this.#place, placeOf(this.path))) throw displaced(this.path);
      try {
        const before = filesOpen();
        this.#database = openDatabase(this.#options);
        if (this.path !== ":memory:") {
          const link = logOpened(this.path, before);
          this.#place = { ...placeOf(this.path), ...(link === undefined ? {} : { link }) };
        }
        this.#opened = true;
      } catch (error) {
        throw failureOf(error, this.path, this.#opened);
      }
    }
    return this.#database;
  }

  #within<T>(begin: string, work: () => T): T {
    return this.#attempt(() => {
      this.prepare(begin).run();
      return work();
    });
  }

  /** Runs `work`; where it fails, undoes the transaction that is open, and lets go of a connection that is no good. */
  #attempt<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      this.#undo();
      if (isFatal(error)) this.#dropFile();
      throw failureOf(error, this.path, this.#written);
    }
  }

  #hasLanded(landed: () => boolean, error: unknown): boolean {
    this.#dropFile();
    try {
      // What is in the log may be in the kernel's memory only. A checkpoint copies it to the main file and syncs that.
      this.#expectCheckpoint();
      return this.read(landed);
    } catch (again) {
      throw new StemmaError(
        "store.unavailable",
        `A commit to ${this.path} failed, and the file could not be read to see whether it went through. The same call may be made again.`,
        { data: { path: this.path, outcome: "unknown" }, cause: new AggregateError([error, again]) },
      );
    }
  }

  #expectCheckpoint(): void {
    const row = this.prepare("pragma wal_checkpoint(full)").get() as {
      busy: number;
      log: number;
      checkpointed: number;
    };
    if (row.busy !== 0 || row.log !== row.checkpointed)
      throw new Error("The log could not be copied to the main file.");
  }

  #undo(): void {
    try {
      if (this.#database?.isTransaction === true) this.#database.exec("rollback");
    } catch {
      // SQLite undoes by itself what it cannot roll back; the connection is not used again.
      this.#dropFile();
    }
  }

  /** A database in memory lives and dies with its connection, so that one is kept. */
  #dropFile(): void {
    if (this.path !== ":memory:") this.#drop();
  }

  #drop(): void {
    const database = this.#database;
    // The last connection to close removes the log, so another one may be there next time.
    if (this.#place !== undefined) this.#place = { main: this.#place.main, log: undefined };
    this.#database = undefined;
    this.#statements.clear();
    try {
      database?.close();
    } catch {
      // A connection that cannot even be closed is gone; the next call opens another one.
    }
  }
}
