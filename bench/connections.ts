/**
 * Looks at what goes to SQLite from underneath: every connection of this process is remembered, so that what makes a
 * commit durable can be read back from the very connections that were measured, and on demand every statement that is
 * carried out is counted.
 */
import { DatabaseSync, StatementSync } from "node:sqlite";

const connections = new Set<DatabaseSync>();

/** Statements are prepared once and kept, so remembering connections here costs the measured work nothing. */
export function rememberConnections(): void {
  const { prepare } = DatabaseSync.prototype;
  DatabaseSync.prototype.prepare = function remembering(this: DatabaseSync, ...args): StatementSync {
    connections.add(this);
    return prepare.apply(this, args);
  };
}

/** Throws unless every open connection writes to a WAL with `synchronous=FULL`. Gives back how many there are. */
export function expectDurable(): number {
  let open = 0;
  for (const connection of connections) {
    if (!connection.isOpen) continue;
    open += 1;
    const found = [pragma(connection, "synchronous"), pragma(connection, "journal_mode")].join(" ");
    if (found !== "2 wal") throw new Error(`Expected synchronous 2 (FULL) and journal_mode wal, found ${found}.`);
  }
  if (open === 0) throw new Error("Expected an open connection to read the settings back from, found none.");
  return open;
}

function pragma(connection: DatabaseSync, name: string): string {
  return String(Object.values(connection.prepare(`pragma ${name}`).get() ?? {})[0]);
}

export type Counts = {
  /** Everything that was carried out, `begin` and `commit` included. */
  statements: number;
  /** Transactions that took the write lock and committed. */
  writes: number;
  /** Transactions that only read. */
  reads: number;
  /** How often each statement was carried out, by its text. */
  byText: Map<string, number>;
};

/** Counts from now on. To be called before the statements of interest are prepared, or after; it sees all of them. */
export function countStatements(): Counts {
  const counts: Counts = { statements: 0, writes: 0, reads: 0, byText: new Map() };
  let writing = false;
  const note = (sql: string): void => {
    const text = sql.replaceAll(/\s+/g, " ").trim();
    counts.statements += 1;
    counts.byText.set(text, (counts.byText.get(text) ?? 0) + 1);
    if (text === "begin immediate") writing = true;
    else if (text === "commit") {
      if (writing) counts.writes += 1;
      else counts.reads += 1;
      writing = false;
    } else if (text === "rollback") writing = false;
  };
  for (const method of ["run", "get", "all", "iterate"] as const) {
    const original = StatementSync.prototype[method] as (...args: unknown[]) => unknown;
    Object.defineProperty(StatementSync.prototype, method, {
      value(this: StatementSync, ...args: unknown[]): unknown {
        note(this.sourceSQL);
        return original.apply(this, args);
      },
    });
  }
  const { exec } = DatabaseSync.prototype;
  DatabaseSync.prototype.exec = function counting(this: DatabaseSync, sql: string): void {
    note(sql);
    exec.call(this, sql);
  };
  return counts;
}
