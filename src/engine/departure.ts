/**
 * The last half of an activation: how a run leaves. It comes to rest when only waits are left, ends when its body has,
 * or is set aside when this process cannot continue it; each puts on record why, and gives the run back.
 */
import type { EventOf, Seq } from "../core/event.ts";
import type { Commit } from "../store/store.ts";
import { endMessage } from "./children.ts";
import type { Course } from "./course.ts";
import { isStopped } from "./course.ts";
import { endOf } from "./ending.ts";
import type { End } from "./ending.ts";
import type { Over } from "./journal.ts";
import type { Parts } from "./parts.ts";
import { lookAgainAt, restful, suspension, suspensionBeforeEnd } from "./rest.ts";
import type { Surroundings } from "./surroundings.ts";

/** What the activation does for its departure. */
export type DepartureSurroundings = Pick<Surroundings, "clock" | "lingerMs"> & {
  run: string;
  /** The store's clock. */
  now(): number;
  /** What the body was last caused by. */
  causes(): readonly Seq[];
  wake(): void;
};

export class Departure {
  readonly #parts: Parts;
  readonly #course: Course;
  readonly #with: DepartureSurroundings;
  #stopQuiet: (() => void) | undefined;

  constructor(parts: Parts, course: Course, surroundings: DepartureSurroundings) {
    this.#parts = parts;
    this.#course = course;
    this.#with = surroundings;
  }

  /** Something changed, so the run is not quiet. */
  stir(): void {
    this.#stopQuiet?.();
    this.#stopQuiet = undefined;
  }

  /** Nothing to deliver: the run may be at its end, or have only waits left. */
  look(): void {
    const { steps, journal, undertakings, checkpoints, reuse } = this.#parts;
    const { end, draining, phase, deadline } = this.#course;
    if (journal.releasing) return;
    if (end !== undefined || draining) journal.flush();
    else reuse.settle();
    if (draining) {
      if (steps.running === 0 && journal.idle) this.cut();
      return;
    }
    // A body that ends while its run is paused is heard again, and ends, when it is not.
    if (end !== undefined && (isStopped(this.#course) || phase === "ending" || !undertakings.paused))
      return this.#ending(end);
    checkpoints.record();
    const waits = restful(this.#parts);
    if (undertakings.paused && waits !== undefined) return this.#giveBack({ dueAt: deadline ?? null }, "suspended");
    if (waits === undefined) return;
    this.#stopQuiet = this.#with.clock.after(this.#with.lingerMs, () => this.#suspend());
  }

  /** Gives the run back at once; what is in flight is aborted and not waited for. */
  cut(pauseMs = 0): void {
    if (this.#course.phase === "over" || this.#parts.journal.releasing) return;
    if (this.#course.phase === "recall") this.#parts.journal.rollBack();
    this.#parts.steps.abortAll();
    this.#giveBack({ dueAt: this.#with.now() + pauseMs, force: true }, "drained");
  }

  /** Suspends a run that this process cannot continue, with the reason, over whatever is committed. */
  setAside(data: EventOf<"run.suspended">["data"], dueAt: number | null, over: Over): void {
    if (this.#course.phase === "recall") this.#parts.journal.rollBack();
    this.#parts.steps.abortAll();
    this.#course.phase = "releasing";
    this.#parts.journal.append({ type: "run.suspended", data, causes: [this.#parts.journal.head] });
    this.#giveBack({ dueAt, force: true }, over);
  }

  #suspend(): void {
    this.#stopQuiet = undefined;
    // Since the run fell quiet, an attempt may have come due, or an answer may be on its way to the record.
    const waits = restful(this.#parts);
    if (waits === undefined) return this.#with.wake();
    const { journal } = this.#parts;
    const draft = suspension(waits, this.#course.deadline, this.#with.now(), this.#with.lingerMs, journal.head);
    if (draft?.type !== "run.suspended") return;
    // What the body has not asked for again by now is closed, and messages about it are looked at, before the run rests.
    if (this.#parts.undertakings.closeCarried()) return this.#with.wake();
    this.#course.phase = "releasing";
    this.#course.warm = this.#isAllWaits();
    journal.append(draft);
    this.#giveBack({ dueAt: draft.data.until ?? null }, "suspended");
  }

  /** Whether nothing is open but waits and calls: then all that there is to take up again are their clocks. */
  #isAllWaits(): boolean {
    for (const { work, withdrawn } of this.#parts.asks.open()) {
      if (work.kind === "step" || withdrawn !== undefined) return false;
    }
    return this.#parts.undertakings.held.length === 0;
  }

  /** The body is done: settles what nobody awaits, makes up for what has to be, then records how the run ended. */
  #ending(end: End): void {
    const { undertakings, steps, inbox, children, compensation, journal, reuse } = this.#parts;
    if (this.#course.phase === "live") {
      this.#course.phase = "ending";
      undertakings.withdrawAll(end.ok ? "not awaited" : "run ended");
      children.cancelAll("it ends");
      // What was held back for a body that asks again is to be looked at before the end.
      inbox.look();
    }
    if (steps.running > 0 || inbox.busy || journal.releasing) return;
    if (children.open > 0) return children.busy ? undefined : this.#restBeforeEnd();
    // What succeeds while the run ends is made up for too, once it is on record.
    if (!end.ok && !journal.idle) return;
    if (!end.ok && compensation.next(journal.head)) return this.#restBeforeEnd(compensation.until);
    reuse.warnOfUnasked();
    const { draft, payloads, told } = endOf(end, this.#with.causes(), journal.head);
    const message = endMessage(this.#with.run, journal.state, told);
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
    const { clock, lingerMs, now } = this.#with;
    if (children.open === 0 && (until === undefined || until - now() <= lingerMs)) return;
    this.#stopQuiet = clock.after(lingerMs, () => {
      if (!journal.idle || journal.releasing || steps.running > 0) return;
      const again = lookAgainAt(journal.state, now());
      journal.append(suspensionBeforeEnd(until, journal.head));
      this.#giveBack({ dueAt: until ?? again }, "suspended");
    });
  }

  #giveBack(release: NonNullable<Commit["release"]>, over: Over): void {
    if (this.#course.phase !== "ending") this.#course.phase = "releasing";
    this.#parts.journal.release(release, over);
  }
}
