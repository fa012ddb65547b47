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
import type { Digest, EventOf, Seq } from "../core/event.ts";
import { isStemmaError } from "../core/error.ts";
import { pathOf } from "../core/identity.ts";
import type { Commit, Received, RunRow } from "../store/store.ts";
import type { Json } from "../core/json.ts";
import type { Ask } from "./ask.ts";
import type { Operations, Outcome, RunningBody, Segment, Workflow } from "./body.ts";
import { endMessage } from "./children.ts";
import { describeDivergence } from "./divergence.ts";
import { cancelled, endOf, isCancel, recordable, timedOut } from "./ending.ts";
import type { End, Stopped } from "./ending.ts";
import { toRecord } from "./failure.ts";
import type { Over } from "./journal.ts";
import type { Mail } from "./inbox.ts";
import { runInfo } from "./load.ts";
import type { Loaded } from "./load.ts";
import type { PauseMessage } from "./messages.ts";
import { operationsOf } from "./operations.ts";
import type { Parts, Phase } from "./parts.ts";
import { assemble } from "./parts.ts";
import type { PauseKind } from "./pausing.ts";
import { holdsBack, saidTooLate, takePause } from "./pausing.ts";
import { outcomeFor } from "./outcome.ts";
import type { OutcomeEvent } from "./recall.ts";
import { inFlight, lookAgainAt, restful, suspension, suspensionBeforeEnd } from "./rest.ts";
import type { Surroundings } from "./surroundings.ts";
import type { EncodedState } from "./state.ts";
import { atTime } from "./timer.ts";
import type { Encoded } from "./value.ts";

/** How long a run that cannot be read for now is left alone. */
const unreadMs = 1000;

export class Activation {
  readonly run: string;
  readonly over: Promise<Over>;
  readonly #resolveOver: (over: Over) => void;
  readonly #with: Surroundings;
  readonly #parts: Parts;
  readonly #workflow: Workflow;
  readonly #loaded: Loaded;
  readonly #abort = new AbortController();
  readonly operations: Operations;
  #phase: Phase = "recall";
  #body: RunningBody | undefined;
  #end: End | undefined;
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

  constructor(row: RunRow, workflow: Workflow, loaded: Loaded, surroundings: Surroundings) {
    const { promise, resolve } = Promise.withResolvers<Over>();
    [this.over, this.#resolveOver] = [promise, resolve];
    this.run = row.id;
    this.#workflow = workflow;
    this.#loaded = loaded;
    this.#lastDelivered = { seq: loaded.start.seq, at: loaded.start.at };
    this.#mail = { messages: loaded.inbox, texts: loaded.inboxTexts };
    const parts = assemble(row, workflow.name, loaded, surroundings, {
      phase: () => this.#phase,
      draining: () => this.#draining,
      outcome: (ask, event, texts) => void this.#queue.push({ ask, event, texts }),
      wake: () => this.#wake(),
      finish: (over) => this.#finish(over),
      fault: (error) => this.fault(error),
      stop: (stopped) => this.#stopRun(stopped),
      pause: (kind, request) => this.#pause(kind, request),
    });
    this.#with = { ...surroundings, clock: parts.clock, log: parts.log };
    this.#parts = parts;
    this.operations = operationsOf({
      seed: loaded.created.data.seed,
      ask: (place, input, work, resolveAsk) => this.#ask(place, input, work, resolveAsk),
      open: (scope, name) => this.#parts.asks.openScope(scope, name),
      close: (scope, kind, causes) => this.#close(scope, kind, causes),
      withdraw: (scope) => this.#parts.undertakings.withdrawScope(scope),
      emit: parts.emit,
      set: (tags, causes) => this.#parts.marks.set(tags, causes),
      patched: (name, causes) => this.#parts.marks.patched(name, causes),
      checkpoint: (causes, state) => this.#checkpoint(causes, state),
      now: () => this.#lastDelivered.at,
      live: () => this.#phase !== "recall",
    });
  }

  /** Starts the body, unless the run's time is up or it is poisonous. */
  start(): void {
    const { row, recall, texts } = this.#loaded;
    if (this.#watchDeadline() || this.#wasCancelled()) return;
    if (row.claims > this.#with.poisonAfter) return this.#setPoisonAside(row.claims - 1);
    const info = runInfo(this.#workflow, this.#loaded, this.#abort.signal, this.#with.log);
    texts.clear();
    // The first time the body is live from its first line, and what it logs and emits there is heard; not a second time.
    if (recall.asks === 0 && row.state.startedAt === undefined) this.#goLive();
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
    if (timeoutMs === undefined || this.#parts.journal.state.cancel !== undefined) return false;
    this.#deadline = (this.#parts.journal.state.startedAt ?? now()) + timeoutMs;
    const end = (): void => this.#stopRun(timedOut(this.run, timeoutMs));
    if (now() < this.#deadline) this.#deadlineTimer = atTime(this.#with.clock, now, this.#deadline, end);
    else end();
    return this.#isStopped && this.#phase !== "recall";
  }

  /** Whether somebody asked for the end of the run before it was claimed; then its body is not run for it. */
  #wasCancelled(): boolean {
    const { cancel } = this.#parts.journal.state;
    const asked = (kind: string): boolean => this.#mail.messages.some((message) => message.kind === kind);
    if (cancel !== undefined) this.#stopRun(cancelled(this.run, cancel));
    // What somebody decides may be a success that has to be made up for.
    else if (asked("cancel") && !asked("decide") && !this.#loaded.recall.compensable) this.#takeOver();
    return this.#isStopped && this.#phase !== "recall";
  }

  /**
   * Ends the run whatever its body is at: what is open is taken back, and the body is not heard any more. Where
   * something has to be made up for, the body is recalled first, for it is the body that says how. That somebody wants
   * it to end is on record, so it counts until the end is: also when the body is done, or the run's time is up.
   */
  #stopRun(stopped: Stopped): void {
    if (this.#phase === "releasing" || this.#phase === "over" || this.#parts.journal.releasing) return;
    if ((this.#phase === "ending" || this.#isStopped) && !isCancel(stopped)) return;
    this.#end = { ok: false, stopped };
    if (this.#phase === "recall" && !this.#loaded.recall.compensable) this.#takeOver();
    if (this.#phase !== "recall") this.#abort.abort(stopped.error);
    this.#wake();
  }

  /** Whether the run was ended from outside, whatever its body is at. */
  get #isStopped(): boolean {
    return this.#end !== undefined && "stopped" in this.#end;
  }

  /** Goes on from the record without the body. */
  #takeOver(): void {
    this.#parts.journal.rollBack();
    this.#parts.journal.startFlushing();
    this.#phase = "live";
    this.#parts.inbox.take(this.#mail);
    this.#wake();
  }

  #pause(kind: PauseKind, request: PauseMessage): void {
    if (this.#phase !== "live" || this.#isStopped) return saidTooLate(kind, this.run, this.#with.log);
    const paused = takePause(kind, request, this.#parts);
    this.#parts.undertakings.paused = paused;
    if (!paused && this.#end === undefined) this.#parts.undertakings.release();
    this.#wake();
  }

  /** When the run was lost although this worker still holds it: what gives it back. */
  get handBack(): Commit | undefined {
    return this.#parts.journal.handBack;
  }

  /** Whether the run is further than when it was claimed. */
  get movedOn(): boolean {
    return this.#parts.journal.movedOn;
  }

  /** Messages have come; those that answer an open ask become its outcome. */
  receive(messages: readonly Received[], texts: ReadonlyMap<Digest, string>): void {
    if (this.#phase !== "recall") return this.#parts.inbox.take({ messages, texts });
    this.#mail = { messages, texts };
    this.#wasCancelled();
  }

  /** Seq of the last event, behind which nothing is known here. */
  get head(): Seq {
    return this.#parts.journal.head;
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
    if (this.#phase === "over" || this.#parts.journal.releasing) return;
    if (this.#phase === "recall") this.#parts.journal.rollBack();
    this.#parts.steps.abortAll();
    this.#giveBack({ dueAt: this.#loaded.now() + pauseMs, force: true }, "drained");
  }

  /** The history cannot be read or continued: the run is suspended and says why, instead of being tried for ever. */
  fault(error: unknown): void {
    if (this.#phase === "over" || this.#parts.journal.releasing) return;
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
    // A run that is stopped recalls what it did, if it has to, and takes nothing on.
    if (this.#phase !== "recall" && (this.#phase !== "live" || this.#isStopped)) return this.#ignore(place);
    // A branch that lost its race may be in the middle of its own code; what it asks for now is not wanted any more.
    if (this.#parts.undertakings.isLost(place.scope)) return;
    const ask = this.#parts.asks.make(place, input, this.#lastDelivered.seq, work, resolve);
    const { recorded } = ask;
    if (recorded !== undefined) {
      this.#parts.journal.spelledAt(ask.causes, recorded);
      ask.begunAt = recorded.opened?.seq ?? recorded.last ?? recorded.first;
    }
    if (recorded?.outcome !== undefined) ask.stage = "recorded";
    else this.#parts.undertakings.begin(ask);
    this.#wake();
  }

  /** Code that goes on after its run has left this process asks in vain; that is said once. */
  #ignore(place: { scope: string; name: string }): void {
    if (this.#ignored) return;
    this.#ignored = true;
    const asked = pathOf(place.scope, place.name);
    this.#with.log.info("Code of a run that is over here asked for more; it gets no answer", { run: this.run, asked });
  }

  // ---- events --------------------------------------------------------------------------------------------------

  #close(scope: string, kind: "scope" | "map" | "all" | "race", causes: readonly Seq[]): Seq {
    const { closed } = this.#loaded.recall;
    const known = closed.get(scope);
    // A path is opened once, and so it is closed once.
    closed.delete(scope);
    if (known !== undefined) return known;
    // Code that nobody awaited may still be on its way when the run has ended; it adds nothing to the record.
    if (this.#phase !== "recall" && this.#phase !== "live") return this.#parts.journal.head;
    return this.#parts.journal.append({ type: "scope.closed", data: { scope, kind }, causes }).seq;
  }

  async #checkpoint(causes: readonly Seq[], state: EncodedState): Promise<Segment> {
    const recorded = this.#parts.checkpoints.ask(causes, state, this.#phase === "live");
    this.#wake();
    const { segment, at } = await recorded;
    for (const part of [this.#parts.asks, this.#parts.marks, this.#parts.compensation]) part.newSegment();
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
      this.fault(error);
    }
  }

  #liveTurn(): void {
    // A run that was ended from outside gives its body nothing more.
    if (this.#isStopped) return this.#rest();
    for (let left = this.#with.delivery.perTurn; left > 0; left -= 1) {
      const next = this.#mayDeliver() ? this.#queue.shift() : undefined;
      if (next === undefined) break;
      this.#deliver(next.ask, next.event, next.texts);
    }
    if (this.#mayDeliver() && this.#queue.length > 0) return this.#wake();
    this.#rest();
  }

  #mayDeliver(): boolean {
    return this.#phase === "live" && !this.#parts.undertakings.paused;
  }

  #recallTurn(): void {
    this.#stallTimer?.();
    this.#stallTimer = undefined;
    const { cursor, asks, compensation } = this.#parts;
    const next = cursor.next();
    if (next === "nothing") return this.#goLive();
    if (next === "reading") return void cursor.arrived().then(() => this.#wake());
    if (next === "not yet") {
      // A body that has ended asks for nothing more, except through branches that it left behind.
      const hasEnded = this.#end !== undefined && !this.#isStopped;
      const grace = hasEnded ? Math.min(this.#with.recallGraceMs, 1000) : this.#with.recallGraceMs;
      const diverged = (): void => void this.#diverged().catch((error: unknown) => this.fault(error));
      this.#stallTimer = this.#with.clock.after(grace, diverged, { kind: "grace" });
      return;
    }
    const ask = asks.get(next.event.data.key);
    if (ask !== undefined) {
      compensation.note(ask, next.event, next.texts);
      this.#deliver(ask, next.event, next.texts, true);
    }
    this.#wake();
  }

  #deliver(ask: Ask, event: OutcomeEvent, texts: ReadonlyMap<Digest, string>, own = false): void {
    ask.stage = "delivered";
    this.#parts.asks.forget(ask);
    const outcome = ask.withdrawn === undefined ? outcomeFor(event, texts, own) : undefined;
    if (outcome === undefined) return;
    this.#lastDelivered = { seq: event.seq, at: event.at };
    ask.resolve(outcome);
  }

  #goLive(): void {
    this.#phase = "live";
    this.#parts.journal.startFlushing();
    const { worker, fingerprint } = this.#with;
    const started = { worker, epoch: this.#loaded.row.epoch, fingerprint };
    if (!this.#parts.undertakings.paused)
      this.#parts.journal.append({ type: "run.started", data: started, causes: [this.#parts.journal.head] });
    // Whether it is to be paused or cancelled is heard before anything new begins.
    this.#parts.undertakings.paused ||= holdsBack(this.#parts.journal.state, this.#mail.messages);
    if (this.#end === undefined) this.#parts.undertakings.release();
    this.#parts.undertakings.paused = this.#parts.journal.state.status === "paused";
    this.#parts.inbox.take(this.#mail);
    if (this.#end === undefined) this.#parts.undertakings.release();
    this.#wake();
  }

  async #diverged(): Promise<void> {
    const detail = await describeDivergence(this.#loaded, this.#parts.undertakings.held, this.#end !== undefined);
    if (this.#phase !== "recall") return;
    this.#with.log.warn("A run does not fit the code that should continue it", { run: this.run, detail });
    const { fingerprint } = this.#with;
    this.#setAside({ reason: "divergence", detail, fingerprint }, this.#loaded.now(), "divergence");
  }

  /** Nobody could hold the run and live; it waits for somebody who looks into it. */
  #setPoisonAside(claims: number): void {
    const detail = { claims, steps: inFlight(this.#loaded.recall) };
    this.#with.log.error("A run is set aside: each worker that claimed it died of it", { run: this.run, detail });
    this.#setAside({ reason: "poison", detail }, null, "suspended");
  }

  /** Suspends a run that this process cannot continue, with the reason, over whatever is committed. */
  #setAside(data: EventOf<"run.suspended">["data"], dueAt: number | null, over: Over): void {
    if (this.#phase === "recall") this.#parts.journal.rollBack();
    this.#parts.steps.abortAll();
    this.#phase = "releasing";
    this.#parts.journal.append({ type: "run.suspended", data, causes: [this.#parts.journal.head] });
    this.#giveBack({ dueAt, force: true }, over);
  }

  // ---- rest, end, release --------------------------------------------------------------------------------------

  /** Nothing to deliver: the run may be at its end, or have only waits left. */
  #rest(): void {
    if (this.#parts.journal.releasing) return;
    if (this.#draining) {
      if (this.#parts.steps.running === 0 && this.#parts.journal.idle) this.cut();
      return;
    }
    // A body that ends while its run is paused is heard again, and ends, when it is not.
    if (this.#end !== undefined && (this.#isStopped || this.#phase === "ending" || !this.#parts.undertakings.paused))
      return this.#ending(this.#end);
    this.#parts.checkpoints.record();
    const waits = restful(this.#parts);
    if (this.#parts.undertakings.paused && waits !== undefined)
      return this.#giveBack({ dueAt: this.#deadline ?? null }, "suspended");
    if (waits === undefined) return;
    this.#quietTimer = this.#with.clock.after(this.#with.lingerMs, () => this.#suspend());
  }

  #suspend(): void {
    this.#quietTimer = undefined;
    // Since the run fell quiet, an attempt may have come due, or an answer may be on its way to the record.
    const waits = restful(this.#parts);
    if (waits === undefined) return this.#wake();
    const draft = suspension(waits, this.#deadline, this.#loaded.now(), this.#with.lingerMs, this.#parts.journal.head);
    if (draft?.type !== "run.suspended") return;
    this.#phase = "releasing";
    this.#parts.journal.append(draft);
    this.#giveBack({ dueAt: draft.data.until ?? null }, "suspended");
  }

  #bodyEnded(end: Parameters<typeof recordable>[0]): void {
    if (this.#phase === "over" || this.#phase === "releasing" || this.#end !== undefined) return;
    this.#end = recordable(end);
    this.#wake();
  }

  /** The body is done: settles what nobody awaits, makes up for what has to be, then records how the run ended. */
  #ending(end: End): void {
    if (this.#phase === "live") {
      this.#phase = "ending";
      this.#parts.undertakings.withdrawAll(end.ok ? "not awaited" : "run ended");
      this.#parts.children.cancelAll("it ends");
    }
    if (this.#parts.steps.running > 0 || this.#parts.inbox.busy || this.#parts.journal.releasing) return;
    if (this.#parts.children.open > 0) return this.#parts.children.busy ? undefined : this.#restBeforeEnd();
    const { compensation, journal } = this.#parts;
    // What succeeds while the run ends is made up for too, once it is on record.
    if (!end.ok && !journal.idle) return;
    if (!end.ok && compensation.next(journal.head)) return this.#restBeforeEnd(compensation.until);
    const { draft, payloads, told } = endOf(end, this.#body?.causes() ?? [], journal.head);
    const message = endMessage(this.run, journal.state, told);
    journal.append(draft, { payloads, ...(message === undefined ? {} : { send: [message] }) });
    // Not by force: what was sent before the end is taken in first, and whoever sent it learns what became of it.
    this.#giveBack({ dueAt: null }, "terminal");
  }

  /**
   * Children that were told to end may take their time, and what makes up for a step may back off before it is tried
   * again (`until`); meanwhile the run does not hold a process.
   */
  #restBeforeEnd(until?: number): void {
    const { journal, steps, children } = this.#parts;
    const { clock, lingerMs } = this.#with;
    if (children.open === 0 && (until === undefined || until - this.#loaded.now() <= lingerMs)) return;
    this.#quietTimer = clock.after(lingerMs, () => {
      if (!journal.idle || journal.releasing || steps.running > 0) return;
      const again = lookAgainAt(journal.state, this.#loaded.now());
      journal.append(suspensionBeforeEnd(until, journal.head));
      this.#giveBack({ dueAt: until ?? again }, "suspended");
    });
  }

  #giveBack(release: NonNullable<Commit["release"]>, over: Over): void {
    if (this.#phase !== "ending") this.#phase = "releasing";
    this.#parts.journal.release(release, over);
  }

  #finish(over: Over): void {
    if (this.#phase === "over") return;
    this.#phase = "over";
    this.#quietTimer?.();
    this.#stallTimer?.();
    this.#deadlineTimer?.();
    this.#abort.abort();
    this.#parts.steps.abortAll();
    for (const ask of this.#parts.asks.open()) ask.stop?.();
    this.#resolveOver(over);
  }
}
