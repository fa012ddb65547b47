/**
 * Work on what there is, done again as long as it is asked for: one round at a time, and whoever asks is served by a round
 * that begins behind that.
 */
export class Rounds {
  readonly #round: () => Promise<void>;
  #isWanted = false;
  #going: Promise<void> | undefined;

  constructor(round: () => Promise<void>) {
    this.#round = round;
  }

  /** Asks for a round; resolves when nobody wants another one. Throws what a round throws; that ends them. */
  again(): Promise<void> {
    this.#isWanted = true;
    return (this.#going ??= this.#go());
  }

  /** Resolves when no round is under way. Throws as `again`. */
  get done(): Promise<void> {
    return this.#going ?? Promise.resolve();
  }

  async #go(): Promise<void> {
    try {
      while (this.#isWanted) {
        this.#isWanted = false;
        await this.#round();
      }
    } finally {
      // In the very turn in which nobody wants more: who asks behind that begins anew, and is not left to what is over.
      this.#going = undefined;
    }
  }
}
