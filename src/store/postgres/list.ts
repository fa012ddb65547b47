/** Runs by their rows, newest first: by when they were created, then by id. That is also what a cursor says. */
import { StemmaError } from "../../core/error.ts";
import { limits } from "../../core/limits.ts";
import { checkpointOf, markWorkflow, recordOf } from "../../core/record-names.ts";
import type { ListQuery, RunRow } from "../store.ts";
import type { Database } from "./database.ts";
import { runRowOf } from "./row.ts";
import { listConditions, listRuns } from "./sql.ts";

const defaultLimit = 50;

export async function readList(
  db: Database,
  query: ListQuery,
  now: number | null,
): Promise<{ runs: readonly RunRow[]; cursor?: string }> {
  const asked = query.limit ?? (query.ids === undefined ? defaultLimit : limits.pageRunsMax);
  const runsMax = Math.min(Math.max(1, asked), limits.pageRunsMax);
  const { conditions, values } = whereOf(query);
  // One more than the page holds tells whether there is another page.
  const found = await db.read<{ row: string }>(listRuns(conditions), [now, ...values, runsMax + 1]);
  const runs = found.slice(0, runsMax).map(({ row }) => runRowOf(row));
  const last = runs.at(-1);
  return found.length > runsMax && last !== undefined ? { runs, cursor: cursorOf(last) } : { runs };
}

function whereOf(query: ListQuery): { conditions: readonly string[]; values: readonly unknown[] } {
  const conditions: string[] = [];
  const values: unknown[] = [];
  const add = (condition: string, ...bound: unknown[]): void => {
    conditions.push(condition);
    values.push(...bound);
  };
  if (query.ids !== undefined) add(listConditions.ids, [...query.ids]);
  if (query.idPart !== undefined) add(listConditions.idPart, query.idPart);
  if (query.workflow !== undefined) add(listConditions.workflow, query.workflow);
  if (query.idempotencyKey !== undefined) add(listConditions.idempotencyKey, query.idempotencyKey);
  if (query.status !== undefined) add(listConditions.status, [...query.status]);
  if (query.tag !== undefined) add(listConditions.tag, query.tag);
  if (query.family !== undefined) add(listConditions.family, query.family, query.family);
  if (query.since !== undefined) add(listConditions.since, Math.ceil(query.since));
  if (query.records === false) add(listConditions.noRecords, markWorkflow, checkpointOf, recordOf);
  if (query.cursor !== undefined) add(listConditions.cursor, ...placeOf(query.cursor));
  return { conditions, values };
}

/** A cursor names the last run of its page; nobody should build on that. */
function cursorOf({ id, state }: RunRow): string {
  return `c${state.createdAt.toString(36)}.${id}`;
}

function placeOf(cursor: string): [number, string] {
  const [, createdAt = "", id = ""] = /^c([0-9a-z]{1,11})\.(\w{1,100})$/.exec(cursor) ?? [];
  const at = Number.parseInt(createdAt, 36);
  if (Number.isSafeInteger(at)) return [at, id];
  throw new StemmaError("usage.invalid", "Expected a cursor that an earlier page gave; pass it on as it is.");
}
