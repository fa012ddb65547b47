/**
 * The closed union of everything that can happen to a run. A run is the list of these events and nothing else: its
 * status, its trace, its open waits and its lineage are all derived from them. Reading this file is reading what
 * Stemma can do; adding an event here makes every place that must know about it stop compiling.
 */
import type { Json } from "./json.ts";

/** `run_` and 26 characters of Crockford base32: a UUIDv7, so ids sort by time of creation. */
export type RunId = string;
/** Position of an event in its run's history: 0, 1, 2 … without gaps. */
export type Seq = number;
/** SHA-256 as 64 hexadecimal digits. */
export type Digest = string;
/** Milliseconds since 1970, by the database's clock. */
export type Timestamp = number;

/**
 * A value as an event holds it: small ones inside, larger ones by digest, and `undefined` as what it is. The digest is
 * always that of the RFC 8785 text, so a value may be taken out of the store later without breaking the hash chain.
 */
export type Value = { inline: Json } | { digest: Digest; bytes: number } | { undefined: true };

/**
 * The state of a checkpoint that is too large for its event: the root of a tree of payloads that share what is equal
 * with those of other states (`core/state` says how). `tree` is the form it is written in, `bytes` the size of the whole.
 */
export type StateTree = { tree: number; digest: Digest; bytes: number };

/** An error as it is kept: what a body catches live and after a crash is made from this and from nothing else. */
export type ErrorRecord = {
  name: string;
  message: string;
  code?: string;
  data?: Json;
  cause?: ErrorRecord;
};

/**
 * What finds the recorded success of an ask again, in any run of its family: 40 hexadecimal digits of a digest. Equal
 * keys mean equal work, so a success may be given to whoever asks under its key.
 */
export type ReuseKey = string;

/** Where a value comes from: the event of a run that has it. */
export type Produced = { run: RunId; key: string; seq: Seq };

/**
 * A run whose successes a restart or fork may reuse: those up to `head` that are in no range of `cut` (first and last
 * seq). Failures that its body survived are replayed as failures; `ended` names the steps whose failure ended it, which
 * are not, and where it is left out no failure is. `start` is the checkpoint that it went on from itself. `open`: it had not
 * ended, so it may have made up for some of them since.
 */
export type OfferedRun = {
  run: RunId;
  head: Seq;
  cut?: SeqRange[];
  ended?: string[];
  start?: CheckpointAt;
  open?: true;
};

/** A checkpoint, by its place. */
export type CheckpointAt = { run: RunId; seq: Seq };

/** First and last seq of a stretch of a history. */
export type SeqRange = [from: Seq, to: Seq];

/** The checkpoint of its source that a restart or fork goes on from, the `count`-th of its run, and the state there. */
export type StartedFrom = {
  run: RunId;
  seq: Seq;
  count: number;
  state: Value | StateTree;
  /** What stands for all that the body had been given before it. */
  prefix?: ReuseKey;
  /** The waits that it carries: asked again first, they are the same questions, under the same keys. */
  waits?: CarriedKey[];
};

/**
 * Why a step ran although its run had successes to reuse. `input changed` may say where: "input changed at $.order".
 */
export type NotReused =
  | "cut"
  | "input changed"
  | `input changed at ${string}`
  | "context changed"
  | "version changed"
  | "code changed"
  | "not recorded"
  | "no declared input"
  | "compensated"
  | "effect needs a decision";

/**
 * Which step an event is about. `key` is the label, unique in its run: scope path, name and, if needed, `#k`. `input`
 * is the digest of the declared input. `n` is the step's place among asks equal in scope, name and input; it is left
 * out where it is the label's own `k - 1`. `across` is there where the step is known without its segment: its place
 * among all asks of the run that are equal in the rest. `way`, on what is done once, stands for what led there, whatever
 * it was given: with another input it is another step in the same place. `after` is the seq of the last outcome that the
 * body had been given when it asked, and `given` the declared input itself; both stand only on the first event of a step,
 * and `after` is left out where it is the latest cause. `why` stands there too, in a restart or fork: why the step was not reused.
 */
export type StepRef = {
  key: string;
  input?: Digest;
  n?: number;
  across?: number;
  way?: string;
  after?: Seq;
  given?: Value;
  why?: NotReused;
};

/**
 * Where a run comes from. Everything but `new` and `schedule` connects it to the family of another run. `seq` is the
 * event of that run that it left from, `hash` the hash there. A called run that is restarted inside the restart of the
 * run that called it has that run, its call and the event that says so as its `caller`.
 */
export type Origin =
  | { kind: "new" }
  | { kind: "schedule"; schedule: string }
  | { kind: "child"; run: RunId; key: string; seq: Seq }
  | { kind: "restart"; run: RunId; seq: Seq; hash: Digest; caller?: Produced }
  | { kind: "fork"; run: RunId; seq: Seq; hash: Digest; caller?: Produced };

/** May it run again? `pure`: at any time. `idempotent`: at least once, with one key. `once`: never without a decision. */
export type Effect = "pure" | "idempotent" | "once";

/** Why a run that nobody works on is not finished. */
export type SuspendReason = "waiting" | "divergence" | "poison" | "in_doubt" | "corrupt";

/** Which wait a checkpoint carries: its reference. */
export type CarriedKey = { key: string; input?: Digest; n?: number };

/**
 * An open wait that a checkpoint carries into the next segment: its reference, the event that opened it last, when it
 * expires; `outcome` where it was settled before the checkpoint and no body was given that.
 */
export type CarriedWait = CarriedKey & {
  opened?: Seq;
  until?: Timestamp;
  outcome?: Seq;
};

/** What is being waited for. */
export type WaitKind = "timer" | "approval" | "signal" | "external";

/** Why nobody waits for the outcome of a step any more. */
export type Unwanted = "not awaited" | "lost race" | "run ended" | "abandoned";

type By = { by?: string; reason?: string };
/** Who decided about a step where nobody had to: its own `reconcile`. */
export const byReconcile = "reconcile";
type Saved = { ms?: number; cost?: number };

/** The data of each event, by its type. */
export type EventData = {
  "run.created": {
    workflow: string;
    version: number;
    input: Value;
    context?: Value;
    origin: Origin;
    family: RunId;
    /** Root of `ctx.random()` and `ctx.uuid()`; a restart or fork inherits it. */
    seed: string;
    tags?: string[];
    timeoutMs?: number;

    /** First run of the restart / fork line; the run itself if left out. Idempotency keys and the ledger of effects use it. */
    line?: RunId;
    /** Keys of the calls that lead from the line's first run down to this one; none if left out. */
    calls?: string[];
    /** Their labels, in the same order. */
    callKeys?: string[];
    /** What may be reused: a list of `OfferedRun`, the nearest first. */
    offers?: Value | StateTree;
    /** What the change that made this run discards on purpose, as ranges of runs. */
    discards?: Value | StateTree;
    /** How often runs before this one discarded the success of an identity: counts by its short digest. */
    generations?: Value | StateTree;
    start?: StartedFrom;
    /** Outputs given in the place of what steps would return, by key; who gave them, and why the run was made. */
    overrides?: { [key: string]: Value };
    by?: string;
    reason?: string;
    /** Asked for with the change, where it was: what may be reused, and the step from or behind which it runs again. */
    reuse?: "all" | "none";
    from?: string;
    after?: string;
    /** Which of equal successes an ask gets, where it is not the one in its place. Runs made of this one choose anew. */
    matching?: "earliest";
    /** `once` steps that may be entered again although their input changed or they were cut. */
    allowEffects?: string[];
    /** What `ctx.patched` said before the checkpoint that the run starts from. */
    patches?: string[];
    unpatched?: string[];
  };
  "run.started": { worker: string; epoch: number; fingerprint: Digest };
  /** `ending`: the body is done or is not wanted any more; the run waits for what it has to settle before its end. */
  "run.suspended": { reason: SuspendReason; until?: Timestamp; detail?: Json; fingerprint?: Digest; ending?: true };
  /** `caller`: the run that called this one was paused, and this one with it. */
  "run.paused": By & { caller?: RunId };
  "run.unpaused": By & { caller?: RunId };
  "run.succeeded": { output: Value };
  "run.failed": { error: ErrorRecord; frontier: string[] };
  "run.cancelled": By;
  "run.timed_out": { limitMs: number };
  /** The run's tags from here on, in the place of those before. */
  "run.set": { tags: string[] };
  /** Whether the run takes the new code behind a name; `old` where it had passed that place with older code. */
  "run.patched": { name: string; old?: true };
  /** Something that its owner should know and that changes nothing, for example an override that was never asked for. */
  "run.warned": { code: string; message: string; data?: Json };

  "step.started": StepRef & { attempt: number; effect?: Effect };
  /** `attempts`: how many there may be in all, for people who look. */
  "step.attempt_failed": StepRef & { attempt: number; attempts?: number; error: ErrorRecord; retryAt?: Timestamp };
  /** `compensate`: the step has a function that makes up for it. */
  "step.succeeded": StepRef & {
    output: Value;
    attempt?: number;
    ms?: number;
    cost?: number;
    reuse?: ReuseKey;
    compensate?: true;
  };
  /**
   * `kept`: what the function returned where that could not be recorded as its output. `from`, `origin`: the failure is
   * replayed, because the body of the source survived it.
   */
  "step.failed": StepRef & {
    error: ErrorRecord;
    attempt?: number;
    ms?: number;
    kept?: Value;
    reuse?: ReuseKey;
    from?: Produced;
    origin?: Produced;
  };
  "step.cancelled": StepRef & { reason: Unwanted };
  /** Of steps, waits and calls. `from`: where it was found; `origin`: the run and step that really executed. */
  "step.reused": StepRef & {
    output: Value;
    from: Produced;
    origin: Produced;
    saved?: Saved;
    reuse?: ReuseKey;
    compensate?: true;
  };
  "step.overridden": StepRef & By & { output: Value; reuse?: ReuseKey };
  /**
   * `unwanted`: nobody waits for it any more, so nobody has to decide; said again where it came to that later. `held`:
   * not by an attempt of its own, but because of what another run of the line did, or is doing, with it; `undecided`:
   * that run has not begun it, because somebody has to decide there whether it may.
   */
  "step.in_doubt": StepRef & {
    attempt: number;
    error?: ErrorRecord;
    kept?: Value;
    unwanted?: Unwanted;
    held?: { run: RunId; why: "in flight" | "undecided" | "in doubt" | "done with another input" | "cut" };
  };
  "step.decided": StepRef &
    By & { decision: "record" | "run" | "fail"; output?: Value; error?: ErrorRecord; message?: string };

  /** Again for one that is open: whoever was asked said that it has to wait on, and for what. */
  "wait.opened": StepRef & {
    kind: WaitKind;
    until?: Timestamp;
    prompt?: string;
    reason?: string;
    schema?: Json;
    tags?: string[];
    default?: Value;
    /** What was said when it was opened again, and by whom. */
    value?: Value;
    by?: string;
    message?: string;
  };
  /** `signal`: the kept signal that answered it. */
  "wait.answered": StepRef & By & { value: Value; message?: string; signal?: Seq; reuse?: ReuseKey };
  "wait.failed": StepRef & By & { error: ErrorRecord; message?: string };
  "wait.refused": StepRef & By & { error: ErrorRecord; message?: string; signal?: Seq };
  "wait.expired": StepRef & { value?: Value };
  "wait.withdrawn": StepRef & { reason: string };

  "signal.received": By & { name: string; payload: Value; message?: string };
  "scope.closed": { scope: string; kind: "scope" | "map" | "all" | "race" };
  /** `signals`: those that came early and are still kept. `prefix`: digest of all that the body had been given; `count`: its place among the run's, from 1. `waits`: those that are asked again behind it. */
  checkpoint: {
    state: Value | StateTree;
    parent: Seq | null;
    signals?: Seq[];
    waits?: CarriedWait[];
    prefix?: ReuseKey;
    count?: number;
  };
  "cancel.requested": By & { message?: string };
  "child.started": StepRef & { run: RunId; reuse?: ReuseKey };
  "child.ended": StepRef & { run: RunId; output?: Value; error?: ErrorRecord; status: string; reuse?: ReuseKey };
};

export type EventType = keyof EventData;

/** One event with the given data; `T` narrows it. */
export type EventOf<T extends EventType> = {
  readonly seq: Seq;
  readonly at: Timestamp;
  /** What had to happen before: seqs, or `same` as those that an earlier event names (so stored causes stay linear). */
  readonly causes: Causes;
  readonly type: T;
  readonly data: EventData[T];
  readonly hash: Digest;
};

/** An event as the history has it. Switch on `type`, and `data` is narrowed. */
export type Event = { [T in EventType]: EventOf<T> }[EventType];

/** An event that has not been given its place yet. */
export type Draft = { [T in EventType]: { type: T; data: EventData[T]; causes: Causes } }[EventType];

export type Causes = readonly Seq[] | { readonly same: Seq };

/** How an event settles its step, wait or child for the body; `null` where it does not. */
export const outcomeOf: Readonly<Record<EventType, "value" | "error" | "none" | null>> = {
  "run.created": null,
  "run.started": null,
  "run.suspended": null,
  "run.paused": null,
  "run.unpaused": null,
  "run.succeeded": null,
  "run.failed": null,
  "run.cancelled": null,
  "run.timed_out": null,
  "run.set": null,
  "run.patched": null,
  "run.warned": null,
  "step.started": null,
  "step.attempt_failed": null,
  "step.succeeded": "value",
  "step.failed": "error",
  "step.cancelled": "none",
  "step.reused": "value",
  "step.overridden": "value",
  "step.in_doubt": null,
  "step.decided": null,
  "wait.opened": null,
  "wait.answered": "value",
  "wait.failed": "error",
  "wait.refused": null,
  "wait.expired": "value",
  "wait.withdrawn": "none",
  "signal.received": null,
  "scope.closed": null,
  checkpoint: null,
  "cancel.requested": null,
  "child.started": null,
  "child.ended": "value",
};

/** Whether `type` names an event of this version. A newer store may hold others; they are refused, never skipped. */
export function isEventType(type: string): type is EventType {
  return Object.hasOwn(outcomeOf, type);
}

/**
 * The causes of an event as seqs, looking up `same` in the history that the event belongs to. Each `same` must lead
 * further back, so this ends whatever the history says; nothing is found where it leads nowhere.
 */
export function causesOf(event: { causes: Causes }, at: (seq: Seq) => { causes: Causes } | undefined): readonly Seq[] {
  let { causes } = event;
  let before = Infinity;
  while ("same" in causes) {
    const named = causes.same < before ? at(causes.same) : undefined;
    if (named === undefined) return [];
    before = causes.same;
    ({ causes } = named);
  }
  return causes;
}
