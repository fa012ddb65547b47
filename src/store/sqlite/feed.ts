/**
 * All events in the order of their positions. SQLite has one writer at a time, so positions are given in the order in
 * which transactions commit: what is not in a page yet will have a higher position.
 *
 * A page that filters looks at a bounded number of events, gives those that fit, and says how far it has looked. So a
 * reader who follows one workflow among many goes on in steps of bounded length, and nothing is looked at twice.
 */
import type { RunId } from "../../core/event.ts";
import type { FeedPage, FeedQuery } from "../store.ts";
import type { Statements } from "./driver.ts";
import { readStream } from "./emitted.ts";
import { pageSize } from "./history.ts";
import type { Row, RunColumns } from "./row.ts";
import { eventOf } from "./row.ts";
import {
  feedOfAll,
  feedOfFamily,
  feedOfRun,
  feedOfWorkflow,
  feedOfWorkflowAndFamily,
  lastPosition,
  positionOf,
  runRow,
  windowEnd,
} from "./sql.ts";

/** Events that one filtering page looks at. */
const windowEvents = 20_000;

export function readFeed(db: Statements, query: FeedQuery): FeedPage {
  const limit = pageSize(query.limit);
  if (query.stream !== undefined) return readStream(db, query, query.stream, limit);
  // What holds of a run it has from its first event to its last, so this filter needs no window.
  if (query.run !== undefined) return readRun(db, query, query.run, limit);
  if (query.workflow === undefined && query.family === undefined) {
    const rows = db.prepare(feedOfAll).all(query.after, limit);
    return pageOf(rows, query.after);
  }
  return readWindow(db, query, limit);
}

function readWindow(db: Statements, { after, family, workflow }: FeedQuery, limit: number): FeedPage {
  const start = family === undefined ? after : Math.max(after, positionBefore(db, family));
  const end = db.prepare(windowEnd).get(start, windowEvents)?.["position"] as number | null;
  if (end === null) return { events: [], position: after };
  const [sql, filter] =
    family === undefined
      ? [feedOfWorkflow, [workflow as string]]
      : workflow === undefined
        ? [feedOfFamily, [family]]
        : [feedOfWorkflowAndFamily, [workflow, family]];
  const rows = db.prepare(sql).all(start, end, ...filter, limit);
  return pageOf(rows, rows.length < limit ? end : start);
}

/** Nothing of a family stands before the first event of its root. */
function positionBefore(db: Statements, root: RunId): number {
  const n = db.prepare(runRow).get(root)?.["n"] as number | undefined;
  return n === undefined ? 0 : (positionAt(db, n, 0) ?? 1) - 1;
}

function readRun(db: Statements, { after, family, workflow }: FeedQuery, run: RunId, limit: number): FeedPage {
  const end = db.prepare(lastPosition).get()?.["position"] as number;
  const row = db.prepare(runRow).get(run);
  if (row === undefined || !fits(row, family, workflow)) return { events: [], position: Math.max(after, end) };
  const n = row["n"] as number;
  const seq = seqBefore(db, n, row["seq"] as number, after);
  const rows = db.prepare(feedOfRun).all(n, seq, limit);
  return pageOf(rows, rows.length < limit ? Math.max(after, end) : after);
}

function fits(row: Row, family: RunId | undefined, workflow: string | undefined): boolean {
  const run = row as RunColumns;
  return (family ?? run.family ?? run.id) === (run.family ?? run.id) && (workflow ?? run.workflow) === run.workflow;
}

/** The last seq of a run whose position is not behind `after`; -1 if there is none. Positions ascend with seq. */
function seqBefore(db: Statements, n: number, head: number, after: number): number {
  let low = -1;
  let high = head;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    const position = positionAt(db, n, middle);
    if (position === undefined || position <= after) low = middle;
    else high = middle - 1;
  }
  return low;
}

function positionAt(db: Statements, n: number, seq: number): number | undefined {
  return db.prepare(positionOf).get(n, seq)?.["position"] as number | undefined;
}

function pageOf(rows: readonly Row[], position: number): FeedPage {
  const events = rows.map((row) => ({
    position: row["position"] as number,
    run: row["run"] as RunId,
    event: eventOf(row),
  }));
  return { events, position: Math.max(position, events.at(-1)?.position ?? 0) };
}
