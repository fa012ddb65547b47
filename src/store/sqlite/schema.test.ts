import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, expect, test } from "vitest";

import { migrate, migrations } from "./migrations.ts";
import { applicationId } from "./open.ts";

const folder = mkdtempSync(join(tmpdir(), "stemma-schema-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The schema as SQLite has it, in the order in which it was made. */
function dump(database: DatabaseSync): string {
  const rows = database
    .prepare("select sql from sqlite_schema where sql is not null and name not like 'sqlite_%'")
    .all();
  const statements = rows.map((row) =>
    (row["sql"] as string).replace(/^CREATE( UNIQUE)? (TABLE|INDEX)/, (words) => words.toLowerCase()),
  );
  return `${statements.join(";\n\n")};\n`;
}

test("schema.sql is what the migrations add up to", () => {
  const database = new DatabaseSync(":memory:");
  migrate(database, ":memory:", applicationId);
  const file = new URL("schema.sql", import.meta.url);
  const [, written] = readFileSync(file, "utf8").split("*/\n\n");
  expect(written).toBe(dump(database));
});

test("migrations have ascending numbers, and a file records each of them", () => {
  const database = new DatabaseSync(":memory:");
  migrate(database, ":memory:", applicationId);
  const recorded = database.prepare("select id, breaking from migrations order by id").all();
  expect(recorded.map((row) => ({ ...row }))).toEqual(
    migrations.map(({ id, breaking }) => ({ id, breaking: breaking ? 1 : 0 })),
  );
  expect(migrations.map(({ id }) => id)).toEqual(migrations.map((_, i) => i + 1));
});

test("a migration is applied once, and a failed one leaves the file as it was", () => {
  const database = new DatabaseSync(":memory:");
  migrate(database, ":memory:", applicationId);
  const before = dump(database);
  const next = { id: migrations.length + 1, breaking: false, sql: "create table extra (x); create table extra (x);" };
  expect(() => migrate(database, ":memory:", applicationId, [...migrations, next])).toThrow("extra");
  expect(dump(database)).toBe(before);
  const right = { ...next, sql: "create table extra (x);" };
  for (let i = 0; i < 2; i++) migrate(database, ":memory:", applicationId, [...migrations, right]);
  expect(dump(database)).toContain("create table extra");
});

test("code that does not know a change may go on with the file exactly if the change breaks nothing", () => {
  for (const breaking of [false, true]) {
    const database = new DatabaseSync(":memory:");
    const next = { id: migrations.length + 1, breaking, sql: "create table extra (x);" };
    migrate(database, ":memory:", applicationId, [...migrations, next]);
    const older = (): void => migrate(database, ":memory:", applicationId);
    if (breaking) expect(older).toThrow(expect.objectContaining({ code: "store.newer" }));
    else expect(older).not.toThrow();
  }
});

test("processes that open a new file at once all get the same database", async () => {
  const path = join(folder, "new.db");
  const entry = new URL("../../sqlite.ts", import.meta.url).href;
  const script = `
    import { sqlite } from ${JSON.stringify(entry)};
    while (Date.now() < ${Date.now() + 700});
    const store = sqlite(${JSON.stringify(path)});
    const { runs } = await store.list({});
    await store.close();
    process.stdout.write(String(runs.length));`;
  const answers = await Promise.all(
    Array.from({ length: 6 }, async () => {
      const child = spawn(process.execPath, ["--input-type=module", "--eval", script], { stdio: "pipe" });
      const output: string[] = [];
      child.stdout.on("data", (data) => output.push(String(data)));
      child.stderr.on("data", (data) => output.push(String(data)));
      await once(child, "close");
      return output.join("");
    }),
  );
  expect(answers).toEqual(Array.from({ length: 6 }, () => "0"));
}, 30_000);
