/**
 * A reader of the feed who looks on while everything happens, and keeps what it was given. Afterwards it must have had
 * each event of each run once, in order, and the same as somebody who reads the feed when all is quiet.
 */
import type { RunId, Store } from "../../src/index.ts";
import { insist, pause } from "../crash/insist.ts";

export type Item = { position: number; run: RunId; seq: number; type: string; hash: string };

export type Tail = {
  /** Everything that was read, in the order in which it came. */
  readonly items: readonly Item[];
  /** Ends it, once it has had so many events, or nothing new for `patienceMs`. */
  end(events: number, patienceMs: number): Promise<void>;
};

const pageEvents = 200;

/** Starts to read. */
export function tailOf(store: Store): Tail {
  const items: Item[] = [];
  const over = new AbortController();
  const reading = (async (): Promise<void> => {
    for (let after = 0; !over.signal.aborted;) after = await readPage(store, after, items);
  })();
  return {
    items,
    async end(events, patienceMs) {
      let [had, since] = [items.length, performance.now()];
      while (had < events && performance.now() - since < patienceMs) {
        await pause(10);
        if (items.length > had) [had, since] = [items.length, performance.now()];
      }
      over.abort();
      await reading;
    },
  };
}

/** Reads the whole feed as it is now. */
export async function wholeFeed(store: Store): Promise<Item[]> {
  const items: Item[] = [];
  for (let after = 0, before = -1; after > before;) {
    before = after;
    after = await readPage(store, after, items);
  }
  return items;
}

async function readPage(store: Store, after: number, items: Item[]): Promise<number> {
  const page = await insist(() => store.feed({ after, limit: pageEvents }));
  for (const { position, run, event } of page.events) {
    items.push({ position, run, seq: event.seq, type: event.type, hash: event.hash });
  }
  if (page.events.length === 0) await pause(5);
  return page.position;
}

/** What is there: how many events each run has, and the feed as it is read when all is quiet. */
export type Truth = { counts: ReadonlyMap<RunId, number>; whole: readonly Item[] };

/** What is wrong with what a reader has had. */
export function faultsOfTail(items: readonly Item[], { counts, whole }: Truth): string[] {
  const faults: string[] = [];
  const next = new Map<RunId, number>();
  let last = 0;
  for (const { position, run, seq } of items) {
    if (position <= last) faults.push(`the reader had position ${position} behind ${last}`);
    last = position;
    const expected = next.get(run) ?? 0;
    if (seq !== expected) faults.push(`the reader had seq ${seq} of ${run} where ${expected} is next`);
    next.set(run, seq + 1);
  }
  for (const [run, count] of counts) {
    if (next.get(run) !== count) faults.push(`the reader had ${next.get(run) ?? 0} of the ${count} events of ${run}`);
  }
  for (const run of next.keys())
    if (!counts.has(run)) faults.push(`the reader had events of ${run}, which is not there`);
  const differs = whole.findIndex((item, i) => JSON.stringify(item) !== JSON.stringify(items[i]));
  if (differs >= 0 || items.length !== whole.length) {
    const [had, is] = [items[differs], whole[differs]].map((item) => JSON.stringify(item));
    faults.push(
      `the reader had ${items.length} events of ${whole.length}; at ${differs} it had ${had}, there is ${is}`,
    );
  }
  return faults;
}
