/**
 * The end of one run's history, where new events get their place. An event has its seq, its hash and its effect on the
 * run's state the moment it is appended, because there is only one holder; it becomes true when its flush is committed.
 * If the store refuses, everything behind the last commit is as if it had never been.
 */
import { seal } from "../core/chain.ts";
import type { StoredEvent } from "../core/chain.ts";
import { StemmaError } from "../core/error.ts";
import type { Causes, Digest, Draft, Event, ReuseKey, Seq, Timestamp } from "../core/event.ts";
import { limits } from "../core/limits.ts";
import type { RunState } from "../core/reduce.ts";
import { reduce } from "../core/reduce.ts";
import type { Commit, Effect, Emitted, Message, NewRun, Payload, RunRow } from "../store/store.ts";
import { sha256, valueDigest } from "./hash.ts";
import type { Packer } from "./packer.ts";
import { latestOf } from "./streams.ts";

/** A place in the history: what is true behind it. `inbox`: messages up to this number have become events. */
type Place = { state: RunState; hash: Digest; at: Timestamp; inbox: number };

/** What goes to the store with an event: large values, its reuse key, runs that it starts, messages that it sends. */
export type Extra = {
  payloads?: readonly Payload[];
  /** Large values that the store has already. */
  known?: readonly Payload[];
  reuse?: ReuseKey;
  create?: readonly NewRun[];
  send?: readonly Message[];
};

/** What one flush takes along of a run. */
export type Batch = { commit: Commit; events: readonly Event[] };

/** What waits for the next flush. */
type Gathered = {
  stored: StoredEvent[];
  events: Event[];
  payloads: Payload[];
  reuse: { seq: Seq; key: ReuseKey }[];
  effects: Effect[];
  create: NewRun[];
  send: Message[];
  emit: Emitted[];
  progress: boolean;
};

function nothing(): Gathered {
  return {
    stored: [],
    events: [],
    payloads: [],
    reuse: [],
    effects: [],
    create: [],
    send: [],
    emit: [],
    progress: false,
  };
}

/** Causes up to this many are as short written out as they would be as a reference. */
export const causesWrittenOut = 3;

/** What closes something that is open: of each there is one at most. */
const closing: ReadonlySet<string> = new Set([
  "cancel.requested",
  "child.ended",
  "step.cancelled",
  "step.in_doubt",
  "wait.withdrawn",
]);

/** A full history still takes what its run goes on, rests or ends with, but nothing that a body may say in a loop. */
function alwaysFits({ type }: Draft): boolean {
  if (closing.has(type)) return true;
  return type.startsWith("run.") && type !== "run.set" && type !== "run.patched";
}

export class Appender {
  #row: RunRow;
  readonly #now: () => Timestamp;
  #head: Place;
  /** Where the last commit left the history; a refused flush goes back to it. */
  #committed: Place;
  #gathered: Gathered = nothing();
  /** How many values of streams may wait before the oldest go. */
  #emitMax = 2 * limits.streamValuesMax;
  /** Where a set of causes has been written out, so that the next asks with the very same set can refer to it. */
  #spelled = new WeakMap<readonly Seq[], Seq>();
  readonly #packer: Packer | undefined;

  /**
   * @param at `at` of the last event of the history, below which time never goes
   * @param packer has seen the last events of the history; without it none are packed
   */
  constructor(row: RunRow, at: Timestamp, now: () => Timestamp, packer?: Packer) {
    this.#packer = packer;
    this.#row = row;
    this.#now = now;
    this.#head = { state: row.state, hash: row.hash, at, inbox: row.inboxDone };
    this.#committed = this.#head;
  }

  get state(): RunState {
    return this.#head.state;
  }

  get epoch(): number {
    return this.#row.epoch;
  }

  /** Whether anything waits for a flush. */
  get waiting(): boolean {
    const { events, effects, emit, send } = this.#gathered;
    return events.length > 0 || effects.length > 0 || emit.length > 0 || send.length > 0;
  }

  /** The run was given out anew: false if its row does not say what this appender ends with. */
  reopen(row: RunRow): boolean {
    const { state, hash, inbox } = this.#committed;
    if (row.state.seq !== state.seq || row.hash !== hash || row.inboxDone !== inbox) return false;
    this.#row = row;
    return true;
  }

  /** Has messages sent with the next events, or without any. */
  send(messages: readonly Message[]): void {
    this.#gathered.send.push(...messages);
  }

  /** Has an effect put into the ledger with the next events, or without any. */
  reserve(effect: Effect): void {
    this.#gathered.effects.push(effect);
  }

  /** Has a value of a stream flushed with the next events, or without any. */
  emit(value: Emitted): void {
    const { emit } = this.#gathered;
    emit.push(value);
    if (emit.length < this.#emitMax) return;
    this.#gathered.emit = latestOf(emit);
    this.#emitMax = this.#gathered.emit.length + limits.streamValuesMax;
  }

  /** Messages up to this number have become events. */
  get inbox(): number {
    return this.#head.inbox;
  }

  set inbox(number: number) {
    this.#head = { ...this.#head, inbox: number };
  }

  /** Appends an event and gives it back with its place. */
  append(draft: Draft, extra: Extra = {}): Event {
    const seq = this.#head.state.seq + 1;
    if (seq >= limits.historyEventsMax && !alwaysFits(draft)) {
      throw new StemmaError(
        "limit.exceeded",
        `A run has at most ${limits.historyEventsMax} events; this one is full. Continue in a child run or from a checkpoint.`,
      );
    }
    const at = Math.max(this.#head.at, this.#now());
    const causes = "same" in draft.causes ? draft.causes : this.#shortest(draft.causes);
    const placed = { ...draft, seq, at, causes };
    const stored = seal(sha256, this.#head.hash, placed, valueDigest);
    const event = { ...placed, hash: stored.hash } as Event;
    this.#packer?.add(stored, event, this.#head.hash);
    this.#head = { state: reduce(this.#head.state, event), hash: stored.hash, at, inbox: this.#head.inbox };
    // Not before the event has its place: had it been refused, later events would refer to another one's causes.
    if (Array.isArray(causes) && causes.length > causesWrittenOut) this.#spelled.set(causes, seq);
    if (isProgress(event)) this.#gathered.progress = true;
    const { stored: texts, events, payloads, reuse, create, send } = this.#gathered;
    texts.push(stored);
    events.push(event);
    if (extra.payloads !== undefined) payloads.push(...extra.payloads);
    if (extra.create !== undefined) create.push(...extra.create);
    if (extra.send !== undefined) send.push(...extra.send);
    if (extra.reuse !== undefined) reuse.push({ seq, key: extra.reuse });
    return event;
  }

  /** Tells where the causes of a recalled ask are written out already, so that new asks can refer to them too. */
  spelledAt(causes: readonly Seq[], recorded: { causes?: readonly Seq[]; spelledAt?: Seq }): void {
    const { causes: known, spelledAt } = recorded;
    if (known === undefined || spelledAt === undefined) return;
    if (causes.length <= causesWrittenOut || causes.length !== known.length) return;
    if (this.#spelled.has(causes) || !causes.every((seq, i) => seq === known[i])) return;
    this.#spelled.set(causes, spelledAt);
  }

  #shortest(causes: readonly Seq[]): Causes {
    const same = this.#spelled.get(causes);
    return same === undefined ? causes : { same };
  }

  /** Takes everything that waits, for a flush. */
  take(release?: Commit["release"]): Batch {
    const { stored, events, payloads, reuse, effects, create, send, emit, progress } = this.#gathered;
    const packs = this.#packer?.take() ?? [];
    this.#gathered = nothing();
    const commit: Commit = {
      run: this.#row.id,
      epoch: this.#row.epoch,
      seq: this.#committed.state.seq + 1,
      events: stored,
      payloads,
      state: this.#head.state,
      inbox: this.#head.inbox,
      reuse,
      create,
      send,
      emit,
      progress,
      ...(packs.length === 0 ? {} : { packs }),
      ...(effects.length === 0 ? {} : { effects }),
      ...(release === undefined ? {} : { release }),
    };
    return { commit, events };
  }

  /** The store took the batch that ends with this event. */
  settled(batch: Batch): void {
    const last = batch.events.at(-1);
    const { state, inbox } = batch.commit;
    this.#committed =
      last === undefined ? { ...this.#committed, inbox } : { state, inbox, hash: last.hash, at: last.at };
  }

  /** Forgets every event that is not committed. */
  rollBack(): void {
    this.#head = this.#committed;
    this.#gathered = nothing();
    this.#packer?.forget();
    this.#spelled = new WeakMap();
  }
}

/** Whether a run is behind what it was before, so that a crash after this event does not bring it back there. */
function isProgress({ type }: Event): boolean {
  return type !== "step.started" && !type.startsWith("run.");
}
