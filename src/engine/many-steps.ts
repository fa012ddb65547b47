/**
 * Asking for many steps without holding up everybody else in the process: a slice in each turn of the event loop. Steps
 * of one list are all asked for before the first of the next list, so which ask is the how-manieth of its kind does not
 * depend on when outcomes come in between.
 */
import type { Outcome, StepAsk } from "./body.ts";

/** Asks made in one turn; each takes some ten microseconds, its function's own first part besides. */
const sliceMax = 250;

export class ManySteps {
  readonly #step: (ask: StepAsk) => Promise<Outcome>;
  readonly #turn: (call: () => void) => void;
  /** Settles when the list before is asked for; undefined when there is none. */
  #before: Promise<void> | undefined;

  constructor(step: (ask: StepAsk) => Promise<Outcome>, turn: (call: () => void) => void) {
    this.#step = step;
    this.#turn = turn;
  }

  /** Asks for `count` steps; settles with their outcomes, in the order of the list. */
  async ask(count: number, askOf: (index: number) => StepAsk): Promise<readonly Outcome[]> {
    const before = this.#before;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#before = promise;
    const slices: Promise<Outcome[]>[] = [];
    try {
      if (before !== undefined) await before;
      for (let from = 0; from < count; from += sliceMax) {
        if (from > 0) await new Promise<void>((asked) => this.#turn(asked));
        const slice = this.#slice(from, Math.min(from + sliceMax, count), askOf);
        // A slice that fails is heard of when all are asked for.
        slice.catch(() => undefined);
        slices.push(slice);
      }
    } finally {
      resolve();
      if (this.#before === promise) this.#before = undefined;
    }
    return (await Promise.all(slices)).flat();
  }

  async #slice(from: number, to: number, askOf: (index: number) => StepAsk): Promise<Outcome[]> {
    const outcomes: Promise<Outcome>[] = [];
    for (let index = from; index < to; index += 1) outcomes.push(this.#step(askOf(index)));
    return Promise.all(outcomes);
  }
}
