/**
 * What one activation writes, and what becomes of it: events wait for the next flush, and when it is through, whoever
 * waited for them is told in their order. In recall nothing is flushed, so if the code turns out not to fit, nothing
 * was written.
 */
import { isStemmaError } from "../core/error.ts";
import type { Digest, Draft, Event, EventOf, ReuseKey, Seq, StepRef } from "../core/event.ts";
import type { RunState } from "../core/reduce.ts";
import type { Commit, CommitResult, Effect, Emitted, Holding, Message, Payload, RunRow } from "../store/store.ts";
import { Appender } from "./appender.ts";
import type { Batch, Extra } from "./appender.ts";
import type { Ask } from "./ask.ts";
import type { Log } from "./body.ts";
import type { Committer, Source } from "./committer.ts";
import type { Delivery } from "./delivery.ts";
import type { Loaded } from "./load.ts";
import type { OutcomeEvent } from "./recall.ts";
import { latest } from "./recall.ts";

/** Why an activation is over. */
export type Over = "terminal" | "suspended" | "divergence" | "lost" | "drained";

/** The outcome of an ask before its reference is put in. */
export type OutcomeDraft = { [T in OutcomeEvent["type"]]: { type: T; data: EventOf<T>["data"] } }[OutcomeEvent["type"]];

export type JournalSurroundings = {
  committer: Committer;
  delivery: Delivery;
  log: Log;
  /** Under which key the outcome of an ask can be found again. */
  reuseKey(ask: Ask): ReuseKey | undefined;
  /** An outcome may go to the body, with the texts of what it holds by reference. */
  outcome(ask: Ask, event: OutcomeEvent, texts: ReadonlyMap<Digest, string>): void;
  /** A flush is through. */
  flushed(): void;
  /** Messages for other runs were sent, or runs created, by a flush of this one. */
  sent(messages: readonly Message[]): void;
  /** Messages wait in the store that may not have been heard of here. */
  news(): void;
  /** The run is not this activation's any more. */
  over(over: Over): void;
};

/** As many reused outcomes go to the store at a time. */
const reusedInFlush = 1000;

/** A run that the store would not take is not tried again at once. */
const handBackMs = 1000;

export class Journal implements Source {
  readonly #row: RunRow;
  readonly #loaded: Loaded;
  readonly #with: JournalSurroundings;
  readonly #appender: Appender;
  /** Appended outcomes that nobody was told of yet, and what waits for an event to be committed; both by seq. */
  #untold: { seq: Seq; event: OutcomeEvent; ask: Ask; payloads: readonly Payload[]; isReused: boolean }[] = [];
  /** Seq of the last outcome that was reused, and of the last event that is committed. */
  #reused: Seq = 0;
  #durable: Seq = 0;
  #whenCommitted: { seq: Seq; call: () => void }[] = [];
  #flight: { batch: Batch; over: Over | undefined } | undefined;
  #release: { release: NonNullable<Commit["release"]>; over: Over } | undefined;
  /** Declared inputs too large for their event, on their way to the store with it. */
  #carried: Payload[] = [];
  #flushing = false;
  /** Number of the latest message that a flush told of. */
  #heardOf = 0;
  /** Effects on their way into the ledger. */
  #reserving: { effect: Effect; resolve: (holdings: readonly Holding[]) => void }[] = [];
  /** Whether nothing was written since the run began to be given back: what was may have been dropped. */
  #intact = false;
  /** Whether an event that counts as progress is on record since the claim. */
  movedOn = false;
  /** When the run was lost although this worker still holds it: what gives it back. */
  handBack: Commit | undefined;

  constructor(row: RunRow, loaded: Loaded, surroundings: JournalSurroundings) {
    this.#row = row;
    this.#loaded = loaded;
    this.#with = surroundings;
    this.#appender = new Appender(row, loaded.lastAt, loaded.now, loaded.packer);
  }

  /** Who holds a run is told by its epoch. */
  get epoch(): number {
    return this.#appender.epoch;
  }

  /** Seq of the last event. */
  get head(): Seq {
    return this.#appender.state.seq;
  }

  /** What all events add up to. */
  get state(): RunState {
    return this.#appender.state;
  }

  /** Number of the last message that became an event. */
  get inbox(): number {
    return this.#appender.inbox;
  }

  /** Messages up to this number are taken in; the next flush says so. */
  takenIn(number: number): void {
    this.#appender.inbox = number;
  }

  /** Whether nothing waits for a flush, and none is under way. */
  get idle(): boolean {
    return !this.#appender.waiting && this.#flight === undefined;
  }

  /** Whether the run is on its way out of this activation. */
  get releasing(): boolean {
    return this.#release !== undefined;
  }

  /** The run was given out anew: false if its row does not say what this journal ends with. */
  reopen(row: RunRow): boolean {
    if (!this.#intact || !this.idle || !this.#appender.reopen(row)) return false;
    this.#release = undefined;
    this.movedOn = false;
    return true;
  }

  /** Recall is over: from now on what is appended is flushed. */
  startFlushing(): void {
    this.#flushing = true;
    if (this.#appender.waiting) this.#with.committer.request(this);
  }

  /** Puts an effect into the line's ledger, unless it is there; gives all who have it, with which input. */
  reserve(effect: Effect): Promise<readonly Holding[]> {
    return new Promise((resolve) => {
      this.#reserving.push({ effect, resolve });
      this.#appender.reserve(effect);
      if (this.#flushing) this.#with.committer.request(this);
    });
  }

  #reserved(wanted: readonly Effect[], found: readonly (readonly Holding[])[] | undefined): void {
    for (const [i, effect] of wanted.entries()) {
      const at = this.#reserving.findIndex((one) => one.effect === effect);
      const [one] = at < 0 ? [] : this.#reserving.splice(at, 1);
      const holdings = found?.[i];
      if (one === undefined) continue;
      if (holdings !== undefined) one.resolve(holdings);
      else void this.reserve(effect).then(one.resolve);
    }
  }

  /** Has what waits flushed. */
  flush(): void {
    if (this.#flushing && this.#appender.waiting) this.#with.committer.request(this);
  }

  append(draft: Draft, extra: Extra = {}, isHurried = true): Event {
    const payloads = [...(extra.payloads ?? []), ...this.#carried];
    this.#carried = [];
    const event = this.#appender.append(draft, payloads.length === 0 ? extra : { ...extra, payloads });
    this.#intact = false;
    if (this.#flushing && isHurried) this.#with.committer.request(this);
    return event;
  }

  /**
   * Appends an outcome that is on record elsewhere. The body is given it at once, if it has been given all before it:
   * should a crash take the record, it would be found again. It goes to the store with what comes next, or with many of
   * its like; nothing is entered before (`unsettled`).
   */
  reuse(ask: Ask, draft: OutcomeDraft, extra: Extra): void {
    const seq = this.#record(ask, draft, extra, undefined, true);
    this.#reused = seq;
    this.#tellReused();
    if (seq % reusedInFlush === 0) this.flush();
  }

  /** What to wait for before anything is done in the world: that what the body was given of it is durable. */
  unsettled(): Promise<void> | undefined {
    if (this.#reused <= this.#durable) return undefined;
    this.flush();
    return new Promise((resolve) => this.afterCommit(this.#reused, resolve));
  }

  #tellReused(): void {
    const first = this.#untold.findIndex(({ isReused }) => !isReused);
    const last = this.#untold.at(first < 0 ? -1 : first - 1);
    if (first !== 0 && last !== undefined) this.#tell(last.seq);
  }

  /**
   * Appends the outcome of an ask. Its cause is the event that it began with, or else what the ask was caused by.
   *
   * @param also another event that it is caused by
   */
  recordOutcome(ask: Ask, draft: OutcomeDraft, extra: Extra = {}, also?: Seq): Seq {
    return this.#record(ask, draft, extra, also, false);
  }

  #record(ask: Ask, draft: OutcomeDraft, extra: Extra, also: Seq | undefined, isReused: boolean): Seq {
    const first = ask.begunAt === undefined;
    const begun = first ? ask.causes : [ask.begunAt as Seq];
    const causes = also === undefined ? begun : [...new Set([...begun, also])].toSorted((a, b) => a - b);
    const reuse = isReusable(draft) ? this.#with.reuseKey(ask) : undefined;
    const data = {
      ...draft.data,
      ...(first ? this.firstRef(ask) : { key: ask.ref.key }),
      ...(reuse === undefined ? {} : { reuse }),
    };
    ask.stage = "recorded";
    ask.stop?.();
    const found = reuse === undefined ? extra : { ...extra, reuse };
    const event = this.append({ ...draft, data, causes } as Draft, found, !isReused) as OutcomeEvent;
    const payloads = extra.payloads ?? extra.known ?? [];
    if (ask.work.kind === "wait") ask.outcome = { event, known: payloads };
    this.#untold.push({ seq: event.seq, event, ask, payloads, isReused });
    if (!this.#with.delivery.afterFlush) this.#tell(event.seq);
    return event.seq;
  }

  /** The reference of a first event: it also says when the step was asked, and with what. */
  firstRef(ask: Ask): StepRef {
    const ref: StepRef = { ...ask.ref };
    if (ask.after !== latest(ask.causes)) ref.after = ask.after;
    if (ask.why !== undefined) ref.why = ask.why;
    if (ask.way !== undefined && ask.work.kind === "step" && ask.work.ask.effect === "once") ref.way = ask.way;
    if (ask.input !== undefined) {
      ref.given = ask.input.value;
      if (ask.input.payload !== undefined) this.#carried.push(ask.input.payload);
    }
    return ref;
  }

  /** Sends messages to other runs with the next flush; sent again, they are the same. */
  send(messages: readonly Message[]): void {
    this.#appender.send(messages);
    this.#intact = false;
    if (this.#flushing) this.#with.committer.request(this);
  }

  /** Has a value of a stream flushed; nobody waits for it. A run that is on its way out has had its last. */
  emit(value: Emitted): void {
    if (this.#release !== undefined) return;
    this.#appender.emit(value);
    if (this.#flushing) this.#with.committer.request(this);
  }

  /** Tells where the causes of a recalled ask are written out. */
  spelledAt(causes: readonly Seq[], recorded: { causes?: readonly Seq[]; spelledAt?: Seq }): void {
    this.#appender.spelledAt(causes, recorded);
  }

  /** Calls back when the event is durable. */
  afterCommit(seq: Seq, call: () => void): void {
    this.#whenCommitted.push({ seq, call });
  }

  /** Forgets what is not committed. */
  rollBack(): void {
    this.#appender.rollBack();
    this.#reused = 0;
    this.#untold = [];
    this.#whenCommitted = [];
  }

  /** Gives the run back with the next flush. */
  release(release: NonNullable<Commit["release"]>, over: Over): void {
    // A second time it is the same giving back, by force.
    this.#intact = this.#release === undefined || this.#intact;
    this.#flushing = true;
    this.#release = { release, over };
    this.#with.committer.request(this);
  }

  // ---- what the committer calls --------------------------------------------------------------------------------

  take(): Commit | undefined {
    if (this.#flight !== undefined || (!this.#appender.waiting && this.#release === undefined)) return undefined;
    const batch = this.#appender.take(this.#release?.release);
    this.#flight = { batch, over: this.#release?.over };
    return batch.commit;
  }

  settle(result: CommitResult): void {
    const flight = this.#flight;
    this.#flight = undefined;
    if (flight === undefined) return;
    if (!result.ok) return this.#refused(result);
    this.#appender.settled(flight.batch);
    if (result.inbox > Math.max(this.inbox, this.#heardOf)) {
      this.#heardOf = result.inbox;
      this.#with.news();
    }
    this.movedOn ||= flight.batch.commit.progress === true;
    this.#committed(flight.batch.events.at(-1)?.seq ?? -1);
    const { send = [], create = [], effects = [] } = flight.batch.commit;
    this.#reserved(effects, result.effects);
    if (send.length > 0 || create.length > 0) this.#with.sent(send);
    if (flight.over !== undefined) return this.#with.over(flight.over);
    if (this.#appender.waiting || this.#release !== undefined) this.#with.committer.request(this);
    this.#with.flushed();
  }

  lose(error: unknown): void {
    this.#with.log.error("A run was let go because the store refused its events", {
      run: this.#row.id,
      ...(isStemmaError(error) ? { code: error.code } : {}),
      error: String(error),
    });
    this.#letGo();
  }

  /** Gives the run back as it is on record, whatever that is. */
  #letGo(): void {
    this.rollBack();
    this.handBack = this.#appender.take({ dueAt: this.#loaded.now() + handBackMs, force: true }).commit;
    this.#with.over("lost");
  }

  #refused(result: CommitResult & { ok: false }): void {
    if (result.reason === "inbox") {
      // Something came while the run was going to rest: it is given back as due, and whoever claims it sees the message.
      this.rollBack();
      this.release({ dueAt: this.#loaded.now(), force: true }, "drained");
      return;
    }
    if (result.reason === "seq") {
      // Nobody else has it: what was written before was called refused, and was not.
      this.#with.log.warn("More of a run is on record than was heard of; it is taken up anew from there", {
        run: this.#row.id,
        seq: result.seq,
      });
      return this.#letGo();
    }
    this.#with.log.warn("A run was lost to another worker", { run: this.#row.id, reason: result.reason });
    this.#with.over("lost");
  }

  #committed(last: Seq): void {
    this.#durable = Math.max(this.#durable, last);
    this.#tell(last);
    this.#tellReused();
    const due = upTo(this.#whenCommitted, last);
    this.#whenCommitted = this.#whenCommitted.slice(due.length);
    for (const { call } of due) call();
  }

  /** Tells of the outcomes up to this one. */
  #tell(last: Seq): void {
    const due = upTo(this.#untold, last);
    this.#untold = this.#untold.slice(due.length);
    for (const { event, ask, payloads } of due) {
      const texts = payloads.length === 0 ? noTexts : new Map(payloads.map(({ digest, text }) => [digest, text]));
      this.#with.outcome(ask, event, texts);
    }
  }
}

const noTexts: ReadonlyMap<Digest, string> = new Map();

/** Whether an outcome can be what another run is given: a success, or a failure that a body may survive. */
function isReusable(draft: OutcomeDraft): boolean {
  switch (draft.type) {
    case "step.succeeded":
    case "step.failed":
    case "step.reused":
    case "step.overridden":
    case "wait.answered":
      return true;
    case "child.ended":
      return draft.data.error === undefined;
    default:
      return false;
  }
}

/** The first of a list that ascends by seq. */
function upTo<T extends { seq: Seq }>(list: readonly T[], last: Seq): readonly T[] {
  let count = 0;
  for (const { seq } of list) {
    if (seq > last) break;
    count += 1;
  }
  return list.slice(0, count);
}
