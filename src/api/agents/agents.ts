/**
 * Functions on remote nodes, for all who speak of them over HTTP: the routes of `/v1/nodes` and `/v1/calls`, and other
 * wires beside them. Every execution of such a function is a run of the workflow `node.function`, carried out by one body
 * (`execution-body`), so it is restarted, forked, paused, cancelled, reused and shown like any other.
 */
import type { RunId } from "../../core/event.ts";
import type { By } from "../../engine/requests.ts";
import type { Stemma } from "../../engine/stemma.ts";
import type { RunRow } from "../../store/store.ts";
import type { Course } from "./course.ts";
import type { Asked, CallGiven, Execution, LocalCall, Question, Report } from "./execution.ts";
import type { NodeGiven, NodeState } from "./node.ts";

/** What another wire adds to what nodes are told. */
export type AgentsHooks = {
  /** Further headers of the request that gives an execution to a node. */
  headers?: (execution: { row: RunRow; root: RunId; caller?: string }) => Promise<Record<string, string>>;
  /** A node has answered at the line how its execution ended: until all that it told before on other lines is here. */
  told?: (execution: { token: string; target: string }) => Promise<void>;
  /** What it answered, without what the wire put in beside the result. */
  result?: (output: unknown) => unknown;
  /** An answer to a question with a `note` is on record. It is tried again where it throws, and once more after a crash. */
  answered?: (question: { run: RunId; token: string; note: unknown; asked: Asked }) => Promise<void>;
};

/**
 * Each method throws `run.not_found` or `run.invalid_id` for an id of nothing, besides what it says.
 *
 * Ids of executions are what `Execution.id` says, or what a node was given in `X-Execution-ID`; either is fine everywhere.
 */
export type Agents = {
  readonly stemma: Stemma;
  readonly hooks: AgentsHooks[];

  /** Begins to look after nodes and executions: reads the registrations of the store, follows the feed. Again is the same as once. */
  start(): Promise<void>;
  /** Ends that. Executions stay where they are, in the store and on their nodes. */
  stop(): Promise<void>;

  /**
   * Registers a node, in the place of what was registered for it at the same address. It counts as heard of.
   *
   * @throws usage.invalid, name.invalid, duration.invalid, limit.exceeded; workflow.duplicate where a workflow of this
   * program has the name of one of its functions
   */
  register(given: NodeGiven, by?: By): Promise<NodeState>;
  /** A node is there. Throws node.not_found where it is not registered (any more): it has to register again. */
  heartbeat(node: string, which?: { instance?: string; version?: string }): Promise<NodeState>;
  /** A node leaves: its registration is given up, and what it has in hand is given out anew. False where there is none. */
  leave(node: string, which?: { instance?: string; version?: string }, by?: By): Promise<boolean>;
  /** All registrations, by node, version and address. */
  nodes(): readonly NodeState[];

  /**
   * Calls a function: starts a run of it, or, with a caller, has the caller's run call it. Resolves when that is on record;
   * an equal success that is reused is in the answer at once.
   *
   * @throws node.not_found, function.not_found; run.ended where the caller has ended; run.conflict; json.*, payload.too_large
   */
  call(given: CallGiven): Promise<Execution>;
  /** An execution as it is, or when it has ended or `waitMs` have passed. */
  read(id: string, options?: { waitMs?: number; signal?: AbortSignal }): Promise<Execution>;
  /**
   * Takes the result of an execution. The same again changes nothing (`accepted: false`).
   *
   * @throws run.ended where it has ended in another way
   */
  report(id: string, report: Report, by?: By): Promise<{ accepted: boolean }>;
  /** Takes what a node tells of a call inside it. Once for its beginning and once for its end, however often it is told. */
  local(id: string, call: LocalCall): Promise<void>;
  /** Asks a question; it is answered with `Stemma.resume(run, wait, …)`. */
  ask(id: string, question: Question, by?: By): Promise<Asked>;
  /** A question as it is, or when it is settled or `waitMs` have passed. */
  readAsked(id: string, wait: string, options?: { waitMs?: number; signal?: AbortSignal }): Promise<Asked>;
  /** As `Stemma.cancel`; its node is told. */
  cancel(id: string, by?: By): ReturnType<Stemma["cancel"]>;

  /** What an execution did, from its record: to whom it was given, its calls and local calls, its questions. */
  course(id: string): Promise<Course>;
  /** Whether a run is an execution, by the name of its workflow. */
  isExecution(row: RunRow): boolean;
};
