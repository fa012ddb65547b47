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
import type { Digest, Draft, EventOf, Seq } from "../core/event.ts";
import { isStemmaError } from "../core/error.ts";
import { pathOf } from "../core/identity.ts";
import type { Commit, Message, Received, RunRow } from "../store/store.ts";
import type { Json } from "../core/json.ts";
import type { Extra } from "./appender.ts";
import type { Ask } from "./ask.ts";
import { Asks, isWithin } from "./ask.ts";
import type { Log, Operations, Outcome, RunningBody, Segment, Workflow } from "./body.ts";
import { beginCall, endMessage } from "./calls.ts";
import { checkQuiet, recordCheckpoint } from "./checkpoints.ts";
import { guarded } from "./clock.ts";
import type { Clock } from "./clock.ts";
import type { Committer } from "./committer.ts";
import type { Delivery } from "./delivery.ts";
import { describeDivergence } from "./divergence.ts";
import { endOf } from "./ending.ts";
import type { End } from "./ending.ts";
import { toRecord } from "./failure.ts";
import { Journal } from "./journal.ts";
import type { Over, OutcomeDraft } from "./journal.ts";
import { outcomeOfMessage } from "./inbox.ts";
import { startOf } from "./load.ts";
import type { Loaded } from "./load.ts";
import { operationsOf } from "./operations.ts";
import { outcomeFor } from "./outcome.ts";
import type { OutcomeEvent } from "./recall.ts";
import { RecallCursor } from "./recall-cursor.ts";
import { onlyWaits, suspension } from "./rest.ts";
import { StepRunner } from "./step-runner.ts";
import { beginWait } from "./waits.ts";
import type { WaitSurroundings } from "./waits.ts";
import type { Encoded } from "./value.ts";
import { fromValue } from "./value.ts";

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
  /** Messages were sent to other runs, or runs created; some may be this very process's to see to. */
  sent(messages: readonly Message[]): void;
};

/** How long a run that cannot be read for now is left alone. */
const unreadMs = 1000;

export class Activation {
  readonly run: string;
  readonly over: Promise<Over>;
  readonly #resolveOver: (over: Over) => void;
  readonly #with: Surroundings;
  readonly #workflow: Workflow;
  readonly #loaded: Loaded;
  readonly #cursor: RecallCursor;
  readonly #waits: WaitSurroundings;
  readonly #asks: Asks;
  readonly #journal: Journal;
  readonly #steps: StepRunner;
  readonly #abort = new AbortController();
  readonly operations: Operations;
  #phase: "recall" | "live" | "ending" | "releasing" | "over" = "recall";
  #body: RunningBody | undefined;
  #end: End | undefined;
  #held: Ask[] = [];
  /** Scopes that lost a race. */
  #lost = new Set<string>();
  #ignored = false;
  /** Committed outcomes on their way to the body. */
  #queue: { ask: Ask; event: OutcomeEvent; texts: ReadonlyMap<Digest, string> }[] = [];
  #turnDue = false;
  #quietTimer: (() => void) | undefined;
  #stallTimer: (() => void) | undefined;
  #draining = false;
  #lastDelivered: { seq: Seq; at: number };
  /** Messages that came before the run was live. */
  #mail: { messages: readonly Received[]; texts: ReadonlyMap<Digest, string> };
  /** A checkpoint that was asked for in recall. */
  #heldCheckpoint: (() => void) | undefined;

  constructor(row: RunRow, workflow: Workflow, loaded: Loaded, surroundings: Surroundings) {
    const { promise, resolve } = Promise.withResolvers<Over>();
    [this.over, this.#resolveOver] = [promise, resolve];
    this.run = row.id;
    this.#with = surroundings;
    this.#workflow = workflow;
    this.#loaded = loaded;
    this.#cursor = new RecallCursor(loaded.recall, loaded.outcomes, surroundings.delivery.afterAsks);
    this.#asks = new Asks(loaded.recall);
    this.#journal = new Journal(row, loaded, {
      ...surroundings,
      outcome: (ask, event, texts) => {
        this.#queue.push({ ask, event, texts });
        this.#wake();
      },
      flushed: () => this.#wake(),
      over: (over) => this.#finish(over),
    });
    this.#lastDelivered = { seq: loaded.start.seq, at: loaded.start.at };
    this.#mail = { messages: loaded.inbox, texts: loaded.inboxTexts };
    const common = {
      clock: guarded(surroundings.clock, (error) => this.fault(error)),
      append: (draft: Draft, extra?: Extra) => this.#journal.append(draft, extra),
      recordOutcome: (ask: Ask, draft: OutcomeDraft, extra?: Extra) => this.#journal.recordOutcome(ask, draft, extra),
      firstRef: (ask: Ask) => this.#journal.firstRef(ask),
      isOver: () => this.#phase === "over",
    };
    this.#waits = { ...common, now: loaded.now };
    this.#steps = new StepRunner({
      ...common,
      log: surroundings.log,
      hold: () => surroundings.hold(),
      mayBegin: () => this.#phase === "live" && !this.#draining,
      line: row.id,
      afterCommit: (seq, call) => this.#journal.afterCommit(seq, call),
      changed: () => this.#wake(),
      fault: (error) => this.fault(error),
    });
    this.operations = operationsOf({
      seed: loaded.created.data.seed,
      ask: (place, input, work, resolveAsk) => this.#ask(place, input, work, resolveAsk),
      open: (scope, name) => this.#asks.openScope(scope, name),
      close: (scope, kind, causes) => this.#close(scope, kind, causes),
      withdraw: (scope) => this.#withdrawScope(scope),
      emit: (value) => {
        if (this.#phase === "live") this.#journal.emit(value);
      },
      checkpoint: (causes, state) => this.#checkpoint(causes, state),
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
      ...startOf(this.#loaded),
    };
    texts.clear();
    // With nothing to recall the body is live from its first line, and what it logs and emits there is heard.
    if (this.#loaded.recall.asks === 0) this.#goLive();
    this.#body = this.#workflow.body(this.operations, info);
    this.#body.done.then(
      (value) => this.#bodyEnded({ ok: true, value }),
      (error: unknown) => this.#bodyEnded({ ok: false, error }),
    );
    this.#wake();
  }

  /** When the run was lost although this worker still holds it: what gives it back. */
  get handBack(): Commit | undefined {
    return this.#journal.handBack;
  }

  /** Messages have come; those that answer an open ask become its outcome. */
  receive(messages: readonly Received[], texts: ReadonlyMap<Digest, string>): void {
    if (this.#phase === "recall") this.#mail = { messages, texts };
    else if (this.#phase === "live") this.#takeIn(messages, texts);
  }

  /** Seq of the last event, behind which nothing is known here. */
  get head(): Seq {
    return this.#journal.head;
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
    this.#draining = true;
    this.#wake();
  }

  cut(pauseMs = 0): void {
    if (this.#phase === "over" || this.#journal.releasing) return;
    if (this.#phase === "recall") this.#journal.rollBack();
    this.#steps.abortAll();
    this.#giveBack({ dueAt: this.#loaded.now() + pauseMs, force: true }, "drained");
  }

  /** The history cannot be read or continued: the run is suspended and says why, instead of being tried for ever. */
  fault(error: unknown): void {
    if (this.#phase === "over" || this.#journal.releasing) return;
    this.#with.log.error("A run cannot go on", { run: this.run, error: String(error) });
    // What is on record could not be read for now.
    if (this.#phase === "recall" && isStemmaError(error) && error.retryable) return this.cut(unreadMs);
    const detail = toRecord(error) as unknown as Json;
    this.#setAside({ reason: "corrupt", detail }, null, "suspended");
  }

  // ---- asks ----------------------------------------------------------------------------------------------------

  #ask(
    place: { scope: string; name: string; causes: readonly Seq[] },
    input: Encoded | undefined,
    work: Ask["work"],
    resolve: (outcome: Outcome) => void,
  ): void {
    if (this.#phase === "over" || this.#phase === "ending" || this.#phase === "releasing") return this.#ignore(place);
    // A branch that lost its race may be in the middle of its own code; what it asks for now is not wanted any more.
    if (this.#isLost(place.scope)) return;
    const ask = this.#asks.make(place, input, this.#lastDelivered.seq, work, resolve);
    const { recorded } = ask;
    if (recorded !== undefined) {
      this.#journal.spelledAt(ask.causes, recorded);
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

  #takeIn(messages: readonly Received[], texts: ReadonlyMap<Digest, string>): void {
    for (const message of messages) {
      if (message.number <= this.#journal.inbox) continue;
      this.#journal.takenIn(message.number);
      const found = outcomeOfMessage(message, texts, (key) => this.#asks.waiting(key));
      if (found === undefined) {
        const { kind, key } = message;
        this.#with.log.warn("A message answers nothing that is open", { run: this.run, kind, key });
      } else this.#journal.recordOutcome(found.ask, found.draft, found.extra);
    }
  }

  #begin(ask: Ask): void {
    if (ask.withdrawn !== undefined || this.#draining) return;
    ask.stage = "begun";
    const { work } = ask;
    if (work.kind === "step") this.#steps.begin(ask);
    else if (work.kind === "wait") beginWait(ask, work.ask, this.#waits);
    else
      beginCall(
        ask,
        work.ask,
        { run: this.run, state: this.#journal.state, head: () => this.#journal.head },
        this.#waits,
      );
  }

  // ---- events --------------------------------------------------------------------------------------------------

  #close(scope: string, kind: "scope" | "map" | "all" | "race", causes: readonly Seq[]): Seq {
    const { closed } = this.#loaded.recall;
    const known = closed.get(scope);
    // A path is opened once, and so it is closed once.
    closed.delete(scope);
    if (known !== undefined) return known;
    // Code that nobody awaited may still be on its way when the run has ended; it adds nothing to the record.
    if (this.#phase !== "recall" && this.#phase !== "live") return this.#journal.head;
    return this.#journal.append({ type: "scope.closed", data: { scope, kind }, causes }).seq;
  }

  #checkpoint(causes: readonly Seq[], state: Encoded): Promise<Segment> {
    checkQuiet(this.#asks.open(), this.#heldCheckpoint !== undefined);
    return new Promise((resolve) => {
      const record = (): void =>
        recordCheckpoint(this.#journal, causes, state, (segment, at) => {
          this.#lastDelivered = { seq: segment.seq, at };
          resolve(segment);
        });
      if (this.#phase === "live") record();
      else this.#heldCheckpoint = record;
      this.#wake();
    });
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
      else if (!this.#draining) this.#recallTurn();
      else this.cut();
    } catch (error) {
      this.fault(error);
    }
  }

  #liveTurn(): void {
    for (let left = this.#with.delivery.perTurn; left > 0; left -= 1) {
      const next = this.#phase === "live" ? this.#queue.shift() : undefined;
      if (next === undefined) break;
      this.#deliver(next.ask, next.event, next.texts);
    }
    if (this.#phase === "live" && this.#queue.length > 0) return this.#wake();
    this.#rest();
  }

  #recallTurn(): void {
    this.#stallTimer?.();
    this.#stallTimer = undefined;
    const next = this.#cursor.next();
    if (next === "nothing") return this.#goLive();
    if (next === "reading") return void this.#cursor.arrived().then(() => this.#wake());
    if (next === "not yet") {
      // A body that has ended asks for nothing more, except through branches that it left behind.
      const grace = this.#end === undefined ? this.#with.recallGraceMs : Math.min(this.#with.recallGraceMs, 1000);
      this.#stallTimer = this.#with.clock.after(grace, () => {
        this.#diverged().catch((error: unknown) => this.fault(error));
      });
      return;
    }
    const ask = this.#asks.get(next.event.data.key);
    if (ask !== undefined) this.#deliver(ask, next.event, next.texts, true);
    this.#wake();
  }

  #deliver(ask: Ask, event: OutcomeEvent, texts: ReadonlyMap<Digest, string>, own = false): void {
    ask.stage = "delivered";
    this.#asks.forget(ask);
    const outcome = ask.withdrawn === undefined ? outcomeFor(event, texts, own) : undefined;
    if (outcome === undefined) return;
    this.#lastDelivered = { seq: event.seq, at: event.at };
    ask.resolve(outcome);
  }

  #goLive(): void {
    this.#phase = "live";
    this.#journal.startFlushing();
    const { worker, fingerprint } = this.#with;
    const started = { worker, epoch: this.#loaded.row.epoch, fingerprint };
    this.#journal.append({ type: "run.started", data: started, causes: [this.#journal.head] });
    const held = this.#held;
    this.#held = [];
    if (this.#end === undefined) {
      for (const ask of held) this.#begin(ask);
      this.#takeIn(this.#mail.messages, this.#mail.texts);
      this.#heldCheckpoint?.();
    }
    this.#wake();
  }

  async #diverged(): Promise<void> {
    const detail = await describeDivergence(this.#loaded, this.#held, this.#end !== undefined);
    if (this.#phase !== "recall") return;
    this.#with.log.warn("A run does not fit the code that should continue it", { run: this.run, detail });
    const { fingerprint } = this.#with;
    this.#setAside({ reason: "divergence", detail, fingerprint }, this.#loaded.now(), "divergence");
  }

  /** Suspends a run that this process cannot continue, with the reason, over whatever is committed. */
  #setAside(data: EventOf<"run.suspended">["data"], dueAt: number | null, over: Over): void {
    if (this.#phase === "recall") this.#journal.rollBack();
    this.#steps.abortAll();
    this.#phase = "releasing";
    this.#journal.append({ type: "run.suspended", data, causes: [this.#journal.head] });
    this.#giveBack({ dueAt, force: true }, over);
  }

  // ---- rest, end, release --------------------------------------------------------------------------------------

  /** Nothing to deliver: the run may be at its end, or have only waits left. */
  #rest(): void {
    if (this.#journal.releasing) return;
    if (this.#draining) {
      if (this.#steps.running === 0 && this.#journal.idle) this.cut();
      return;
    }
    if (this.#end !== undefined) return this.#ending(this.#end);
    if (this.#steps.running > 0 || !this.#journal.idle) return;
    const waits = onlyWaits(this.#asks.open());
    if (waits !== undefined) this.#quietTimer = this.#with.clock.after(this.#with.lingerMs, () => this.#suspend(waits));
  }

  #suspend(waits: readonly Ask[]): void {
    this.#quietTimer = undefined;
    const draft = suspension(waits, this.#loaded.now(), this.#with.lingerMs, this.#journal.head);
    if (draft?.type !== "run.suspended") return;
    this.#phase = "releasing";
    this.#journal.append(draft);
    this.#giveBack({ dueAt: draft.data.until ?? null }, "suspended");
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
      for (const ask of this.#asks.open()) this.#withdraw(ask, end.ok ? "not awaited" : "run ended");
    }
    if (this.#steps.running > 0 || this.#journal.releasing) return;
    const { draft, payloads, told } = endOf(end, this.#body?.causes() ?? []);
    const message = endMessage(this.run, this.#journal.state, told);
    this.#journal.append(draft, { payloads, ...(message === undefined ? {} : { send: [message] }) });
    this.#giveBack({ dueAt: null, force: true }, "terminal");
  }

  #giveBack(release: NonNullable<Commit["release"]>, over: Over): void {
    if (this.#phase !== "ending") this.#phase = "releasing";
    this.#journal.release(release, over);
  }

  #withdrawScope(scope: string): void {
    this.#lost.add(scope);
    for (const ask of this.#asks.open()) if (isWithin(ask.identity.scope, scope)) this.#withdraw(ask, "lost race");
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
    if (ask.work.kind === "step") this.#journal.recordOutcome(ask, { type: "step.cancelled", data: { key, reason } });
    else this.#journal.recordOutcome(ask, { type: "wait.withdrawn", data: { key, reason } });
  }

  #finish(over: Over): void {
    if (this.#phase === "over") return;
    this.#phase = "over";
    this.#quietTimer?.();
    this.#stallTimer?.();
    this.#abort.abort();
    this.#steps.abortAll();
    for (const ask of this.#asks.open()) ask.stop?.();
    this.#resolveOver(over);
  }
}
