/**
 * Group commit: one flush per turn of the event loop, all runs of a worker together. While a flush is under way the
 * next one gathers. There is no timer window: under load batches grow by themselves up to a bound, and a lone run never
 * waits.
 *
 * A store that cannot take a flush for now (full disk, lost server) gets the same flush again until it can; what the
 * events stand for may have been paid for, so it is kept for as long as this process lives and holds the runs. A flush
 * that the store refuses for good is taken apart, so that one bad run does not hold up the others.
 */
import { isStemmaError, StemmaError } from "../core/error.ts";
import { isTerminal } from "../core/run.ts";
import type { Commit, CommitResult, Store } from "../store/store.ts";
import type { Log } from "./body.ts";
import type { Clock } from "./clock.ts";

/** Somebody who has events to flush. */
export type Source = {
  /** What there is to commit now, if anything. */
  take(): Commit | undefined;
  /** What became of it. */
  settle(result: CommitResult): void;
  /** It will never be committed. */
  lose(error: unknown): void;
};

type Part = { source: Source; commit: Commit };

/** Runs in one flush. With more of them nothing gets faster, and everything else in the process waits longer. */
const partsMax = 128;

const retryMsFirst = 50;
const retryMsMax = 2000;

export class Committer {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Log;
  #waiting = new Set<Source>();
  #scheduled = false;
  #flushing = false;
  #ended = false;
  #endPause: (() => void) | undefined;
  /** Called after each flush with which runs came to their ends, with what was committed of those. */
  onEnded: ((commits: readonly Commit[]) => void) | undefined;

  constructor(store: Store, clock: Clock, log: Log) {
    this.#store = store;
    this.#clock = clock;
    this.#log = log;
  }

  /** Has this source flushed with the next flush. */
  request(source: Source): void {
    this.#waiting.add(source);
    this.#schedule();
  }

  /** Tries no flush a second time from now on: what the store does not take is lost to this process. */
  end(): void {
    this.#ended = true;
    this.#endPause?.();
  }

  async #pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const stop = this.#clock.after(ms, resolve);
    this.#endPause = resolve;
    await promise;
    stop();
  }

  #schedule(): void {
    if (this.#scheduled || this.#flushing || this.#waiting.size === 0) return;
    this.#scheduled = true;
    this.#clock.turn(() => {
      this.#scheduled = false;
      void this.#flush();
    });
  }

  async #flush(): Promise<void> {
    const parts: Part[] = [];
    for (const source of this.#waiting) {
      if (parts.length >= partsMax) break;
      this.#waiting.delete(source);
      const commit = source.take();
      if (commit !== undefined) parts.push({ source, commit });
    }
    // A set that is emptied at each flush leaves tables behind that keep each other in memory for long.
    if (this.#waiting.size === 0) this.#waiting = new Set();
    if (parts.length === 0) return;
    this.#flushing = true;
    try {
      await this.#commit(parts);
    } finally {
      this.#flushing = false;
      this.#schedule();
    }
  }

  async #commit(parts: readonly Part[]): Promise<void> {
    for (let wait = retryMsFirst; ; wait = Math.min(wait * 2, retryMsMax)) {
      let results: readonly CommitResult[];
      try {
        results = await this.#store.commit(parts.map((part) => part.commit));
      } catch (error) {
        if (!isStemmaError(error) || !error.retryable || this.#ended) return this.#takeApart(parts, error);
        this.#log.error("The store cannot take a flush; it is kept and tried again", {
          code: error.code,
          runs: parts.length,
          retryInMs: wait,
        });
        await this.#pause(wait);
        continue;
      }
      return this.#settle(parts, results);
    }
  }

  /** What goes wrong in one source keeps nothing from the others, and is no reason to commit again what is committed. */
  #settle(parts: readonly Part[], results: readonly CommitResult[]): void {
    for (const [i, { source, commit }] of parts.entries()) {
      const result = results[i];
      try {
        if (result === undefined) throw new StemmaError("engine.bug", `The store gave no answer for ${commit.run}.`);
        source.settle(result);
      } catch (error) {
        source.lose(error);
      }
    }
    const ended = parts.flatMap(({ commit }, i) =>
      results[i]?.ok === true && isTerminal(commit.state.status) ? [commit] : [],
    );
    if (ended.length > 0) this.onEnded?.(ended);
  }

  async #takeApart(parts: readonly Part[], error: unknown): Promise<void> {
    const [only] = parts;
    if (parts.length > 1) {
      for (const part of parts) await this.#commit([part]);
    } else if (only !== undefined) {
      only.source.lose(error);
    }
  }
}
