import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";

import { migrate } from "./migrations.ts";
import * as sql from "./sql.ts";

const database = new DatabaseSync(":memory:");
migrate(database, ":memory:", 1);

function planOf(statement: string): string[] {
  const rows = database.prepare(`explain query plan ${statement}`).all();
  return rows.map((row) => row["detail"] as string);
}

const { listConditions: conditions, listRuns, ...others } = sql;
const statements = Object.entries(others).filter((entry): entry is [string, string] => typeof entry[1] === "string");

describe("no statement reads a table from end to end", () => {
  // There are as many workers as there are processes.
  const ofWorkers = new Set(["leasesEnded", "offersHeld", "workersHeld"]);
  // What a statement has been given or has made itself is no table; SQLite has a row for each counter, of which there is one.
  const reads = /SCAN (?!CONSTANT ROW|sqlite_sequence\b|each\b|gone\b|json_each\b)|TEMP B-TREE/;
  test.each(statements.filter(([name]) => !ofWorkers.has(name)))("%s", (_, statement) => {
    for (const step of planOf(statement)) expect(step).not.toMatch(reads);
  });

  test.each(["id", "ids", "workflow", "status", "tag", "family", "cursor"] as const)("list by %s", (name) => {
    for (const step of planOf(listRuns([conditions[name]]))) expect(step).not.toMatch(/SCAN runs/);
  });
});

test("a run is found by its workflow and key in the index of those", () => {
  const plan = planOf(listRuns([conditions.workflow, conditions.idempotencyKey]));
  expect(plan[0]).toBe("SEARCH runs USING INDEX runs_idempotency (workflow=? AND idempotency_key=?)");
});

test("a part of an id is looked for in the index of ids alone", () => {
  const plan = planOf(listRuns([conditions.idPart]));
  expect(plan.filter((step) => step.includes("SCAN"))).toEqual([
    expect.stringMatching(/^SCAN runs USING COVERING INDEX sqlite_autoindex_runs_1$/),
  ]);
});

test("a page of the list is read in its order, not sorted, whatever it is filtered by", () => {
  for (const used of [
    [],
    ["workflow"],
    ["status"],
    ["workflow", "status", "cursor"],
    ["since"],
    ["noRecords"],
    ["noRecords", "status"],
  ] as const) {
    const plan = planOf(listRuns(used.map((name) => conditions[name]))).join("; ");
    expect(plan).not.toContain("TEMP B-TREE");
  }
});

test("no statement is prepared anew each time it is used, as SQLite does where a limit is a bare parameter", () => {
  for (const [, statement] of [...statements, ["listRuns", listRuns([])] as const]) {
    expect(statement).not.toMatch(/\b(?:limit|offset)\s+\?/);
  }
});
