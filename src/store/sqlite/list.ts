/**
 * Runs by their rows, newest first: the order in which this file got them, which is also what a cursor counts. Several
 * statuses are several queries, merged: each reads no more of an index than the page is long.
 */
import { StemmaError } from "../../core/error.ts";
import type { Timestamp } from "../../core/event.ts";
import { limits } from "../../core/limits.ts";
import { checkpointOf, markWorkflow, recordOf } from "../../core/record-names.ts";
import type { Status } from "../../core/run.ts";
import type { ListQuery, RunRow } from "../store.ts";
import type { Statements } from "./driver.ts";
import { offeredAt } from "./offered.ts";
import type { Row } from "./row.ts";
import { runRowOf } from "./row.ts";
import { listConditions, listRuns } from "./sql.ts";

const defaultLimit = 50;

export function readList(
  db: Statements,
  query: ListQuery,
  now: Timestamp,
): { runs: readonly RunRow[]; cursor?: string } {
  const { runsMax, found } = readRows(db, query);
  const page = found.slice(0, runsMax);
  const last = page.at(-1);
  const offered = offeredAt(db, now);
  const runs = page.map((row) => runRowOf(row, offered(row)));
  return found.length > runsMax && last !== undefined ? { runs, cursor: cursorOf(last["n"] as number) } : { runs };
}

function readRows(db: Statements, query: ListQuery): { runsMax: number; found: readonly Row[] } {
  const asked = query.limit ?? (query.ids === undefined ? defaultLimit : limits.pageRunsMax);
  const runsMax = Math.min(Math.max(1, asked), limits.pageRunsMax);
  const { conditions, values } = whereOf(query);
  // One more than the page holds tells whether there is another page.
  const read = (status?: Status): readonly Row[] =>
    status === undefined
      ? db.prepare(listRuns(conditions)).all(...values, runsMax + 1)
      : db.prepare(listRuns([...conditions, listConditions.status])).all(...values, status, runsMax + 1);
  if (query.status === undefined) return { runsMax, found: read() };
  const rows = [...new Set(query.status)].flatMap(read);
  return { runsMax, found: rows.sort((a, b) => (b["n"] as number) - (a["n"] as number)) };
}

function whereOf(query: ListQuery): { conditions: readonly string[]; values: readonly (string | number)[] } {
  const conditions: string[] = [];
  const values: (string | number)[] = [];
  const add = (condition: string, ...bound: (string | number)[]): void => {
    conditions.push(condition);
    values.push(...bound);
  };
  const [only] = query.ids ?? [];
  // Most ask after one run, and taking a list apart in SQL costs several times as much as finding a run.
  if (query.ids?.length === 1 && only !== undefined) add(listConditions.id, only);
  else if (query.ids !== undefined) add(listConditions.ids, JSON.stringify(query.ids));
  if (query.idPart !== undefined) add(listConditions.idPart, query.idPart);
  if (query.workflow !== undefined) add(listConditions.workflow, query.workflow);
  if (query.idempotencyKey !== undefined) add(listConditions.idempotencyKey, query.idempotencyKey);
  if (query.tag !== undefined) add(listConditions.tag, query.tag);
  if (query.family !== undefined) add(listConditions.family, query.family, query.family);
  if (query.since !== undefined) add(listConditions.since, query.since);
  if (query.records === false) add(listConditions.noRecords, markWorkflow, checkpointOf, recordOf);
  if (query.cursor !== undefined) add(listConditions.cursor, placeOf(query.cursor));
  return { conditions, values };
}

/** A cursor is the number of the last run of its page, in base 36 behind a mark; nobody should build on that. */
function cursorOf(n: number): string {
  return `c${n.toString(36)}`;
}

function placeOf(cursor: string): number {
  const n = /^c[0-9a-z]{1,11}$/.test(cursor) ? Number.parseInt(cursor.slice(1), 36) : Number.NaN;
  if (Number.isSafeInteger(n)) return n;
  throw new StemmaError("usage.invalid", "Expected a cursor that an earlier page gave; pass it on as it is.");
}
