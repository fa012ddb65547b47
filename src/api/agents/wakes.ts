/** Those who wait for something to happen in a run. They look again now and then, whatever they hear. */
import type { RunId } from "../../core/event.ts";

const againMs = 500;

export class Wakes {
  readonly #waiting = new Map<RunId, Set<() => void>>();

  /** Something happened in a run. */
  wake(run: RunId): void {
    const waiting = this.#waiting.get(run);
    if (waiting === undefined) return;
    this.#waiting.delete(run);
    for (const resolve of waiting) resolve();
  }

  wakeAll(): void {
    for (const run of this.#waiting.keys()) this.wake(run);
  }

  /**
   * Looks until it finds something, or `ms` have passed, or nobody wants to know any more; then it gives what it found last.
   */
  async until<T>(
    run: RunId,
    look: () => Promise<{ found: T; done: boolean }>,
    { ms, signal }: { ms: number; signal?: AbortSignal | undefined },
  ): Promise<T> {
    const end = performance.now() + ms;
    for (let pause = 2; ; pause = Math.min(pause * 2, againMs)) {
      const heard = this.#next(run);
      try {
        const { found, done } = await look();
        const left = end - performance.now();
        if (done || left <= 0 || signal?.aborted === true) return found;
        await heard.within(Math.min(pause, left), signal);
      } finally {
        heard.leave();
      }
    }
  }

  #next(run: RunId): { within(ms: number, signal: AbortSignal | undefined): Promise<void>; leave(): void } {
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting = this.#waiting.get(run) ?? new Set();
    waiting.add(resolve);
    this.#waiting.set(run, waiting);
    return {
      async within(ms, signal) {
        const timer = setTimeout(resolve, ms);
        const stop = (): void => resolve();
        signal?.addEventListener("abort", stop);
        await promise;
        clearTimeout(timer);
        signal?.removeEventListener("abort", stop);
      },
      leave: () => {
        waiting.delete(resolve);
        if (waiting.size === 0 && this.#waiting.get(run) === waiting) this.#waiting.delete(run);
      },
    };
  }
}
