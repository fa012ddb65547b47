/**
 * Reads one run back: a page of its events, its row, and what waits in its inbox.
 */
import type { StoredEvent } from "../../core/chain.ts";
import type { Digest, RunId, Seq, Timestamp } from "../../core/event.ts";
import { limits } from "../../core/limits.ts";
import type { HistoryPage, Pack, Received } from "../store.ts";
import { bytesOf, isDigest } from "./digest.ts";
import type { Statements } from "./driver.ts";
import { typeFromFile } from "./event-type.ts";
import { offeredAt } from "./offered.ts";
import { runRowOf } from "./row.ts";
import { eventsAfter, packsFrom, payloadText, rowlessRuns, runRow, waitingMessages } from "./sql.ts";

export function readHistory(
  db: Statements,
  run: RunId,
  { after, limit }: { after: Seq; limit: number },
  now: Timestamp,
): HistoryPage | undefined {
  const found = db.prepare(runRow).get(run);
  if (found === undefined) return undefined;
  const n = found["n"] as number;
  const row = runRowOf(found, offeredAt(db, now)(found));
  // As arrays, with the hash made into digits by SQLite: for long histories half of the time and of the memory.
  const statement = db.prepare(eventsAfter);
  statement.setReturnArrays(true);
  const events = (statement.all(n, after, pageSize(limit)) as unknown as EventRow[]).map(eventOf);
  const more = (events.at(-1)?.seq ?? after) < (found["seq"] as Seq);
  const inbox =
    more || row.inbox === row.inboxDone
      ? []
      : db
          .prepare(waitingMessages)
          .all(n, row.inboxDone)
          .map((message) => ({ ...message }));
  return { row, events, more, inbox: inbox as unknown as readonly Received[] };
}

export function readPacks(db: Statements, run: RunId, { from, limit }: { from: Seq; limit: number }): Pack[] {
  const rows = db.prepare(packsFrom).all(run, from, pageSize(limit)) as unknown as Pack[];
  return rows.map(({ first, body }) => ({ first, body }));
}

/** The columns of `eventsAfter`. */
type EventRow = [seq: Seq, at: Timestamp, type: number | string, causes: string, data: string, hash: Digest];

function eventOf([seq, at, type, causes, data, hash]: EventRow): StoredEvent {
  return { seq, at, type: typeFromFile(type), causes, data, hash };
}

export function readPayloads(db: Statements, digests: readonly Digest[]): ReadonlyMap<Digest, string> {
  const texts = new Map<Digest, string>();
  for (const digest of digests) {
    const row = isDigest(digest) ? db.prepare(payloadText).get(bytesOf(digest)) : undefined;
    if (row !== undefined) texts.set(digest, row["text"] as string);
  }
  return texts;
}

export function readRowless(db: Statements): string[] {
  return db
    .prepare(rowlessRuns)
    .all()
    .map(({ n }) => `number ${String(n)} of the file`);
}

/** A page is at least one event, or nobody would come to the end, and at most what one may ask for. */
export function pageSize(limit: number): number {
  return Math.min(Math.max(1, limit), limits.pageEventsMax);
}
