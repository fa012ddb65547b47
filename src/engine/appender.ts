/**
 * The end of one run's history, where new events get their place. An event has its seq, its hash and its effect on the
 * run's state the moment it is appended, because there is only one holder; it becomes true when its flush is committed.
 * If the store refuses, everything behind the last commit is as if it had never been.
 */
import { seal } from "../core/chain.ts";
import type { StoredEvent } from "../core/chain.ts";
import { StemmaError } from "../core/error.ts";
import type { Causes, Digest, Draft, Event, Seq, Timestamp } from "../core/event.ts";
import { limits } from "../core/limits.ts";
import type { RunState } from "../core/reduce.ts";
import { reduce } from "../core/reduce.ts";
import type { Commit, Payload, RunRow } from "../store/store.ts";
import { sha256 } from "./hash.ts";

type Place = { state: RunState; hash: Digest; at: Timestamp };

/** What goes to the store with an event: large values, and the key under which it may be reused. */
export type Extra = { payloads?: readonly Payload[]; reuse?: Digest };

/** What one flush takes along of a run. */
export type Batch = { commit: Commit; events: readonly Event[] };

/** Causes up to this many are as short written out as they would be as a reference. */
const causesWrittenOut = 3;

export class Appender {
  readonly #row: RunRow;
  readonly #now: () => Timestamp;
  #head: Place;
  /** Where the last commit left the history; a refused flush goes back to it. */
  #committed: Place;
  #stored: StoredEvent[] = [];
  #events: Event[] = [];
  #payloads: Payload[] = [];
  #reuse: { seq: Seq; key: Digest }[] = [];
  /** Where a set of causes has been written out, so that the next asks with the very same set can refer to it. */
  #spelled = new WeakMap<readonly Seq[], Seq>();
  /** Messages up to this number have become events. */
  inbox: number;

  /** @param at `at` of the last event of the history, below which time never goes */
  constructor(row: RunRow, at: Timestamp, now: () => Timestamp) {
    this.#row = row;
    this.#now = now;
    this.#head = { state: row.state, hash: row.hash, at };
    this.#committed = this.#head;
    this.inbox = row.inboxDone;
  }

  get state(): RunState {
    return this.#head.state;
  }

  /** Whether anything waits for a flush. */
  get waiting(): boolean {
    return this.#events.length > 0;
  }

  /** Appends an event and gives it back with its place. */
  append(draft: Draft, extra: Extra = {}): Event {
    const seq = this.#head.state.seq + 1;
    if (seq >= limits.historyEventsMax && !draft.type.startsWith("run.")) {
      throw new StemmaError(
        "limit.exceeded",
        `A run has at most ${limits.historyEventsMax} events; this one is full. Continue in a child run or from a checkpoint.`,
      );
    }
    const at = Math.max(this.#head.at, this.#now());
    const causes = "same" in draft.causes ? draft.causes : this.#shortest(draft.causes);
    const placed = { ...draft, seq, at, causes };
    const stored = seal(sha256, this.#head.hash, placed);
    const event = { ...placed, hash: stored.hash } as Event;
    this.#head = { state: reduce(this.#head.state, event), hash: stored.hash, at };
    // Not before the event has its place: had it been refused, later events would refer to another one's causes.
    if (causes === draft.causes && !("same" in causes) && causes.length > causesWrittenOut) this.#spelled.set(causes, seq);
    this.#stored.push(stored);
    this.#events.push(event);
    if (extra.payloads !== undefined) this.#payloads.push(...extra.payloads);
    if (extra.reuse !== undefined) this.#reuse.push({ seq, key: extra.reuse });
    return event;
  }

  /** Tells where the causes of a recalled ask are written out already, so that new asks can refer to them too. */
  spelledAt(causes: readonly Seq[], recorded: { causes: readonly Seq[]; spelledAt: Seq }): void {
    if (causes.length <= causesWrittenOut || causes.length !== recorded.causes.length) return;
    if (causes.every((seq, i) => seq === recorded.causes[i])) this.#spelled.set(causes, recorded.spelledAt);
  }

  #shortest(causes: readonly Seq[]): Causes {
    const same = this.#spelled.get(causes);
    return same === undefined ? causes : { same };
  }

  /** Takes everything that waits, for a flush. */
  take(release?: Commit["release"]): Batch {
    const commit: Commit = {
      run: this.#row.id,
      epoch: this.#row.epoch,
      seq: this.#committed.state.seq + 1,
      events: this.#stored,
      payloads: this.#payloads,
      state: this.#head.state,
      inbox: this.inbox,
      reuse: this.#reuse,
      ...(release === undefined ? {} : { release }),
    };
    const batch = { commit, events: this.#events };
    [this.#stored, this.#events, this.#payloads, this.#reuse] = [[], [], [], []];
    return batch;
  }

  /** The store took the batch that ends with this event. */
  settled(batch: Batch): void {
    const last = batch.events.at(-1);
    if (last !== undefined) this.#committed = { state: batch.commit.state, hash: last.hash, at: last.at };
  }

  /** Forgets every event that is not committed. */
  rollBack(): void {
    this.#head = this.#committed;
    [this.#stored, this.#events, this.#payloads, this.#reuse] = [[], [], [], []];
    this.#spelled = new WeakMap();
  }
}
