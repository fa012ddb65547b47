/**
 * Runs at rest whose activations are kept in memory, so that an answer needs no recall. A bounded number: the one that
 * rested longest goes first. Nobody holds these runs; whether one still stands where it rested is told by its row.
 */
import type { Activation } from "./activation.ts";

export class Warm {
  readonly #max: number;
  readonly #resting = new Map<string, Activation>();

  constructor(max: number) {
    this.#max = max;
  }

  keep(activation: Activation): void {
    if (!activation.isResting) return;
    this.#resting.set(activation.run, activation);
    if (this.#resting.size > this.#max) this.#dropOldest();
  }

  /** The run's activation, which is not kept any more; undefined where there is none to be taken up. */
  take(run: string): Activation | undefined {
    const activation = this.#resting.get(run);
    this.#resting.delete(run);
    return activation?.isResting === true ? activation : undefined;
  }

  dropAll(): void {
    while (this.#resting.size > 0) this.#dropOldest();
  }

  #dropOldest(): void {
    for (const [run, activation] of this.#resting) {
      this.#resting.delete(run);
      activation.drop();
      return;
    }
  }
}
