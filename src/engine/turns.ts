/** Work on much data in slices, so that others in this process have their turn of the event loop. */

const sliceMs = 8;

export class Turns {
  #since: number = performance.now();
  #calls = 0;

  /** Whether the event loop was held long enough. Asked for each small piece of work; the clock is read now and then. */
  isDue(): boolean {
    this.#calls += 1;
    return this.#calls % 16 === 0 && performance.now() - this.#since > sliceMs;
  }

  /** Lets a turn of the event loop pass. */
  async next(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.#since = performance.now();
  }

  /** For pieces of work that are not small. */
  async pause(): Promise<void> {
    if (performance.now() - this.#since > sliceMs) await this.next();
  }
}
