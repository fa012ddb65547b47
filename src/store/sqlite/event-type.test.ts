import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";

import { outcomeOf } from "../../core/event.ts";
import { typeFromFile, typeToFile } from "./event-type.ts";
import { migrate } from "./migrations.ts";

test("every type of event is a number in the file", () => {
  const kept = Object.keys(outcomeOf).map(typeToFile);
  expect(new Set(kept)).toEqual(new Set(kept.map((_, i) => i)));
});

test("every type comes back from the file as it was, also one of a newer version", () => {
  const database = new DatabaseSync(":memory:");
  migrate(database, ":memory:", 1);
  database.exec("pragma foreign_keys = off");
  const insert = database.prepare(
    "insert into events (run, seq, at, type, causes, data, hash) values (1, ?, 0, ?, '', '', x'')",
  );
  const types = [...Object.keys(outcomeOf), "step.invented", "12", "1e3", " 7", ":x", "Ünïcode"];
  for (const [i, type] of types.entries()) insert.run(i, typeToFile(type));
  const rows = database.prepare("select type, typeof(type) as kind from events order by seq").all();
  expect(rows.map((row) => typeFromFile(row["type"] as number | string))).toEqual(types);
  expect(rows.filter((row) => row["kind"] === "integer")).toHaveLength(Object.keys(outcomeOf).length);
});
