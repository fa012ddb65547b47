/** A node: a process that offers functions to a server, and carries out what that gives it. */
import { randomUUID } from "node:crypto";
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { jsonSchemaOf } from "../../authoring/graph/schema.ts";
import type { Duration } from "../../core/duration.ts";
import { milliseconds } from "../../core/duration.ts";
import { StemmaError, isStemmaError } from "../../core/error.ts";
import type { Json } from "../../core/json.ts";
import type { RetryOptions } from "../../core/retry.ts";
import type { Log } from "../../engine/body.ts";
import { defaultLog } from "../../engine/log.ts";
import { partsOfFunction } from "../../engine/node-function.ts";
import type { NodeGiven, NodeState } from "../agents/node.ts";
import { Connection } from "../client/connection.ts";
import { pause } from "./pause.ts";
import { Work } from "./work.ts";
import type { AgentFunction } from "./work.ts";
import type { AgentContext } from "./agent-context.ts";
import { listenFor } from "./listen.ts";

export type AgentOptions = {
  /** Its name: functions are called as `nodeId.function`. */
  nodeId: string;
  /** Address of the server that it registers with. */
  server: string | URL;
  /** Token of the server, of scope `node` or `admin`. */
  token?: string;
  /** Of its code. Several may be registered at a time, and share the calls by their weights. Default "1". */
  version?: string;
  /** Share of the calls that go to this version, against the other versions. Default 100. */
  weight?: number;
  /** How many executions it works on at a time; those that wait for calls or people do not count. Default: no limit. */
  concurrency?: number;
  /** How long it may be silent before it is looked after. Default "15s". */
  lease?: Duration;
  /** Anything, for those who look. */
  metadata?: Json;
  /** Default: warnings and errors to standard error. */
  log?: Log;
};

export type FunctionOptions<I, O> = {
  /** What the input must be, as a Standard Schema (zod, valibot, arktype …). What it makes of it is what the function is given. */
  input?: StandardSchemaV1<unknown, I>;
  /** Of the output: for people and tools. */
  output?: StandardSchemaV1<unknown, O>;
  description?: string;
  tags?: readonly string[];
  /** How long one attempt may take. Default: no limit. */
  timeout?: Duration;
  /** How often it is tried again when it throws. Default: not. A node that dies is another matter: then another takes over. */
  retry?: number | RetryOptions;
};

export type ServeOptions = {
  /** Default 0: any that is free. */
  port?: number;
  /** Address to listen on. Default "127.0.0.1". */
  host?: string;
  /** Where the server finds it, where that is another address: "http://10.0.0.7:8001". */
  url?: string;
};

/** A node that listens and is registered. */
export type Serving = AsyncDisposable & {
  readonly url: string;
  readonly port: number;
  /** Which process it is, to the server. */
  readonly instance: string;
  /**
   * Takes nothing new, lets what is under way finish for `timeout` (default "10s"), and leaves: what is not finished is
   * given to another process of the node.
   */
  close(options?: { timeout?: Duration }): Promise<void>;
};

/** A try to reach the server again comes after so long at most. */
const pauseMsMax = 5000;

/**
 * A node with its functions.
 *
 * @example
 * const writer = new Agent({ nodeId: "writer", server: "http://127.0.0.1:4747" });
 * writer.reasoner("summarise", { input: z.object({ text: z.string() }) }, async (ctx, { text }) => {
 *   const facts = await ctx.call<string[]>("reader.facts", { text });
 *   return model.summarise(facts, { idempotencyKey: ctx.idempotencyKey });
 * });
 * await using serving = await writer.serve({ port: 8001 });
 */
export class Agent {
  readonly nodeId: string;
  readonly #options: AgentOptions;
  readonly #log: Log;
  readonly #connection: Connection;
  readonly #functions = new Map<string, AgentFunction>();

  /** Throws usage.invalid, name.invalid. */
  constructor(options: AgentOptions) {
    const { nodeId, server, token, log = defaultLog } = options;
    partsOfFunction(`${nodeId}.function`);
    this.nodeId = nodeId;
    this.#options = options;
    this.#log = log;
    this.#connection = new Connection({ url: server, ...(token === undefined ? {} : { token }) });
  }

  /**
   * Offers a function that judges: a call of a model, say. An execution of it is a run of its own, on record with its input
   * and output; what it calls through `ctx` is, too. When its process dies, the function is entered again, in another
   * process or in this one when it is back, and its equal calls are answered from the record.
   *
   * @throws usage.invalid, name.invalid for a name that cannot be or is there already
   */
  // The type of the input is what the author says that callers send; a schema sees to it.
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters
  reasoner<I = unknown>(name: string, run: (ctx: AgentContext, input: I) => unknown): this;
  reasoner<I = unknown, O = unknown>(
    name: string,
    options: FunctionOptions<I, O>,
    run: (ctx: AgentContext, input: I) => O | Promise<O>,
  ): this;
  reasoner(name: string, second: unknown, third?: unknown): this {
    return this.#offer("reasoner", name, second, third);
  }

  /** Offers a function that does the same for the same input: a tool. It is treated like a reasoner; only its name says more. */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as above
  skill<I = unknown>(name: string, run: (ctx: AgentContext, input: I) => unknown): this;
  skill<I = unknown, O = unknown>(
    name: string,
    options: FunctionOptions<I, O>,
    run: (ctx: AgentContext, input: I) => O | Promise<O>,
  ): this;
  skill(name: string, second: unknown, third?: unknown): this {
    return this.#offer("skill", name, second, third);
  }

  #offer(kind: "reasoner" | "skill", name: string, second: unknown, third: unknown): this {
    partsOfFunction(`${this.nodeId}.${name}`);
    const [options, run] = third === undefined ? [{}, second] : [second, third];
    if (typeof run !== "function" || typeof options !== "object" || options === null) {
      throw new StemmaError("usage.invalid", `Expected agent.${kind}(name, options?, function) for ${name}.`);
    }
    if (this.#functions.has(name)) {
      throw new StemmaError("usage.invalid", `Expected each function of ${this.nodeId} once, got ${name} twice.`);
    }
    this.#functions.set(name, { kind, name, options, run: run as AgentFunction["run"] });
    return this;
  }

  /**
   * Listens, registers, and works until it is closed. It waits for a server that is away; where one that comes back does not
   * know it any more, it registers again.
   *
   * @throws request.unauthorized, request.forbidden, usage.invalid and what else the server refuses it with
   */
  async serve(options: ServeOptions = {}): Promise<Serving> {
    const instance = randomUUID();
    const { version = "1", concurrency } = this.#options;
    const work = new Work({
      node: { nodeId: this.nodeId, version, instance, ...(concurrency === undefined ? {} : { concurrency }) },
      functions: this.#functions,
      connection: this.#connection,
      log: this.#log,
    });
    const listening = await listenFor(work, options);
    const url = options.url ?? listening.url;
    const stopped = new AbortController();
    try {
      await this.#register(url, instance, stopped.signal);
    } catch (error) {
      await listening.close();
      throw error;
    }
    const beating = this.#beat(url, instance, stopped.signal);
    let closing: Promise<void> | undefined;
    const close: Serving["close"] = ({ timeout = "10s" } = {}) =>
      (closing ??= (async () => {
        await work.drain(milliseconds(timeout, "timeout"));
        stopped.abort();
        await beating;
        await this.#leave(instance);
        work.end();
        await listening.close();
      })());
    return { url, port: listening.port, instance, close, [Symbol.asyncDispose]: () => close() };
  }

  #given(url: string, instance: string): NodeGiven {
    const { nodeId, version, weight, concurrency, lease, metadata } = this.#options;
    return {
      node: nodeId,
      url,
      instance,
      functions: [...this.#functions.values()].map(shown),
      ...(version === undefined ? {} : { version }),
      ...(weight === undefined ? {} : { weight }),
      ...(concurrency === undefined ? {} : { concurrency }),
      ...(lease === undefined ? {} : { lease }),
      ...(metadata === undefined ? {} : { metadata }),
    };
  }

  async #register(url: string, instance: string, signal: AbortSignal): Promise<NodeState> {
    for (let tries = 0; ; tries += 1) {
      try {
        return await this.#connection.ask("POST /v1/nodes", { body: this.#given(url, instance), signal });
      } catch (error) {
        if (!isStemmaError(error) || !error.retryable) throw error;
        if (tries === 0)
          this.#log.warn("The server is away; it is asked again until it is there", { error: error.message });
        await pause(Math.min(200 * 2 ** Math.min(tries, 10), pauseMsMax), signal);
        signal.throwIfAborted();
      }
    }
  }

  /** Says that it is there, three times in its lease. */
  async #beat(url: string, instance: string, signal: AbortSignal): Promise<void> {
    const everyMs = milliseconds(this.#options.lease ?? "15s") / 3;
    const params = { node: this.nodeId };
    for (;;) {
      await pause(everyMs, signal);
      if (signal.aborted) return;
      try {
        await this.#connection.ask("POST /v1/nodes/{node}/heartbeat", { params, body: { instance }, signal });
      } catch (error) {
        if (signal.aborted) return;
        await this.#trouble(error, url, instance, signal);
      }
    }
  }

  async #trouble(error: unknown, url: string, instance: string, signal: AbortSignal): Promise<void> {
    // A server that is away looks after it when it is back.
    if (isStemmaError(error) && error.retryable) return;
    const failed = isStemmaError(error, "node.not_found") ? await this.#again(url, instance, signal) : error;
    if (failed !== undefined && !signal.aborted) this.#refused(failed);
  }

  /** Registers anew; what it is refused with. */
  async #again(url: string, instance: string, signal: AbortSignal): Promise<unknown> {
    try {
      await this.#register(url, instance, signal);
      return undefined;
    } catch (error) {
      return error;
    }
  }

  #refused(error: unknown): void {
    this.#log.error("The server refuses this node", { node: this.nodeId, error: String(error) });
  }

  async #leave(instance: string): Promise<void> {
    const params = { node: this.nodeId };
    const signal = AbortSignal.timeout(pauseMsMax);
    await this.#connection
      .ask("POST /v1/nodes/{node}/leave", { params, body: { instance }, signal })
      .catch((error: unknown) => {
        // It is found out without it, only later.
        this.#log.warn("The server could not be told that this node leaves", {
          node: this.nodeId,
          error: String(error),
        });
      });
  }
}

function shown({ name, kind, options }: AgentFunction): NodeGiven["functions"][number] {
  const { input, output, description, tags, timeout, retry } = options;
  const [taken, given] = [input, output].map((schema) => (schema === undefined ? undefined : jsonSchemaOf(schema)));
  return {
    name,
    kind,
    ...(description === undefined ? {} : { description }),
    ...(tags === undefined ? {} : { tags: [...tags] }),
    ...(taken === undefined ? {} : { input: taken }),
    ...(given === undefined ? {} : { output: given }),
    ...(timeout === undefined ? {} : { timeout }),
    ...(retry === undefined ? {} : { retry }),
  };
}
