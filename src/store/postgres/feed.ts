/**
 * All events in the order of their positions. An event that has no position yet is in no page; when it gets one, that
 * is higher than all that were given before, so nothing is ever added behind a reader's back.
 *
 * A page that filters looks at a bounded part of the feed, gives those that fit, and says how far it has looked. So a
 * reader who follows one workflow among many goes on in steps of bounded length, and nothing is looked at twice.
 */
import type { RunId } from "../../core/event.ts";
import type { FeedPage, FeedQuery } from "../store.ts";
import type { Database } from "./database.ts";
import { readStream } from "./emitted.ts";
import { pageSize } from "./history.ts";
import type { EventColumns } from "./row.ts";
import { eventOf } from "./row.ts";
import { feedOfAll, feedOfRun, feedOfSome, lastPosition } from "./sql-feed.ts";

/** Stretches of the feed that one filtering page looks at. */
const windowMax = 5000;

type FeedColumns = { pending: boolean; window_end: number | null; position: number | null; run: RunId } & EventColumns;

export async function readFeed(db: Database, query: FeedQuery): Promise<FeedPage> {
  const limit = pageSize(query.limit);
  const { run, family = null, workflow = null, stream } = query;
  const after = Math.max(0, query.after);
  if (stream !== undefined) return readStream(db, query, stream, limit);
  if (run !== undefined) return readRun(db, { ...query, run, after }, limit);
  const some = family !== null || workflow !== null;
  const rows = some
    ? await db.read<FeedColumns>(feedOfSome, [after, limit, windowMax, family, workflow])
    : await db.read<FeedColumns>(feedOfAll, [after, limit]);
  return pageFrom(rows, limit, query.after, rows[0]?.window_end ?? query.after);
}

async function readRun(db: Database, query: FeedQuery & { run: RunId }, limit: number): Promise<FeedPage> {
  const { after, run, family = null, workflow = null } = query;
  // Before the events: what gets a position in between is behind this end, and read the next time.
  const [end] = await db.read<{ position: number }>(lastPosition);
  const rows = await db.read<FeedColumns>(feedOfRun, [after, limit, run, family, workflow]);
  return pageFrom(rows, limit, after, end?.position ?? after);
}

/** A full page goes on behind its last event; one that is not behind all that was looked at. */
function pageFrom(rows: readonly FeedColumns[], limit: number, after: number, end: number): FeedPage {
  const events = rows.flatMap((row) =>
    row.position === null ? [] : [{ position: row.position, run: row.run, event: eventOf(row) }],
  );
  const last = events.at(-1)?.position ?? after;
  const position = events.length < limit ? Math.max(after, last, end) : last;
  return rows[0]?.pending === true ? { events, position, pending: true } : { events, position };
}
