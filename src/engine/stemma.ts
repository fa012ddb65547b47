/** The client object: creates runs, finds them again, and, once started, works on them. */
import { StemmaError } from "../core/error.ts";
import type { Event, RunId, Timestamp } from "../core/event.ts";
import { milliseconds, timeLimit } from "../core/duration.ts";
import type { Duration } from "../core/duration.ts";
import { checkId, checkTags } from "../core/name.ts";
import type { Plan } from "../core/plan.ts";
import type { RunState } from "../core/reduce.ts";
import { reduceAll } from "../core/reduce.ts";
import type { Status } from "../core/run.ts";
import type { Trace } from "../core/trace.ts";
import { trace } from "../core/trace.ts";
import type { ListQuery, NewRun, RunRow, Store } from "../store/store.ts";
import type { Log, Workflow } from "./body.ts";
import type { Clock } from "./clock.ts";
import { systemClock } from "./clock.ts";
import { Committer } from "./committer.ts";
import type { CompareOptions, Comparison } from "./compare.ts";
import { compareRuns } from "./compare.ts";
import type { Delivery } from "./delivery.ts";
import { delivery } from "./delivery.ts";
import type { DryRunParts } from "./dry-run.ts";
import { Ends } from "./ends.ts";
import { toRecord } from "./failure.ts";
import { checkRunId, newRunId } from "./id.ts";
import { goldenOf } from "./golden.ts";
import { planByDryRun, planByHistory } from "./history-plan.ts";
import { readHistory } from "./history-pages.ts";
import type { Lineage } from "./lineage.ts";
import { lineageOf } from "./lineage.ts";
import { longEventsUsual } from "./reading.ts";
import { defaultLog } from "./log.ts";
import { buildRun, checkSameRun } from "./new-run.ts";
import { KnownWorkflows } from "./known-workflows.ts";
import { checkWorkflow, countOf, leaseOf, priorityOf, storeOf, transactional } from "./options.ts";
import type { Decision } from "./decision.ts";
import type { Answered, By, Once, Paused } from "./requests.ts";
import { Records } from "./records.ts";
import { Requests } from "./requests.ts";
import type { Change } from "./change.ts";
import type { Making } from "./restart.ts";
import { checkSameChange, makeRun } from "./restart.ts";
import { RunHandle } from "./run-handle.ts";
import type { AgainOptions, AnswerOptions, PlanOptions, RunOptions } from "./run-options.ts";
import type { FeedEntry, FeedOptions } from "./tail.ts";
import { tail } from "./tail.ts";
import type { OpenWait, WaitsQuery } from "./waits-query.ts";
import { listWaits } from "./waits-query.ts";
import { validate } from "./schema.ts";
import { toValue } from "./value.ts";
import { Worker } from "./worker.ts";
import { checkWhole } from "./whole-number.ts";

export type StemmaOptions = {
  /** Where runs are kept: `sqlite("stemma.db")`. The caller closes a store that several objects share. */
  store: Store;
  /** What this process knows: it can start these, and works on them once started. */
  workflows?: readonly Workflow[];
  /** How long this process may be silent before its runs are given to others. Default "15s". */
  lease?: Duration;
  /** How many runs are worked on at a time. Default 1000. */
  concurrency?: number;
  /** How many runs at rest are kept in memory, so that they go on without being read again. Default 128; 0 for none. */
  warm?: number;
  /** How long a step that was aborted may take to stop before it is given up. Default "5s". */
  abortGrace?: Duration;
  /** How many workers in a row may die with a run in hand that does not move on, before it is set aside. Default 10. */
  poisonAfter?: number;
  /** Default: warnings and errors to standard error. */
  log?: Log;
  /** The time of this object, for tests: `fakeClock()` of `stemma/testing`. Default: the system's. */
  clock?: Clock;
};

/** What a test can put in the place of the engine's own. */
export type Seams = {
  delivery: Delivery;
  lingerMs: number;
  recallGraceMs: number;
  pollMs: number;
  pageEvents: number;
  /** Events of a pack. */
  packEvents: number;
  longEvents: number;
};

export type { AgainOptions, AnswerOptions, PlanOptions, RunOptions } from "./run-options.ts";

const drainMs = 10_000;

/**
 * The engine, as a program holds it.
 *
 * @example
 * await using stemma = await new Stemma({ store: sqlite("stemma.db"), workflows: [audit] }).start();
 * const run = await stemma.run(audit, { dir: "node_modules" });
 * console.log(await run.result());
 */
export class Stemma extends Records {
  readonly store: Store;
  readonly #workflows: KnownWorkflows;
  readonly #clock: Clock;
  readonly #dryRun: Omit<DryRunParts, "store" | "workflow">;
  readonly #worker: Worker;
  readonly #ends: Ends;
  readonly #requests: Requests;

  constructor(options: StemmaOptions, seams: Partial<Seams> = {}) {
    super();
    this.#clock = options.clock ?? systemClock;
    const patience = { lingerMs: seams.lingerMs ?? 250, recallGraceMs: seams.recallGraceMs ?? 10_000 };
    this.#dryRun = { clock: this.#clock, delivery: seams.delivery ?? delivery, ...patience };
    const store = storeOf(options.store);
    this.store = this.#clock.attach?.(store) ?? store;
    this.#workflows = new KnownWorkflows(options.workflows ?? []);
    const log = options.log ?? defaultLog;
    const committer = new Committer(this.store, this.#clock, log);
    const pollMs = seams.pollMs ?? 25;
    this.#ends = new Ends(this.store, this.#clock, pollMs, log);
    committer.onEnded = (commits) => this.#ends.ended(commits);
    this.#worker = new Worker({
      store: this.store,
      workflows: this.#workflows,
      name: `w_${newRunId(this.#clock.now()).slice(4)}`,
      clock: this.#clock,
      log,
      delivery: seams.delivery ?? delivery,
      committer,
      leaseMs: leaseOf(options.lease ?? "15s"),
      runsMax: countOf(options.concurrency ?? 1000, "concurrency"),
      warmMax: options.warm === 0 ? 0 : countOf(options.warm ?? 128, "warm"),
      ...patience,
      abortGraceMs: milliseconds(options.abortGrace ?? "5s", "abortGrace"),
      poisonAfter: countOf(options.poisonAfter ?? 10, "poisonAfter"),
      pollMs,
      pageEvents: seams.pageEvents,
      packEvents: seams.packEvents,
      longEvents: seams.longEvents ?? longEventsUsual,
    });
    this.#requests = new Requests(this.store, this.#clock, (messages) => this.#worker.sent(messages), log);
  }

  /**
   * Starts working on runs of the workflows given, and gives this object back. Without it this object only creates runs
   * and looks at them.
   */
  async start(): Promise<this> {
    await this.#worker.start();
    return this;
  }

  /**
   * Adds workflows to those that this object was made with, before `start()` or behind it, and gives this object back. Runs
   * that wait for them are claimed at once. One that is offered already is left as it is.
   *
   * @throws workflow.invalid; workflow.duplicate where another body has the name and version; engine.stopped
   * @example stemma.offer(graph.durable({ name: "greet" }));
   */
  offer(...workflows: readonly Workflow[]): this {
    this.#worker.offer(workflows);
    return this;
  }

  /** The name of its lease in the store while it works on runs, as `GET /v1/workers` shows it. No two have the same. */
  get worker(): string {
    return this.#worker.name;
  }

  /** Whether it works on runs: it was started, and not stopped. */
  get isWorking(): boolean {
    return this.#worker.isWorking;
  }

  /** Stops working: running steps may finish for `timeout` (default "10s"), then every run is given back. */
  async stop(options: { timeout?: Duration } = {}): Promise<void> {
    await this.#worker.stop(options.timeout === undefined ? drainMs : milliseconds(options.timeout, "timeout"));
    this.#ends.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Lets go of everything and records nothing, as a crash would. For tests. */
  abandon(): void {
    this.#worker.abandon();
    this.#ends.stop();
  }

  /**
   * Starts a run and returns as soon as it is recorded.
   *
   * @throws workflow.invalid_input, json.not_serializable, run.conflict (the key or id belongs to a run that differs),
   * usage.invalid (a client was given and the store has no use for one)
   */
  async run<I, O>(workflow: Workflow<I, O>, input: I, options: RunOptions = {}): Promise<RunHandle<O>> {
    const run = await this.#newRun(workflow, input, options);
    const { client } = options;
    const [created] = await (client === undefined
      ? this.store.create([run])
      : transactional(this.store)(client, [run]));
    if (created === undefined) throw new StemmaError("engine.bug", "The store gave no answer for a run to create.");
    if (!created.created) await checkSameRun(this.store, created, run);
    this.#worker.poke();
    return new RunHandle<O>(created.id, this, this.#ends);
  }

  /**
   * Repairs a run that has ended: a new run of the same input, with the code that is here now, to which every success of
   * the source is given where the same is asked for. What failed, was cancelled or never came to an end runs again; so
   * does what lies behind it as far as its input is another, or may be. A success is nobody's twice: what the source
   * reused itself is reused from there. The source stays as it is.
   *
   * With `input`, `patch`, `context` or `outputs` it is a fork, and is recorded as one.
   *
   * @throws run.not_found, run.not_terminal, usage.invalid, step.not_found, checkpoint.not_found, override.unused,
   * workflow.invalid_input, run.conflict; after an error there is no new run
   * @example
   * const again = await stemma.restart(failed.id, { reason: "the summary was wrong", idempotencyKey: "ticket 12" });
   * console.log(await again.result());
   */
  restart<O = unknown>(id: RunId, change: Change = {}): Promise<RunHandle<O>> {
    return this.#remake("restart", id, change);
  }

  /**
   * Explores: a new run from a run, ended or not, as it is now; from a step on (`from`, `after`), from a state
   * checkpoint, or with another input, context or outputs of steps. Where nothing says from where, only what is changed
   * decides what runs: a step is given its success of the source if what it uses is the same. Throws like `restart`.
   *
   * @example
   * const cheaper = await stemma.fork(run.id, { patch: { model: "small" }, reason: "is it good enough?" });
   */
  fork<O = unknown>(id: RunId, change: Change = {}): Promise<RunHandle<O>> {
    return this.#remake("fork", id, change);
  }

  /**
   * What a restart or fork with this change would reuse and what it would run, and why. It writes nothing, and refuses
   * what they would refuse. By the record alone it is of the grade `history`: what depends on outputs that are not there
   * yet is called so. With `dryRun` the code that is here is asked: the body runs, and what is not reused is noted instead
   * of begun. That is exact up to the first step of each branch that runs. No function of a step is entered.
   *
   * @throws as restart and fork; workflow.not_found where a dry run has no code
   * @example
   * const { totals } = await stemma.plan(run.id, { from: "summarise" });
   * console.log(totals.runs, totals.saves.cost);
   */
  async plan(id: RunId, change: Change = {}, options: PlanOptions = {}): Promise<Plan> {
    const { kind, dryRun = false } = options;
    if (!dryRun) return (await planByHistory(this.#making(), checkRunId(id), change, kind)).plan;
    const row = await this.row(id);
    const parts = { ...this.#dryRun, store: this.store, workflow: this.workflow(row.state.workflow) };
    return planByDryRun(parts, this.#making(), id, change, kind);
  }

  #making(): Making {
    const clock = this.#clock;
    return {
      store: this.store,
      workflow: (name: string) => this.#workflows.highest(name),
      now: () => clock.now(),
      id: newRunId(clock.now()),
    };
  }

  async #remake<O>(kind: "restart" | "fork", id: RunId, change: Change): Promise<RunHandle<O>> {
    const run = await makeRun(this.#making(), kind, checkRunId(id), change);
    const [created] = await this.store.create([run]);
    if (created === undefined) throw new StemmaError("engine.bug", "The store gave no answer for a run to create.");
    if (!created.created) await checkSameChange(this.store, created.id, run);
    this.#worker.poke();
    return new RunHandle<O>(created.id, this, this.#ends);
  }

  /** The run with this id. Throws run.not_found. */
  async get<O = unknown>(id: RunId): Promise<RunHandle<O>> {
    await this.row(id);
    return new RunHandle<O>(id, this, this.#ends);
  }

  /**
   * Answers an open wait. The value is checked before anything changes; one that the wait's schema refuses leaves the
   * wait open. A second answer changes nothing: it is given what is on record.
   *
   * @throws run.not_found; wait.not_open when there is no such wait, or it is over in another way; wait.invalid_answer
   * @example await stemma.resume(run.id, "approval", { approve: true }, { by: "ada" });
   */
  async resume(id: RunId, wait: string, value: unknown, options: AnswerOptions = {}): Promise<Answered> {
    const { text } = toValue(value, `answer to ${wait}`);
    const answer = { key: wait, ...(text === undefined ? {} : { text }) };
    return this.#requests.answer(await this.row(id), answer, options);
  }

  /** Answers an open wait with an error, which the run can catch. Throws like `resume`. */
  async fail(id: RunId, wait: string, error: unknown, options: AnswerOptions = {}): Promise<Answered> {
    return this.#requests.answer(await this.row(id), { key: wait, error: toRecord(error) }, options);
  }

  /**
   * Says that an open wait has to wait on: it stays open, with another prompt, reason or expiry if they are given, and
   * with what was said (`value`) on record. Throws like `resume`.
   */
  async resuspend(id: RunId, wait: string, options: AnswerOptions & AgainOptions = {}): Promise<Answered> {
    const { value, prompt, reason, expires } = options;
    const until =
      expires === undefined ? undefined : this.#clock.now() + milliseconds(expires, `expiry of wait ${wait}`);
    const again = {
      ...(prompt === undefined ? {} : { prompt }),
      ...(reason === undefined ? {} : { reason }),
      ...(until === undefined ? {} : { until }),
    };
    const { text } = toValue(value, `value with wait ${wait}`);
    const answer = { key: wait, again, ...(text === undefined ? {} : { text }) };
    return this.#requests.answer(await this.row(id), answer, options);
  }

  /**
   * Sends a signal: the answer of whoever waits for this name, or kept for the next who does. Signals of one name are
   * taken in the order in which they came; one with the same `idempotencyKey` is the same signal, and is not accepted again.
   *
   * @throws run.not_found, run.ended, json.not_serializable
   */
  async signal(id: RunId, name: string, payload?: unknown, options: By & Once = {}): Promise<{ accepted: boolean }> {
    return this.#requests.signal(await this.row(id), name, payload, options);
  }

  /**
   * Says what is to become of a `once` step in doubt: `{ record: value }` it happened and this is its output, `"run"`
   * it did not happen and may be entered again, `{ fail: error }` it has failed. It is about the attempt that is in doubt
   * when it is asked; with an idempotency key it stays so, however often and however late it is asked again.
   *
   * @throws run.not_found, step.not_in_doubt
   */
  async decide(id: RunId, key: string, decision: Decision, options: By & Once = {}): Promise<void> {
    await this.#requests.decide(await this.row(id), key, decision, options);
  }

  /**
   * Ends a run and the runs that it called, the called ones first. Steps in flight are aborted; what they return within
   * the abort grace is kept. A run that has ended is left as it is (`accepted: false`); asking again changes nothing. It
   * takes no worker where nobody has the run and nobody offers its workflow, unless its body has to make up for what it did.
   *
   * Behind the acknowledgement nothing more begins where this process has the run. A worker elsewhere hears of it with what
   * the run records next, or else with its next heartbeat (a third of its lease); until then it may begin more steps.
   */
  async cancel(id: RunId, by: By = {}): Promise<{ accepted: boolean; status: Status }> {
    return this.#requests.cancel(await this.row(id), by);
  }

  /**
   * Lets steps in flight finish, of the run and of those it called, and begins nothing more until `unpause`. Gives the status
   * that the run had when it was asked. Throws run.ended.
   */
  async pause(id: RunId, by: By & Once = {}): Promise<Paused> {
    return this.#requests.pause(await this.row(id), "pause", by);
  }

  /** Lets a paused run go on, and those that it called, but for those that somebody paused besides. */
  async unpause(id: RunId, by: By & Once = {}): Promise<Paused> {
    return this.#requests.pause(await this.row(id), "unpause", by);
  }

  /** Open questions of all runs, a page at a time. */
  waits(query: WaitsQuery = {}): Promise<{ waits: OpenWait[]; cursor?: string }> {
    return listWaits(this.store, query);
  }

  /** Every event of all runs once, in one order, behind a position; it waits for more until it is left or aborted. */
  feed(options: FeedOptions = {}): AsyncGenerator<FeedEntry> {
    return tail(this.store, this.#clock, options);
  }

  /** What a run was when the event with this seq had happened. Writes nothing. Throws run.not_found, usage.invalid. */
  async stateAt(id: RunId, seq: number): Promise<RunState> {
    const history = await this.history(id);
    if (!Number.isSafeInteger(seq) || seq < 0 || seq >= history.length) {
      throw new StemmaError(
        "usage.invalid",
        `Expected a seq from 0 to ${history.length - 1} of run ${id}, got ${seq}.`,
      );
    }
    return reduceAll(history.slice(0, seq + 1));
  }

  /**
   * Runs, newest first. Those that are records and no work (golden marks, checkpoints of graphs in the store) are left out
   * unless they are asked for: by `records: true`, or by `ids`, `idPart`, `workflow` or `tag`. Throws usage.invalid for what
   * is no cursor, limit or time.
   */
  async list(query: ListQuery = {}): Promise<{ runs: readonly RunRow[]; cursor?: string }> {
    const { ids, idPart, workflow, tag, limit, since } = query;
    if (limit !== undefined) checkWhole(limit, "limit", 1);
    if (since !== undefined) checkWhole(since, "since", 0);
    const records = [ids, idPart, workflow, tag].some((named) => named !== undefined);
    return this.store.list({ records, ...query });
  }

  /** A run's row. Throws run.invalid_id, run.not_found. */
  async row(id: RunId): Promise<RunRow> {
    const { runs } = await this.store.list({ ids: [checkRunId(id)] });
    const [row] = runs;
    if (row === undefined)
      throw new StemmaError("run.not_found", `There is no run ${id} in this store.`, { data: { run: id } });
    return row;
  }

  /** All events of a run behind `after` (all, if left out). Throws run.not_found, usage.invalid. */
  async history(id: RunId, options: { after?: number } = {}): Promise<Event[]> {
    if (options.after !== undefined) checkWhole(options.after, "after", -1);
    return (await readHistory(this.store, checkRunId(id), options.after)).events;
  }

  /** The graph of what happened and why: of one run, or with `family` of all runs connected to it. */
  async trace(id: RunId, options: { family?: boolean } = {}): Promise<Trace> {
    if (options.family !== true) return trace([{ run: id, events: await this.history(id) }]);
    const row = await this.row(id);
    const runs: { run: RunId; events: Event[] }[] = [];
    let cursor: string | undefined;
    do {
      const page = await this.store.list({ family: row.state.family, ...(cursor === undefined ? {} : { cursor }) });
      for (const member of page.runs) runs.push({ run: member.id, events: await this.history(member.id) });
      cursor = page.cursor;
    } while (cursor !== undefined);
    // They are listed with the newest first; in a graph what comes from something stands behind it.
    return trace(runs.toReversed());
  }

  /** The family of a run: what it comes from, what came from it, and what else came from the same. Throws run.not_found. */
  async lineage(id: RunId): Promise<Lineage> {
    return lineageOf(this.store, await this.row(id));
  }

  /**
   * Two runs side by side: their steps aligned by what they are, and where input, output, error, time and cost differ.
   *
   * With one run, it is held against the golden run of its workflow, which is `a` then.
   *
   * @throws run.not_found
   * @example const { same, steps, first } = await stemma.compare(before, after);
   */
  async compare(a: RunId, b?: RunId, options: CompareOptions = {}): Promise<Comparison> {
    if (b === undefined)
      return this.compare(await goldenOf(this.store, (await this.row(a)).state.workflow), a, options);
    return compareRuns(this.store, [await this.row(a), await this.row(b)], options);
  }

  /** What can be started here: each workflow at its highest version. */
  workflows(): readonly Workflow[] {
    return this.#workflows.names.flatMap((name) => this.#workflows.highest(name) ?? []);
  }

  protected now(): Timestamp {
    return this.#clock.now();
  }

  /** The workflow of this name, at its highest version here or at the one given. Throws workflow.not_found. */
  workflow(name: string, version?: number): Workflow {
    const workflow =
      version === undefined ? this.#workflows.highest(name) : this.#workflows.exactly(name, version)?.workflow;
    if (workflow !== undefined) return workflow;
    const known = this.#workflows.names.join(", ") || "none";
    const wanted = `${JSON.stringify(name)}${version === undefined ? "" : ` in version ${version}`}`;
    throw new StemmaError("workflow.not_found", `There is no workflow ${wanted} here; known: ${known}.`, {
      data: { workflow: name },
    });
  }

  async #newRun(workflow: Workflow, input: unknown, options: RunOptions): Promise<NewRun> {
    checkWorkflow(workflow);
    const id = options.id === undefined ? newRunId(this.#clock.now()) : checkRunId(options.id);
    if (options.idempotencyKey !== undefined) checkId(options.idempotencyKey, "idempotencyKey");
    const valid = await validate(workflow, input);
    const encoded = toValue(valid, `input of workflow ${workflow.name}`);
    const context = options.context === undefined ? undefined : toValue(options.context, "context");
    const at: Timestamp = this.#clock.now();
    const tags = options.tags && checkTags(options.tags);
    if (options.by !== undefined) checkId(options.by, "by");
    const run = buildRun({
      id,
      workflow,
      input: encoded,
      origin: { kind: "new" },
      family: id,
      at,
      ...(context === undefined ? {} : { context }),
      ...(tags === undefined ? {} : { tags }),
      ...(options.timeout === undefined ? {} : { timeoutMs: timeLimit(options.timeout, "timeout of the run") }),
      ...(options.by === undefined ? {} : { more: { by: options.by } }),
    });
    return {
      ...run,
      ...(options.delay === undefined ? {} : { dueAt: at + milliseconds(options.delay, "delay") }),
      ...(options.priority === undefined ? {} : { priority: priorityOf(options.priority) }),
      ...(options.idempotencyKey === undefined ? {} : { idempotencyKey: options.idempotencyKey }),
    };
  }
}
