/**
 * Executions: calls of functions of nodes, as those who ask for them over HTTP see them. Each is a run of the workflow
 * `node.function`; only one that was *reused* in the run that called it has no run of its own.
 */
import type { Duration } from "../../core/duration.ts";
import { StemmaError } from "../../core/error.ts";
import type { ErrorRecord, Produced, RunId, Timestamp } from "../../core/event.ts";
import type { Json } from "../../core/json.ts";
import type { Status } from "../../core/run.ts";
import { checkRunId } from "../../engine/id.ts";

/** What is asked for: a function of a node, by whom, with what. */
export type CallGiven = {
  /** `node.function`. */
  target: string;
  input?: unknown;
  /** The second value given with the run. Default: in a call by another execution, that of the caller; else none. */
  context?: unknown;
  /** The execution that calls: the id that its node was given when it was asked to work (`X-Execution-ID`). */
  caller?: string;
  /**
   * However often it is asked with this key, it is one call: of its caller, or, without one, of its function. Default: each
   * is a call of its own.
   */
  idempotencyKey?: string;
  /**
   * Of equal calls that the caller makes when it is asked to work again after its node died, the nth gets the nth. Beyond
   * those: "in order" (the default) makes a new one, "earliest" gives the earliest that succeeded.
   */
  matching?: "in order" | "earliest";
  tags?: readonly string[];
  by?: string;
  /** How long the execution may take, waits and restarts of its node included. */
  timeout?: Duration;
  /** When it may begin. Only without a caller. */
  delay?: Duration;
  /** A run id of one's own making. Only without a caller. */
  run?: RunId;
  /** Anything for who looks at the caller later (`Agents.course`), kept with a call that has a caller. */
  note?: Json;
};

export type Execution = {
  /** The id of its run; `<run of the caller>~<call>` where it has none (reused), or none yet (its caller is paused). */
  id: string;
  run?: RunId;
  target: string;
  status: Status;
  /** What was given; left out until it is known. */
  input?: unknown;
  output?: unknown;
  error?: ErrorRecord;
  /** The run that called it, and the key of the call there. */
  caller?: { run: RunId; key: string };
  family?: RunId;
  /** Set where a run of the line had it already: where it was found, and who really made it. */
  reused?: { from: Produced; origin: Produced };
  /** How often it was given to a node, and to which at last. */
  attempt: number;
  node?: { node: string; version: string; instance: string };
  /** Questions that it waits for, by the key with which `Stemma.resume` answers them. */
  waits: readonly string[];
  createdAt?: Timestamp;
  startedAt?: Timestamp;
  endedAt?: Timestamp;
};

/** How an execution ended, as its node says. */
export type Report = {
  /** What becomes of calls that the execution has made and that have not ended. Default "cancel". */
  open?: "cancel" | "await";
} & (
  | { ok: true; output?: unknown }
  /** `final`: the function is not to be tried again, whatever its retry says. */
  | { ok: false; error: ErrorRecord; final?: boolean }
);

/** A call inside the node, which the node carries out by itself and only tells of: first that it began, then how it ended. */
export type LocalCall = {
  /** The node's own id of it: the same when it begins and when it ends. */
  id: string;
  /** What was called, `node.function`. */
  target: string;
  input?: unknown;
  /** The local call inside which it happened, where it was not the execution itself. */
  parent?: string;
  ms?: number;
  note?: Json;
} & ({ status: "running" } | { status: "succeeded"; output?: unknown } | { status: "failed"; error: ErrorRecord });

/** A question that an execution asks, of a person or of anybody: a wait of its run. */
export type Question = {
  name: string;
  input?: unknown;
  prompt?: string;
  reason?: string;
  /** JSON Schema of the answer. */
  schema?: Json;
  expires?: Duration;
  tags?: readonly string[];
  /** However often it is asked with this key, it is one question. */
  idempotencyKey?: string;
  /** Given to the hook `answered`, when the answer is on record. */
  note?: Json;
};

/** What is known of a question: the key of its wait, and its answer once that is on record. */
export type Asked = {
  run: RunId;
  wait: string;
  state: "open" | "answered" | "failed" | "expired" | "withdrawn";
  value?: unknown;
  error?: ErrorRecord;
};

/**
 * What the ids of executions stand for. A node that is given an execution again, after another one died with it, is given
 * it under another id of the same run (`run_….2xyz`): so what it says is told from what the first may still say.
 */
export type ExecutionId = { run: RunId; token: string; call?: string };

/** Throws run.invalid_id. */
export function readId(id: unknown): ExecutionId {
  if (typeof id !== "string") throw new StemmaError("run.invalid_id", "Expected the id of an execution to be text.");
  const [, run = id, token, call] = /^([^.~]*)(?:(\.[0-9a-z]{1,40})|~(.{1,1000}))?$/s.exec(id) ?? [];
  const checked = checkRunId(run);
  return { run: checked, token: token === undefined ? checked : id, ...(call === undefined ? {} : { call }) };
}

export function callId(run: RunId, call: string): string {
  return `${run}~${call}`;
}
