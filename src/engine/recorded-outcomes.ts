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
import type { Digest, RunId, Seq } from "../core/event.ts";
import { outcomeOf } from "../core/event.ts";
import type { Store } from "../store/store.ts";
import { corrupt, pagesOf, portionsOf } from "./history-pages.ts";
import type { OutcomeEvent } from "./recall.ts";

/** An outcome as it is stored, and the texts of what it holds by reference. */
export type StoredOutcome = { stored: StoredEvent; texts: ReadonlyMap<Digest, string> };

/** The outcome as an event. */
export function eventIn({ stored }: StoredOutcome): OutcomeEvent {
  return unseal(stored) as OutcomeEvent;
}

type Source = {
  store: Store;
  run: RunId;
  pageEvents: number;
  /** Seqs of all of them, ascending. */
  seqs: Int32Array;
  /** The first of them, which need not be read again. */
  kept: StoredOutcome[];
  /** Checksums of the others, by their place behind `from`. */
  sums: Uint32Array;
  from: Seq;
};

export class RecordedOutcomes {
  /** Fewer at hand than these, and more are read. */
  readonly #few: number;
  #atHand: (StoredOutcome | undefined)[];
  #taken = 0;
  /** How many are not at hand yet, and where they come from: let go of with the last. */
  #missing: number;
  #more: AsyncGenerator<StoredOutcome[]> | undefined;
  #reading: Promise<void> | undefined;
  #failure: { error: unknown } | undefined;

  constructor(source: Source) {
    this.#few = source.pageEvents / 2;
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
    return next;
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

async function* readAgain({ store, run, pageEvents, seqs, kept, sums, from }: Source): AsyncGenerator<StoredOutcome[]> {
  let read = kept.length;
  const after = kept.at(-1)?.stored.seq ?? from - 1;
  for await (const page of pagesOf(store, run, after, pageEvents)) {
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
      yield events.map((stored) => ({ stored, texts }));
    }
    if (read === seqs.length) return;
  }
  throw corrupt(run, `expected ${seqs.length} outcomes as when it was verified, found ${read}`);
}

/** Tells an event from another that stands in its place; not made against those who want to deceive. */
export function checksum({ at, type, data }: StoredEvent): number {
  return crc32(data, (at * 32 + (numbers.get(type) ?? 0)) % 2 ** 32);
}

const numbers: ReadonlyMap<string, number> = new Map(Object.keys(outcomeOf).map((type, i) => [type, i]));
