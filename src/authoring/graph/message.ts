/**
 * What is under way in a graph, as plain data: messages, open requests, shared state, snapshots, and what is buffered
 * before joins and fan-ins. All of it is in a checkpoint, so a run continues from there with nothing lost.
 */
import type { Json } from "../../core/json.ts";

/** On its way since the superstep in which it was sent; delivered in the next. */
export type Message = {
  readonly id: string;
  /** Who sent it; `internal:<executor>` for an input or an answer, which only that executor receives. */
  readonly source: string;
  readonly target?: string;
  /** Names chosen by the sender, for edges that are routes. */
  readonly routes?: readonly string[];
  readonly data: Json;
  /** There for the answer to a request. */
  readonly request?: GraphRequest;
  /** There if it says that its source failed. */
  readonly failed?: true;
  /** What it was sent by: places of events, `<run>:<seq>`. */
  readonly causes: readonly string[];
  /** What led to it, whatever it says: as a short digest. None for an input. */
  readonly way?: string;
};

/** An open question of an executor to the world outside. */
export type GraphRequest = {
  readonly id: string;
  readonly executor: string;
  readonly data: Json;
  readonly prompt?: string;
  /** Milliseconds from its opening. */
  readonly expiresMs?: number;
  readonly causes: readonly string[];
};

export type Shared = Readonly<Record<string, Json>>;

/** What one invocation did, kept as it is until its superstep ends. */
export type Effects = {
  readonly sent: readonly { data: Json; target?: string; routes?: readonly string[] }[];
  readonly yielded: readonly Json[];
  readonly requests: readonly Omit<GraphRequest, "executor" | "causes">[];
  readonly writes: readonly Write[];
  /** The executor's own state afterwards, where it has one. */
  readonly snapshot?: Json;
};

/** A change of the shared state: a value for the key's reducer, or the key's end. */
export type Write = { readonly key: string; readonly value: Json } | { readonly key: string; readonly gone: true };

/** An invocation that is done in a superstep that is not: whose it was, what it did, and the place of its event. */
export type SettledInvocation = { readonly executor: string; readonly effects: Effects; readonly place: string };

export type GraphState = {
  /** Supersteps since the beginning. */
  readonly iteration: number;
  /** Supersteps since the last input or answer: what the limit of supersteps counts. */
  readonly sinceInput: number;
  readonly messages: readonly Message[];
  readonly shared: Shared;
  /** Snapshots of executors. */
  readonly executors: Readonly<Record<string, Json>>;
  /** Per fan-in and source, what waits for the other sources. */
  readonly fanIn: Readonly<Record<string, Readonly<Record<string, readonly Message[]>>>>;
  /** Per join, what waits for those that can still come. */
  readonly joins: Readonly<Record<string, readonly Message[]>>;
  readonly requests: Readonly<Record<string, GraphRequest>>;
  /** Ids that the program chose for requests which are answered: they are not given again. */
  readonly answered: readonly string[];
  /** In the checkpoint of a failed superstep: which of its invocations were done. */
  readonly settled?: Readonly<Record<string, SettledInvocation>>;
  /** There too: how far graphs inside came whose invocations were not done, as snapshots of the executors that hold them. */
  readonly unfinished?: Readonly<Record<string, Json>>;
};

/** A graph before its first superstep, with the input on its way to the start. */
export function entryState(start: string, data: Json, causes: readonly string[], shared: Shared = {}): GraphState {
  const message: Message = { id: "0.0", source: `internal:${start}`, target: start, data, causes };
  return {
    iteration: 0,
    sinceInput: 0,
    messages: [message],
    shared,
    executors: {},
    fanIn: {},
    joins: {},
    requests: {},
    answered: [],
  };
}
