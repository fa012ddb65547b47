/**
 * Recall in bulk, for bodies that are dataflow. Of an ask whose outcome is on record such a body needs nothing but that
 * outcome, and what it does with it is one call. So nothing is made of the ask but who takes the outcome; that it is asked
 * for is noted on record as of every other ask, and its outcome is given in the same order under the same rule.
 */
import { StemmaError } from "../core/error.ts";
import type { Digest } from "../core/event.ts";
import { pathOf } from "../core/identity.ts";
import type { Ask, Asks } from "./ask.ts";
import type { Outcome, Unread, Workflow } from "./body.ts";
import type { Course } from "./course.ts";
import type { Delivery } from "./delivery.ts";
import { sha256 } from "./hash.ts";
import type { Loaded } from "./load.ts";
import type { LoadOptions } from "./reading.ts";
import { outcomeFor } from "./outcome.ts";
import type { Parts } from "./parts.ts";
import type { StoredOutcome } from "./recorded-outcomes.ts";
import { eventIn } from "./recorded-outcomes.ts";
import type { Encoded } from "./value.ts";

/** Whoever takes outcomes, and by which number he knows what he asked for. */
type Taker = (own: number, outcome: Outcome | Unread) => void;

export class InBulk {
  readonly #asks: Asks;
  readonly #course: Course;
  readonly #reuse: { readonly isIdle: boolean };
  readonly #isDataflow: boolean;
  readonly #isOn: boolean;
  readonly #wake: () => void;
  #taker: Taker | undefined;
  /** What the taker calls an ask, plus one, by the number that it has on record. */
  #own: Int32Array;
  /** The last input and its digest: bodies ask for many things with one input. */
  #input: string | undefined;
  #digest: Digest = "";

  constructor(
    workflow: Workflow,
    { recall }: Loaded,
    { asks, reuse }: Pick<Parts, "asks" | "reuse">,
    course: Course,
    { delivery, wake }: { delivery: Delivery; wake: () => void },
  ) {
    this.#wake = wake;
    this.#asks = asks;
    this.#reuse = reuse;
    this.#course = course;
    this.#isDataflow = workflow.dataflow === true;
    this.#isOn = this.#isDataflow && delivery.inBulk;
    this.#own = new Int32Array(this.#isOn ? recall.asks : 0);
  }

  /** Whether several outcomes may be given in one turn. */
  get isOn(): boolean {
    return this.#isOn;
  }

  /** Throws engine.bug for what a body that is dataflow does not ask for. */
  check(name: string, input: Encoded | undefined, work: Ask["work"]): void {
    if (this.#isDataflow && (work.kind !== "step" || input === undefined)) throw notDataflow(name);
  }

  /** Takes an ask whose outcome is on record; false where it has to be made. See `Operations.again`. */
  take({ scope, name }: { scope: string; name: string }, input: string, own: number, taker: Taker): boolean {
    if (!this.#isOn || this.#course.phase !== "recall" || !this.#reuse.isIdle) return false;
    if (this.#input !== input) [this.#input, this.#digest] = [input, sha256(input)];
    const ask = this.#asks.takeSettled(pathOf(scope, name), this.#digest);
    if (ask === undefined) return false;
    this.#taker = taker;
    this.#own[ask] = own + 1;
    this.#wake();
    return true;
  }

  /** Gives an outcome to whoever asked for it here; false where it was asked for in the usual way. */
  give(ask: number, recorded: StoredOutcome): boolean {
    const own = this.#own[ask];
    if (own === undefined || own === 0) return false;
    const { seq, at, output: text } = recorded;
    const outcome = text === undefined ? outcomeFor(eventIn(recorded), recorded.texts, true) : { seq, text };
    if (outcome === undefined) return true;
    if (seq > this.#course.delivered.seq) this.#course.delivered = { seq, at };
    this.#taker?.(own - 1, outcome);
    return true;
  }

  /** All that is on record is given. */
  forget(): void {
    this.#taker = undefined;
    this.#own = new Int32Array(0);
    this.#input = undefined;
  }
}

/** What is held of the outcomes of its runs, when they are read. */
export function heldFor({ dataflow }: Workflow, { heldCharsMax }: Delivery): LoadOptions {
  return dataflow === true ? { heldCharsMax } : {};
}

export function notDataflow(asked: string): StemmaError {
  return new StemmaError(
    "engine.bug",
    `Expected a body that is dataflow to ask for nothing but steps with declared inputs, it asked for ${asked}.`,
  );
}
