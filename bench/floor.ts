/**
 * The floors: bare loops over node:sqlite that write what has to be written and do nothing else. `rows` writes Stemma's
 * own rows into Stemma's own tables; `bare` writes what somebody would who only wants the outputs back: one row per
 * step with its name and its output. Nothing is computed in the loop that could be computed before it.
 */
import { DatabaseSync } from "node:sqlite";
import type { StatementSync } from "node:sqlite";

import type { Row, Template } from "./template.ts";

export type Kind = "rows" | "bare";

/** What one run writes: each function is what one durable commit holds, given the number of the run (from 1). */
export type Writer = { commits: number; write(run: number, commit: number): void };

/** A new file with the settings of Stemma's connections, which are what they are for reasons of durability. */
export function openFloor(file: string): DatabaseSync {
  const database = new DatabaseSync(file);
  database.exec("pragma journal_mode = wal");
  database.exec("pragma synchronous = full");
  database.exec("pragma wal_autocheckpoint = 4000");
  database.exec("pragma cache_size = -16000");
  return database;
}

/**
 * What a run of `steps` steps writes: its row and first event; one commit for each step, the first with the event that
 * says that the run was started; its end.
 */
export function writerOf(database: DatabaseSync, kind: Kind, template: Template, steps: number): Writer {
  const make = kind === "rows" ? stemmaRows : bareRows;
  return { commits: steps + 2, write: make(database, template, steps) };
}

function stemmaRows(database: DatabaseSync, template: Template, steps: number): Writer["write"] {
  for (const sql of template.schema) database.exec(sql);
  const run = insertInto(database, "runs", Object.keys(template.run));
  const event = database.prepare(
    "insert into events (run, seq, at, type, causes, data, hash, reuse) values (?, ?, ?, ?, ?, ?, ?, ?)",
  );
  const end = database.prepare("update runs set status = ?, ended_at = ?, seq = ?, hash = ?, state = ? where n = ?");
  const [created, started, first, second] = template.events as [Row, Row, Row, Row];
  const last = template.events.at(-1) as Row;
  const insert = (n: number, seq: number, row: Row, causes = row["causes"] ?? null, data = row["data"] ?? null): void =>
    void event.run(n, seq, row["at"] ?? null, row["type"] ?? null, causes, data, row["hash"] ?? null, reuseOf(row));
  const prefix = String(template.run["id"]).slice(0, -10);
  const label = String(second["data"]).split("work#2") as [string, string];
  const { status = null, ended_at: endedAt = null, hash = null, state = null } = template.run;
  const atFirst = { ...template.run, status: "queued", ended_at: null };
  return (n, commit) => {
    if (commit === 0) {
      run.run(...Object.values({ ...atFirst, n, id: `${prefix}${String(n).padStart(10, "0")}` }));
      insert(n, 0, created);
    } else if (commit === 1) {
      insert(n, 1, started);
      insert(n, 2, first);
    } else if (commit <= steps) {
      // Label and cause grow with the digits of the number.
      insert(n, commit + 1, second, `[${commit}]`, `${label[0]}work#${commit}${label[1]}`);
    } else {
      insert(n, steps + 2, last, `[${steps + 1}]`);
      end.run(status, endedAt, steps + 2, hash, state, n);
    }
  };
}

/** Successes are found again by a number; those of different runs have nothing in common. It takes eight bytes. */
function reuseOf(row: Row): number | null {
  return (row["reuse"] ?? null) === null ? null : Math.floor(Math.random() * 2 ** 52);
}

function bareRows(database: DatabaseSync, template: Template, steps: number): Writer["write"] {
  database.exec(
    "create table runs (n integer primary key, id text not null unique, status text not null, output text)",
  );
  database.exec(
    "create table steps (run integer, seq integer, name text not null, output text not null, primary key (run, seq)) without rowid",
  );
  const run = insertInto(database, "runs", ["n", "id", "status"]);
  const step = insertInto(database, "steps", ["run", "seq", "name", "output"]);
  const end = database.prepare("update runs set status = 'succeeded', output = ? where n = ?");
  const { output } = JSON.parse(String(template.events[2]?.["data"])) as { output: { inline: unknown } };
  const text = JSON.stringify(output.inline);
  const prefix = String(template.run["id"]).slice(0, -10);
  return (n, commit) => {
    if (commit === 0) run.run(n, `${prefix}${String(n).padStart(10, "0")}`, "queued");
    else if (commit <= steps) step.run(n, commit, "work", text);
    else end.run(String(steps), n);
  };
}

function insertInto(database: DatabaseSync, table: string, columns: readonly string[]): StatementSync {
  return database.prepare(`insert into ${table} (${columns.join(", ")}) values (${columns.map(() => "?").join(", ")})`);
}

/** Writes runs `from` to `to`, `together` of them at a time: one transaction for each round of commits. */
export function writeRuns(
  database: DatabaseSync,
  writer: Writer,
  range: { from: number; to: number; together: number },
): void {
  const begin = database.prepare("begin immediate");
  const commit = database.prepare("commit");
  for (let first = range.from; first <= range.to; first += range.together) {
    const last = Math.min(first + range.together - 1, range.to);
    for (let part = 0; part < writer.commits; part++) {
      begin.run();
      for (let run = first; run <= last; run++) writer.write(run, part);
      commit.run();
    }
  }
}
