/**
 * A Stemma on a server: the same methods with the same meaning, over HTTP. It holds nothing, so there is nothing to
 * close, and it runs wherever there is `fetch`.
 */
import type { Digest, Event, RunId } from "../../core/event.ts";
import { encode } from "../../core/json.ts";
import { limits } from "../../core/limits.ts";
import type { Plan } from "../../core/plan.ts";
import type { RunState } from "../../core/reduce.ts";
import type { Status } from "../../core/run.ts";
import type { Trace } from "../../core/trace.ts";
import type { Workflow } from "../../engine/body.ts";
import type { Change } from "../../engine/change.ts";
import type { CompareOptions, Comparison } from "../../engine/compare.ts";
import type { Decision } from "../../engine/decision.ts";
import { toRecord } from "../../engine/failure.ts";
import type { Lineage } from "../../engine/lineage.ts";
import type { Answered, By, Once, Paused } from "../../engine/requests.ts";
import type { AgainOptions, AnswerOptions, PlanOptions, RunOptions } from "../../engine/stemma.ts";
import type { FeedEntry, FeedOptions } from "../../engine/tail.ts";
import type { OpenWait, WaitsQuery } from "../../engine/waits-query.ts";
import type { LeasedWorker, ListQuery, RunRow } from "../../store/store.ts";
import type { GivenDecision, KnownWorkflow, RemakeBody, ResultOf } from "../contract/routes.ts";
import type { NodeState } from "../agents/node.ts";
import type { ClientOptions } from "./connection.ts";
import { Connection } from "./connection.ts";
import { followStream } from "./follow-stream.ts";
import { RemoteRecords } from "./records.ts";
import { RemoteRun } from "./remote-run.ts";
import type { ClientWebhooks } from "./webhooks.ts";
import { webhooksOver } from "./webhooks.ts";
import type { RunWebhook } from "../webhooks/wish.ts";

/**
 * A client of a stemma server. Every method throws what `Stemma` throws; besides, `server.unreachable`,
 * `server.invalid_answer`, `request.unauthorized`, `request.forbidden`, `request.too_many`.
 *
 * @throws usage.invalid for what is no address
 * @example
 * const stemma = client({ url: "http://127.0.0.1:4747", token: process.env.STEMMA_TOKEN });
 * const run = await stemma.run("audit", { dir: "node_modules" });
 * for await (const event of run.events()) console.log(event.type);
 */
export function client(options: ClientOptions): StemmaClient {
  return new StemmaClient(options);
}

/** A webhook that a run is given when it is made. */
type WithWebhook = { webhook?: RunWebhook };

/** Digests in one question: they are part of the address, which has its bounds. */
const digestsMax = 100;

export class StemmaClient extends RemoteRecords {
  readonly #connection: Connection;
  /** Who is told of what happens, by requests that the server sends. */
  readonly webhooks: ClientWebhooks;

  constructor(options: ClientOptions) {
    const connection = new Connection(options);
    super(connection);
    this.#connection = connection;
    this.webhooks = webhooksOver(this.#connection);
  }

  /** Address of the server. */
  get url(): string {
    return this.#connection.url;
  }

  /**
   * Starts a run and returns as soon as it is recorded. As `Stemma.run`; the workflow may be given by its name alone. A
   * `webhook` is told how it ends, or what else it wants to hear of.
   */
  async run<I, O>(
    workflow: Workflow<I, O> | string,
    input: I,
    options: Omit<RunOptions, "client"> & WithWebhook = {},
  ): Promise<RemoteRun<O>> {
    const { idempotencyKey, tags, ...others } = options;
    const name = typeof workflow === "string" ? workflow : workflow.name;
    checkJson(input, `input of workflow ${name}`);
    checkJson(others.context, "context");
    const body = {
      ...others,
      workflow: name,
      ...(input === undefined ? {} : { input: input as unknown }),
      ...(tags === undefined ? {} : { tags: [...tags] }),
    };
    const row = await this.#connection.ask("POST /v1/runs", { body, idempotencyKey });
    return this.#runOf<O>(row.id);
  }

  /** The run with this id. Throws run.not_found. */
  async get<O = unknown>(id: RunId): Promise<RemoteRun<O>> {
    return this.#runOf<O>((await this.row(id)).id);
  }

  /** A run's row. Throws run.invalid_id, run.not_found. */
  row(id: RunId): Promise<RunRow> {
    return this.#connection.ask("GET /v1/runs/{run}", { params: { run: id } });
  }

  /** Runs, newest first. */
  list(query: ListQuery = {}): Promise<{ runs: readonly RunRow[]; cursor?: string }> {
    return this.#connection.ask("GET /v1/runs", { query });
  }

  /** Nodes that are registered with the server, and how they are. Their functions are started by name, as workflows are. */
  async nodes(): Promise<readonly NodeState[]> {
    return (await this.#connection.ask("GET /v1/nodes")).nodes;
  }

  /** Repairs a run that has ended. As `Stemma.restart`. */
  restart<O = unknown>(id: RunId, change: Change & WithWebhook = {}): Promise<RemoteRun<O>> {
    return this.#remake("restart", id, change);
  }

  /** Explores from a run. As `Stemma.fork`. */
  fork<O = unknown>(id: RunId, change: Change & WithWebhook = {}): Promise<RemoteRun<O>> {
    return this.#remake("fork", id, change);
  }

  /** What a restart or fork would reuse and what it would run, and why. As `Stemma.plan`. */
  plan(id: RunId, change: Change = {}, options: PlanOptions = {}): Promise<Plan> {
    const body = { ...options, change: changeBody(change).body };
    return this.#connection.ask("POST /v1/runs/{run}/plan", { params: { run: id }, body });
  }

  /** Answers an open wait. As `Stemma.resume`. */
  resume(id: RunId, wait: string, value: unknown, options: AnswerOptions = {}): Promise<Answered> {
    checkJson(value, `answer to ${wait}`);
    return this.#answer(id, { wait, ...(value === undefined ? {} : { value }) }, options);
  }

  /** Answers an open wait with an error, which the run can catch. As `Stemma.fail`. */
  fail(id: RunId, wait: string, error: unknown, options: AnswerOptions = {}): Promise<Answered> {
    return this.#answer(id, { wait, error: toRecord(error) }, options);
  }

  /** Says that an open wait has to wait on. As `Stemma.resuspend`. */
  resuspend(id: RunId, wait: string, options: AnswerOptions & AgainOptions = {}): Promise<Answered> {
    const { value, idempotencyKey, by, ...again } = options;
    const who = { ...(by === undefined ? {} : { by }), ...(idempotencyKey === undefined ? {} : { idempotencyKey }) };
    return this.#answer(id, { wait, again, ...(value === undefined ? {} : { value }) }, who);
  }

  /** Sends a signal. As `Stemma.signal`. */
  async signal(id: RunId, name: string, payload?: unknown, options: By & Once = {}): Promise<{ accepted: boolean }> {
    checkJson(payload, `signal ${name}`);
    const { by, idempotencyKey } = options;
    const body = { name, ...(payload === undefined ? {} : { payload }), ...(by === undefined ? {} : { by }) };
    return this.#connection.ask("POST /v1/runs/{run}/signal", { params: { run: id }, body, idempotencyKey });
  }

  /** Says what is to become of a `once` step in doubt. As `Stemma.decide`. */
  async decide(id: RunId, key: string, decision: Decision, options: By & Once = {}): Promise<void> {
    const { idempotencyKey, ...by } = options;
    const isFailure = typeof decision === "object" && decision !== null && "fail" in decision;
    const sent: GivenDecision = isFailure ? { ...decision, fail: toRecord(decision.fail) } : decision;
    checkJson(sent, `decision about ${key}`);
    const body = { ...by, step: key, decision: sent };
    await this.#connection.ask("POST /v1/runs/{run}/decide", { params: { run: id }, body, idempotencyKey });
  }

  /** Ends a run and the runs that it called, the called ones first. As `Stemma.cancel`. */
  cancel(id: RunId, by: By = {}): Promise<{ accepted: boolean; status: Status }> {
    return this.#connection.ask("POST /v1/runs/{run}/cancel", { params: { run: id }, body: by });
  }

  /** Lets steps in flight finish, and begins nothing more until `unpause`. Gives the status that the run had. */
  pause(id: RunId, { idempotencyKey, ...body }: By & Once = {}): Promise<Paused> {
    return this.#connection.ask("POST /v1/runs/{run}/pause", { params: { run: id }, body, idempotencyKey });
  }

  /** Lets a paused run go on. */
  unpause(id: RunId, { idempotencyKey, ...body }: By & Once = {}): Promise<Paused> {
    return this.#connection.ask("POST /v1/runs/{run}/unpause", { params: { run: id }, body, idempotencyKey });
  }

  /** Open questions of all runs, a page at a time. */
  waits(query: WaitsQuery = {}): Promise<{ waits: OpenWait[]; cursor?: string }> {
    return this.#connection.ask("GET /v1/waits", { query });
  }

  /**
   * Every event of all runs once, in one order; it waits for more until it is left or aborted. A line that breaks is no
   * end of it: it goes on behind the last event that it gave.
   */
  feed(options: FeedOptions = {}): AsyncGenerator<FeedEntry> {
    const { signal, ...query } = options;
    return followStream(this.#connection, "GET /v1/feed", { query }, { signal });
  }

  /** What a run was when the event with this seq had happened. */
  stateAt(id: RunId, seq: number): Promise<RunState> {
    return this.#connection.ask("GET /v1/runs/{run}/state", { params: { run: id }, query: { seq } });
  }

  /** All events of a run behind `after` (all, if left out). */
  async history(id: RunId, options: { after?: number } = {}): Promise<Event[]> {
    const events: Event[] = [];
    for (let after = options.after ?? -1; ; after = events.at(-1)?.seq ?? after) {
      const page = await this.historyPage(id, { after, limit: limits.pageEventsMax });
      events.push(...page.events);
      if (!page.more) return events;
    }
  }

  /** A page of the events of a run behind `after` (-1 for all), with its row as it was then. */
  historyPage(
    id: RunId,
    { after, limit }: { after: number; limit: number },
  ): Promise<ResultOf<"GET /v1/runs/{run}/history">> {
    const query = { limit, ...(after < 0 ? {} : { after }) };
    return this.#connection.ask("GET /v1/runs/{run}/history", { params: { run: id }, query });
  }

  /** The texts of values that events name by digest. */
  async payloads(digests: readonly Digest[]): Promise<ReadonlyMap<Digest, string>> {
    const texts = new Map<Digest, string>();
    for (let at = 0; at < digests.length; at += digestsMax) {
      const digest = digests.slice(at, at + digestsMax);
      const page = await this.#connection.ask("GET /v1/payloads", { query: { digest } });
      for (const [name, text] of Object.entries(page.texts)) texts.set(name, text);
    }
    return texts;
  }

  /** The graph of what happened and why: of one run, or with `family` of all runs connected to it. */
  trace(id: RunId, options: { family?: boolean } = {}): Promise<Trace> {
    return this.#connection.ask("GET /v1/runs/{run}/trace", { params: { run: id }, query: options });
  }

  /** The family of a run. */
  lineage(id: RunId): Promise<Lineage> {
    return this.#connection.ask("GET /v1/runs/{run}/lineage", { params: { run: id } });
  }

  /** Two runs side by side. */
  compare(a: RunId, b: RunId, options: CompareOptions = {}): Promise<Comparison> {
    const params = { run: a, other: b };
    return this.#connection.ask("GET /v1/runs/{run}/compare/{other}", { params, query: options });
  }

  /** What the server can start. */
  async workflows(): Promise<KnownWorkflow[]> {
    return (await this.#connection.ask("GET /v1/workflows")).workflows;
  }

  /** The workers whose lease has not ended, busy or not; one that was stopped is among them until it ends. */
  async workers(): Promise<LeasedWorker[]> {
    return (await this.#connection.ask("GET /v1/workers")).workers;
  }

  /** What is wrong with the server's store. Asks for a token of scope `admin`. */
  doctor(): Promise<ResultOf<"GET /v1/doctor">> {
    return this.#connection.ask("GET /v1/doctor");
  }

  /** Whether the server and its store answer. */
  health(): Promise<{ status: "ok" }> {
    return this.#connection.ask("GET /health");
  }

  #runOf<O>(id: RunId): RemoteRun<O> {
    return new RemoteRun<O>(id, this, this.#connection);
  }

  async #remake<O>(kind: "restart" | "fork", id: RunId, change: Change & WithWebhook): Promise<RemoteRun<O>> {
    const { body, idempotencyKey } = changeBody(change);
    const params = { run: id };
    const row = await this.#connection.ask(`POST /v1/runs/{run}/${kind}`, { params, body, idempotencyKey });
    return this.#runOf<O>(row.id);
  }

  #answer(
    id: RunId,
    answer: { wait: string; value?: unknown; error?: ReturnType<typeof toRecord>; again?: Omit<AgainOptions, "value"> },
    { by, idempotencyKey }: AnswerOptions,
  ): Promise<Answered> {
    const body = { ...answer, ...(by === undefined ? {} : { by }) };
    return this.#connection.ask("POST /v1/runs/{run}/resume", { params: { run: id }, body, idempotencyKey });
  }
}

function changeBody({ idempotencyKey, ...body }: Change & WithWebhook): {
  body: RemakeBody;
  idempotencyKey: string | undefined;
} {
  for (const part of ["input", "patch", "context", "outputs"] as const) checkJson(body[part], part);
  return { body, idempotencyKey };
}

/** What JSON would lose or change is refused here already, with its path, as the engine does. */
function checkJson(value: unknown, what: string): void {
  encode(value, what);
}
