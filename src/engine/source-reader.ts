/**
 * The outcomes of one run that another reuses, read a stretch at a time from where the last one was found: what is
 * asked for next most likely follows there. Each event is checked against the hash before it, and each value against
 * its digest, as when a run is loaded: what somebody changed in the file must not reach a body as if it were recorded.
 */
import { genesis, unseal } from "../core/chain.ts";
import type { StoredEvent } from "../core/chain.ts";
import { storedHash } from "../core/chain-text.ts";
import type { Digest, Event, EventOf, ReuseKey, RunId, Seq } from "../core/event.ts";
import { outcomeOf } from "../core/event.ts";
import type { RunRow, Store } from "../store/store.ts";
import { rememberedDigest, sha256 } from "./hash.ts";
import { corrupt, portionsOf } from "./history-pages.ts";
import type { OutcomeEvent } from "./recall.ts";

/** An outcome of the source, and the texts of what it holds by reference. */
export type Found = {
  event: OutcomeEvent;
  reuse: ReuseKey | undefined;
  texts: ReadonlyMap<Digest, string>;
  /** About how much it takes in memory. */
  chars: number;
};

/** What is known of a step's ask: for saying why it was not reused. */
export type Asked = { event: Event; outcome: OutcomeEvent | undefined };

/** Events read at a time, and how much is kept of what was read, in characters; an event costs as much as these many. */
const pageEvents = 500;
const keptCharsMax = 16_777_216;
const eventChars = 500;

export class SourceReader {
  readonly run: RunId;
  readonly #store: Store;
  readonly #head: Seq;
  /** Outcomes at hand, in the order in which they were read, and the same by key. */
  readonly #outcomes = new Map<Seq, Found>();
  readonly #byKey = new Map<string, Found>();
  /** First events of the steps that were read, by key, and how far they are known without a gap. */
  readonly #asked = new Map<string, Asked>();
  #askedTo: Seq = -1;
  #chars = 0;
  /** Behind the stretch that was read last; undefined where that was the end. */
  #next: Seq | undefined;
  /** How the run stood when it was read last. */
  row: RunRow | undefined;
  /** Code that has worked on it. */
  readonly fingerprints: Set<string> = new Set();
  /** How it was created, once that is read. */
  created: EventOf<"run.created"> | undefined;

  constructor(store: Store, run: RunId, head: Seq) {
    this.#store = store;
    this.run = run;
    this.#head = head;
  }

  at(seq: Seq): Found | undefined {
    return this.#outcomes.get(seq);
  }

  /** The outcome of the step with this key, if it is at hand. */
  of(key: string): Found | undefined {
    return this.#byKey.get(key);
  }

  /** What is known of the step with this key. */
  asked(key: string): Asked | undefined {
    return this.#asked.get(key);
  }

  /** Whether the steps of all events up to `seq` are known, or up to the end. */
  knowsTo(seq: Seq): boolean {
    return this.#askedTo >= Math.min(seq, this.#head);
  }

  /** Reads on behind the stretch that was read last; false where there is nothing. */
  async follow(): Promise<boolean> {
    if (this.#next === undefined) return false;
    await this.read(this.#next);
    return true;
  }

  /** Reads the next stretch of what is not known yet. */
  async readOn(): Promise<void> {
    await this.read(this.#askedTo + 1);
  }

  /** Reads from `seq` on, as much as is worth having at hand. */
  async read(seq: Seq): Promise<void> {
    const page = await this.#store.history(this.run, { after: Math.max(seq - 2, -1), limit: pageEvents });
    this.row = page?.row;
    const events = this.#verified(page?.events ?? [], seq);
    if (events[0]?.seq !== seq) throw corrupt(this.run, `expected the event with seq ${seq}`);
    for await (const portion of portionsOf(this.#store, this.run, events)) {
      let chars = 0;
      for (const text of portion.texts.values()) chars += text.length;
      const each = eventChars + Math.ceil(chars / portion.events.length);
      for (const stored of portion.events) this.#take(stored, portion.texts, each);
      const last = portion.events.at(-1)?.seq ?? this.#head;
      this.#next = last < this.#head ? last + 1 : undefined;
      // What follows may be large, and is read when it is asked for.
      break;
    }
    this.#forget();
  }

  #verified(events: readonly StoredEvent[], from: Seq): readonly StoredEvent[] {
    let before = from === 0 ? genesis(sha256, this.run) : undefined;
    const wanted: StoredEvent[] = [];
    for (const stored of events) {
      if (stored.seq > this.#head) break;
      if (before !== undefined && storedHash(sha256, before, stored, rememberedDigest) !== stored.hash) {
        throw corrupt(this.run, `event ${stored.seq} (${stored.type}) is not what was written: its hash differs`);
      }
      before = stored.hash;
      if (stored.seq >= from) wanted.push(stored);
    }
    return wanted;
  }

  #take(stored: StoredEvent, texts: ReadonlyMap<Digest, string>, chars: number): void {
    const event = unseal(stored);
    if (stored.seq === this.#askedTo + 1) this.#askedTo = stored.seq;
    if (event.type === "run.created") this.created = event;
    if (event.type === "run.started") this.fingerprints.add(event.data.fingerprint);
    if (!("key" in event.data)) return;
    const { key } = event.data;
    const asked = this.#asked.get(key);
    if (asked === undefined) this.#asked.set(key, { event, outcome: undefined });
    if (outcomeOf[event.type] === null) return;
    const outcome = event as OutcomeEvent;
    const known = this.#asked.get(key);
    if (known !== undefined) known.outcome = outcome;
    const { reuse } = event.data as EventOf<"step.succeeded">["data"];
    const found: Found = { event: outcome, reuse, texts, chars: chars + stored.data.length };
    if (!this.#outcomes.has(stored.seq)) this.#chars += found.chars;
    this.#outcomes.set(stored.seq, found);
    this.#byKey.set(key, found);
  }

  /** Keeps no more than is worth it; what is asked for after all is read again. */
  #forget(): void {
    for (const seq of this.#outcomes.keys()) {
      if (this.#chars <= keptCharsMax) return;
      this.drop(seq);
    }
  }

  /** What was reused is not asked for again. */
  drop(seq: Seq): void {
    const found = this.#outcomes.get(seq);
    if (found === undefined) return;
    this.#chars -= found.chars;
    this.#outcomes.delete(seq);
    this.#byKey.delete(found.event.data.key);
    this.#asked.delete(found.event.data.key);
  }
}
