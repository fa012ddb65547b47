/**
 * The plainest program that promises durability: it appends rows with `node:sqlite` in WAL and prints the number of each
 * row once its commit has returned. It proves the platter without any of Stemma: at FULL no printed row may be lost, at
 * NORMAL some must be.
 *
 *     node raw-writer.ts <database> <FULL | NORMAL>
 */
import { writeSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";

const [path = "", synchronous = ""] = process.argv.slice(2);
if (path === "" || !["FULL", "NORMAL"].includes(synchronous)) {
  throw new Error("expected: raw-writer.ts <database> <FULL | NORMAL>");
}

acknowledge(0); // before the database is there, so that cuts fall into its creation too
const database = new DatabaseSync(path);
database.exec(`
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = ${synchronous};
  PRAGMA wal_autocheckpoint = ${synchronous === "FULL" ? 20 : 1000};
  CREATE TABLE row (n INTEGER PRIMARY KEY, text TEXT NOT NULL);
`); // At FULL a small WAL, so that cuts fall into checkpoints and new rounds of the WAL; the control has the default.
const append = database.prepare("INSERT INTO row (n, text) VALUES (?, ?)");
for (let n = 1; ; n++) {
  append.run(n, `${n} `.repeat(1 + ((n * 37) % 500)));
  acknowledge(n);
}

/** Straight to the descriptor: a line in a buffer of this process would be an acknowledgement that nobody saw. */
function acknowledge(n: number): void {
  writeSync(1, `${n}\n`);
}
