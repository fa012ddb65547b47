/**
 * Enters the functions of steps, and settles what comes of them.
 *
 *     begin ──▶ (a place in its group) ──▶ running ──▶ on record
 *       ▲                                     │ failed, and another attempt may help
 *       └────────── backing off ◀─────────────┘
 *
 * A step is never entered while the worker's lease is in question, and a `once` step only after its intent is on
 * record. An attempt that is aborted has a grace to settle in; then it is given up, and what it still comes to is
 * refused, so a function that ignores its signal holds up nothing.
 */
import { StemmaError } from "../core/error.ts";
import type { Draft, Event, EventData, RunId, Seq, StepRef, Timestamp } from "../core/event.ts";
import { decode } from "../core/json.ts";
import type { Emitted } from "../store/store.ts";
import type { Extra } from "./appender.ts";
import type { Ask } from "./ask.ts";
import { attemptLimit, deadlineOf, nextAttempt } from "./attempt.ts";
import type { Log, StepAsk } from "./body.ts";
import type { Clock } from "./clock.ts";
import type { Decision } from "./decision.ts";
import type { Gate, Gates } from "./gate.ts";
import { gateOf, vacate } from "./gate.ts";
import type { OutcomeDraft } from "./journal.ts";
import { failed, inDoubt, returned } from "./step-outcome.ts";
import { toolsOf } from "./step-tools.ts";
import { atTime } from "./timer.ts";
import type { Recorded } from "./recall.ts";
import type { Encoded } from "./value.ts";
import { notDone, verdictOf } from "./verdict.ts";

/** What the activation does for its steps. */
export type StepSurroundings = {
  clock: Clock;
  log: Log;
  /** The store's clock. */
  now(): Timestamp;
  run: RunId;
  /** First run of the restart / fork line, and the calls that lead from it to this run. */
  line: RunId;
  calls: readonly string[];
  /** How often a success of a step was discarded on purpose in the line. */
  generation(ask: Ask): number;
  /** The run was claimed before and did not move on: what it enters is put on record first, so that it can be named. */
  cautious: boolean;
  /** How long an aborted attempt may take to settle, in milliseconds. */
  abortGraceMs: number;
  /** Whether this run was worked on before this activation. */
  resumed: boolean;
  emit(value: Emitted): void;
  hold(): Promise<void> | undefined;
  append(draft: Draft, extra?: Extra): Event;
  /** Gives the seq of the outcome. */
  recordOutcome(ask: Ask, draft: OutcomeDraft, extra?: Extra): Seq;
  firstRef(ask: Ask): StepRef;
  afterCommit(seq: Seq, call: () => void): void;
  isOver(): boolean;
  /** Whether a `once` step may be entered, for all that other runs of its line have done; if not, it is begun anew. */
  admits(ask: Ask): boolean;
  /** Whether this may be entered now; if not, it is held until it may. */
  mayBegin(ask: Ask): boolean;
  holdBack(ask: Ask): void;
  /** What `reconcile` found out. */
  decided(ask: Ask, decision: Decision): void;
  changed(): void;
  /** The run cannot go on. */
  fault(error: unknown): void;
};

/** After this long a running step is put on record, so that people see what is taking time. */
const slowMs = 1000;

type NoteType = "step.started" | "step.attempt_failed" | "step.in_doubt";
type Note = { [T in NoteType]: { type: T; data: EventData[T] } }[NoteType];

/** One attempt. `expired`: its time is up, and it was told so. */
type Attempt = {
  ask: Ask;
  step: StepAsk;
  gate: Gate | undefined;
  stopTimers: (() => void)[];
  onRecord: boolean;
  expired?: StemmaError;
};

export class StepRunner {
  readonly #with: StepSurroundings;
  #running = new Map<Ask, Attempt>();
  readonly #gates: Gates = new WeakMap();
  /** Steps in doubt that are being looked into, and what tells one look from the next. */
  readonly #looking = new Map<Ask, AbortController>();

  constructor(surroundings: StepSurroundings) {
    this.#with = surroundings;
  }

  /** Steps that were entered, or whose intent is being recorded, and are not settled; and those being looked into. */
  get running(): number {
    let looking = 0;
    for (const ask of this.#looking.keys()) if (isOpenDoubt(ask)) looking += 1;
    return this.#running.size + looking;
  }

  /** Enters the step: now, or when its next attempt is due, or as soon as its group has a place. */
  begin(ask: Ask): void {
    if (ask.work.kind !== "step" || ask.withdrawn !== undefined) return;
    if (!this.#with.mayBegin(ask)) return this.#with.holdBack(ask);
    const { recorded } = ask;
    const step = ask.work.ask;
    if (step.effect === "once" && !this.#with.admits(ask)) return;
    if (ask.attempt === undefined) {
      ask.attempt = recorded === undefined ? 0 : Math.max(recorded.attempts ?? 0, recorded.entered ?? 0);
      if (recorded?.retryAt !== undefined) ask.until = recorded.retryAt;
    }
    if (isDoubtful(step, ask, recorded)) return void this.#doubt(ask);
    if (ask.until !== undefined && this.#backOff(ask, ask.until)) return;
    const gate = gateOf(this.#gates, step.group);
    if (gate !== undefined && gate.running >= gate.limit) {
      gate.queue.push(ask);
      return;
    }
    const hold = this.#with.hold();
    if (hold === undefined) this.#enter(ask, step, gate);
    else void hold.then(() => this.begin(ask));
  }

  /** Waits until the next attempt is due; false when it is. */
  #backOff(ask: Ask, until: Timestamp): boolean {
    const { clock, now, isOver } = this.#with;
    if (now() < until) {
      ask.stop = atTime(clock, now, until, () => isOver() || this.begin(ask));
      return true;
    }
    delete ask.until;
    return false;
  }

  #enter(ask: Ask, step: StepAsk, gate: Gate | undefined): void {
    const attempt: Attempt = { ask, step, gate, stopTimers: [], onRecord: false };
    if (gate !== undefined) gate.running += 1;
    ask.attempt = (ask.attempt ?? 0) + 1;
    ask.enteredAt ??= ask.recorded?.firstAt ?? this.#with.now();
    ask.abort = new AbortController();
    this.#running.set(ask, attempt);
    if (step.effect === "once" || step.intent === true || this.#with.cautious) {
      this.#with.afterCommit(this.#recordStart(attempt), () => this.#callHeld(attempt));
      return;
    }
    const slow = this.#with.clock.after(slowMs, () => this.#isRunning(attempt) && this.#recordStart(attempt), {
      background: true,
    });
    attempt.stopTimers.push(() => slow());
    this.#call(attempt);
  }

  #isRunning(attempt: Attempt): boolean {
    return this.#running.get(attempt.ask) === attempt && !this.#with.isOver();
  }

  #recordStart(attempt: Attempt): Seq {
    const { ask, step } = attempt;
    attempt.onRecord = true;
    return this.#note(ask, {
      type: "step.started",
      data: {
        ...(ask.begunAt === undefined ? this.#with.firstRef(ask) : { key: ask.ref.key }),
        attempt: ask.attempt ?? 1,
        ...(step.effect === "once" ? { effect: "once" as const } : {}),
      },
    });
  }

  /** Appends an event about a step that is not its outcome; what comes next is caused by it. */
  #note(ask: Ask, draft: Note, extra?: Extra): Seq {
    const causes = ask.begunAt === undefined ? ask.causes : [ask.begunAt];
    ask.begunAt = this.#with.append({ ...draft, causes }, extra).seq;
    return ask.begunAt;
  }

  /** Calls the function unless the lease went stale while its intent was on its way to the store; then when it is fresh. */
  #callHeld(attempt: Attempt): void {
    if (!this.#isRunning(attempt)) return;
    const { ask } = attempt;
    // Not wanted any more before it was entered: that it never was is on record, so it is not in doubt.
    if (ask.withdrawn !== undefined) {
      const reason = ask.withdrawn;
      return this.#settle(attempt, () => this.#cancelled(ask, reason));
    }
    const hold = this.#with.hold();
    if (hold === undefined) this.#call(attempt);
    else void hold.then(() => this.#callHeld(attempt));
  }

  #call(attempt: Attempt): void {
    const { ask, step } = attempt;
    const { clock } = this.#with;
    const startedAt = clock.monotonic();
    const ms = (): number => Math.round(clock.monotonic() - startedAt);
    this.#limit(attempt);
    // It was not entered, so it did nothing.
    const { expired } = attempt;
    if (expired !== undefined) return this.#settle(attempt, () => this.#failed(attempt, notDone(expired), 0));
    // The function gets a decoded copy, so what it does to its input cannot reach the body or another attempt.
    const given = ask.input?.text === undefined ? undefined : decode(ask.input.text);
    let result: Promise<unknown>;
    try {
      result = Promise.resolve(
        step.run(
          given,
          toolsOf(ask, this.#with, () => this.#running.get(ask) === attempt),
        ),
      );
    } catch (error) {
      result = Promise.reject(error);
    }
    result.then(
      (value) => this.#settle(attempt, () => this.#returned(attempt, value, ms())),
      (error: unknown) => this.#settle(attempt, () => this.#failed(attempt, reasonOf(attempt, error), ms())),
    );
  }

  /** Sets the clock on the attempt; it has expired at once where the step's own time was up before it. */
  #limit(attempt: Attempt): void {
    const limit = attemptLimit(attempt.ask, attempt.step, this.#with.now());
    if (limit === undefined) return;
    if (limit.leftMs <= 0) {
      attempt.expired = limit.error;
      return;
    }
    const stop = this.#with.clock.after(limit.leftMs, () => {
      if (!this.#isRunning(attempt)) return;
      attempt.expired = limit.error;
      this.#abort(attempt, limit.error);
    });
    attempt.stopTimers.push(stop);
  }

  /** Puts on record what came of an attempt, and frees its place when that is durable. */
  #settle(attempt: Attempt, record: () => Seq): void {
    const { ask, gate } = attempt;
    if (this.#running.get(ask) !== attempt) return this.#refuse(ask);
    try {
      this.#running.delete(ask);
      // A map that is emptied at each step leaves tables behind that keep each other in memory for long.
      if (this.#running.size === 0) this.#running = new Map();
      for (const stop of attempt.stopTimers) stop();
      if (this.#with.isOver()) return;
      const seq = record();
      const again = ask.until !== undefined;
      if (gate !== undefined || again) {
        this.#with.afterCommit(seq, () => {
          if (gate !== undefined) vacate(gate, (next) => this.begin(next));
          if (again) this.begin(ask);
        });
      }
      this.#with.changed();
    } catch (error) {
      this.#with.fault(error);
    }
  }

  #refuse({ ref, attempt }: Ask): void {
    if (this.#with.isOver()) return;
    this.#with.log.info("An attempt that had been given up came to an end; what it came to is refused", {
      run: this.#with.run,
      step: ref.key,
      attempt,
    });
  }

  #returned(attempt: Attempt, value: unknown, ms: number): Seq {
    const { ask, step } = attempt;
    const result = returned(ask, step, value, ms);
    if (result.ok) return this.#with.recordOutcome(ask, result.recording.draft, result.recording.extra);
    if (step.effect === "once") return this.#doubt(ask, result.error, result.kept);
    // The function did its work: calling it again would only return the like again.
    const { draft, extra } = failed(ask, result.error, ms, result.kept);
    return this.#with.recordOutcome(ask, draft, extra);
  }

  #failed(attempt: Attempt, error: unknown, ms: number): Seq {
    const { ask, step } = attempt;
    const once = step.effect === "once";
    if (once && verdictOf(error).notDone !== true) return this.#doubt(ask, error);
    if (ask.withdrawn !== undefined) return this.#cancelled(ask, ask.withdrawn);
    const past = { error, attempt: ask.attempt ?? 1, deadline: deadlineOf(ask, step) };
    const next = nextAttempt(step, past, this.#with.now(), Math.random());
    const { draft, extra } = failed(ask, "error" in next ? next.error : error, ms);
    if ("error" in next) return this.#with.recordOutcome(ask, draft, extra);
    ask.until = next.retryAt;
    const first = ask.begunAt === undefined ? this.#with.firstRef(ask) : { key: ask.ref.key };
    const attempts = step.retry === undefined ? {} : { attempts: step.retry.policy.attempts };
    const data = { ...first, attempt: ask.attempt ?? 1, ...attempts, error: draft.data.error, retryAt: next.retryAt };
    return this.#note(ask, { type: "step.attempt_failed", data });
  }

  /** It may have happened: nobody enters it again without a decision. */
  #doubt(ask: Ask, error?: unknown, kept?: Encoded): Seq {
    ask.doubtful = true;
    const intent = ask.begunAt;
    if (intent === undefined)
      throw new StemmaError("engine.bug", `The step ${ask.ref.key} is in doubt without an intent.`);
    if (ask.recorded?.doubtful === true && ask.cleared !== true) {
      this.#reconcile(ask);
      return intent;
    }
    const { draft, extra } = inDoubt(ask, ask.attempt ?? 1, error, kept);
    const seq = this.#note(ask, draft, extra);
    this.#reconcile(ask);
    this.#with.changed();
    return seq;
  }

  /** Lets the step itself find out what became of it. What it cannot tell, somebody else has to. */
  #reconcile(ask: Ask): void {
    const step = ask.work.kind === "step" ? ask.work.ask : undefined;
    if (step?.reconcile === undefined || ask.withdrawn !== undefined) return;
    const { reconcile } = step;
    const look = new AbortController();
    this.#looking.set(ask, look);
    const isCurrent = (): boolean => this.#looking.get(ask) === look && isOpenDoubt(ask) && !this.#with.isOver();
    const given = ask.input?.text === undefined ? undefined : decode(ask.input.text);
    const tools = toolsOf({ ...ask, abort: look }, this.#with, () => false);
    const stopTimer = this.#limitLook(ask, step, look);
    const ended = (): void => {
      stopTimer();
      if (this.#looking.get(ask) === look) this.#looking.delete(ask);
      this.#with.changed();
    };
    look.signal.addEventListener("abort", ended);
    const asked = async (): Promise<void> => {
      const decision = await reconcile(given, tools);
      // Meanwhile somebody else may have decided, and another attempt have come into doubt.
      if (decision !== undefined && isCurrent()) this.#with.decided(ask, decision);
    };
    const { run, log } = this.#with;
    void asked()
      .catch((error: unknown) =>
        log.warn("It could not be found out what became of a step; it stays in doubt", {
          run,
          step: ask.ref.key,
          error: String(error),
        }),
      )
      .finally(ended);
  }

  /** Looking into a step takes no longer than an attempt of it may; without a limit, as long as it takes. */
  #limitLook(ask: Ask, step: StepAsk, look: AbortController): () => void {
    const { attemptMs } = step.timeout ?? {};
    if (attemptMs === undefined) return () => undefined;
    const message = `Expected reconcile of step ${ask.ref.key} to end within ${attemptMs} ms.`;
    const error = new StemmaError("step.timed_out", message, { data: { step: ask.ref.key, limitMs: attemptMs } });
    return this.#with.clock.after(attemptMs, () => look.abort(error));
  }

  /** It was decided that a step in doubt may be entered again. Its own time begins anew. */
  tryAgain(ask: Ask): void {
    ask.attempt ??= ask.recorded?.entered ?? (isHeld(ask) ? 0 : 1);
    ask.cleared = true;
    ask.doubtful = false;
    ask.enteredAt = this.#with.now();
    // One that is held back begins when it may.
    if (ask.stage !== "asked") this.begin(ask);
  }

  /**
   * A `once` step that nobody wants any more, entered by an attempt of which nobody knows the end: that stays so. It is
   * said once on record, so that nobody is asked to decide what makes no difference.
   */
  leaveInDoubt(ask: Ask): boolean {
    if (ask.work.kind !== "step" || (ask.doubtful !== true && !isDoubtful(ask.work.ask, ask, ask.recorded)))
      return false;
    ask.doubtful = true;
    this.#looking.get(ask)?.abort();
    if (ask.recorded?.unwanted !== undefined) return true;
    const { draft } = inDoubt(ask, ask.attempt ?? ask.recorded?.entered ?? 1);
    this.#note(ask, draft);
    return true;
  }

  /** Aborts a running attempt whose result is not wanted any more, and settles it within the grace. */
  withdraw(ask: Ask): boolean {
    this.#looking.get(ask)?.abort();
    const attempt = this.#running.get(ask);
    if (attempt === undefined) return false;
    this.#abort(attempt, new StemmaError("step.failed", `The result of step ${ask.ref.key} is not wanted any more.`));
    return true;
  }

  #abort(attempt: Attempt, reason: unknown): void {
    attempt.ask.abort?.abort(reason);
    const stop = this.#with.clock.after(this.#with.abortGraceMs, () => {
      if (this.#isRunning(attempt)) this.#settle(attempt, () => this.#abandon(attempt));
    });
    attempt.stopTimers.push(stop);
  }

  /** Gives an attempt up that did not end when it was told to. It may still be running; its result is refused. */
  #abandon(attempt: Attempt): Seq {
    const { ask, step, expired } = attempt;
    const { abortGraceMs, run, log } = this.#with;
    log.warn("An attempt did not end when it was aborted; it is given up", {
      run,
      step: ask.ref.key,
      attempt: ask.attempt,
      graceMs: abortGraceMs,
    });
    if (step.effect === "once") return this.#doubt(ask, expired);
    if (ask.withdrawn === undefined) return this.#failed(attempt, abandoned(expired, abortGraceMs), 0);
    return this.#cancelled(ask, "abandoned");
  }

  #cancelled(ask: Ask, reason: EventData["step.cancelled"]["reason"]): Seq {
    return this.#with.recordOutcome(ask, { type: "step.cancelled", data: { key: ask.ref.key, reason } });
  }

  /**
   * Aborts all that runs and gives it up. What it comes to is not recorded: that an attempt was cut off because its
   * worker stops is no failure of the step, and who has the run next begins another.
   */
  abortAll(): void {
    const running = this.#running;
    this.#running = new Map();
    for (const [ask, { stopTimers }] of running) {
      for (const stop of stopTimers) stop();
      ask.abort?.abort();
    }
    for (const look of this.#looking.values()) look.abort();
  }
}

/** Whether a `once` step was entered by an attempt of which nobody knows the end. */
function isDoubtful(step: StepAsk, ask: Ask, recorded: Recorded | undefined): boolean {
  if (step.effect !== "once" || recorded === undefined || ask.cleared === true) return false;
  const { doubtful, held, entered = 0, attempts = 0 } = recorded;
  // It waited for another run and was never entered in this one: who is admitted after that has nothing to doubt.
  if (held !== undefined && entered === 0) return false;
  return doubtful === true || (entered > attempts && (ask.attempt ?? entered) === entered);
}

/** Whether a step in doubt was never entered in this run, because of what another run did with it. */
function isHeld({ held, recorded }: Ask): boolean {
  return held !== undefined || recorded?.held !== undefined;
}

/** Whether anybody still wants to know what became of a step. */
function isOpenDoubt({ doubtful, withdrawn }: Ask): boolean {
  return doubtful === true && withdrawn === undefined;
}

/** Why an attempt failed: it was told that its time is up, whatever it then threw. */
function reasonOf({ expired }: Attempt, error: unknown): unknown {
  if (expired === undefined || error === expired || verdictOf(error).notDone === true) return error;
  return new StemmaError("step.timed_out", expired.message, { data: expired.data, cause: error });
}

function abandoned(expired: StemmaError | undefined, graceMs: number): StemmaError {
  const what = expired?.message ?? "The attempt was aborted.";
  return new StemmaError("step.timed_out", `${what} It did not stop within ${graceMs} ms of being aborted either.`, {
    data: { ...expired?.data, abandoned: true },
  });
}
