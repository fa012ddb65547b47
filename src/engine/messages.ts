/** What comes to a run from outside: the bodies of the messages in its inbox, by their kind. All of them are JSON. */
import type { ErrorRecord, RunId, Seq, Value } from "../core/event.ts";

type By = { by?: string; reason?: string };

/** `child`: how a called run ended. */
export type ChildMessage = { run: RunId; key: string; status: string; output?: Value; error?: ErrorRecord };

/**
 * `answer`: what somebody said to an open wait: a value (`text` is JSON, absent for undefined), an error, or `again`:
 * that it has to wait on, with another prompt perhaps. `to` is the event that asked what it is the answer to.
 */
export type AnswerMessage = {
  key: string;
  to?: Seq;
  text?: string;
  error?: ErrorRecord;
  again?: { prompt?: string; reason?: string; until?: number };
  by?: string;
};

/** `signal`: a value for whoever waits for this name, now or later. */
export type SignalMessage = { name: string; text?: string; by?: string };

/** `cancel`, `pause`, `unpause`: who wants it, and why. `caller`: the run that called this one hands it on. */
export type CancelMessage = By;
export type PauseMessage = By & { caller?: RunId };

/**
 * `decide`: what is to become of a step in doubt. `entered`: number of the attempt that it is about, 0 where none was
 * entered; it says nothing of a later one. `message`: the idempotency key that it came with.
 */
export type DecideMessage = By & {
  key: string;
  entered?: number;
  message?: string;
  decision: "record" | "run" | "fail";
  text?: string;
  error?: ErrorRecord;
};

/** A message that nobody takes in, kept in the inbox of a record: what must be in no event, and goes into no export. */
export const secretKind = "secret";
