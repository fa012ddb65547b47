/**
 * Reads runs back: a page of the events of each, its row, and what waits in its inbox, as they are at one moment. What
 * is asked for in one turn of the event loop goes together: a worker reads all runs that it was given at once, and
 * each statement has its price in both processes.
 */
import type { Digest, RunId, Seq } from "../../core/event.ts";
import { limits } from "../../core/limits.ts";
import type { HistoryPage, Received } from "../store.ts";
import { isDigest } from "./columns.ts";
import type { Database } from "./database.ts";
import type { EventColumns } from "./row.ts";
import { eventOf, runRowOf } from "./row.ts";
import { history, payloadTexts } from "./sql.ts";
import { rowlessRuns } from "./sql-feed.ts";

type Message = [number: number, key: string, kind: string, body: string, at: number];

type Asked = {
  run: RunId;
  after: Seq;
  /** How many events at most. */
  most: number;
  resolve: (page: HistoryPage | undefined) => void;
  reject: (error: unknown) => void;
};

/** Events that one statement may be asked for, whatever there is of them: its answer is in memory as a whole. */
const eventsMax = 8000;
/** Plans are kept for lists of up to a hundred. */
const pagesMax = 100;

export class Histories {
  readonly #db: Database;
  readonly #now: () => number | null;
  #asked: Asked[] = [];

  constructor(db: Database, now: () => number | null) {
    this.#db = db;
    this.#now = now;
  }

  read(run: RunId, { after, limit }: { after: Seq; limit: number }): Promise<HistoryPage | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<HistoryPage | undefined>();
    if (this.#asked.length === 0) setImmediate(() => this.#readAll());
    this.#asked.push({ run, after, most: pageSize(limit), resolve, reject });
    return promise;
  }

  #readAll(): void {
    const asked = this.#asked;
    this.#asked = [];
    let some: Asked[] = [];
    let events = 0;
    for (const one of asked) {
      if (some.length === pagesMax || (some.length > 0 && events + one.most > eventsMax)) {
        void this.#readSome(some);
        [some, events] = [[], 0];
      }
      some.push(one);
      events += one.most;
    }
    void this.#readSome(some);
  }

  async #readSome(asked: readonly Asked[]): Promise<void> {
    try {
      const columns = [asked.map(({ run }) => run), asked.map(({ after }) => after), asked.map(({ most }) => most)];
      const rows = await this.#db.read<EventColumns & { page: number }>(history, [this.#now(), ...columns]);
      const pages: EventColumns[][] = asked.map(() => []);
      for (const row of rows) pages[row.page]?.push(row);
      for (const [i, { after, resolve }] of asked.entries()) resolve(pageOf(pages[i] ?? [], after));
    } catch (error) {
      for (const { reject } of asked) reject(error);
    }
  }
}

/** What `history` says of a run itself stands before its first event. */
const rowSeq = -1;

/**
 * The first row is that of the run: its messages stand where an event has its causes. Without one there is no run, also
 * where events of it were left behind by somebody who removed it.
 */
function pageOf([first, ...rows]: readonly EventColumns[], after: Seq): HistoryPage | undefined {
  if (first === undefined || first.seq !== rowSeq) return undefined;
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

export async function readRowless(db: Database): Promise<RunId[]> {
  return (await db.read<{ run: RunId }>(rowlessRuns)).map(({ run }) => run);
}

/** A page is at least one event, or nobody would come to the end, and at most what one may ask for. */
export function pageSize(limit: number): number {
  return Math.min(Math.max(1, limit), limits.pageEventsMax);
}
