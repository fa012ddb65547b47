/**
 * The outcomes that a recall delivers, in their order. The first of them are kept from when the history was loaded, so
 * a short history is read once; the others are read again, some ahead of the body, and let go of when they are taken.
 *
 * The history was verified when it was loaded. So that a value that changes in the file between the two readings cannot
 * reach a body either, each event has left a checksum, and payloads are checked against their digests again.
 */
import { crc32 } from "node:zlib";
import { unseal } from "../core/chain.ts";
import type { StoredEvent } from "../core/chain.ts";
import type { Digest, RunId, Seq, Timestamp } from "../core/event.ts";
import { outcomeOf } from "../core/event.ts";
import type { Store } from "../store/store.ts";
import { corrupt, pageBehind, portionsOf, readTexts } from "./history-pages.ts";
import { outputIn } from "./index-text.ts";
import type { PackedEvents } from "./pack.ts";
import { digestIn, rowsBehind, unpack } from "./pack.ts";
import type { OutcomeEvent } from "./recall.ts";

/** An outcome as it is stored, and the texts of what it holds by reference. */
export type StoredOutcome = {
  readonly stored: StoredEvent;
  readonly texts: ReadonlyMap<Digest, string>;
  readonly seq: Seq;
  readonly at: Timestamp;
  /** The text of what a step gave, if it is in there and nothing else matters. */
  readonly output: string | undefined;
};

/** One that was read as a row. */
export class OutcomeRow implements StoredOutcome {
  readonly stored: StoredEvent;
  readonly texts: ReadonlyMap<Digest, string>;

  constructor(stored: StoredEvent, texts: ReadonlyMap<Digest, string>) {
    this.stored = stored;
    this.texts = texts;
  }

  get seq(): Seq {
    return this.stored.seq;
  }

  get at(): Timestamp {
    return this.stored.at;
  }

  get output(): string | undefined {
    return outputIn(this.stored);
  }
}

/** One that came in a pack. */
class PackedOutcome implements StoredOutcome {
  readonly #pack: ReadPack;
  readonly seq: Seq;

  constructor(pack: ReadPack, seq: Seq) {
    this.#pack = pack;
    this.seq = seq;
  }

  get stored(): StoredEvent {
    return this.#pack.events.stored(this.seq);
  }

  get texts(): ReadonlyMap<Digest, string> {
    return this.#pack.texts;
  }

  get at(): Timestamp {
    return this.#pack.events.at(this.seq);
  }

  get output(): string | undefined {
    return this.#pack.events.output(this.seq);
  }
}

/** A pack, and the texts of what its events hold by reference. */
export type ReadPack = { readonly events: PackedEvents; readonly texts: ReadonlyMap<Digest, string> };

/** The outcome as an event. */
export function eventIn({ stored }: StoredOutcome): OutcomeEvent {
  return unseal(stored) as OutcomeEvent;
}

/** What an outcome is made of when its turn comes: its row, or the pack that it came in. */
export type Kept = OutcomeRow | ReadPack;

type Source = {
  store: Store;
  run: RunId;
  pageEvents: number;
  packEvents: number;
  /** Seqs of all of them, ascending. */
  seqs: Int32Array;
  /** The first of them, which need not be read again; of a pack all or none. */
  kept: Kept[];
  /** Checksums of the rows of others, by their place behind `from`. */
  sums: Uint32Array;
  /** Digests of the packs that were read, by their first seq. */
  packs: ReadonlyMap<Seq, Digest>;
  from: Seq;
};

export class RecordedOutcomes {
  /** Fewer at hand than these, and more are read. */
  readonly #few: number;
  #seqs: Int32Array;
  #given = 0;
  #atHand: (Kept | undefined)[];
  #taken = 0;
  /** How many are not at hand yet, and where they come from: let go of with the last. */
  #missing: number;
  #more: AsyncGenerator<Kept[]> | undefined;
  #reading: Promise<void> | undefined;
  #failure: { error: unknown } | undefined;

  constructor(source: Source) {
    this.#few = source.pageEvents / 2;
    this.#seqs = source.seqs;
    this.#atHand = source.kept;
    this.#missing = source.seqs.length - source.kept.length;
    if (this.#missing > 0) this.#more = readAgain(source);
  }

  /**
   * The next outcome; undefined while it is being read, until `arrived`.
   *
   * @throws whatever the store threw, and store.corrupt when an event is not what it was when it was verified
   */
  take(): StoredOutcome | undefined {
    if (this.#atHand.length - this.#taken <= this.#few) this.#read();
    const next = this.#atHand[this.#taken];
    if (next === undefined) {
      if (this.#failure !== undefined) throw this.#failure.error;
      return undefined;
    }
    this.#atHand[this.#taken] = undefined;
    this.#taken += 1;
    const seq = this.#seqs[this.#given] ?? 0;
    this.#given += 1;
    if (this.#given === this.#seqs.length) [this.#seqs, this.#atHand] = [new Int32Array(0), []];
    return next instanceof OutcomeRow ? next : new PackedOutcome(next, seq);
  }

  /** Resolves when what was being read is there, or cannot be read. */
  async arrived(): Promise<void> {
    await this.#reading;
  }

  #read(): void {
    if (this.#more === undefined || this.#failure !== undefined) return;
    this.#reading ??= this.#more
      .next()
      .then(
        ({ value, done }) => {
          if (done === true) return;
          this.#atHand = [...this.#atHand.slice(this.#taken), ...value];
          this.#taken = 0;
          this.#missing -= value.length;
          if (this.#missing === 0) this.#more = undefined;
        },
        (error: unknown) => {
          this.#failure = { error };
        },
      )
      .finally(() => {
        this.#reading = undefined;
      });
  }
}

async function* readAgain(source: Source): AsyncGenerator<Kept[]> {
  const { store, run, pageEvents, packEvents, seqs, kept, sums, packs, from } = source;
  let read = kept.length;
  const last = kept.at(-1);
  let after = last === undefined ? from - 1 : last instanceof OutcomeRow ? last.seq : last.events.last;
  while (read < seqs.length) {
    const digest = packs.get(after + 1);
    if (digest !== undefined) {
      const pack = await packAgain(store, run, after + 1, digest);
      after = pack.events.last;
      const begin = read;
      while (read < seqs.length && (seqs[read] ?? 0) <= after) read += 1;
      if (read > begin) yield Array.from({ length: read - begin }, () => pack);
      continue;
    }
    const page = await pageBehind(store, run, after, rowsBehind(after, pageEvents, packEvents));
    const wanted: StoredEvent[] = [];
    for (const stored of page.events) {
      if (stored.seq !== seqs[read]) continue;
      if (checksum(stored) !== sums[stored.seq - from]) {
        throw corrupt(run, `event ${stored.seq} (${stored.type}) has changed since it was verified`);
      }
      wanted.push(stored);
      read += 1;
    }
    for await (const { events, texts } of portionsOf(store, run, wanted)) {
      yield events.map((stored) => new OutcomeRow(stored, texts));
    }
    if (!page.more) break;
    after = page.events.at(-1)?.seq ?? after;
  }
  if (read < seqs.length) throw corrupt(run, `expected ${seqs.length} outcomes as when it was verified, found ${read}`);
}

async function packAgain(store: Store, run: RunId, first: Seq, digest: Digest): Promise<ReadPack> {
  const [pack] = (await store.packs?.(run, { from: first, limit: 1 })) ?? [];
  const events = pack?.first === first && digestIn(pack) === digest ? unpack(run, pack)?.packed : undefined;
  if (events === undefined) throw corrupt(run, `the pack from event ${first} on has changed since it was verified`);
  return { events, texts: await readTexts(store, run, events.payloads()) };
}

/** Tells an event from another that stands in its place; not made against those who want to deceive. */
export function checksum({ at, type, data }: StoredEvent): number {
  return crc32(data, (at * 32 + (numbers.get(type) ?? 0)) % 2 ** 32);
}

const numbers: ReadonlyMap<string, number> = new Map(Object.keys(outcomeOf).map((type, i) => [type, i]));
