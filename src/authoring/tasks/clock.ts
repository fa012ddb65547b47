/**
 * The time of a run, by `performance.now()`. Every task needs one look at the clock, and a look is a large part of what a
 * task costs: so what was seen last is kept for whoever needs it next.
 */
export class Clock {
  /** Taken once: each look at the global costs as much as the clock itself. */
  readonly #source = performance;
  /** One number. In a field, or as an argument, it would be a new object each time. */
  readonly #last = new Float64Array(1);

  look(): void {
    this.#last[0] = this.#source.now();
  }

  /** Milliseconds, when the clock was looked at last. */
  get last(): number {
    return this.#last[0] as number;
  }
}
