/**
 * One run in the hands of one worker, from its claim until it is given back.
 *
 *     recall ──▶ live ──▶ ending ──▶ over
 *        │         └────▶ suspending ──▶ over   (only waits are left)
 *        └──▶ over          resting ──▶ live     (kept in memory, and claimed again before anything else happened)
 *
 * In *recall* the body runs from its start; what the history knows is delivered to it in order, and nothing is
 * executed: asks that are not on record are held back. When everything recorded has been asked for, the run goes
 * *live*: held-back asks begin, and from now on outcomes come from commits. When the body ends, what nobody awaits is
 * aborted and settled (*ending*), and then the run's end is recorded. An activation that loses its run is dropped: its
 * promises never settle, so no `catch` or `finally` of the body runs on its behalf.
 */
import type { Digest, Seq } from "../core/event.ts";
import { isStemmaError } from "../core/error.ts";
import { pathOf } from "../core/identity.ts";
import type { Commit, Received, RunRow } from "../store/store.ts";
import type { Json } from "../core/json.ts";
import type { Ask } from "./ask.ts";
import type { Operations, Outcome, RunningBody, Segment, Workflow } from "./body.ts";
import type { Course } from "./course.ts";
import { isStopped } from "./course.ts";
import { Departure } from "./departure.ts";
import { cancelled, isCancel, recordable, timedOut } from "./ending.ts";
import type { Stopped } from "./ending.ts";
import { toRecord } from "./failure.ts";
import { GivenOutcomes } from "./given-outcomes.ts";
import type { Over } from "./journal.ts";
import type { Mail } from "./inbox.ts";
import { runInfo } from "./load.ts";
import type { Loaded } from "./load.ts";
import type { PauseMessage } from "./messages.ts";
import { operationsOf } from "./operations.ts";
import type { Parts } from "./parts.ts";
import { assemble } from "./parts.ts";
import type { PauseKind } from "./pausing.ts";
import { holdsBack, saidTooLate, takePause } from "./pausing.ts";
import { Recalling } from "./recalling.ts";
import { InBulk, notDataflow } from "./in-bulk.ts";
import { inFlight } from "./rest.ts";
import type { Surroundings } from "./surroundings.ts";
import type { EncodedState } from "./state.ts";
import { atTime } from "./timer.ts";
import type { Encoded } from "./value.ts";

/** How long a run that cannot be read for now is left alone. */
const unreadMs = 1000;

export class Activation {
  readonly run: string;
  #over: PromiseWithResolvers<Over> = Promise.withResolvers<Over>();
  readonly #with: Surroundings;
  readonly #parts: Parts;
  readonly #workflow: Workflow;
  readonly #loaded: Loaded;
  readonly #abort = new AbortController();
  readonly operations: Operations;
  readonly #course: Course;
  readonly #given: GivenOutcomes;
  readonly #recalling: Recalling;
  readonly #inBulk: InBulk;
  readonly #departure: Departure;
  #body: RunningBody | undefined;
  #ignored = false;
  #turnDue = false;
  /** Messages that came before the run was live. */
  #mail: Mail;
  #stopDeadline: (() => void) | undefined;

  constructor(row: RunRow, workflow: Workflow, loaded: Loaded, surroundings: Surroundings) {
    this.run = row.id;
    this.#workflow = workflow;
    this.#loaded = loaded;
    const delivered = { seq: loaded.start.seq, at: loaded.start.at };
    this.#course = { phase: "recall", end: undefined, draining: false, deadline: undefined, warm: false, delivered };
    this.#mail = { messages: loaded.inbox, texts: loaded.inboxTexts };
    const parts = assemble(row, workflow, loaded, surroundings, {
      phase: () => this.#course.phase,
      draining: () => this.#course.draining,
      outcome: (ask, event, texts) => this.#given.add(ask, event, texts),
      wake: () => this.#wake(),
      finish: (over) => this.#finish(over),
      fault: (error) => this.fault(error),
      stop: (stopped) => this.#stopRun(stopped),
      pause: (kind, request) => this.#pause(kind, request),
    });
    this.#with = { ...surroundings, clock: parts.clock, log: parts.log };
    this.#parts = parts;
    this.#given = new GivenOutcomes(parts, this.#course);
    this.operations = operationsOf({
      seed: loaded.created.data.seed,
      ask: (place, input, work, resolve) => this.#ask(place, input, work, resolve),
      again: (...asked) => this.#inBulk.take(...asked),
      open: (scope, name) => parts.asks.openScope(scope, name),
      close: (scope, kind, causes) => this.#close(scope, kind, causes),
      withdraw: (scope) => parts.undertakings.withdrawScope(scope),
      emit: parts.emit,
      set: (tags, causes) => parts.marks.set(tags, causes),
      patched: (name, causes) => parts.marks.patched(name, causes),
      checkpoint: (causes, state, carryWaits) => this.#checkpoint(causes, state, carryWaits),
      now: () => this.#course.delivered.at,
      live: () => this.#course.phase !== "recall",
      turn: surroundings.clock.turn,
      said: () => this.#leave(),
    });
    const wake = (): void => this.#wake();
    const now = (): number => loaded.now();
    const causes = (): readonly Seq[] => this.#body?.causes() ?? [];
    this.#departure = new Departure(parts, this.#course, { ...this.#with, run: row.id, now, causes, wake });
    this.#inBulk = new InBulk(workflow, loaded, parts, this.#course, { ...surroundings, wake });
    this.#recalling = new Recalling(loaded, parts, this.#course, {
      ...this.#with,
      wake,
      deliver: (ask, event, texts) => this.#given.give(ask, event, texts, true),
      deliverEarly: () => this.#given.giveEarly(),
      goLive: () => this.#goLive(),
      inBulk: this.#inBulk,
      misfit: workflow.misfit,
      diverged: (detail) => {
        const { fingerprint } = surroundings;
        this.#departure.setAside({ reason: "divergence", detail, fingerprint }, now(), "divergence");
      },
      fault: (error) => this.fault(error),
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

  /**
   * Takes up the run where it came to rest, which needs no recall; false where that is not where it stands, because
   * somebody else held it since, or because its body went on: then it is over here.
   */
  resume(row: RunRow, mail: Mail): boolean {
    const { journal, inbox, asks, undertakings } = this.#parts;
    if (this.#course.phase !== "resting" || !journal.reopen(row)) {
      this.drop();
      return false;
    }
    this.#over = Promise.withResolvers<Over>();
    this.#mail = mail;
    inbox.reopen();
    if (this.#isForCancelOnly()) this.#takeOver();
    else this.#goLive();
    for (const ask of asks.open()) undertakings.takeUp(ask);
    this.#watchDeadline();
    return true;
  }

  /** Resolves when the run is not in the hands of this activation any more. */
  get over(): Promise<Over> {
    return this.#over.promise;
  }

  /** Whether it is over, and could be taken up again. */
  get isResting(): boolean {
    return this.#course.phase === "resting";
  }

  /** Sees to it that the run ends when its time is up; true when that is so already. */
  #watchDeadline(): boolean {
    const { now, created } = this.#loaded;
    const { timeoutMs } = created.data;
    if (timeoutMs === undefined || this.#parts.journal.state.cancel !== undefined) return false;
    this.#course.deadline = (this.#parts.journal.state.startedAt ?? now()) + timeoutMs;
    const end = (): void => this.#stopRun(timedOut(this.run, timeoutMs));
    if (now() < this.#course.deadline) this.#stopDeadline = atTime(this.#with.clock, now, this.#course.deadline, end);
    else end();
    return isStopped(this.#course) && this.#course.phase !== "recall";
  }

  /** Whether somebody asked for the end of the run before it was claimed; then its body is not run for it. */
  #wasCancelled(): boolean {
    const { cancel } = this.#parts.journal.state;
    if (cancel !== undefined) this.#stopRun(cancelled(this.run, cancel));
    else if (this.#isForCancelOnly()) this.#takeOver();
    return isStopped(this.#course) && this.#course.phase !== "recall";
  }

  /** Whether all there is to do is to cancel the run: what somebody decides may be a success that has to be made up for. */
  #isForCancelOnly(): boolean {
    const asked = (kind: string): boolean => this.#mail.messages.some((message) => message.kind === kind);
    const compensable = this.#loaded.recall.compensable || this.#parts.compensation.isDue;
    return asked("cancel") && !asked("decide") && !compensable;
  }

  /**
   * Ends the run whatever its body is at: what is open is taken back, and the body is not heard any more. Where
   * something has to be made up for, the body is recalled first, for it is the body that says how. That somebody wants
   * it to end is on record, so it counts until the end is: also when the body is done, or the run's time is up.
   */
  #stopRun(stopped: Stopped): void {
    if (this.#course.phase === "releasing" || this.#isOut || this.#parts.journal.releasing) return;
    if ((this.#course.phase === "ending" || isStopped(this.#course)) && !isCancel(stopped)) return;
    this.#course.end = { ok: false, stopped };
    if (this.#course.phase === "recall" && !this.#loaded.recall.compensable) this.#takeOver();
    if (this.#course.phase !== "recall") this.#abort.abort(stopped.error);
    this.#wake();
  }

  /** Goes on from the record without the body. */
  #takeOver(): void {
    if (this.#course.phase === "recall") this.#parts.journal.rollBack();
    this.#parts.journal.startFlushing();
    this.#course.phase = "live";
    this.#parts.inbox.take(this.#mail);
    this.#wake();
  }

  #pause(kind: PauseKind, request: PauseMessage): void {
    if (this.#course.phase !== "live" || isStopped(this.#course)) return saidTooLate(kind, this.run, this.#with.log);
    const paused = takePause(kind, request, this.#parts);
    this.#parts.undertakings.paused = paused;
    if (!paused && this.#course.end === undefined) this.#parts.undertakings.release();
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
    if (this.#course.phase !== "recall") return this.#parts.inbox.take({ messages, texts });
    this.#mail = { messages, texts };
    this.#wasCancelled();
  }

  /** Seq of the last event, behind which nothing is known here. */
  get head(): Seq {
    return this.#parts.journal.head;
  }

  /** Lets go of the run without recording anything more: somebody else has it, or nobody will. */
  drop(): void {
    if (this.#course.phase === "over") return;
    this.#finish("lost");
  }

  /**
   * Hands the run back: nothing new begins, what is running may finish, then the run is released. Resolves with
   * `over`. After `cut()` running attempts are aborted and not waited for.
   */
  drain(): void {
    this.#course.draining = true;
    this.#wake();
  }

  cut(pauseMs = 0): void {
    this.#departure.cut(pauseMs);
  }

  /** The history cannot be read or continued: the run is suspended and says why, instead of being tried for ever. */
  fault(error: unknown): void {
    if (this.#isOut) return this.drop();
    if (this.#parts.journal.releasing) return;
    this.#with.log.error("A run cannot go on", { run: this.run, error: String(error) });
    // What is on record could not be read for now.
    if (this.#course.phase === "recall" && isStemmaError(error) && error.retryable) return this.cut(unreadMs);
    const detail = toRecord(error) as unknown as Json;
    this.#departure.setAside({ reason: "corrupt", detail }, null, "suspended");
  }

  // ---- asks ----------------------------------------------------------------------------------------------------

  #ask(
    place: { scope: string; name: string; causes: readonly Seq[] },
    input: Encoded | undefined,
    work: Ask["work"],
    resolve: (outcome: Outcome) => void,
  ): void {
    // A run that is stopped recalls what it did, if it has to, and takes nothing on.
    if (this.#course.phase !== "recall" && (this.#course.phase !== "live" || isStopped(this.#course)))
      return this.#ignore(place);
    // A branch that lost its race may be in the middle of its own code; what it asks for now is not wanted any more.
    if (this.#parts.undertakings.isLost(place.scope)) return;
    this.#inBulk.check(place.name, input, work);
    const ask = this.#parts.asks.make(place, input, this.#course.delivered.seq, work, resolve);
    if (ask.carried === undefined) this.#parts.undertakings.closeCarried();
    ask.prefix = this.#parts.prefix.current;
    const { recorded } = ask;
    if (recorded !== undefined) {
      this.#parts.journal.spelledAt(ask.causes, recorded);
      ask.begunAt = recorded.opened?.seq ?? recorded.last ?? recorded.first;
      if (ask.carried !== "here") this.#parts.reuse.recalled(ask);
    }
    if (recorded?.outcome !== undefined) ask.stage = "recorded";
    else if (ask.outcome !== undefined) {
      ask.stage = "recorded";
      this.#given.addEarly(ask, ask.outcome);
    } else this.#parts.undertakings.begin(ask);
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
    if (this.#course.phase !== "recall" && this.#course.phase !== "live") return this.#parts.journal.head;
    return this.#parts.journal.append({ type: "scope.closed", data: { scope, kind }, causes }).seq;
  }

  async #checkpoint(causes: readonly Seq[], state: EncodedState, carryWaits: boolean): Promise<Segment> {
    if (this.#workflow.dataflow === true) throw notDataflow("checkpoint");
    this.#parts.undertakings.closeCarried();
    const live = this.#course.phase === "live";
    const recorded = this.#parts.checkpoints.ask(causes, state, { live, carryWaits });
    this.#wake();
    const { segment, at } = await recorded;
    for (const part of [this.#parts.asks, this.#parts.marks, this.#parts.compensation]) part.newSegment();
    this.#course.delivered = { seq: segment.seq, at };
    return segment;
  }

  // ---- turns ---------------------------------------------------------------------------------------------------

  /** Whether the run is not in the hands of this activation. */
  get #isOut(): boolean {
    return this.#course.phase === "over" || this.#course.phase === "resting";
  }

  /** Something changed: look again in the next turn, when the microtasks of this one have run. */
  #wake(): void {
    this.#departure.stir();
    if (this.#turnDue || this.#isOut) return;
    this.#turnDue = true;
    this.#with.clock.turn(() => {
      this.#turnDue = false;
      if (!this.#isOut) this.#turn();
    });
  }

  #turn(): void {
    try {
      if (this.#course.phase !== "recall") this.#liveTurn();
      else if (!this.#course.draining) this.#recalling.turn();
      else this.cut();
    } catch (error) {
      this.fault(error);
    }
  }

  #liveTurn(): void {
    this.#parts.inbox.look();
    // A run that was ended from outside gives its body nothing more.
    if (isStopped(this.#course)) return this.#departure.look();
    for (let left = this.#with.delivery.perTurn; left > 0; left -= 1) {
      if (this.#mayDeliver() && this.#given.giveEarly()) continue;
      if (!this.#given.areCommitted && this.#mayReuse()) this.#parts.reuse.turn();
      if (!this.#mayDeliver() || !this.#given.giveNext()) break;
    }
    if (this.#mayDeliver() && this.#given.areLeft) return this.#wake();
    if (this.#mayReuse() && this.#parts.reuse.due) return this.#wake();
    this.#departure.look();
  }

  #mayReuse(): boolean {
    return this.#mayDeliver() && this.#course.end === undefined && !this.#course.draining;
  }

  #mayDeliver(): boolean {
    return this.#course.phase === "live" && !this.#parts.undertakings.paused;
  }

  #goLive(): void {
    this.#course.phase = "live";
    this.#inBulk.forget();
    this.#parts.journal.startFlushing();
    if (this.#with.missed !== undefined && this.#course.end !== undefined) return this.#endNothing();
    const { worker, fingerprint } = this.#with;
    const started = { worker, epoch: this.#parts.journal.epoch, fingerprint };
    if (!this.#parts.undertakings.paused)
      this.#parts.journal.append({ type: "run.started", data: started, causes: [this.#parts.journal.head] });
    // Whether it is to be paused or cancelled is heard before anything new begins.
    this.#parts.undertakings.paused ||= holdsBack(this.#parts.journal.state, this.#mail.messages);
    if (this.#course.end === undefined) this.#parts.undertakings.release();
    this.#parts.undertakings.paused = this.#parts.journal.state.status === "paused";
    this.#parts.inbox.take(this.#mail);
    if (this.#course.end === undefined) this.#parts.undertakings.release();
    this.#wake();
  }

  /** Nobody could hold the run and live; it waits for somebody who looks into it. */
  #setPoisonAside(claims: number): void {
    const detail = { claims, steps: inFlight(this.#loaded.recall) };
    this.#with.log.error("A run is set aside: each worker that claimed it died of it", { run: this.run, detail });
    this.#departure.setAside({ reason: "poison", detail }, null, "suspended");
  }

  // ---- rest, end, release --------------------------------------------------------------------------------------

  #bodyEnded(end: Parameters<typeof recordable>[0]): void {
    this.#leave();
    if (this.#course.phase === "over" || this.#course.phase === "releasing" || this.#course.end !== undefined) return;
    // A body may see by the state it is given that it is not the code of this run.
    if (this.#course.phase === "recall" && !end.ok && isStemmaError(end.error, "run.divergence"))
      return this.#recalling.misfit(end.error);
    if (this.#course.phase === "recall") this.#parts.undertakings.closeCarried();
    this.#course.end = recordable(end);
    // In recall what is on record may not have been asked for, and that comes first.
    if (this.#with.missed !== undefined && this.#course.phase !== "recall") return this.#endNothing();
    this.#wake();
  }

  /** A body that ends may have something made up for, and where nothing is begun, nothing is made up for. */
  #endNothing(): void {
    this.#course.end = undefined;
    this.drain();
  }

  /**
   * Code of the body went on. If its run is at rest, or on its way there, it is not where its record says any more: it
   * will have to be recalled.
   */
  #leave(): void {
    if (this.#course.phase === "releasing") this.#course.warm = false;
    if (this.#course.phase === "resting") this.drop();
  }

  #finish(over: Over): void {
    if (this.#course.phase === "over") return;
    const rests = this.#course.warm && (over === "suspended" || over === "drained");
    this.#course.warm = false;
    this.#course.phase = rests ? "resting" : "over";
    this.#departure.stir();
    this.#recalling.stop();
    this.#stopDeadline?.();
    for (const ask of this.#parts.asks.open()) ask.stop?.();
    if (!rests) {
      this.#abort.abort();
      this.#parts.steps.abortAll();
    }
    this.#over.resolve(over);
  }
}
