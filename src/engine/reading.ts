/**
 * One reading of a history: page by page, or pack by pack where it has these. It recomputes all hashes on the way, and
 * leaves an index of places behind, the first outcomes, and what tells whether the others have changed when they are read
 * again.
 */
import { genesis, unseal } from "../core/chain.ts";
import type { StoredEvent } from "../core/chain.ts";
import { storedHash } from "../core/chain-text.ts";
import { isStemmaError, StemmaError } from "../core/error.ts";
import type { Digest, Event, Seq, Timestamp } from "../core/event.ts";
import { limits } from "../core/limits.ts";
import type { Received, RunRow, Store } from "../store/store.ts";
import { rememberedDigest, sha256 } from "./hash.ts";
import { corrupt, pageBehind, portionsOf, readTexts } from "./history-pages.ts";
import { indexed } from "./index-text.ts";
import { digestIn, packEventsUsual, rowsBehind, unpack } from "./pack.ts";
import type { PackedEvents } from "./pack.ts";
import { Packer } from "./packer.ts";
import { payloadsOf } from "./payload.ts";
import { Recall } from "./recall.ts";
import { OutcomeRow, RecordedOutcomes, checksum } from "./recorded-outcomes.ts";
import type { Kept } from "./recorded-outcomes.ts";

export type LoadOptions = {
  /** Events read at a time. */
  pageEvents?: number | undefined;
  /** Events of a pack, in which the history is kept a second time. */
  packEvents?: number | undefined;
  /** For a body that holds on to all its outcomes: how much of their text is kept, where it is not the usual little. */
  heldCharsMax?: number | undefined;
};

/** Events read at a time: a few hundred take a millisecond, and are too few to count in memory. */
const pageEventsUsual = 256;
/** Packs read at a time. */
const packsPage = 8;
/** Outcomes kept from the first reading: these many pages of them, or as much text. */
const keptPages = 4;
const keptCharsMax = 1_048_576;
/** Work between two turns of the event loop, in characters; an event costs as much as these many, besides its own. */
const sliceWorkMax = 200_000;
const eventWork = 1000;
/** What a pack takes besides its texts. */
const packWork = 50_000;
/** A history of more events than these is long. */
export const longEventsUsual = 10_000;

/** How many events an activation of the run is loaded from, but for its first. */
export function eventsToRead({ state }: RunRow): number {
  return state.seq - (state.checkpoint?.seq ?? 0);
}

/** Reads a history, as far as it can be from packs. Where anything is wrong with these it is read again without. */
export async function read(
  store: Store,
  row: RunRow,
  turn: (call: () => void) => void,
  options: LoadOptions,
): Promise<{ reading: Reading; inbox: readonly Received[] }> {
  if (store.packs !== undefined && eventsToRead(row) >= (options.packEvents ?? packEventsUsual)) {
    try {
      const reading = new Reading(store, row, turn, options, true);
      const inbox = await reading.all();
      reading.expectWhole();
      return { reading, inbox };
    } catch (error) {
      // Only the rows say what it is, if it was not the packs; that the run is in other hands they say no better.
      if (isStemmaError(error) && error.code !== "store.corrupt") throw error;
    }
  }
  const reading = new Reading(store, row, turn, options, false);
  return { reading, inbox: await reading.all() };
}

/** One reading of a history, and what it leaves behind. */
class Reading {
  readonly #store: Store;
  readonly #row: RunRow;
  readonly #turn: (call: () => void) => void;
  readonly #pageEvents: number;
  readonly #packEvents: number;
  readonly #fromPacks: boolean;
  /** Left out for a store that keeps no packs. */
  readonly #packer: Packer | undefined;
  readonly #from: Seq;
  readonly #recall: Recall;
  readonly #kept: Kept[] = [];
  readonly #keptMax: { outcomes: number; chars: number };
  #keptChars = 0;
  #keeping = true;
  readonly #sums: Uint32Array;
  readonly #texts = new Map<Digest, string>();
  /** Declared input of the last step that was started. */
  #input: Digest | undefined;
  /** Digests of the packs that were read, by their first seq. */
  readonly #packs = new Map<Seq, Digest>();
  /** What was done since the event loop last turned. */
  #work = 0;
  #start: Event | undefined;
  #last: { seq: Seq; at: Timestamp; hash: Digest } | undefined;

  constructor(
    store: Store,
    row: RunRow,
    turn: (call: () => void) => void,
    { pageEvents = pageEventsUsual, packEvents = packEventsUsual, heldCharsMax }: LoadOptions,
    fromPacks: boolean,
  ) {
    this.#packEvents = packEvents;
    this.#store = store;
    this.#row = row;
    this.#turn = turn;
    this.#pageEvents = Math.min(pageEvents, limits.pageEventsMax);
    this.#fromPacks = fromPacks;
    this.#packer = store.packs === undefined ? undefined : new Packer(row.id, packEvents);
    this.#keptMax =
      heldCharsMax === undefined
        ? { outcomes: keptPages * this.#pageEvents, chars: keptCharsMax }
        : { outcomes: Infinity, chars: heldCharsMax };
    this.#from = row.state.checkpoint?.seq ?? 0;
    this.#recall = new Recall(this.#from, row.state.seq);
    this.#sums = new Uint32Array(row.state.seq + 1 - this.#from);
  }

  /** Reads and verifies all, and gives the messages that wait. */
  async all(): Promise<readonly Received[]> {
    // The event before a checkpoint is read too: the checkpoint's hash covers it.
    let after = Math.max(this.#from - 2, -1);
    for (;;) {
      if (this.#fromPacks) after = await this.#takePacks(after);
      const limit = this.#fromPacks ? rowsBehind(after, this.#pageEvents, this.#packEvents) : this.#pageEvents;
      const page = await pageBehind(this.#store, this.#row.id, after, limit);
      this.#expectHeld(page.row);
      await this.#takeRows(page.events);
      if (!page.more) return page.inbox;
      after = page.events.at(-1)?.seq ?? after;
    }
  }

  /** Takes the packs behind an event, as far as they go, and gives the seq of the last event in them. */
  async #takePacks(after: Seq): Promise<Seq> {
    const { id, state } = this.#row;
    let last = after;
    for (;;) {
      const from = last + 1;
      // What the run starts from is read as a row: of that a recall needs more than a pack has.
      if (from <= this.#from || from % this.#packEvents !== 0 || from + this.#packEvents > state.seq + 1) return last;
      const packs = (await this.#store.packs?.(id, { from, limit: packsPage })) ?? [];
      for (const pack of packs) {
        if (pack.first !== last + 1) return last;
        const unpacked = unpack(id, pack, this.#last?.hash ?? "");
        if (unpacked === undefined)
          throw corrupt(id, `the pack of its events from ${pack.first} on is not what was written`);
        // Another version may pack more or fewer.
        if (unpacked.packed.last !== last + this.#packEvents) return last;
        await this.#takePacked(unpacked.packed, unpacked.index());
        this.#packs.set(pack.first, digestIn(pack));
        last = unpacked.packed.last;
      }
      if (packs.length === 0) return last;
    }
  }

  async #takePacked(events: PackedEvents, index: readonly Event[]): Promise<void> {
    if (this.#work > sliceWorkMax) await this.#rest();
    const pack = { events, texts: await readTexts(this.#store, this.#row.id, events.payloads()) };
    this.#keptChars += events.chars;
    for (const text of pack.texts.values()) this.#keptChars += text.length;
    this.#keeping &&= this.#keptChars <= this.#keptMax.chars && this.#kept.length < this.#keptMax.outcomes;
    for (const event of index) if (this.#recall.add(event) && this.#keeping) this.#kept.push(pack);
    const { last, hash } = events;
    this.#last = { seq: last, at: events.at(last), hash };
    this.#work += packWork + events.chars;
  }

  async #takeRows(all: readonly StoredEvent[]): Promise<void> {
    for await (const { events, texts } of portionsOf(this.#store, this.#row.id, all)) {
      for (const text of texts.values()) {
        if (this.#keeping) this.#keptChars += text.length;
        this.#work += text.length;
      }
      for (const stored of events) {
        if (this.#work > sliceWorkMax) await this.#rest();
        if (stored.seq >= this.#from) this.#take(stored, texts);
        this.#last = stored;
        this.#work += stored.data.length + eventWork;
      }
    }
  }

  /** What has moved on in other hands since it was claimed is whole, though not as it was then. */
  #expectHeld({ id, epoch }: RunRow): void {
    if (epoch === this.#row.epoch) return;
    throw new StemmaError("lease.lost", `Run ${id} was taken from this worker before it had read it.`, {
      data: { run: id },
    });
  }

  async #rest(): Promise<void> {
    this.#work = 0;
    await new Promise<void>((resolve) => this.#turn(resolve));
  }

  #take(stored: StoredEvent, texts: ReadonlyMap<Digest, string>): void {
    const { id } = this.#row;
    // One that a newer version wrote is refused as that, and not as damaged.
    const isStart = stored.seq === this.#from;
    const event = isStart ? unseal(stored) : indexed(stored, this.#input);
    if (event.type === "step.started") this.#input = event.data.input;
    const before = this.#last?.hash ?? genesis(sha256, id);
    if (storedHash(sha256, before, stored, rememberedDigest) !== stored.hash)
      throw corrupt(id, `event ${stored.seq} (${stored.type}) is not what was written: its hash differs`);
    this.#packer?.add(stored, event, before);
    const settles = this.#recall.add(event);
    if (isStart) {
      this.#start = event;
      for (const { digest } of payloadsOf(event)) {
        const text = texts.get(digest);
        if (text !== undefined) this.#texts.set(digest, text);
      }
    }
    if (settles) this.#keep(stored, texts);
  }

  #keep(stored: StoredEvent, texts: ReadonlyMap<Digest, string>): void {
    this.#keptChars += stored.data.length;
    this.#keeping &&= this.#keptChars <= this.#keptMax.chars && this.#kept.length < this.#keptMax.outcomes;
    if (this.#keeping) this.#kept.push(new OutcomeRow(stored, texts));
    else this.#sums[stored.seq - this.#from] = checksum(stored);
  }

  /** What the run starts from; throws where the history does not end as the run's row says. */
  expectWhole(): { start: Event; lastAt: Timestamp; texts: Map<Digest, string> } {
    const { id, state, hash } = this.#row;
    const [start, last] = [this.#start, this.#last];
    const isStart = start?.type === (this.#from === 0 ? "run.created" : "checkpoint");
    if (start !== undefined && isStart && last?.seq === state.seq && last.hash === hash) {
      return { start, lastAt: last.at, texts: this.#texts };
    }
    const found = last === undefined ? "nothing" : `seq ${last.seq} with another hash or order`;
    throw corrupt(id, `expected its history to end with seq ${state.seq} as its row says, found ${found}`);
  }

  async found(): Promise<{ recall: Recall; outcomes: RecordedOutcomes; packer: Packer | undefined }> {
    const isLong = eventsToRead(this.#row) > longEventsUsual;
    // To put a long index into order takes a turn of its own, as what comes behind does.
    if (isLong) await this.#rest();
    const recall = this.#recall.complete();
    if (isLong) await this.#rest();
    const outcomes = new RecordedOutcomes({
      store: this.#store,
      run: this.#row.id,
      pageEvents: this.#pageEvents,
      packEvents: this.#packEvents,
      seqs: recall.outcomeSeqs(),
      kept: this.#kept,
      sums: this.#sums,
      packs: this.#packs,
      from: this.#from,
    });
    return { recall, outcomes, packer: this.#packer };
  }
}
