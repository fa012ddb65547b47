/**
 * What a history says a body already did. Built once per activation; then each ask of the body is looked up here by
 * identity, and the recorded outcomes are handed out in the order of their seq.
 *
 * An outcome is due only when every recorded ask that was made before it was delivered has been made again. So a body
 * that does plain I/O between steps meets the outcomes at the same points as when it ran first, however long its I/O
 * takes this time. That needs to know of every ask, also of one whose first event stands far later; so the whole history
 * is indexed before anything is delivered. The index holds places and no values, most of them as numbers in a few arrays,
 * so that a long history takes little memory and leaves the garbage collector little to look at.
 */
import type {
  CarriedWait,
  Digest,
  Event,
  EventOf,
  RunId,
  Seq,
  StepRef,
  Timestamp,
  Unwanted,
  Value,
} from "../core/event.ts";
import { outcomeOf } from "../core/event.ts";
import type { Identity } from "../core/identity.ts";
import { identityOf, labelOf, pathOf } from "../core/identity.ts";
import { causesWrittenOut } from "./appender.ts";
import { lastOf, notAskedAgain } from "./carried.ts";
import { compensationScope } from "./compensation-scope.ts";
import { identityKey } from "./identity-key.ts";
import { SignalIndex } from "./signals.ts";

/** An event that settles an ask. */
export type OutcomeEvent = { [T in OutcomeType]: EventOf<T> }[OutcomeType];

type OutcomeType =
  | "step.succeeded"
  | "step.failed"
  | "step.cancelled"
  | "step.reused"
  | "step.overridden"
  | "wait.answered"
  | "wait.failed"
  | "wait.expired"
  | "wait.withdrawn"
  | "child.ended";

/** One ask as the history has it. */
export type Recorded = Facts & {
  readonly key: string;
  readonly first: Seq;
  /** The last outcome that had been delivered when it was asked. */
  readonly after: Seq;
  /** Seq of its outcome. */
  readonly outcome: Seq | undefined;
};

/** What is on record of few asks. */
type Facts = {
  /** Its causes, where they are too many to be written out again, and the event that writes them out. */
  causes?: readonly Seq[];
  spelledAt?: Seq;
  /** Time of its first event, and seq of its last, where these are not its outcome. */
  firstAt?: Timestamp;
  last?: Seq;
  /** Number of the last attempt that failed, and of the last whose start is on record. */
  attempts?: number;
  entered?: number;
  /** When the attempt behind the failed one is due. */
  retryAt?: Timestamp;
  started?: Seq;
  /** It may not be entered twice without a decision. */
  once?: true;
  doubtful?: boolean;
  /** It is not entered because of another run of the line; or it was decided that it may be. */
  held?: NonNullable<EventOf<"step.in_doubt">["data"]["held"]>;
  decided?: boolean;
  /** It is in doubt, and nobody waits for it any more. */
  unwanted?: Unwanted;
  opened?: { seq: Seq; until: Timestamp | undefined };
  /** The run that was called. */
  child?: RunId;
  /** It was carried here by the checkpoint: already settled; or on record as not asked for again. */
  answered?: true;
  dropped?: true;
};

/** Flags of an ask: its place is not said by its key, or it is not found by its identity; it was made again. */
const hasText = 1;
const isMade = 2;

export class Recall {
  /** How many asks are on record, and how many of them have an outcome. */
  asks = 0;
  outcomes = 0;
  /** Closed scopes by label. */
  readonly closed: Map<string, Seq> = new Map();
  /** How often the run's tags were set. */
  sets = 0;
  /** The steps that make up for others, by key; no body asks for them. */
  readonly compensations: Map<string, Recorded> = new Map();
  /** Whether a success can be made up for. */
  compensable = false;
  readonly #signals = new SignalIndex();
  readonly #from: Seq;
  /** Numbers of the asks by key. */
  readonly #byKey = new Map<string, number>();
  /** The same by identity, of those whose key does not say their place. */
  readonly #byText = new Map<string, number>();
  /** How many were made again. */
  #taken = 0;
  /** Behind the ask that was looked for last: outcomes, and asks that are made again, mostly come in the order of the asks. */
  #next = 0;
  readonly #facts = new Map<number, Facts>();
  /** When an ask was entered of which no more is on record than that; 0 for all others. */
  #enteredAt: Float64Array;
  /** By number of the ask; they are numbered in the order of their first events. */
  #keys: string[] = [];
  /** Digests of their declared inputs. */
  #inputs: (Digest | undefined)[] = [];
  #first: Int32Array;
  #after: Int32Array;
  #outcome: Int32Array;
  #flags: Uint8Array;
  /** Numbers of the asks in the order in which they were made, and of those with an outcome in the order it came. */
  #made: Int32Array = new Int32Array(0);
  #settled: Int32Array;
  /** The latest cause of each event, for those that refer to it, and causes that are many by the event that has them. */
  #latest: Int32Array;
  #spelled = new Map<Seq, readonly Seq[]>();

  /** @param from seq of the first event that is added, @param to and of the last */
  constructor(from: Seq, to: Seq) {
    const events = Math.max(to - from + 1, 0);
    this.#from = from;
    this.#first = new Int32Array(events);
    this.#after = new Int32Array(events);
    this.#outcome = new Int32Array(events);
    this.#enteredAt = new Float64Array(events);
    this.#flags = new Uint8Array(events);
    this.#settled = new Int32Array(events);
    this.#latest = new Int32Array(events);
  }

  // ---- while the history is read -------------------------------------------------------------------------------

  /** The key that the next event is likely to have, if it is that of an ask already on record. */
  get nextKey(): string | undefined {
    return this.#keys[this.#next];
  }

  /** Adds the next event, and says whether it is an outcome to be delivered. */
  add(event: Event): boolean {
    const { seq, causes, data } = event;
    if ("same" in causes) this.#latest[seq - this.#from] = this.#latest[causes.same - this.#from] ?? 0;
    else {
      this.#latest[seq - this.#from] = latest(causes);
      if (causes.length > causesWrittenOut) this.#spelled.set(seq, causes);
    }
    if (event.type === "scope.closed") this.closed.set(event.data.scope, seq);
    if (event.type === "run.set") this.sets += 1;
    if (event.type === "checkpoint" && seq === this.#from) this.#carry(event.data.waits ?? []);
    this.#signals.add(event);
    if (!("key" in data)) return false;
    if (data.key.startsWith(ofCompensation)) return this.#addCompensation(event, data.key);
    if (event.type === "step.succeeded" && event.data.compensate === true) this.compensable = true;
    const known = this.nextKey === data.key ? this.#next : this.#byKey.get(data.key);
    const ask = known ?? this.#firstMention(event, data);
    if (outcomeOf[event.type] === null) {
      if (known === undefined && isPlainStart(event) && !this.#facts.has(ask)) this.#enteredAt[ask] = event.at;
      else {
        const facts = this.#factsOf(ask) ?? {};
        this.#enteredAt[ask] = 0;
        note(facts, event);
        this.#facts.set(ask, facts);
      }
      return false;
    }
    if (event.type === "wait.withdrawn" && event.data.reason === notAskedAgain) {
      this.#facts.set(ask, { ...this.#facts.get(ask), dropped: true });
    }
    // The first counts: nothing that comes later can change what was delivered.
    if (this.#outcome[ask] !== 0) return false;
    // Of a step that was entered and came to its end nobody asks when it was entered.
    this.#enteredAt[ask] = 0;
    const facts = this.#facts.get(ask);
    if (facts !== undefined && isOfStart(facts)) this.#facts.delete(ask);
    this.#outcome[ask] = seq;
    this.#settled[this.outcomes] = ask;
    this.#next = ask + 1;
    this.outcomes += 1;
    return true;
  }

  /** The waits that the checkpoint carries are on record here: the body asks for them before anything else. */
  #carry(waits: readonly CarriedWait[]): void {
    const room = this.#first.length + waits.length;
    [this.#first, this.#after, this.#outcome] = [new Int32Array(room), new Int32Array(room), new Int32Array(room)];
    this.#enteredAt = new Float64Array(room);
    this.#flags = new Uint8Array(room);
    for (const wait of waits) {
      const [ask, first] = [this.asks, lastOf(wait)];
      this.asks += 1;
      this.#keys.push(wait.key);
      this.#inputs.push(undefined);
      this.#byKey.set(wait.key, ask);
      this.#first[ask] = first;
      this.#flags[ask] = hasText;
      const facts: Facts = { last: first };
      if (wait.opened !== undefined) facts.opened = { seq: wait.opened, until: wait.until };
      if (wait.outcome !== undefined) facts.answered = true;
      this.#facts.set(ask, facts);
    }
  }

  #addCompensation(event: Event, key: string): false {
    const { seq, type } = event;
    const recorded = { key, first: seq, after: 0, outcome: undefined, ...this.compensations.get(key) };
    if (outcomeOf[type] === null) note(recorded, event);
    this.compensations.set(
      key,
      outcomeOf[type] === null ? recorded : { ...recorded, outcome: recorded.outcome ?? seq },
    );
    return false;
  }

  #firstMention(event: Event, ref: StepRef): number {
    const { seq, causes } = event;
    const ask = this.asks;
    this.asks += 1;
    this.#keys.push(ref.key);
    this.#inputs.push(ref.input);
    this.#byKey.set(ref.key, ask);
    this.#first[ask] = seq;
    this.#after[ask] = ref.after ?? this.#latest[seq - this.#from] ?? 0;
    if (ref.n !== undefined || ref.across !== undefined) {
      this.#byText.set(identityKey(identityOf(ref)), ask);
      this.#flags[ask] = hasText;
    }
    const spelledAt = "same" in causes ? causes.same : seq;
    const many = this.#spelled.get(spelledAt);
    if (many !== undefined) this.#facts.set(ask, { causes: many, spelledAt });
    return ask;
  }

  /** All is added: puts the asks into their order, and lets go of what only adding needs. */
  complete(): this {
    this.#made = inOrder(this.#after.subarray(0, this.asks), this.#from, this.#latest.length);
    this.#latest = new Int32Array(0);
    this.#spelled = new Map();
    this.#next = 0;
    return this;
  }

  /** Seqs of all outcomes, ascending. */
  outcomeSeqs(): Int32Array {
    return this.#settled.subarray(0, this.outcomes).map((ask) => this.#outcome[ask] ?? 0);
  }

  /** Signals that came early and were not taken, and those that were. */
  get signals(): ReadonlyMap<Seq, { name: string; payload: Value }> {
    return this.#signals.kept;
  }

  get taken(): ReadonlySet<Seq> {
    return this.#signals.taken;
  }

  /** The asks of which more is on record than an outcome, as long as nothing is forgotten. */
  *noted(): Generator<Recorded> {
    for (let ask = 0; ask < this.#enteredAt.length; ask += 1)
      if (this.#enteredAt[ask] !== 0 || (this.#facts.size > 0 && this.#facts.has(ask))) yield this.#recorded(ask);
  }

  // ---- while the body asks -------------------------------------------------------------------------------------

  /** Whether every ask on record was made again. */
  get allTaken(): boolean {
    return this.#taken === this.asks;
  }

  /** Whether a label belongs to an ask on record that was not taken. */
  has(key: string): boolean {
    return this.#left(key) !== undefined;
  }

  /** The ask on record with this identity: it is made again, so it is found once. */
  take(identity: Identity): Recorded | undefined {
    const ask = this.allTaken ? undefined : this.#find(identity);
    return ask === undefined ? undefined : this.#make(ask);
  }

  /** The one with this key, which is not found by its identity. */
  takeKey(key: string): Recorded | undefined {
    const ask = this.#left(key);
    return ask === undefined ? undefined : this.#make(ask);
  }

  #make(ask: number): Recorded {
    const recorded = this.#recorded(ask);
    this.#flags[ask] = isMade;
    this.#taken += 1;
    return recorded;
  }

  /** The ask with this label, if it was not made again. */
  #left(key: string): number | undefined {
    const ask = this.#byKey.get(key);
    return ask === undefined || this.#flags[ask] === isMade ? undefined : ask;
  }

  /** Whether an ask that was not taken has an outcome; and whether that is that nobody asked for it again. */
  isSettled(key: string): boolean {
    const ask = this.#left(key);
    return ask !== undefined && this.#outcome[ask] !== 0;
  }

  isDropped(key: string): boolean {
    const ask = this.#left(key);
    return ask !== undefined && this.#facts.get(ask)?.dropped === true;
  }

  /**
   * The number of the ask of this path and input, if it has an outcome and nothing else is known of it; it is made again
   * then. Undefined also where it is not known by its label alone.
   */
  takeSettled(path: string, input: Digest): number | undefined {
    if (this.#byText.size > 0) return undefined;
    const ask = this.#keys[this.#next] === path ? this.#next : this.#byKey.get(path);
    if (ask === undefined || this.#outcome[ask] === 0 || this.#flags[ask] !== 0) return undefined;
    if (this.#inputs[ask] !== input || this.#facts.has(ask)) return undefined;
    this.#flags[ask] = isMade;
    this.#taken += 1;
    this.#next = ask + 1;
    return ask;
  }

  #find(identity: Identity): number | undefined {
    const { scope, name, input, n } = identity;
    if (this.#byText.size > 0) {
      const text = identityKey(identity);
      const ask = this.#byText.get(text);
      this.#byText.delete(text);
      if (ask !== undefined) return ask;
    }
    const ask = this.#left(labelOf(pathOf(scope, name), n));
    // The label may be that of an ask with another place or input.
    const isThat = ask !== undefined && this.#flags[ask] !== hasText && this.#inputs[ask] === (input ?? undefined);
    return isThat ? ask : undefined;
  }

  #factsOf(ask: number): Facts | undefined {
    const [firstAt = 0, first = 0] = [this.#enteredAt[ask], this.#first[ask]];
    return firstAt > 0 ? { firstAt, last: first, started: first, entered: 1 } : this.#facts.get(ask);
  }

  #recorded(ask: number): Recorded {
    const key = this.#keys[ask] ?? "";
    const [first = 0, after = 0, outcome = 0] = [this.#first[ask], this.#after[ask], this.#outcome[ask]];
    return { key, first, after, outcome: outcome === 0 ? undefined : outcome, ...this.#factsOf(ask) };
  }

  /** `after` of the i-th ask in the order in which they were made, and whether it is made again. */
  afterOf(i: number): Seq {
    return this.#after[this.#made[i] ?? 0] ?? 0;
  }

  wasMade(i: number): boolean {
    return this.#flags[this.#made[i] ?? 0] === isMade;
  }

  /** Number of the ask of the i-th outcome, the outcome's seq, and whether the ask is made again. */
  settledAt(i: number): number {
    return this.#settled[i] ?? 0;
  }

  outcomeAt(i: number): Seq {
    return this.#outcome[this.#settled[i] ?? 0] ?? 0;
  }

  isAwaited(i: number): boolean {
    return this.#flags[this.#settled[i] ?? 0] === isMade;
  }

  /** The asks that were not made again, in the order in which they were made. */
  *unasked(): Generator<Recorded> {
    for (const ask of this.#made) if (this.#flags[ask] !== isMade) yield this.#recorded(ask);
  }

  /** Everything was made again and delivered: the memory is given back. Closed scopes are still known. */
  forget(): void {
    this.#byKey.clear();
    this.#keys = [];
    this.#inputs = [];
    this.#facts.clear();
    this.#first = this.#after = this.#outcome = this.#made = this.#settled = new Int32Array(0);
    this.#flags = new Uint8Array(0);
    this.#enteredAt = new Float64Array(0);
  }
}

const ofCompensation = `${compensationScope}/`;

/** Whether an event says that a step was entered for the first time, and nothing else that is of interest later. */
function isPlainStart(event: Event): boolean {
  return event.type === "step.started" && event.data.attempt === 1 && event.data.effect !== "once" && event.at > 0;
}

const ofStart: ReadonlySet<string> = new Set(["firstAt", "last", "started", "entered"] satisfies (keyof Facts)[]);

/** Whether no more is known than that a step was entered. */
function isOfStart(facts: Facts): boolean {
  for (const fact in facts) if (!ofStart.has(fact)) return false;
  return true;
}

/** Notes what an event that is no outcome says of its ask. */
function note(facts: Facts, event: Event): void {
  facts.firstAt ??= event.at;
  facts.last = event.seq;
  if (event.type === "step.started") {
    facts.started ??= event.seq;
    facts.entered = event.data.attempt;
    if (event.data.effect === "once") facts.once = true;
    delete facts.retryAt;
    if (facts.held !== undefined) {
      delete facts.held;
      delete facts.doubtful;
    }
  } else if (event.type === "step.attempt_failed") {
    facts.attempts = event.data.attempt;
    if (event.data.retryAt !== undefined) facts.retryAt = event.data.retryAt;
  } else if (event.type === "step.in_doubt") {
    facts.doubtful = true;
    if (event.data.held !== undefined) facts.held = event.data.held;
    if (event.data.unwanted !== undefined) facts.unwanted = event.data.unwanted;
  } else if (event.type === "step.decided" && event.data.decision === "run") {
    delete facts.doubtful;
    delete facts.held;
    facts.decided = true;
    // It took however long somebody needed to decide; that is not the step's own time.
    facts.firstAt = event.at;
    if (facts.entered !== undefined) facts.attempts = facts.entered;
  } else if (event.type === "child.started") facts.child = event.data.run;
  else if (event.type === "wait.opened") facts.opened = { seq: event.seq, until: event.data.until };
}

/**
 * Numbers of asks by `after`, those of one `after` as they are: a counting sort, because comparing a million takes so
 * long that the event loop would be held up.
 */
function inOrder(after: Int32Array, from: Seq, events: number): Int32Array {
  const place = (seq: Seq): number => Math.min(Math.max(seq - from, 0), events - 1);
  const next = new Int32Array(events + 1);
  for (const seq of after) next[place(seq) + 1] = (next[place(seq) + 1] ?? 0) + 1;
  for (let i = 1; i <= events; i += 1) next[i] = (next[i] ?? 0) + (next[i - 1] ?? 0);
  const order = new Int32Array(after.length);
  for (let ask = 0; ask < after.length; ask += 1) {
    const at = place(after[ask] ?? 0);
    order[next[at] ?? 0] = ask;
    next[at] = (next[at] ?? 0) + 1;
  }
  return order;
}

/** The latest of an ask's causes; 0, the creation of the run, where there are none. */
export function latest(causes: readonly Seq[]): Seq {
  let last = 0;
  for (const cause of causes) if (cause > last) last = cause;
  return last;
}
