/**
 * One run in the hands of one worker, from its claim until it is given back.
 *
 *     recall ──▶ live ──▶ ending ──▶ over
 *        │         └────▶ suspending ──▶ over   (only waits are left)
 *        └──▶ over                               (divergence: the code does not fit what is recorded)
 *
 * In *recall* the body runs from its start; what the history knows is delivered to it in order, and nothing is
 * executed: asks that are not on record are held back. When everything recorded has been asked for, the run goes
 * *live*: held-back asks begin, and from now on outcomes come from commits. When the body ends, what nobody awaits is
 * aborted and settled (*ending*), and then the run's end is recorded. An activation that loses its run is dropped: its
 * promises never settle, so no `catch` or `finally` of the body runs on its behalf.
 */
import type { Draft, Event, EventOf, Seq, StepRef } from "../core/event.ts";
import { outcomeOf } from "../core/event.ts";
import { pathOf } from "../core/identity.ts";
import type { Commit, CommitResult, Payload, RunRow } from "../store/store.ts";
import type { Json } from "../core/json.ts";
import { Appender } from "./appender.ts";
import type { Batch } from "./appender.ts";
import type { Ask } from "./ask.ts";
import { Asks, isWithin } from "./ask.ts";
import type { Log, Operations, Outcome, RunningBody, Workflow } from "./body.ts";
import type { Clock } from "./clock.ts";
import type { Committer, Source } from "./committer.ts";
import type { Delivery } from "./delivery.ts";
import { describeDivergence } from "./divergence.ts";
import { failureOf, frontierOf, rememberFailure } from "./frontier.ts";
import { toRecord } from "./failure.ts";
import type { Loaded } from "./load.ts";
import { operationsOf } from "./operations.ts";
import type { OutcomeEvent, Recall } from "./recall.ts";
import { latest, recallOf } from "./recall.ts";
import { StepRunner } from "./step-runner.ts";
import { fromValue, toValue } from "./value.ts";

/** What an activation is given to work with. Durations are milliseconds. */
export type Surroundings = {
  clock: Clock;
  committer: Committer;
  delivery: Delivery;
  log: Log;
  worker: string;
  fingerprint: string;
  /** How long a body must have been quiet before its run is suspended. */
  lingerMs: number;
  /** How long a body may do nothing that the engine sees while records are still unasked. */
  recallGraceMs: number;
  /** How long an aborted attempt may take to settle. */
  abortGraceMs: number;
  /** A promise while the worker's lease is too old to begin anything new; undefined when it is fresh. */
  hold(): Promise<void> | undefined;
};

/** Why an activation is over. */
export type Over = "terminal" | "suspended" | "divergence" | "lost" | "drained";

type End = { ok: true; value: unknown } | { ok: false; error: unknown };

/** A run that the store would not take is not tried again at once. */
const handBackMs = 1000;

export class Activation implements Source {
  readonly run: string;
  readonly over: Promise<Over>;
  readonly #resolveOver: (over: Over) => void;
  readonly #with: Surroundings;
  readonly #workflow: Workflow;
  readonly #loaded: Loaded;
  readonly #recall: Recall;
  readonly #asks: Asks;
  readonly #appender: Appender;
  readonly #steps: StepRunner;
  readonly #abort = new AbortController();
  readonly operations: Operations;
  /** When it was lost although this worker still holds it: what gives it back. */
  handBack: Commit | undefined;

  #phase: "recall" | "live" | "ending" | "releasing" | "over" = "recall";
  #body: RunningBody | undefined;
  #end: End | undefined;
  #held: Ask[] = [];
  /** Scopes that lost a race. */
  #lost = new Set<string>();
  #ignored = false;
  /** Committed outcomes on their way to the body. */
  #queue: { ask: Ask; event: OutcomeEvent }[] = [];
  /** Which ask each appended outcome belongs to, and what waits for an event to be committed. */
  #outcomeOf = new Map<Seq, Ask>();
  #whenCommitted = new Map<Seq, () => void>();
  #flight: { batch: Batch; over: Over | undefined } | undefined;
  #release: { release: NonNullable<Commit["release"]>; over: Over } | undefined;
  #turnDue = false;
  #quietTimer: (() => void) | undefined;
  #stallTimer: (() => void) | undefined;
  /** Declared inputs too large for their event, on their way to the store with it. */
  #carried: Payload[] = [];
  #nextOutcome = 0;
  #nextAsk = 0;
  #drained: "no" | "draining" = "no";
  #lastDelivered: { seq: Seq; at: number };

  constructor(row: RunRow, workflow: Workflow, loaded: Loaded, surroundings: Surroundings) {
    const { promise, resolve } = Promise.withResolvers<Over>();
    [this.over, this.#resolveOver] = [promise, resolve];
    this.run = row.id;
    this.#with = surroundings;
    this.#workflow = workflow;
    this.#loaded = loaded;
    this.#recall = recallOf(loaded.events);
    this.#asks = new Asks(this.#recall);
    const last = loaded.events.at(-1) as Event;
    this.#appender = new Appender(row, last.at, loaded.now);
    this.#lastDelivered = { seq: 0, at: loaded.created.at };
    this.#steps = new StepRunner({
      clock: surroundings.clock,
      log: surroundings.log,
      hold: () => surroundings.hold(),
      line: row.id,
      append: (draft, extra) => this.#append(draft, extra),
      recordOutcome: (ask, draft, extra) => this.#recordOutcome(ask, draft, extra),
      firstRef: (ask) => this.#firstRef(ask),
      afterCommit: (seq, call) => void this.#whenCommitted.set(seq, call),
      isOver: () => this.#phase === "over",
      changed: () => this.#wake(),
    });
    this.operations = operationsOf({
      seed: loaded.created.data.seed,
      ask: (place, input, work, resolveAsk) => this.#ask(place, input, work, resolveAsk),
      open: (scope, name) => this.#asks.openScope(scope, name),
      close: (scope, kind, causes) => this.#close(scope, kind, causes),
      withdraw: (scope) => this.#withdrawScope(scope),
      now: () => this.#lastDelivered.at,
      live: () => this.#phase !== "recall",
    });
  }

  /** Starts the body. */
  start(): void {
    const { created, texts } = this.#loaded;
    const info = {
      runId: this.run,
      workflow: this.#workflow.name,
      version: this.#workflow.version,
      input: fromValue(created.data.input, texts),
      context: created.data.context === undefined ? undefined : fromValue(created.data.context, texts),
      abort: this.#abort.signal,
      log: this.#with.log,
    };
    this.#body = this.#workflow.body(this.operations, info);
    this.#body.done.then(
      (value) => this.#bodyEnded({ ok: true, value }),
      (error: unknown) => this.#bodyEnded({ ok: false, error }),
    );
    this.#wake();
  }

  /** Lets go of the run without recording anything more: somebody else has it, or nobody will. */
  drop(): void {
    if (this.#phase === "over") return;
    this.#finish("lost");
  }

  /**
   * Hands the run back: nothing new begins, what is running may finish, then the run is released. Resolves with
   * `over`. After `cut()` running attempts are aborted and not waited for.
   */
  drain(): void {
    this.#drained = "draining";
    this.#wake();
  }

  cut(): void {
    if (this.#phase === "over" || this.#release !== undefined) return;
    if (this.#phase === "recall") this.#appender.rollBack();
    this.#steps.abortAll();
    this.#giveBack({ dueAt: this.#loaded.now(), force: true }, "drained");
  }

  /** The history cannot be read or continued: the run is suspended and says why, instead of being tried for ever. */
  fault(error: unknown): void {
    if (this.#phase === "over" || this.#release !== undefined) return;
    this.#with.log.error("A run cannot go on", { run: this.run, error: String(error) });
    if (this.#phase === "recall") this.#appender.rollBack();
    this.#steps.abortAll();
    this.#phase = "releasing";
    const detail = toRecord(error) as unknown as Json;
    this.#append({ type: "run.suspended", data: { reason: "corrupt", detail }, causes: [this.#appender.state.seq] });
    this.#giveBack({ dueAt: null, force: true }, "suspended");
  }

  // ---- asks ----------------------------------------------------------------------------------------------------

  #ask(
    place: { scope: string; name: string; causes: readonly Seq[] },
    input: string | null,
    work: Ask["work"],
    resolve: (outcome: Outcome) => void,
  ): void {
    if (this.#phase === "over" || this.#phase === "ending" || this.#phase === "releasing") return this.#ignore(place);
    // A branch that lost its race may be in the middle of its own code; what it asks for now is not wanted any more.
    if (this.#isLost(place.scope)) return;
    const ask = this.#asks.make(place, input, this.#lastDelivered.seq, work, resolve);
    const { recorded } = ask;
    if (recorded !== undefined) {
      recorded.asked = true;
      this.#appender.spelledAt(ask.causes, recorded);
      ask.begunAt = recorded.started ?? recorded.opened?.seq ?? recorded.first;
    }
    if (recorded?.outcome !== undefined) ask.stage = "recorded";
    else if (this.#phase === "live") this.#begin(ask);
    else this.#held.push(ask);
    this.#wake();
  }

  /** Code that goes on after its run has left this process asks in vain; that is said once. */
  #ignore(place: { scope: string; name: string }): void {
    if (this.#ignored) return;
    this.#ignored = true;
    const asked = pathOf(place.scope, place.name);
    this.#with.log.info("Code of a run that is over here asked for more; it gets no answer", { run: this.run, asked });
  }

  #isLost(scope: string): boolean {
    if (this.#lost.size === 0) return false;
    for (let end = scope.length; end > 0; end = scope.lastIndexOf("/", end - 1)) {
      if (this.#lost.has(scope.slice(0, end))) return true;
    }
    return false;
  }

  #begin(ask: Ask): void {
    if (ask.withdrawn !== undefined || this.#drained !== "no") return;
    ask.stage = "begun";
    if (ask.work.kind === "step") this.#steps.begin(ask);
    else this.#beginTimer(ask);
  }

  #beginTimer(ask: Ask): void {
    if (ask.work.kind !== "timer") return;
    let until = ask.recorded?.opened?.until;
    if (until === undefined) {
      until = ask.work.ask.until(this.#loaded.now());
      const opened = { ...this.#firstRef(ask), kind: "timer" as const, until };
      ask.begunAt = this.#append({ type: "wait.opened", data: opened, causes: ask.causes }).seq;
    }
    ask.until = until;
    this.#armTimer(ask, until);
  }

  #armTimer(ask: Ask, until: number): void {
    const left = until - this.#loaded.now();
    ask.stop = this.#with.clock.after(left, () => {
      if (this.#phase === "over" || ask.withdrawn !== undefined || ask.stage !== "begun") return;
      // Timers of the platform reach only some weeks, and may fire a little early.
      if (this.#loaded.now() < until) this.#armTimer(ask, until);
      else this.#recordOutcome(ask, { type: "wait.answered", data: { key: ask.ref.key, value: { undefined: true } } });
    });
  }

  /** The reference of a first event: it also says when the step was asked. */
  #firstRef(ask: Ask): StepRef {
    const ref: StepRef = { ...ask.ref };
    if (ask.after !== latest(ask.causes)) ref.after = ask.after;
    if (ask.work.kind === "step" && ask.work.input !== undefined) {
      ref.given = ask.work.input.value;
      if (ask.work.input.payload !== undefined) this.#carried.push(ask.work.input.payload);
    }
    return ref;
  }

  // ---- events --------------------------------------------------------------------------------------------------

  #append(draft: Draft, extra: Parameters<Appender["append"]>[1] = {}): Event {
    for (const { digest, text } of extra.payloads ?? []) this.#loaded.texts.set(digest, text);
    const payloads = [...(extra.payloads ?? []), ...this.#carried];
    this.#carried = [];
    const event = this.#appender.append(draft, payloads.length === 0 ? extra : { ...extra, payloads });
    // In recall nothing is flushed yet: should the code turn out not to fit, nothing was written.
    if (this.#phase !== "recall") this.#with.committer.request(this);
    return event;
  }

  /** Appends the outcome of an ask. Its cause is the event that it began with, or else what the ask was caused by. */
  #recordOutcome(
    ask: Ask,
    draft: { [T in OutcomeEvent["type"]]: { type: T; data: EventOf<T>["data"] } }[OutcomeEvent["type"]],
    extra: Parameters<Appender["append"]>[1] = {},
  ): void {
    const first = ask.begunAt === undefined;
    const causes = first ? ask.causes : [ask.begunAt as Seq];
    const data = first ? { ...draft.data, ...this.#firstRef(ask) } : { ...draft.data, key: ask.ref.key };
    ask.stage = "recorded";
    ask.stop?.();
    const event = this.#append({ ...draft, data, causes } as Draft, extra) as OutcomeEvent;
    this.#outcomeOf.set(event.seq, ask);
    if (!this.#with.delivery.afterFlush) this.#enqueue(event);
  }

  #close(scope: string, kind: "scope" | "map" | "all" | "race", causes: readonly Seq[]): Seq {
    const known = this.#recall.closed.get(scope);
    if (known !== undefined) return known;
    // Code that nobody awaited may still be on its way when the run has ended; it adds nothing to the record.
    if (this.#phase !== "recall" && this.#phase !== "live") return this.#appender.state.seq;
    return this.#append({ type: "scope.closed", data: { scope, kind }, causes }).seq;
  }

  take(): Commit | undefined {
    if (this.#phase === "over" || this.#flight !== undefined) return undefined;
    if (!this.#appender.waiting && this.#release === undefined) return undefined;
    const batch = this.#appender.take(this.#release?.release);
    this.#flight = { batch, over: this.#release?.over };
    return batch.commit;
  }

  settle(result: CommitResult): void {
    const flight = this.#flight;
    this.#flight = undefined;
    if (flight === undefined || this.#phase === "over") return;
    if (!result.ok) return this.#refused(result);
    this.#appender.settled(flight.batch);
    for (const event of flight.batch.events) {
      const call = this.#whenCommitted.get(event.seq);
      this.#whenCommitted.delete(event.seq);
      call?.();
      if (this.#with.delivery.afterFlush) this.#enqueue(event);
    }
    if (flight.over !== undefined) return this.#finish(flight.over);
    if (this.#appender.waiting || this.#release !== undefined) this.#with.committer.request(this);
    this.#wake();
  }

  lose(error: unknown): void {
    this.#with.log.error("A run was let go because the store refused its events", { run: this.run, error: String(error) });
    this.#appender.rollBack();
    this.handBack = this.#appender.take({ dueAt: this.#loaded.now() + handBackMs, force: true }).commit;
    this.#finish("lost");
  }

  #refused(result: CommitResult & { ok: false }): void {
    if (result.reason === "inbox") {
      // Something came while the run was going to rest: it is given back as due, and whoever claims it sees the message.
      this.#appender.rollBack();
      this.#release = undefined;
      this.#giveBack({ dueAt: this.#loaded.now(), force: true }, "drained");
      return;
    }
    this.#with.log.warn("A run was lost to another worker", { run: this.run, reason: result.reason });
    this.#finish("lost");
  }

  #enqueue(event: Event): void {
    const ask = this.#outcomeOf.get(event.seq);
    if (ask === undefined) return;
    this.#outcomeOf.delete(event.seq);
    this.#queue.push({ ask, event: event as OutcomeEvent });
    this.#wake();
  }

  // ---- turns ---------------------------------------------------------------------------------------------------

  /** Something changed: look again in the next turn, when the microtasks of this one have run. */
  #wake(): void {
    this.#quietTimer?.();
    this.#quietTimer = undefined;
    if (this.#turnDue || this.#phase === "over") return;
    this.#turnDue = true;
    this.#with.clock.turn(() => {
      this.#turnDue = false;
      if (this.#phase !== "over") this.#turn();
    });
  }

  #turn(): void {
    try {
      if (this.#phase !== "recall") this.#liveTurn();
      else if (this.#drained === "no") this.#recallTurn();
      else this.cut();
    } catch (error) {
      this.fault(error);
    }
  }

  #liveTurn(): void {
    for (let left = this.#with.delivery.perTurn; left > 0; left -= 1) {
      const next = this.#phase === "live" ? this.#queue.shift() : undefined;
      if (next === undefined) break;
      this.#deliver(next.ask, next.event);
    }
    if (this.#phase === "live" && this.#queue.length > 0) return this.#wake();
    this.#rest();
  }

  #recallTurn(): void {
    this.#stallTimer?.();
    this.#stallTimer = undefined;
    const due = this.#due();
    if (due === "nothing") return this.#goLive();
    if (due === "not yet") {
      // A body that has ended asks for nothing more, except through branches that it left behind.
      const grace = this.#end === undefined ? this.#with.recallGraceMs : Math.min(this.#with.recallGraceMs, 1000);
      this.#stallTimer = this.#with.clock.after(grace, () => this.#diverged());
      return;
    }
    this.#deliver(due.ask, due.event);
    this.#wake();
  }

  /** The next recorded outcome, if everything that was asked before its delivery has been asked again. */
  #due(): { ask: Ask; event: OutcomeEvent } | "not yet" | "nothing" {
    const { asks, outcomes } = this.#recall;
    for (;;) {
      const recorded = outcomes[this.#nextOutcome];
      const limit = recorded?.outcome?.seq ?? Infinity;
      for (let ask = asks[this.#nextAsk]; ask !== undefined && ask.after < limit; ask = asks[this.#nextAsk]) {
        if (!ask.asked && (this.#with.delivery.afterAsks || recorded === undefined)) return "not yet";
        this.#nextAsk += 1;
      }
      if (recorded?.outcome === undefined) return asks.every((ask) => ask.asked) ? "nothing" : "not yet";
      if (!recorded.asked) return "not yet";
      this.#nextOutcome += 1;
      const ask = this.#asks.get(recorded);
      if (ask !== undefined) return { ask, event: recorded.outcome };
    }
  }

  #deliver(ask: Ask, event: OutcomeEvent): void {
    ask.stage = "delivered";
    this.#asks.forget(ask);
    if (ask.withdrawn !== undefined || outcomeOf[event.type] === "none") return;
    this.#lastDelivered = { seq: event.seq, at: event.at };
    const failure = failureOf(event);
    if (failure !== undefined) {
      rememberFailure(failure, ask.ref.key);
      ask.resolve({ seq: event.seq, ok: false, error: failure });
      return;
    }
    const { output, value } = event.data as { output?: Parameters<typeof fromValue>[0]; value?: never };
    ask.resolve({ seq: event.seq, ok: true, value: fromValue(output ?? value ?? { undefined: true }, this.#loaded.texts) });
  }

  #goLive(): void {
    this.#phase = "live";
    const { worker, fingerprint } = this.#with;
    const started = { worker, epoch: this.#loaded.row.epoch, fingerprint };
    this.#append({ type: "run.started", data: started, causes: [this.#appender.state.seq] });
    const held = this.#held;
    this.#held = [];
    if (this.#end === undefined) for (const ask of held) this.#begin(ask);
    this.#wake();
  }

  #diverged(): void {
    this.#appender.rollBack();
    this.#steps.abortAll();
    this.#phase = "releasing";
    const detail = describeDivergence(this.#recall, this.#held, this.#end !== undefined);
    this.#with.log.warn("A run does not fit the code that should continue it", { run: this.run, detail });
    const { fingerprint } = this.#with;
    const data = { reason: "divergence" as const, detail, fingerprint };
    this.#append({ type: "run.suspended", data, causes: [this.#appender.state.seq] });
    this.#giveBack({ dueAt: this.#loaded.now(), force: true }, "divergence");
  }

  // ---- rest, end, release --------------------------------------------------------------------------------------

  /** Nothing to deliver: the run may be at its end, or have only waits left. */
  #rest(): void {
    if (this.#release !== undefined) return;
    if (this.#drained === "draining") {
      if (this.#steps.running === 0 && !this.#appender.waiting && this.#flight === undefined) this.cut();
      return;
    }
    if (this.#end !== undefined) return this.#ending(this.#end);
    if (this.#steps.running > 0 || this.#appender.waiting || this.#flight !== undefined) return;
    const open = [...this.#asks.open()].filter((ask) => ask.withdrawn === undefined);
    if (open.length === 0 || open.some((ask) => ask.work.kind === "step" && ask.doubtful !== true)) return;
    this.#quietTimer = this.#with.clock.after(this.#with.lingerMs, () => this.#suspend(open));
  }

  #suspend(open: readonly Ask[]): void {
    this.#quietTimer = undefined;
    const timers = open.flatMap((ask) => ask.until ?? []);
    const until = timers.length === 0 ? undefined : Math.min(...timers);
    if (until !== undefined && until - this.#loaded.now() <= this.#with.lingerMs) return;
    const doubtful = open.filter((ask) => ask.doubtful === true);
    const causes = open.flatMap((ask) => ask.begunAt ?? []);
    const reason = doubtful.length > 0 ? ("in_doubt" as const) : ("waiting" as const);
    const detail = doubtful.length > 0 ? { detail: doubtful.map((ask) => ask.ref.key) } : {};
    this.#phase = "releasing";
    this.#append({
      type: "run.suspended",
      data: { reason, ...(until === undefined ? {} : { until }), ...detail },
      causes: causes.length > 0 ? causes : [this.#appender.state.seq],
    });
    this.#giveBack({ dueAt: until ?? null }, "suspended");
  }

  #bodyEnded(end: End): void {
    if (this.#phase === "over" || this.#phase === "releasing") return;
    this.#end = end;
    this.#wake();
  }

  /** The body is done: settles what nobody awaits, then records how the run ended. */
  #ending(end: End): void {
    if (this.#phase === "live") {
      this.#phase = "ending";
      for (const ask of [...this.#asks.open()]) this.#withdraw(ask, end.ok ? "not awaited" : "run ended");
    }
    if (this.#steps.running > 0 || this.#release !== undefined) return;
    const ended = this.#body?.causes() ?? [];
    const causes = ended.length > 0 ? ended : [0];
    let draft: Draft;
    let payloads: Parameters<Appender["append"]>[1] = {};
    try {
      if (!end.ok) throw end.error;
      const encoded = toValue(end.value, "output of the run");
      if (encoded.payload !== undefined) payloads = { payloads: [encoded.payload] };
      draft = { type: "run.succeeded", data: { output: encoded.value }, causes };
    } catch (error) {
      draft = { type: "run.failed", data: { error: toRecord(error), frontier: frontierOf(error) }, causes };
    }
    this.#append(draft, payloads);
    this.#giveBack({ dueAt: null, force: true }, "terminal");
  }

  #giveBack(release: NonNullable<Commit["release"]>, over: Over): void {
    this.#release = { release, over };
    if (this.#phase !== "ending") this.#phase = "releasing";
    this.#with.committer.request(this);
  }

  #withdrawScope(scope: string): void {
    this.#lost.add(scope);
    for (const ask of [...this.#asks.open()]) if (isWithin(ask.identity.scope, scope)) this.#withdraw(ask, "lost race");
  }

  /** Takes an ask back. What began is settled on record; what never began leaves no trace. */
  #withdraw(ask: Ask, reason: EventOf<"step.cancelled">["data"]["reason"]): void {
    if (ask.withdrawn !== undefined) return;
    ask.withdrawn = reason;
    ask.stop?.();
    if (ask.stage === "recorded") return;
    if (ask.work.kind === "step" && this.#steps.withdraw(ask, this.#with.abortGraceMs)) return;
    if (ask.begunAt === undefined) return this.#asks.forget(ask);
    const { key } = ask.ref;
    if (ask.doubtful === true) return;
    if (ask.work.kind === "step") this.#recordOutcome(ask, { type: "step.cancelled", data: { key, reason } });
    else this.#recordOutcome(ask, { type: "wait.withdrawn", data: { key, reason } });
  }

  #finish(over: Over): void {
    this.#phase = "over";
    this.#quietTimer?.();
    this.#stallTimer?.();
    this.#abort.abort();
    this.#steps.abortAll();
    for (const ask of this.#asks.open()) ask.stop?.();
    this.#resolveOver(over);
  }
}
