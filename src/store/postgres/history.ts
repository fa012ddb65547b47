/** Reads one run back: a page of its events, its row, and what waits in its inbox, as they are at one moment. */
import type { Digest, RunId, Seq } from "../../core/event.ts";
import { limits } from "../../core/limits.ts";
import type { HistoryPage, Received } from "../store.ts";
import { isDigest } from "./columns.ts";
import type { Database } from "./database.ts";
import type { EventColumns } from "./row.ts";
import { eventOf, runRowOf } from "./row.ts";
import { history, payloadTexts } from "./sql.ts";

type Message = [number: number, key: string, kind: string, body: string, at: number];

export async function readHistory(
  db: Database,
  run: RunId,
  { after, limit }: { after: Seq; limit: number },
  now: number | null,
): Promise<HistoryPage | undefined> {
  // The first row is that of the run: its messages stand where an event has its causes.
  const [first, ...rows] = await db.read<EventColumns>(history, [now, run, after, pageSize(limit)]);
  if (first === undefined) return undefined;
  const row = runRowOf(first.data);
  const events = rows.map(eventOf);
  const more = (events.at(-1)?.seq ?? after) < row.state.seq;
  const waiting = more ? [] : ((JSON.parse(first.causes ?? "null") ?? []) as Message[]);
  const inbox: Received[] = waiting.map(([number, key, kind, body, at]) => ({ number, key, kind, body, at }));
  return { row, events, more, inbox };
}

export async function readPayloads(db: Database, digests: readonly Digest[]): Promise<ReadonlyMap<Digest, string>> {
  const wanted = [...new Set(digests)].filter(isDigest);
  if (wanted.length === 0) return new Map();
  const rows = await db.read<{ digest: Digest; text: string }>(payloadTexts, [wanted]);
  return new Map(rows.map(({ digest, text }) => [digest, text]));
}

/** A page is at least one event, or nobody would come to the end, and at most what one may ask for. */
export function pageSize(limit: number): number {
  return Math.min(Math.max(1, limit), limits.pageEventsMax);
}
