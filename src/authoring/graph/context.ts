/**
 * What a handler is given, and what it leaves behind. Everything that a handler says is taken as a plain copy at once
 * and kept as *effects*; they count when its superstep ends, and not at all if the superstep fails.
 */
import { milliseconds } from "../../core/duration.ts";
import type { Duration } from "../../core/duration.ts";
import { StemmaError } from "../../core/error.ts";
import type { Json } from "../../core/json.ts";
import { checkName } from "../../core/name.ts";
import type { Effects, GraphRequest, Shared, Write } from "./message.ts";
import type { ValueClass } from "./plain.ts";
import { fromPlain, toPlain } from "./plain.ts";
import type { Reducers } from "./shared-state.ts";
import { applyWrites, checkKey, checkWrite } from "./shared-state.ts";

export type SendOptions = {
  /** The only receiver, by id; it must be at the end of an edge. */
  readonly target?: string;
  /** Names of routes, where the edges are routes: labels of edges or ids of targets. */
  readonly route?: string | readonly string[];
};

export type RequestOptions = {
  /** An id of one's own, once in a run. Default: made from the place in the run. */
  readonly id?: string;
  /** The question, for people. */
  readonly prompt?: string;
  /** From when it is open. Then the run fails with wait.expired. Durable runs only. */
  readonly expires?: Duration;
};

export type WorkflowContext<O = never, Y = never> = {
  readonly executorId: string;
  readonly runId: string;
  /** The same for every attempt, crash and restart of this invocation. */
  readonly idempotencyKey: string;
  /** 1 for the first. */
  readonly attempt: number;
  /** Aborted when the result is not wanted any more. */
  readonly abort: AbortSignal;
  /** Who sent the message; several behind a fan-in or a join. */
  readonly sourceExecutorIds: readonly string[];
  /** Id of the request that this answer is for. */
  readonly requestId?: string;
  /** To be delivered in the next superstep. What is said when the handler has ended is not taken. @throws json.not_serializable */
  sendMessage(message: O, options?: SendOptions): void;
  yieldOutput(output: Y): void;
  /**
   * Asks the world outside; the answer comes to a response handler of this executor. Gives the request's id.
   *
   * @throws graph.no_handler, graph.duplicate_request, json.not_serializable
   */
  requestInfo(data: unknown, options?: RequestOptions): string;
  /** A copy of the value as of the beginning of the superstep, with what this executor wrote since. */
  getState(key: string): unknown;
  /** Gives the value to the key's reducer when the superstep ends. @throws usage.invalid for keys that begin with _ */
  setState(key: string, value: unknown): void;
  deleteState(key: string): void;
  /** An event of one's own, for those who follow the run. A name of the graph's own events (`status`, …) makes it a warning. */
  addEvent(name: string, data?: unknown): void;
};

/** What a collector is told of the place where its executor runs. */
export type Surroundings = {
  readonly executor: string;
  readonly shared: Shared;
  readonly reducers: Reducers;
  readonly classes: readonly ValueClass[];
  /** Makes an id for the n-th request of this invocation. */
  readonly requestId: (n: number) => string;
  /** Throws where the executor cannot handle an answer, or the id is taken. */
  readonly checkRequest: (id: string, data: unknown) => void;
  /** Told at once, for those who listen. */
  readonly hear: (heard: Heard) => void;
};

export type Heard =
  | { type: "yield"; data: Json }
  | { type: "request"; request: Omit<GraphRequest, "executor" | "causes"> }
  | { type: "custom"; name: string; data: Json }
  /** It was given a name that only the graph gives events; what it was to say is left out. */
  | { type: "reserved"; name: string }
  /** It was said when the handler had ended, so it counts for nothing. */
  | { type: "late"; what: string };

/** Names of events that are the graph's own to say. */
const reserved: ReadonlySet<string> = new Set(["started", "status", "failed", "output", "intermediate"]);

type Said = {
  sent: Effects["sent"][number][];
  yielded: Json[];
  requests: Effects["requests"][number][];
  writes: Write[];
};

/** The methods of a context, and what was said through them until it was closed. */
export function collector(around: Surroundings): {
  said: Said;
  close: () => void;
  methods: Pick<
    WorkflowContext<unknown, unknown>,
    "sendMessage" | "yieldOutput" | "requestInfo" | "getState" | "setState" | "deleteState" | "addEvent"
  >;
} {
  const { executor, classes, hear } = around;
  const said: Said = { sent: [], yielded: [], requests: [], writes: [] };
  let isOver = false;
  /** Of code that nobody awaited nothing is taken: it would count here, and not where what was done is on record. */
  const isLate = (what: string): boolean => {
    if (isOver) hear({ type: "late", what });
    return isOver;
  };
  const plain = (value: unknown, what: string): Json => toPlain(value, `${what} of executor ${executor}`, classes);
  const write = (added: Write): void => {
    checkKey(added.key);
    if (isLate(`state ${added.key}`)) return;
    // Found out here and not at the end of the superstep, so that it is the writer who fails.
    checkWrite(around.shared, said.writes, added, around.reducers);
    said.writes.push(added);
  };
  const methods = {
    sendMessage(message: unknown, options: SendOptions = {}) {
      if (isLate("message")) return;
      const { target, route } = options;
      const routes = route === undefined ? undefined : typeof route === "string" ? [route] : route;
      said.sent.push({
        data: plain(message, "message"),
        ...(target === undefined ? {} : { target }),
        ...(routes === undefined ? {} : { routes }),
      });
    },
    yieldOutput(output: unknown) {
      if (isLate("output")) return;
      const data = plain(output, "output");
      said.yielded.push(data);
      hear({ type: "yield", data });
    },
    requestInfo(data: unknown, options: RequestOptions = {}) {
      const id = options.id ?? around.requestId(said.requests.length);
      checkName(id, "id of a request");
      const kept = plain(data, "request");
      if (isLate(`request ${id}`)) return id;
      around.checkRequest(id, data);
      if (said.requests.some((request) => request.id === id)) throw duplicateRequest(id);
      const { prompt, expires } = options;
      const request = {
        id,
        data: kept,
        ...(prompt === undefined ? {} : { prompt }),
        ...(expires === undefined ? {} : { expiresMs: milliseconds(expires, `expiry of request ${id}`) }),
      };
      said.requests.push(request);
      hear({ type: "request", request });
      return id;
    },
    getState(key: string): unknown {
      const view = applyWrites(around.shared, said.writes, around.reducers);
      const found = Object.hasOwn(view, key) ? view[key] : undefined;
      return found === undefined ? undefined : fromPlain(found, classes);
    },
    setState: (key: string, value: unknown) => write({ key, value: plain(value, `state ${key}`) }),
    deleteState: (key: string) => write({ key, gone: true }),
    addEvent: (name: string, data?: unknown) =>
      hear(
        reserved.has(name) ? { type: "reserved", name } : { type: "custom", name, data: plain(data, `event ${name}`) },
      ),
  };
  return { said, close: () => (isOver = true), methods };
}

/** Requests are known by their ids, so an id is given once in a run. */
export function duplicateRequest(id: string): StemmaError {
  const message = `Expected a new id for a request, got ${JSON.stringify(id)}, which this run has given already.`;
  return new StemmaError("graph.duplicate_request", message, { data: { request: id } });
}
