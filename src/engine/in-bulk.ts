/**
 * Recall in bulk, for bodies that are dataflow. Of an ask whose outcome is on record such a body needs nothing but that
 * outcome, and what it does with it is one call. So nothing is made of the ask but who takes the outcome; that it is asked
 * for is noted on record as of every other ask, and its outcome is given in the same order under the same rule.
 */
import type { Seq, Timestamp } from "../core/event.ts";
import { StemmaError } from "../core/error.ts";
import type { Ask, Asks } from "./ask.ts";
import type { Outcome, Workflow } from "./body.ts";
import type { Course } from "./course.ts";
import type { Delivery } from "./delivery.ts";
import { outcomeFor } from "./outcome.ts";
import type { Parts } from "./parts.ts";
import type { RecordedOutcome } from "./recorded-outcomes.ts";
import type { Encoded } from "./value.ts";

type Place = { scope: string; name: string; causes: readonly Seq[] };

export class InBulk {
  readonly #asks: Asks;
  readonly #course: Course;
  readonly #reuse: { readonly isIdle: boolean };
  readonly #isDataflow: boolean;
  readonly #isOn: boolean;
  /** Who takes the outcomes, by the number of the ask on record. */
  #takers: ((outcome: Outcome) => void)[] = [];

  constructor(workflow: Workflow, { asks, reuse }: Pick<Parts, "asks" | "reuse">, course: Course, delivery: Delivery) {
    this.#asks = asks;
    this.#reuse = reuse;
    this.#course = course;
    this.#isDataflow = workflow.dataflow === true;
    this.#isOn = this.#isDataflow && delivery.inBulk;
  }

  /** Whether several outcomes may be given in one turn. */
  get isOn(): boolean {
    return this.#isOn;
  }

  /**
   * Takes an ask whose outcome is on record; false where it has to be made.
   *
   * @throws engine.bug for what a body that is dataflow does not ask for
   */
  take(place: Place, input: Encoded | undefined, work: Ask["work"], resolve: (outcome: Outcome) => void): boolean {
    if (!this.#isDataflow) return false;
    if (work.kind !== "step" || input === undefined) throw notDataflow(place.name);
    if (!this.#isOn || this.#course.phase !== "recall" || !this.#reuse.isIdle || work.ask.compensate !== undefined)
      return false;
    const ask = this.#asks.takeSettled(place, input);
    if (ask === undefined) return false;
    this.#takers[ask] = resolve;
    return true;
  }

  /** Gives an outcome to whoever asked for it here; false where it was asked for in the usual way. */
  give(ask: number, { event, texts }: RecordedOutcome): boolean {
    const take = this.#takers[ask];
    if (take === undefined) return false;
    const outcome = outcomeFor(event, texts, true);
    if (outcome === undefined) return true;
    if (event.seq > this.#course.delivered.seq) this.#course.delivered = deliveredBy(event);
    take(outcome);
    return true;
  }

  /** All that is on record is given. */
  forget(): void {
    this.#takers = [];
  }
}

function deliveredBy({ seq, at }: { seq: Seq; at: Timestamp }): Course["delivered"] {
  return { seq, at };
}

export function notDataflow(asked: string): StemmaError {
  return new StemmaError(
    "engine.bug",
    `Expected a body that is dataflow to ask for nothing but steps with declared inputs, it asked for ${asked}.`,
  );
}
