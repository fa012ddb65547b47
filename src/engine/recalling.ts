/**
 * The first half of an activation: what the history knows is given to the body again, in order, until everything
 * recorded has been asked for. A body that does nothing more while records are unasked does not fit its history.
 */
import type { Digest } from "../core/event.ts";
import type { Json } from "../core/json.ts";
import type { Ask } from "./ask.ts";
import type { Workflow } from "./body.ts";
import type { Course } from "./course.ts";
import { isStopped } from "./course.ts";
import { describeDivergence, describeMisfit, nothingAsked } from "./divergence.ts";
import type { InBulk } from "./in-bulk.ts";
import type { Loaded } from "./load.ts";
import type { Parts } from "./parts.ts";
import type { OutcomeEvent } from "./recall.ts";
import type { StoredOutcome } from "./recorded-outcomes.ts";
import { eventIn } from "./recorded-outcomes.ts";
import type { Surroundings } from "./surroundings.ts";

/** What the activation does for its recall. */
export type RecallingSurroundings = Pick<Surroundings, "clock" | "log" | "recallGraceMs"> & {
  deliver(ask: Ask, event: OutcomeEvent, texts: ReadonlyMap<Digest, string>): void;
  /** Gives the body what was on record before the checkpoint that it begins from; false if there is nothing. */
  deliverEarly(): boolean;
  goLive(): void;
  /** What is given to the body in bulk. */
  inBulk: InBulk;
  /** What the workflow has to say about that. */
  misfit: Workflow["misfit"];
  /** The body does not fit what is recorded; `detail` says where. */
  diverged(detail: Json): void;
  wake(): void;
  fault(error: unknown): void;
};

/** A body that has ended asks for nothing more, except through branches that it left behind. */
const endedGraceMs = 1000;
/** How long a turn of the event loop gives outcomes to a body that takes many of them. */
const turnMsMax = 4;

export class Recalling {
  readonly #loaded: Loaded;
  readonly #parts: Parts;
  readonly #course: Course;
  readonly #with: RecallingSurroundings;
  #stopStall: (() => void) | undefined;

  constructor(loaded: Loaded, parts: Parts, course: Course, surroundings: RecallingSurroundings) {
    this.#loaded = loaded;
    this.#parts = parts;
    this.#course = course;
    this.#with = surroundings;
  }

  /** Gives the body the next outcome if it is due, or as many as a turn has room for; goes live when there is none left. */
  turn(): void {
    this.stop();
    const { cursor } = this.#parts;
    if (this.#with.deliverEarly()) return this.#with.wake();
    const until = this.#with.inBulk.isOn ? performance.now() + turnMsMax : 0;
    do {
      const next = cursor.next();
      if (next === "nothing") return this.#with.goLive();
      if (next === "reading") return void cursor.arrived().then(() => this.#with.wake());
      if (next === "not yet") return this.#stall();
      this.#give(next);
    } while (this.#with.inBulk.isOn && this.#course.phase === "recall" && performance.now() < until);
    this.#with.wake();
  }

  #give(recorded: StoredOutcome): void {
    const { asks, compensation, cursor, reuse } = this.#parts;
    if (this.#with.inBulk.give(cursor.ask, recorded)) return;
    const event = eventIn(recorded);
    const { texts } = recorded;
    const ask = asks.get(event.data.key);
    if (ask === undefined) return;
    compensation.note(ask, event, texts);
    reuse.redelivered(event);
    this.#with.deliver(ask, event, texts);
  }

  /** Takes back the clock on a body that does nothing. */
  stop(): void {
    this.#stopStall?.();
    this.#stopStall = undefined;
  }

  #stall(): void {
    const { clock, recallGraceMs, fault } = this.#with;
    const hasEnded = this.#course.end !== undefined && !isStopped(this.#course);
    const grace = hasEnded ? Math.min(recallGraceMs, endedGraceMs) : recallGraceMs;
    const end = (): void => {
      // Carried waits that it does not ask for again are no divergence: its own code had its time to come to them.
      if (this.#parts.undertakings.closeCarried()) this.#with.wake();
      else void this.#diverged().catch(fault);
    };
    this.#stopStall = clock.after(grace, end, { kind: "grace" });
  }

  /** The body says itself that it does not fit, before it has asked for anything. */
  misfit({ message }: Error): void {
    const detail: Json = { ...nothingAsked, misfit: { message } };
    this.#with.log.warn("A run does not fit the code that should continue it", { run: this.#loaded.row.id, detail });
    this.#with.diverged(detail);
  }

  async #diverged(): Promise<void> {
    const { undertakings } = this.#parts;
    const { misfit } = this.#with;
    const found = await describeDivergence(this.#loaded, undertakings.held, this.#course.end !== undefined);
    const detail: Json =
      misfit === undefined
        ? found
        : { ...found, misfit: await describeMisfit(this.#loaded, undertakings.held, misfit) };
    if (this.#course.phase !== "recall") return;
    this.#with.log.warn("A run does not fit the code that should continue it", { run: this.#loaded.row.id, detail });
    this.#with.diverged(detail);
  }
}
