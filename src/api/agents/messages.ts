/**
 * What is said to the run of an execution: signals of one queue, so that the body takes them in the order in which they
 * came, live and in recall alike.
 */
import type { Json } from "../../core/json.ts";
import type { LocalCall, Question, Report } from "./execution.ts";

/** Name of the queue, and of the wait that is answered from it. */
export const queue = "from the node";

/** Names of what the body does by itself; no question may have one of them. */
export const dispatchStep = "dispatch";
export const stopStep = "stop at the node";
export const toldStep = "tell the answer";
export const pauseStep = "try again";
export const ownNames: ReadonlySet<string> = new Set([queue, dispatchStep, stopStep, toldStep, pauseStep]);

/** The execution's node calls a function. `token`: by which id it was given the execution. */
export type CallMessage = {
  kind: "call";
  id: string;
  token: string;
  target: string;
  input?: unknown;
  /** Absent: that of the run. */
  context?: unknown;
  tags?: string[];
  timeoutMs?: number;
  matching?: "earliest";
  note?: Json;
};

export type LocalMessage = { kind: "local"; token: string } & LocalCall;

export type AskMessage = { kind: "ask"; id: string; token: string; expiresMs?: number } & Omit<
  Question,
  "idempotencyKey" | "expires"
>;

export type ResultMessage = { kind: "result"; token: string } & Report;

/** The node that held the line of the n-th dispatch has answered that it works on it, and reports by itself. */
export type TookMessage = { kind: "took"; dispatch: number };

/** The node that had the n-th dispatch in hand is gone. */
export type LostMessage = { kind: "lost"; dispatch: number; why: string };

/** It may be worth trying: what the n-th dispatch waited for has come. */
export type TurnMessage = { kind: "turn"; dispatch: number };

/** Nothing came in time. It is no signal: it is what the wait settles with when it expires. */
export type LateMessage = { kind: "late" };

export type Message =
  | CallMessage
  | LocalMessage
  | AskMessage
  | ResultMessage
  | TookMessage
  | LostMessage
  | TurnMessage
  | LateMessage;
