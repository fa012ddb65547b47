/**
 * What a history says a body already did. Built once per activation; then each ask of the body is looked up here by
 * identity, and the recorded outcomes are handed out in the order of their seq.
 *
 * An outcome is due only when every recorded ask that was made before it was delivered has been made again. So a body
 * that does plain I/O between steps meets the outcomes at the same points as when it ran first, however long its I/O
 * takes this time.
 */
import type { Event, EventOf, Seq, StepRef, Timestamp, Value } from "../core/event.ts";
import { causesOf, outcomeOf } from "../core/event.ts";
import { identityOf, identityText } from "../core/identity.ts";

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
export type Recorded = {
  readonly text: string;
  readonly ref: StepRef;
  readonly first: Seq;
  /** The last outcome that had been delivered when it was asked. */
  readonly after: Seq;
  readonly causes: readonly Seq[];
  /** Where these causes are written out: at `first`, or at the event that `first` refers to. */
  readonly spelledAt: Seq;
  /** How its first event came about: a step's work, or a wait's opening. */
  readonly kind: "step" | "wait" | "child";
  /** The declared input, as recorded. */
  readonly given: Value | undefined;
  /** Time of its first event. */
  readonly firstAt: Timestamp;
  /** Number of the last attempt that failed, and of the last whose start is on record; 0 where there is none. */
  attempts: number;
  entered: number;
  /** When the attempt behind the failed one is due. */
  retryAt?: Timestamp;
  started?: Seq;
  /** The last event before its outcome. */
  last: Seq;
  doubtful?: boolean;
  opened?: { seq: Seq; until: Timestamp | undefined };
  outcome?: OutcomeEvent;
  asked: boolean;
};

export type Recall = {
  byText: ReadonlyMap<string, Recorded>;
  /** In the order in which they were asked. */
  asks: readonly Recorded[];
  /** Those that have an outcome, in the order in which it came. */
  outcomes: readonly Recorded[];
  /** Closed scopes by label. */
  closed: ReadonlyMap<string, Seq>;
};

/** Indexes a history, or the part of it that follows a checkpoint. */
export function recallOf(history: readonly Event[]): Recall {
  const offset = history[0]?.seq ?? 0;
  const byText = new Map<string, Recorded>();
  const byKey = new Map<string, Recorded>();
  const outcomes: Recorded[] = [];
  const closed = new Map<string, Seq>();
  for (const event of history) {
    if (event.type === "scope.closed") closed.set(event.data.scope, event.seq);
    if (!("key" in event.data)) continue;
    let recorded = byKey.get(event.data.key);
    if (recorded === undefined) {
      recorded = firstMention(event, event.data, (seq) => history[seq - offset]);
      byKey.set(event.data.key, recorded);
      byText.set(recorded.text, recorded);
    }
    note(recorded, event);
    if (recorded.outcome === event) outcomes.push(recorded);
  }
  const asks = [...byText.values()].toSorted((a, b) => a.after - b.after || a.first - b.first);
  return { byText, asks, outcomes, closed };
}

function firstMention(event: Event, ref: StepRef, at: (seq: Seq) => Event | undefined): Recorded {
  const causes = causesOf(event, at);
  return {
    text: identityText(identityOf(ref)),
    ref: pick(ref),
    first: event.seq,
    after: ref.after ?? latest(causes),
    causes,
    spelledAt: "same" in event.causes ? event.causes.same : event.seq,
    kind: event.type.startsWith("wait.") ? "wait" : event.type.startsWith("child.") ? "child" : "step",
    given: ref.given,
    firstAt: event.at,
    attempts: 0,
    entered: 0,
    last: event.seq,
    asked: false,
  };
}

function note(recorded: Recorded, event: Event): void {
  if (outcomeOf[event.type] !== null) {
    recorded.outcome ??= event as OutcomeEvent;
    return;
  }
  recorded.last = event.seq;
  if (event.type === "step.started") {
    recorded.started ??= event.seq;
    recorded.entered = event.data.attempt;
    delete recorded.retryAt;
  } else if (event.type === "step.attempt_failed") {
    recorded.attempts = event.data.attempt;
    if (event.data.retryAt !== undefined) recorded.retryAt = event.data.retryAt;
  } else if (event.type === "step.in_doubt") recorded.doubtful = true;
  else if (event.type === "wait.opened") recorded.opened = { seq: event.seq, until: event.data.until };
}

function pick(ref: StepRef): StepRef {
  const bare: StepRef = { key: ref.key };
  if (ref.input !== undefined) bare.input = ref.input;
  if (ref.n !== undefined) bare.n = ref.n;
  return bare;
}

/** The latest of an ask's causes; 0, the creation of the run, where there are none. */
export function latest(causes: readonly Seq[]): Seq {
  let last = 0;
  for (const cause of causes) if (cause > last) last = cause;
  return last;
}
