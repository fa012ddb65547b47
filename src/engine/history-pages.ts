/**
 * Histories and payloads as a store gives them: page by page, in portions of a few megabytes, so that neither memory
 * nor the event loop feels how long a history is.
 */
import { unseal } from "../core/chain.ts";
import type { StoredEvent } from "../core/chain.ts";
import { StemmaError } from "../core/error.ts";
import type { Digest, Event, RunId, Seq } from "../core/event.ts";
import { limits } from "../core/limits.ts";
import type { HistoryPage, Received, RunRow, Store } from "../store/store.ts";
import { sha256 } from "./hash.ts";
import { payloadsOf } from "./payload.ts";
import type { Reference } from "./payload.ts";

/** Payloads that are in hand at a time take at most this much, or are one. */
const portionBytesMax = 1_048_576;

/** A stretch of events with the texts of what they hold by reference. */
export type Portion = { events: readonly StoredEvent[]; texts: ReadonlyMap<Digest, string> };

/** The pages of a history behind `after`. Throws run.not_found, and store.corrupt where an event is missing. */
export async function* pagesOf(store: Store, run: RunId, after: Seq, limit: number): AsyncGenerator<HistoryPage> {
  let last = after;
  for (;;) {
    const page = await pageBehind(store, run, last, limit);
    yield page;
    if (!page.more) return;
    last = page.events.at(-1)?.seq ?? last;
  }
}

/** The page of a history behind `after`, with the same errors. */
export async function pageBehind(store: Store, run: RunId, after: Seq, limit: number): Promise<HistoryPage> {
  const page = await store.history(run, { after, limit });
  if (page === undefined) {
    throw new StemmaError("run.not_found", `There is no run ${run} in this store.`, { data: { run } });
  }
  let last = after;
  for (const { seq } of page.events) {
    if (seq !== last + 1) throw corrupt(run, `expected the event with seq ${last + 1}, found seq ${seq}`);
    last = seq;
  }
  if (page.more && last === after) throw corrupt(run, `expected events behind seq ${last}, found none`);
  return page;
}

/** The history of a run behind `after` (-1: the whole), for those who want it all at once. Throws run.not_found. */
export async function readHistory(
  store: Store,
  run: RunId,
  after: Seq = -1,
): Promise<{ row: RunRow; events: Event[]; inbox: readonly Received[] }> {
  const events: Event[] = [];
  for await (const { row, events: stored, inbox, more } of pagesOf(store, run, after, limits.pageEventsMax)) {
    for (const event of stored) events.push(unseal(event));
    if (!more) return { row, events, inbox };
  }
  throw new StemmaError("engine.bug", `The history of ${run} has no last page.`);
}

/**
 * Cuts events into portions, and reads and checks the payloads of each. A payload that is missing is left out: whether
 * that matters is known when a body is to be given it.
 *
 * @throws store.corrupt when a payload is not what its digest says
 */
export async function* portionsOf(store: Store, run: RunId, events: readonly StoredEvent[]): AsyncGenerator<Portion> {
  // Most events have none, and to see that they need not be parsed.
  if (!events.some(({ data }) => mayRefer(data))) {
    if (events.length > 0) yield { events, texts: none };
    return;
  }
  let from = 0;
  let bytes = 0;
  let wanted = new Set<Digest>();
  for (const [i, stored] of events.entries()) {
    const own = referencesOf(stored);
    const more = own.reduce((sum, { digest, bytes: size }) => (wanted.has(digest) ? sum : sum + size), 0);
    if (more > 0 && i > from && (bytes + more > portionBytesMax || wanted.size + own.length > limits.pageRunsMax)) {
      yield { events: events.slice(from, i), texts: await readTexts(store, run, [...wanted]) };
      [from, bytes, wanted] = [i, 0, new Set()];
    }
    bytes += more;
    for (const { digest } of own) wanted.add(digest);
  }
  if (from < events.length) {
    yield { events: events.slice(from), texts: await readTexts(store, run, [...wanted]) };
  }
}

function referencesOf(stored: StoredEvent): Reference[] {
  return mayRefer(stored.data) ? payloadsOf(unseal(stored)) : [];
}

/** Whether what is in a text may name payloads. */
export function mayRefer(text: string): boolean {
  return text.includes('"digest":');
}

/** The texts of payloads, each of them what its digest says. */
export async function readTexts(
  store: Pick<Store, "payloads">,
  run: RunId,
  digests: readonly Digest[],
): Promise<ReadonlyMap<Digest, string>> {
  if (digests.length === 0) return none;
  const texts = await store.payloads(digests);
  for (const [digest, text] of texts) {
    if (sha256(text) !== digest) throw corrupt(run, `the value ${digest} is not what was written: its digest differs`);
  }
  return texts;
}

/** No texts. */
export const none: ReadonlyMap<Digest, string> = new Map();

export function corrupt(run: RunId, why: string): StemmaError {
  return new StemmaError("store.corrupt", `Run ${run} cannot be continued: ${why}. Restore the store from a backup.`, {
    data: { run },
  });
}
