/**
 * Those who follow: the feed from a position, a run from a seq, or a stream of values from its position. Each is asked
 * for the next few items when whoever reads them has room for more, and never before.
 */
import { unseal } from "../../core/chain.ts";
import { StemmaError } from "../../core/error.ts";
import type { Event, RunId, Seq } from "../../core/event.ts";
import { decode } from "../../core/json.ts";
import { limits } from "../../core/limits.ts";
import { checkName } from "../../core/name.ts";
import { isTerminal } from "../../core/run.ts";
import { expectInFeed, expectInRun, expectInStream } from "../../engine/cursors.ts";
import type { Stemma } from "../../engine/stemma.ts";
import type { Hub, HubEntry } from "./hub.ts";

/** What is sent: JSON under an id from which a reader who was cut off goes on. */
export type Item = { id: number; json: string };

/**
 * A few items; none where there was nothing for a while. `at`: everything up to there was looked at. `end`: nothing
 * comes any more.
 */
export type Portion = { items: readonly Item[]; at?: number; end?: true };

/** Gives the next portion. Waits for `ms` at most, or until `signal` is aborted. */
export type Follower = (ms: number, signal: AbortSignal) => Promise<Portion>;

const portionMax = 64;
const streamPollMs = 50;

const ends: ReadonlySet<string> = new Set(["run.succeeded", "run.failed", "run.cancelled", "run.timed_out"]);

/** The texts of entries, so that a thousand followers do not write each a thousand times. */
const texts = new WeakMap<Event, { entry?: string; event?: string }>();

function textOf(
  { position, run, event }: Pick<HubEntry, "position" | "run" | "event">,
  form: "entry" | "event",
): string {
  const known = texts.get(event) ?? {};
  texts.set(event, known);
  return (known[form] ??= JSON.stringify(form === "event" ? event : { position, run, event }));
}

export type FeedWish = { after?: number; run?: RunId; family?: RunId; workflow?: string; once?: boolean };

/** Follows the feed; of one run to its end. Throws run.not_found, cursor.beyond_end. */
export async function followFeed(stemma: Stemma, hub: Hub, wish: FeedWish): Promise<Follower> {
  const { after = 0, run, family, workflow, once = false } = wish;
  const { store } = stemma;
  const filter = {
    ...(run === undefined ? {} : { run }),
    ...(family === undefined ? {} : { family }),
    ...(workflow === undefined ? {} : { workflow }),
  };
  const fits = (entry: HubEntry): boolean =>
    (run ?? entry.run) === entry.run &&
    (family ?? entry.family) === entry.family &&
    (workflow ?? entry.workflow) === entry.workflow;
  let position = after;
  // Whether a run ended before is known from the store alone, so who follows one begins there.
  let live = run === undefined && !once;
  if (run !== undefined) await stemma.row(run);
  if (after > hub.head) await expectInFeed(store, after);
  const itemOf = (entry: Pick<HubEntry, "position" | "run" | "event">): Item => ({
    id: entry.position,
    json: textOf(entry, "entry"),
  });

  const fromStore = async (): Promise<Portion | undefined> => {
    const ended = run !== undefined && isTerminal((await stemma.row(run)).state.status);
    const page = await store.feed({ after: position, limit: portionMax, ...filter });
    const moved = page.position !== position;
    position = page.position;
    const items = page.events.map(({ event, ...entry }) => itemOf({ ...entry, event: unseal(event) }));
    if (moved) return { items, at: position };
    if (page.pending === true) return undefined;
    if (ended || once) return { items, at: position, end: true };
    live = true;
    return undefined;
  };

  return async (ms, signal) => {
    const until = performance.now() + ms;
    for (;;) {
      const kept = live ? hub.since(position, portionMax) : undefined;
      if (kept === undefined) {
        const portion = await fromStore();
        if (portion !== undefined) return portion;
      } else if (kept.length > 0) {
        position = kept.at(-1)?.position ?? position;
        const items = kept.filter(fits);
        const end = run !== undefined && items.some(({ event }) => ends.has(event.type));
        if (items.length > 0) return { items: items.map(itemOf), at: position, ...(end ? { end } : {}) };
        continue;
      } else if (hub.head > position) position = hub.head;
      const left = until - performance.now();
      if (left <= 0 || signal.aborted || hub.stopped.signal.aborted) return { items: [], at: position };
      await hub.news(position, live ? left : Math.min(left, streamPollMs), signal);
    }
  };
}

/** Follows a run from behind a seq to its end. Throws run.not_found, cursor.beyond_end. */
export async function followRun(stemma: Stemma, hub: Hub, run: RunId, after: Seq): Promise<Follower> {
  const { store } = stemma;
  expectInRun(await stemma.row(run), after);
  let seq = after;
  /** Behind which position of the feed its events are still to come; undefined where its history has to be read. */
  let place: number | undefined;
  const itemOf = (event: Event): Item => ({ id: event.seq, json: textOf({ position: 0, run, event }, "event") });

  const fromHistory = async (): Promise<Portion> => {
    const head = hub.head;
    const page = await store.history(run, { after: seq, limit: limits.pageEventsMax });
    if (page === undefined) throw new StemmaError("run.not_found", `There is no run ${run} in this store.`);
    seq = page.events.at(-1)?.seq ?? seq;
    const end = !page.more && isTerminal(page.row.state.status) && seq >= page.row.state.seq;
    // What it says from now on has a place behind the head that was there before the history was read.
    if (!page.more) place = head;
    return { items: page.events.map((event) => itemOf(unseal(event))), ...(end ? { end } : {}) };
  };

  return async (ms, signal) => {
    const until = performance.now() + ms;
    for (;;) {
      const kept = place === undefined ? undefined : hub.since(place, portionMax);
      if (kept === undefined) {
        const portion = await fromHistory();
        if (portion.items.length > 0 || portion.end === true) return portion;
      } else if (kept.length > 0) {
        place = kept.at(-1)?.position ?? place;
        const events = kept.filter((entry) => entry.run === run && entry.event.seq > seq).map(({ event }) => event);
        seq = events.at(-1)?.seq ?? seq;
        const end = events.some(({ type }) => ends.has(type));
        if (events.length > 0) return { items: events.map(itemOf), ...(end ? { end } : {}) };
        continue;
      } else place = Math.max(place ?? 0, hub.head);
      const left = until - performance.now();
      if (left <= 0 || signal.aborted || hub.stopped.signal.aborted) return { items: [] };
      await hub.news(place ?? 0, left, signal);
    }
  };
}

/** Follows the values that a run emits under a name, to its end. Throws run.not_found, name.invalid, cursor.beyond_end. */
export async function followStream(stemma: Stemma, run: RunId, stream: string, from: number): Promise<Follower> {
  const { store } = stemma;
  checkName(stream, "name of a stream");
  await stemma.row(run);
  await expectInStream(store, run, stream, from);
  let after = from;
  return async (ms, signal) => {
    const until = performance.now() + ms;
    for (;;) {
      const ended = isTerminal((await stemma.row(run)).state.status);
      const { values = [] } = await store.feed({ run, stream, after, limit: limits.pageEventsMax });
      after = values.at(-1)?.position ?? after;
      if (values.length > 0) {
        const items = values.map(({ position, step, attempt, text }) => ({
          id: position,
          // The empty text, which no JSON text is, is the mark of a new beginning.
          json: JSON.stringify({
            position,
            step,
            attempt,
            ...(text === "" ? { reset: true } : { value: decode(text) }),
          }),
        }));
        return { items };
      }
      if (ended) return { items: [], end: true };
      if (performance.now() >= until || signal.aborted) return { items: [] };
      await new Promise((resolve) => setTimeout(resolve, streamPollMs));
    }
  };
}
