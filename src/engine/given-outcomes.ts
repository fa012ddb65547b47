/**
 * Outcomes on their way to the body. First come those that were on record before the checkpoint that it began from, as soon
 * as it asks again for what they are of; then those that were committed, in the order of their commits.
 */
import type { Digest } from "../core/event.ts";
import type { Ask } from "./ask.ts";
import type { Undelivered } from "./carried.ts";
import type { Course } from "./course.ts";
import { outcomeFor } from "./outcome.ts";
import type { Parts } from "./parts.ts";
import type { OutcomeEvent } from "./recall.ts";

type Texts = ReadonlyMap<Digest, string>;

export class GivenOutcomes {
  readonly #parts: Pick<Parts, "asks" | "undertakings" | "prefix">;
  readonly #course: Course;
  #committed: { ask: Ask; event: OutcomeEvent; texts: Texts }[] = [];
  #early: ({ ask: Ask } & Undelivered)[] = [];

  constructor(parts: Pick<Parts, "asks" | "undertakings" | "prefix">, course: Course) {
    this.#parts = parts;
    this.#course = course;
  }

  /** An outcome was committed. */
  add(ask: Ask, event: OutcomeEvent, texts: Texts): void {
    this.#committed.push({ ask, event, texts });
  }

  /** The body asks again for what was settled before its checkpoint. */
  addEarly(ask: Ask, outcome: Undelivered): void {
    this.#early.push({ ask, ...outcome });
  }

  /** Whether any is left. */
  get areLeft(): boolean {
    return this.#committed.length + this.#early.length > 0;
  }

  get areCommitted(): boolean {
    return this.#committed.length > 0;
  }

  /** Gives the next of those before the checkpoint; false if there is none. */
  giveEarly(): boolean {
    const next = this.#early.shift();
    if (next === undefined) return false;
    this.give(next.ask, next.event, new Map(next.known.map(({ digest, text }) => [digest, text])));
    return true;
  }

  /** Gives the next that was committed; false if there is none. */
  giveNext(): boolean {
    const next = this.#committed.shift();
    if (next === undefined) return false;
    this.give(next.ask, next.event, next.texts);
    return true;
  }

  /** @param own whether nobody else holds the event, so that the body may be given what is in it */
  give(ask: Ask, event: OutcomeEvent, texts: Texts, own = false): void {
    if (ask.crossing === true) {
      const known = [...texts].map(([digest, text]) => ({ digest, text }));
      ask.outcome ??= { event, known };
      return;
    }
    ask.stage = "delivered";
    this.#parts.asks.forget(ask);
    const outcome = ask.withdrawn === undefined ? outcomeFor(event, texts, own) : undefined;
    if (outcome === undefined) return;
    this.#parts.undertakings.closeCarried();
    this.#parts.prefix.given(ask, event);
    // What came before the checkpoint is given behind it, and is no later than that.
    if (event.seq > this.#course.delivered.seq) this.#course.delivered = { seq: event.seq, at: event.at };
    ask.resolve(outcome);
  }
}
