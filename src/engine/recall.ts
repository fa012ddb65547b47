/**
 * What a history says a body already did. Built once per activation; then each ask of the body is looked up here by
 * identity, and the recorded outcomes are handed out in the order of their seq.
 *
 * An outcome is due only when every recorded ask that was made before it was delivered has been made again. So a body
 * that does plain I/O between steps meets the outcomes at the same points as when it ran first, however long its I/O
 * takes this time. That needs to know of every ask, also of one whose first event stands far later; so the whole history
 * is indexed before anything is delivered. The index holds places and no values, and what was asked for is let go of,
 * so that a long history takes little memory.
 */
import type { Event, EventOf, RunId, Seq, StepRef, Timestamp, Value } from "../core/event.ts";
import { outcomeOf } from "../core/event.ts";
import type { Identity } from "../core/identity.ts";
import { identityOf, identityText, labelOf, pathOf } from "../core/identity.ts";
import { causesWrittenOut } from "./appender.ts";
import { compensationScope } from "./compensation-scope.ts";
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

/** One ask as the history has it. There may be a million, so what few of them have is absent from the others. */
export type Recorded = {
  readonly key: string;
  readonly first: Seq;
  /** The last outcome that had been delivered when it was asked. */
  readonly after: Seq;
  /** Seq of its outcome. */
  outcome: Seq | undefined;
  asked: boolean;
  /** Whether its key says all of its identity. */
  readonly plain: boolean;
  /** Its causes, where they are too many to be written out again, and the event that writes them out. */
  readonly causes?: readonly Seq[];
  readonly spelledAt?: Seq;
  /** Time of its first event, and seq of its last, where these are not its outcome. */
  firstAt?: Timestamp;
  last?: Seq;
  /** Number of the last attempt that failed, and of the last whose start is on record. */
  attempts?: number;
  entered?: number;
  /** When the attempt behind the failed one is due. */
  retryAt?: Timestamp;
  started?: Seq;
  doubtful?: boolean;
  opened?: { seq: Seq; until: Timestamp | undefined };
  /** The run that was called. */
  child?: RunId;
};

/** Asks and outcomes in their order; whoever is done with one clears its place. */
export type Recall = {
  /** In the order in which they were asked. */
  readonly asks: (Recorded | undefined)[];
  /** Those that have an outcome, in the order in which it came. */
  readonly outcomes: (Recorded | undefined)[];
  /** Closed scopes by label. */
  readonly closed: Map<string, Seq>;
  /** How often the run's tags were set. */
  readonly sets: number;
  /** The steps that make up for others, by key; no body asks for them. */
  readonly compensations: ReadonlyMap<string, Recorded>;
  /** Whether a success can be made up for. */
  readonly compensable: boolean;
  /** Signals that came early and were not taken, and those that were. */
  readonly signals: ReadonlyMap<Seq, { name: string; payload: Value }>;
  readonly taken: ReadonlySet<Seq>;
  /** Whether a label belongs to an ask on record that was not taken. */
  has(key: string): boolean;
  /** The ask on record with this identity; taken once. */
  take(identity: Identity): Recorded | undefined;
};

/** Indexes a history event by event, or the part of it that follows a checkpoint. */
export class RecallIndex implements Recall {
  asks: (Recorded | undefined)[] = [];
  readonly outcomes: (Recorded | undefined)[] = [];
  readonly closed: Map<string, Seq> = new Map();
  sets = 0;
  readonly compensations: Map<string, Recorded> = new Map();
  compensable = false;
  readonly #signals = new SignalIndex();
  /** Every ask, while the history is read; then those that were not taken. */
  readonly #byKey = new Map<string, Recorded>();
  /** Those whose identity their key does not say. */
  readonly #byText = new Map<string, Recorded>();
  readonly #from: Seq;
  /** The latest cause of each event, for those that refer to it. */
  #latest: Int32Array;
  /** Causes that events refer to, by the event that writes them out. */
  #spelled = new Map<Seq, readonly Seq[]>();

  /** @param from seq of the first event that is added, @param to and of the last */
  constructor(from: Seq, to: Seq) {
    this.#from = from;
    this.#latest = new Int32Array(to - from + 1);
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
    this.#signals.add(event);
    if (!("key" in data)) return false;
    if (data.key.startsWith(`${compensationScope}/`)) {
      const begun = this.compensations.get(data.key) ?? this.#mentioned(event, data);
      this.compensations.set(data.key, begun);
      note(begun, event);
      return false;
    }
    if (event.type === "step.succeeded" && event.data.compensate === true) this.compensable = true;
    const recorded = this.#byKey.get(data.key) ?? this.#firstMention(event, data);
    note(recorded, event);
    if (recorded.outcome !== seq) return false;
    this.outcomes.push(recorded);
    return true;
  }

  /** All is read: puts the asks into their order, and lets go of what only reading needs. */
  done(): Recall {
    this.asks = inOrder(this.asks as Recorded[], this.#from, this.#latest.length);
    this.#latest = new Int32Array(0);
    this.#spelled = new Map();
    return this;
  }

  get signals(): ReadonlyMap<Seq, { name: string; payload: Value }> {
    return this.#signals.kept;
  }

  get taken(): ReadonlySet<Seq> {
    return this.#signals.taken;
  }

  has(key: string): boolean {
    return this.#byKey.has(key);
  }

  take(identity: Identity): Recorded | undefined {
    if (this.#byKey.size === 0) return undefined;
    const recorded = this.#find(identity);
    if (recorded !== undefined) {
      recorded.asked = true;
      this.#byKey.delete(recorded.key);
    }
    return recorded;
  }

  #find(identity: Identity): Recorded | undefined {
    const { scope, name, input, n } = identity;
    if (this.#byText.size > 0) {
      const text = identityText(identity);
      const recorded = this.#byText.get(text);
      this.#byText.delete(text);
      if (recorded !== undefined) return recorded;
    }
    if (input !== null) return undefined;
    const recorded = this.#byKey.get(labelOf(pathOf(scope, name), n));
    return recorded?.plain === true ? recorded : undefined;
  }

  #firstMention(event: Event, ref: StepRef): Recorded {
    const recorded = this.#mentioned(event, ref);
    this.#byKey.set(recorded.key, recorded);
    if (!recorded.plain) this.#byText.set(identityText(identityOf(ref)), recorded);
    this.asks.push(recorded);
    return recorded;
  }

  #mentioned({ seq, causes }: Event, ref: StepRef): Recorded {
    const spelledAt = "same" in causes ? causes.same : seq;
    const many = this.#spelled.get(spelledAt);
    return {
      key: ref.key,
      first: seq,
      after: ref.after ?? this.#latest[seq - this.#from] ?? 0,
      outcome: undefined,
      asked: false,
      plain: ref.input === undefined && ref.n === undefined,
      ...(many === undefined ? {} : { causes: many, spelledAt }),
    };
  }
}

/** Indexes a history that is at hand as a whole. */
export function recallOf(history: readonly Event[]): Recall {
  const index = new RecallIndex(history[0]?.seq ?? 0, history.at(-1)?.seq ?? 0);
  for (const event of history) index.add(event);
  return index.done();
}

function note(recorded: Recorded, event: Event): void {
  if (outcomeOf[event.type] !== null) {
    recorded.outcome ??= event.seq;
    return;
  }
  recorded.firstAt ??= event.at;
  recorded.last = event.seq;
  if (event.type === "step.started") {
    recorded.started ??= event.seq;
    recorded.entered = event.data.attempt;
    delete recorded.retryAt;
  } else if (event.type === "step.attempt_failed") {
    recorded.attempts = event.data.attempt;
    if (event.data.retryAt !== undefined) recorded.retryAt = event.data.retryAt;
  } else if (event.type === "step.in_doubt") recorded.doubtful = true;
  else if (event.type === "step.decided" && event.data.decision === "run") {
    delete recorded.doubtful;
    // It took however long somebody needed to decide; that is not the step's own time.
    recorded.firstAt = event.at;
    if (recorded.entered !== undefined) recorded.attempts = recorded.entered;
  } else if (event.type === "child.started") recorded.child = event.data.run;
  else if (event.type === "wait.opened") recorded.opened = { seq: event.seq, until: event.data.until };
}

/**
 * Asks by `after`, those of one `after` as they are: a counting sort, because comparing a million takes so long that
 * the event loop would be held up.
 */
function inOrder(asks: readonly Recorded[], from: Seq, length: number): Recorded[] {
  const place = (recorded: Recorded): number => Math.min(Math.max(recorded.after - from, 0), length - 1);
  const next = new Int32Array(length + 1);
  for (const recorded of asks) {
    const after = place(recorded) + 1;
    next[after] = (next[after] ?? 0) + 1;
  }
  for (let i = 1; i <= length; i += 1) next[i] = (next[i] ?? 0) + (next[i - 1] ?? 0);
  const sorted = Array.from<Recorded>({ length: asks.length });
  for (const recorded of asks) {
    const after = place(recorded);
    const at = next[after] ?? 0;
    next[after] = at + 1;
    sorted[at] = recorded;
  }
  return sorted;
}

/** The latest of an ask's causes; 0, the creation of the run, where there are none. */
export function latest(causes: readonly Seq[]): Seq {
  let last = 0;
  for (const cause of causes) if (cause > last) last = cause;
  return last;
}
