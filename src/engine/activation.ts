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
import type { StemmaError } from "../core/error.ts";
import { pathOf } from "../core/identity.ts";
import type { Commit, Emitted, Received, RunRow } from "../store/store.ts";
import type { Json } from "../core/json.ts";
import type { Extra } from "./appender.ts";
import type { Ask } from "./ask.ts";
import { Asks, isWithin, isWithinAny } from "./ask.ts";
import type { Operations, Outcome, RunningBody, Segment, Workflow } from "./body.ts";
import { beginCall, endMessage } from "./calls.ts";
import { Checkpoints } from "./checkpoints.ts";
import { guarded } from "./clock.ts";
import type { Clock } from "./clock.ts";
import { describeDivergence } from "./divergence.ts";
import { endOf, timedOut } from "./ending.ts";
import type { End, Stopped } from "./ending.ts";
import { toRecord } from "./failure.ts";
import { Journal } from "./journal.ts";
import type { Over, OutcomeDraft } from "./journal.ts";
import type { Mail } from "./inbox.ts";
import { takeIn } from "./inbox.ts";
import { runInfo } from "./load.ts";
import type { Loaded } from "./load.ts";
import { labelled } from "./log.ts";
import { Marks } from "./marks.ts";
import { operationsOf } from "./operations.ts";
import { outcomeFor } from "./outcome.ts";
import type { OutcomeEvent, Recorded } from "./recall.ts";
import { RecallCursor } from "./recall-cursor.ts";
import { onlyWaits, suspension } from "./rest.ts";
import { StepRunner } from "./step-runner.ts";
import type { Surroundings } from "./surroundings.ts";
import { atTime } from "./timer.ts";
import { beginWait } from "./waits.ts";
import type { WaitSurroundings } from "./waits.ts";
import type { Encoded } from "./value.ts";

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
  /** A recorded outcome that is due and still being read. */
  #due: Recorded | undefined;
  readonly #waits: WaitSurroundings;
  readonly #marks: Marks;
  readonly #asks: Asks;
  readonly #journal: Journal;
  readonly #checkpoints: Checkpoints;
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
  #mail: Mail;
  /** When the run's own time is up. */
  #deadline: number | undefined;
  #deadlineTimer: (() => void) | undefined;
  readonly #clock: Clock;

  constructor(row: RunRow, workflow: Workflow, loaded: Loaded, surroundings: Surroundings) {
    const { promise, resolve } = Promise.withResolvers<Over>();
    [this.over, this.#resolveOver] = [promise, resolve];
    this.run = row.id;
    const log = labelled(surroundings.log, { run: row.id, workflow: workflow.name });
    this.#with = { ...surroundings, log };
    this.#workflow = workflow;
    this.#loaded = loaded;
    this.#cursor = new RecallCursor(loaded.recall, surroundings.delivery.afterAsks);
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
    this.#checkpoints = new Checkpoints(this.#journal, () => this.#asks.open());
    this.#lastDelivered = { seq: loaded.start.seq, at: loaded.start.at };
    this.#mail = { messages: loaded.inbox, texts: loaded.inboxTexts };
    this.#clock = guarded(surroundings.clock, (error) => this.fault(error));
    const common = {
      clock: this.#clock,
      append: (draft: Draft, extra?: Extra) => this.#journal.append(draft, extra),
      recordOutcome: (ask: Ask, draft: OutcomeDraft, extra?: Extra) => this.#journal.recordOutcome(ask, draft, extra),
      firstRef: (ask: Ask) => this.#journal.firstRef(ask),
      isOver: () => this.#phase === "over",
    };
    const emit = (value: Emitted): void => {
      if (this.#phase === "live" || this.#phase === "ending") this.#journal.emit(value);
    };
    this.#waits = { ...common, now: loaded.now };
    this.#marks = new Marks(loaded.recall, row.state, {
      append: common.append,
      phase: () => this.#phase,
      allRecalled: () => this.#cursor.atEnd(),
    });
    this.#steps = new StepRunner({
      ...common,
      log,
      resumed: row.state.startedAt !== undefined,
      emit,
      now: loaded.now,
      run: row.id,
      cautious: row.claims > 1,
      abortGraceMs: surroundings.abortGraceMs,
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
      emit,
      set: (tags, causes) => this.#marks.set(tags, causes),
      patched: (name, causes) => this.#marks.patched(name, causes),
      checkpoint: (causes, state) => this.#checkpoint(causes, state),
      now: () => this.#lastDelivered.at,
      live: () => this.#phase !== "recall",
    });
  }

  /** Starts the body, unless the run's time is up or it is poisonous. */
  start(): void {
    const { row, recall, texts } = this.#loaded;
    if (this.#watchDeadline()) return;
    if (row.claims > this.#with.poisonAfter) return this.#setPoisonAside(row.claims - 1);
    const info = runInfo(this.#workflow, this.#loaded, this.#abort.signal, this.#with.log);
    texts.clear();
    // The first time the body is live from its first line, and what it logs and emits there is heard; not a second time.
    if (recall.asks.length === 0 && row.state.startedAt === undefined) this.#goLive();
    this.#body = this.#workflow.body(this.operations, info);
    this.#body.done.then(
      (value) => this.#bodyEnded({ ok: true, value }),
      (error: unknown) => this.#bodyEnded({ ok: false, error }),
    );
    this.#wake();
  }

  /** Sees to it that the run ends when its time is up; true when that is so already. */
  #watchDeadline(): boolean {
    const { now, created } = this.#loaded;
    const { timeoutMs } = created.data;
    if (timeoutMs === undefined) return false;
    this.#deadline = (this.#journal.state.startedAt ?? now()) + timeoutMs;
    const end = (): void => this.#stopRun(timedOut(this.run, timeoutMs));
    if (now() < this.#deadline) this.#deadlineTimer = atTime(this.#clock, now, this.#deadline, end);
    else end();
    return this.#end !== undefined;
  }

  /** Ends the run whatever its body is at: what is open is taken back, and the body is not heard any more. */
  #stopRun(stopped: Stopped): void {
    if ((this.#phase !== "recall" && this.#phase !== "live") || this.#journal.releasing) return;
    this.#end = { ok: false, stopped };
    if (this.#phase === "recall") {
      this.#journal.rollBack();
      this.#journal.startFlushing();
      this.#phase = "live";
    }
    this.#abort.abort(stopped.error);
    this.#wake();
  }

  /** When the run was lost although this worker still holds it: what gives it back. */
  get handBack(): Commit | undefined {
    return this.#journal.handBack;
  }

  /** Whether the run is further than when it was claimed. */
  get movedOn(): boolean {
    return this.#journal.movedOn;
  }

  /** Messages have come; those that answer an open ask become its outcome. */
  receive(messages: readonly Received[], texts: ReadonlyMap<Digest, string>): void {
    if (this.#phase === "recall") this.#mail = { messages, texts };
    else if (this.#phase === "live") this.#takeIn({ messages, texts });
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

  cut(): void {
    if (this.#phase === "over" || this.#journal.releasing) return;
    if (this.#phase === "recall") this.#journal.rollBack();
    this.#steps.abortAll();
    this.#giveBack({ dueAt: this.#loaded.now(), force: true }, "drained");
  }

  /** The history cannot be read or continued: the run is suspended and says why, instead of being tried for ever. */
  fault(error: unknown): void {
    if (this.#phase === "over" || this.#journal.releasing) return;
    this.#with.log.error("A run cannot go on", { run: this.run, error: String(error) });
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
    if (isWithinAny(place.scope, this.#lost)) return;
    const ask = this.#asks.make(place, input, this.#lastDelivered.seq, work, resolve);
    const { recorded } = ask;
    if (recorded !== undefined) {
      this.#journal.spelledAt(ask.causes, recorded);
      ask.begunAt = recorded.opened?.seq ?? recorded.last ?? recorded.first;
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

  #takeIn(mail: Mail): void {
    takeIn(mail, this.#journal, (key) => this.#asks.waiting(key), this.#with.log, this.run);
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

  async #checkpoint(causes: readonly Seq[], state: Encoded): Promise<Segment> {
    const recorded = this.#checkpoints.ask(causes, state, this.#phase === "live");
    this.#wake();
    const { segment, at } = await recorded;
    this.#marks.newSegment();
    this.#lastDelivered = { seq: segment.seq, at };
    return segment;
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
      if (this.#phase === "recall" && isStemmaError(error) && error.retryable) this.#unread(error);
      else this.fault(error);
    }
  }

  /** What is recorded cannot be read for now: the run is given back, to be tried again. */
  #unread(error: StemmaError): void {
    this.#with.log.error("A run cannot be read", { run: this.run, error: String(error) });
    this.#journal.rollBack();
    this.#giveBack({ dueAt: this.#loaded.now() + unreadMs, force: true }, "drained");
  }

  #liveTurn(): void {
    // A run that was ended from outside gives its body nothing more.
    if (this.#end !== undefined && "stopped" in this.#end) return this.#rest();
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
    const due = this.#due ?? this.#cursor.next();
    if (due === "nothing") return this.#goLive();
    if (due === "not yet") {
      // A body that has ended asks for nothing more, except through branches that it left behind.
      const grace = this.#end === undefined ? this.#with.recallGraceMs : Math.min(this.#with.recallGraceMs, 1000);
      const diverged = (): void => void this.#diverged().catch((error: unknown) => this.fault(error));
      this.#stallTimer = this.#with.clock.after(grace, diverged, { kind: "grace" });
      return;
    }
    this.#deliverRecorded(due);
  }

  #deliverRecorded(due: Recorded): void {
    const { outcomes } = this.#loaded;
    const outcome = outcomes.take();
    this.#due = outcome === undefined ? due : undefined;
    if (outcome === undefined) return void outcomes.arrived().then(() => this.#wake());
    const ask = this.#asks.get(due);
    if (ask !== undefined) this.#deliver(ask, outcome.event, outcome.texts);
    this.#wake();
  }

  #deliver(ask: Ask, event: OutcomeEvent, texts: ReadonlyMap<Digest, string>): void {
    ask.stage = "delivered";
    this.#asks.forget(ask);
    const outcome = ask.withdrawn === undefined ? outcomeFor(event, texts) : undefined;
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
      this.#takeIn(this.#mail);
      this.#checkpoints.goLive();
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

  /** Nobody could hold the run and live; it waits for somebody who looks into it. */
  #setPoisonAside(claims: number): void {
    const running = this.#loaded.recall.asks.filter((ask) => ask?.started !== undefined && ask.outcome === undefined);
    const detail = { claims, steps: running.map((ask) => ask?.key ?? "") };
    this.#with.log.error("A run is set aside: each worker that claimed it died of it", { run: this.run, detail });
    this.#setAside({ reason: "poison", detail }, null, "suspended");
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
    const draft = suspension(waits, this.#deadline, this.#loaded.now(), this.#with.lingerMs, this.#journal.head);
    if (draft?.type !== "run.suspended") return;
    this.#phase = "releasing";
    this.#journal.append(draft);
    this.#giveBack({ dueAt: draft.data.until ?? null }, "suspended");
  }

  #bodyEnded(end: End): void {
    if (this.#phase === "over" || this.#phase === "releasing" || this.#end !== undefined) return;
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
    const { draft, payloads, told } = endOf(end, this.#body?.causes() ?? [], this.#journal.head);
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
    if (ask.work.kind === "step" && this.#steps.withdraw(ask)) return;
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
    this.#deadlineTimer?.();
    this.#abort.abort();
    this.#steps.abortAll();
    for (const ask of this.#asks.open()) ask.stop?.();
    this.#resolveOver(over);
  }
}
