/**
 * What the engine runs, and what it offers to that. A *body* is a function over seven operations; the three authoring
 * styles are ways to write one. Each operation takes scope, name, input and causes explicitly: deriving them from
 * running code is the business of `authoring/workflow` alone.
 */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { Digest, Effect, RunId, Seq, Timestamp, WaitKind } from "../core/event.ts";
import type { Json } from "../core/json.ts";
import type { RetryPolicy } from "../core/retry.ts";
import type { StateMemory } from "../core/state-memory.ts";
import type { Decision } from "./decision.ts";
import type { Encoded } from "./value.ts";

/** How an ask ended, as recorded: `seq` is the event's place, to be named as a cause by what comes after. */
export type Outcome =
  | { seq: Seq; ok: true; value: unknown; error?: never }
  | { seq: Seq; ok: false; error: Error; value?: never };

/** The success of a step, with its value as the text that is on record. */
export type Unread = { seq: Seq; text: string };

/** What a step's function is given beside its input. */
export type StepTools = {
  /** The same for every attempt, crash and restart of this step: send it to services so that they do not act twice. */
  readonly idempotencyKey: string;
  /** 1 for the first. */
  readonly attempt: number;
  /** Aborted when the result is not wanted any more. */
  readonly abort: AbortSignal;
  /** Lines say the run, the workflow, the step and the attempt, beside what they are given. Never throws. */
  readonly log: Log;
  /**
   * Puts a JSON value into a stream of the run, for whoever follows it with `run.stream(name)`. Not waited for; what
   * comes when the attempt is over is not taken.
   *
   * @throws name.invalid, json.not_serializable, json.too_deep, payload.too_large
   * @example for await (const token of model.ask(prompt)) step.emit("tokens", token);
   */
  emit(stream: string, value: unknown): void;
};

/** A logger of four methods; each takes a message and facts. */
export type Log = {
  debug(message: string, data?: Record<string, unknown>): void;
  info(message: string, data?: Record<string, unknown>): void;
  warn(message: string, data?: Record<string, unknown>): void;
  error(message: string, data?: Record<string, unknown>): void;
};

/** Part of every ask: where it stands, and which recorded events had to happen before. */
export type Place = {
  scope: string;
  name: string;
  causes: readonly Seq[];
  /**
   * For a body that counts over its checkpoints, in the state that it keeps there: what is asked is known without its
   * segment, by scope, name, input, and the place among all asks of the run that are equal in these, which this gives.
   */
  across?: (input: Digest | null) => number;
  /** With it: what led there, whatever it is given. By default a step's place is its key. */
  way?: string;
};

/** Asks of one group run at most `limit` at a time; asking itself is never held back. */
export type Group = { key: object; limit: number };

export type Retry = {
  policy: RetryPolicy;
  /** Whether another attempt may help, asked with what the attempt threw and its number. */
  retryIf?: (error: unknown, attempt: number) => boolean;
};

export type StepAsk = Place & {
  /** Declared input, wrapped because `undefined` may be declared too; without it the step has no declared input. */
  input?: { value: unknown };
  effect?: Effect;
  /** Raised by the author when the code of the step means something else. */
  version?: number;
  group?: Group;
  /** Without it, the first failure is the step's. */
  retry?: Retry;
  /** Milliseconds that one attempt, and all attempts with the delays between them, may take. */
  timeout?: { attemptMs?: number; stepMs?: number };
  /** Its start is on record before it is entered, whatever its effect. */
  intent?: boolean;
  /** Finds out what became of a `once` step in doubt; undefined where it cannot tell. */
  reconcile?: (input: unknown, tools: StepTools) => Promise<Decision | undefined> | Decision | undefined;
  /** Names of the parts of the run's context that it reads: they count for whether it may be reused. */
  context?: readonly string[];
  /**
   * Its author says that its success may be reused whatever is before it, or by no other run: what it found out is true of
   * this run alone.
   */
  reuse?: "always" | "never";
  /** What an output has cost, in whatever unit the author counts in. */
  cost?: (output: unknown) => number;
  /** It is one of those that the body is given together: the `at`-th of `of` that have the same `key`. */
  together?: { key: object; at: number; of: number };
  /** Makes up for a success when the run fails or is cancelled; it is given the output. */
  compensate?: (output: unknown, tools: StepTools) => unknown;
  run: (input: unknown, tools: StepTools) => unknown;
};

export type WaitAsk = Place & {
  kind: WaitKind;
  /** What is asked about: part of the wait's identity, and shown to whoever answers. */
  input?: { value: unknown };
  /** When a timer fires, or anything else expires. */
  until?: (now: Timestamp) => Timestamp;
  /** What it settles with when it expires; without it, it fails with wait.expired. */
  default?: { value: unknown };
  prompt?: string;
  reason?: string;
  /** JSON Schema of the answer, for those who show a form. */
  schema?: Json;
  /** The answer as the body gets it; throws what is wrong with it. */
  validate?: (value: unknown) => unknown;
  /** Name of the queue that a wait of kind "signal" is answered from; its own name if left out. */
  signal?: string;
  tags?: string[];
  /** Its answer is for this run alone. */
  reuse?: "never";
};

export type CallAsk = Place & {
  workflow: Workflow;
  input: { value: unknown };
  /** In place of the context of the calling run. */
  context?: Encoded;
  tags?: string[];
  timeoutMs?: number;
};

/** The operations. Each returned promise settles by a recorded outcome, or never: in a dropped activation. */
export type Operations = {
  /** Recalls the step, or runs it and records its outcome. */
  step(ask: StepAsk): Promise<Outcome>;
  /**
   * The same without a promise, for bodies that are dataflow: `take` is called with the outcome when it is delivered, and
   * never where the promise would not settle. Throws where `step` would reject. Asks one behind the other with the very
   * same `input` object have it encoded once.
   */
  stepTo(ask: StepAsk, take: (outcome: Outcome) => void): void;
  /**
   * The short way for bodies that are dataflow, while they are recalled: takes the outcome of the step at this place, if
   * one with this input is on record as ended. Its outcome is given to `take` when it is due, with `own`, by which the
   * body knows what it asked for. False: it is to be asked for with `stepTo`.
   *
   * @param input canonical text of the declared input
   */
  again(
    place: { scope: string; name: string },
    input: string,
    own: number,
    take: (own: number, outcome: Outcome | Unread) => void,
  ): boolean;
  /** Recalls or runs many steps, and makes way for others while it asks for them; gives their outcomes in order. */
  steps(count: number, askOf: (index: number) => StepAsk): Promise<readonly Outcome[]>;
  /** Lets a turn of the event loop pass: for a body that has much to ask or to take in. What follows must not depend on it. */
  turn(): Promise<void>;
  /** Opens a question and settles with its answer; a run that has only waits left holds no process. */
  wait(ask: WaitAsk): Promise<Outcome>;
  /** Settles when the time has come: a wait that the clock answers. */
  sleep(ask: Place & { until: (now: Timestamp) => Timestamp }): Promise<Outcome>;
  /** Starts a run of another workflow, once, and settles with its output. */
  call(ask: CallAsk): Promise<Outcome>;
  /**
   * Continue from here with this state, not from the start: later activations load nothing from before. Only where
   * nothing is open (else checkpoint.not_quiescent). Steps are counted anew below the scope path that it gives. A step
   * before it is not made up for if the run fails behind it.
   *
   * With `carryWaits`, waits of the root scope may be open, timers not. Their promises never settle; what the body asks
   * for again, with the same name and input, in the root scope and before it asks for anything else, is the same wait:
   * its key, its expiry, and its answer if that came in between. The others are withdrawn.
   *
   * @param options `memory`: for states whose values are never changed, each made of the last: then a checkpoint takes the
   * time of what is new in it
   */
  checkpoint(
    causes: readonly Seq[],
    state: unknown,
    options?: { memory?: StateMemory; carryWaits?: boolean },
  ): Promise<Segment>;
  /** Path of a scope opened under `name`; `x#2` when it is opened again. */
  open(scope: string, name: string): string;
  /** Records that a scope's ends came together, and gives the seq that later steps name instead of them all. */
  close(scope: string, kind: "scope" | "map" | "all" | "race", causes: readonly Seq[]): Seq;
  /** Takes back every open ask in a scope and below: losing steps are aborted, losing timers withdrawn. */
  withdraw(scope: string): void;
  /** Puts a value into a stream of the run, for whoever follows it. Not waited for, and silent in recall. */
  emit(stream: string, value: unknown): void;
  /** Gives the run these tags, in the place of those it has. */
  set(causes: readonly Seq[], tags: readonly string[]): void;
  /** Whether the run takes the new code behind `name`: whether it comes here for the first time. */
  patched(causes: readonly Seq[], name: string): boolean;
  /** A number in [0, 1) that is the same in every recall, fork and restart. */
  random(scope: string): number;
  /** A UUID (version 8) that is the same in every recall, fork and restart. */
  uuid(scope: string): string;
  /** `at` of the last outcome that was delivered to the body. */
  now(): Timestamp;
  /** Whether what happens now happens for the first time. */
  live(): boolean;
};

/** Where a body starts: the scope path of its root, and what its first asks are caused by. */
export type Segment = { root: string; seq: Seq };

export type RunInfo = {
  readonly segment: Segment;
  /** The state of the last checkpoint; undefined before the first. */
  readonly restored: unknown;
  readonly runId: RunId;
  readonly workflow: string;
  readonly version: number;
  readonly input: unknown;
  readonly context: unknown;
  readonly abort: AbortSignal;
  readonly log: Log;
};

/** A running body: how it ends, and which outcomes that end is caused by (asked for once, at the end). */
export type RunningBody = { done: Promise<unknown>; causes(): readonly Seq[] };

/** A step on record that was not asked for, or one that is asked for and not on record; `input` as far as it was read. */
export type Misfit = { scope: string; name: string; input: unknown };

/** A named, versioned definition. `source` is what its code fingerprint is made from. */
export type Workflow<I = unknown, O = unknown> = {
  readonly name: string;
  readonly version: number;
  readonly source: string;
  readonly schema?: StandardSchemaV1<unknown, I>;
  /** How long a run may take from its first start to its end, in milliseconds; a run can be given another limit. */
  readonly timeoutMs?: number;
  readonly body: (operations: Operations, run: RunInfo) => RunningBody;
  /**
   * The body is data: it asks with `stepTo` for steps with declared inputs, once for each place, and for nothing else, makes
   * no checkpoint, holds on to its outcomes, and what it does next follows from them in their order, whenever it is given them. So it can be
   * given many of them in one turn when it is recalled, straight from the first reading of its history.
   */
  readonly dataflow?: true;
  /** How the code differs from what is on record, in its own words: asked when the two do not fit. */
  readonly misfit?: (unasked: readonly Misfit[], held: readonly Misfit[]) => Json;
  /** Only for inference; never there at run time. */
  readonly types?: { input: I; output: O };
};
