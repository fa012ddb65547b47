/**
 * Reading a store to the end, page by page, as every caller has to; and the whole state of a store as one value, so
 * that a refusal can be shown to have changed nothing.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { StoredEvent } from "../../core/chain.ts";
import type { Digest, RunId } from "../../core/event.ts";
import type {
  FeedPage,
  FeedQuery,
  HistoryPage,
  ListQuery,
  Producer,
  Received,
  RunRow,
  Store,
} from "../../store/store.ts";
import { pageLimit } from "./fixture.ts";

export type FeedItem = FeedPage["events"][number];

/** The first page of a run that must be there. */
export async function pageOf(store: Store, run: RunId): Promise<HistoryPage> {
  const page = await store.history(run, { after: -1, limit: pageLimit });
  assert.ok(page, `expected ${run} to be there`);
  return page;
}

/** The row of a run that must be there. */
export async function rowOf(store: Store, run: RunId): Promise<RunRow> {
  return (await pageOf(store, run)).row;
}

/** All events of a run and its open messages, in pages of `limit`. */
export async function wholeHistory(
  store: Store,
  run: RunId,
  limit: number = pageLimit,
): Promise<{ row: RunRow; events: StoredEvent[]; inbox: readonly Received[] }> {
  const events: StoredEvent[] = [];
  for (;;) {
    const page = await store.history(run, { after: events.at(-1)?.seq ?? -1, limit });
    assert.ok(page, `expected ${run} to be there`);
    assert.ok(page.events.length <= limit, `a page of ${page.events.length} events, asked for ${limit}`);
    events.push(...page.events);
    if (!page.more) return { row: page.row, events, inbox: page.inbox };
    assert.ok(page.events.length > 0, "a page that says more has events itself, or nobody would ever arrive");
    assert.deepEqual(page.inbox, [], "messages come with the last page only");
  }
}

/** All rows that a query finds, in pages of `limit`. */
export async function wholeList(store: Store, query: ListQuery = {}, limit: number = 100): Promise<RunRow[]> {
  const runs: RunRow[] = [];
  let cursor: string | undefined;
  do {
    const page = await store.list({ ...query, limit, ...(cursor === undefined ? {} : { cursor }) });
    assert.ok(page.runs.length <= limit, `a page of ${page.runs.length} runs, asked for ${limit}`);
    assert.ok(page.runs.length > 0 || page.cursor === undefined, "an empty page has nothing behind it");
    // A list that comes to no end would otherwise never fail.
    const again = page.runs.find(({ id }) => runs.some((run) => run.id === id));
    assert.equal(again, undefined, "a run is listed once");
    runs.push(...page.runs);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return runs;
}

export async function listedIds(store: Store, query: ListQuery = {}, limit: number = 100): Promise<RunId[]> {
  return (await wholeList(store, query, limit)).map(({ id }) => id);
}

/**
 * All events of the feed behind a position, in pages of `limit`. A store may give positions shortly after the commit,
 * so this goes on until `expected` events were seen, and for one page more, in which there must be nothing.
 */
export async function wholeFeed(
  store: Store,
  expected: number,
  query: Partial<FeedQuery> = {},
): Promise<{ events: FeedItem[]; position: number }> {
  const events: FeedItem[] = [];
  const { after = 0, limit = pageLimit, ...filter } = query;
  let position = after;
  for (let patience = 200; ;) {
    const page = await store.feed({ ...filter, after: position, limit });
    assert.ok(page.events.length <= limit, `a page of ${page.events.length} events, asked for ${limit}`);
    checkPage(page, position);
    const moved = page.position > position;
    position = page.position;
    events.push(...page.events);
    if (moved) continue;
    if (events.length >= expected || patience-- === 0) break;
    await sleep(10);
  }
  assert.equal(events.length, expected, "number of events in the feed");
  return { events, position };
}

/** What holds of every page of the feed. */
function checkPage(page: FeedPage, after: number): void {
  let last = after;
  for (const { position } of page.events) {
    assert.ok(position > last, `position ${position} is not behind ${last}`);
    last = position;
  }
  assert.ok(page.position >= last, `the page goes on at ${page.position}, which is not behind its last event, ${last}`);
}

/** Everything that can be read from a store, as one value. */
export type Snapshot = {
  runs: { row: RunRow; events: StoredEvent[]; inbox: readonly Received[] }[];
  feed: FeedItem[];
  payloads: (string | undefined)[];
  producers: (readonly Producer[])[];
};

/** Reads everything; payloads by the digests, and producers by the families and reuse keys, that the test knows of. */
export async function snapshot(
  store: Store,
  known: { digests?: readonly Digest[]; reuse?: readonly { family: RunId; key: Digest }[] } = {},
): Promise<Snapshot> {
  const { digests = [], reuse = [] } = known;
  const runs: Snapshot["runs"] = [];
  for (const row of await wholeList(store)) {
    const history = await wholeHistory(store, row.id);
    assert.deepEqual(row, history.row, "the list and the history show the same row");
    runs.push(history);
  }
  const total = runs.reduce((sum, run) => sum + run.events.length, 0);
  const { events: feed } = await wholeFeed(store, total);
  const texts = await store.payloads(digests);
  const producers: Snapshot["producers"] = [];
  for (const { family, key } of reuse) producers.push((await store.reusable(family, [key])).get(key) ?? []);
  return { runs, feed, payloads: digests.map((digest) => texts.get(digest)), producers };
}
