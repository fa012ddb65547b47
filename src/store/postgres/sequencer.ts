/**
 * Gives events their positions in the feed, shortly after they were appended. Who does it for all is decided by a
 * lease: the holder places what there is every few milliseconds while there is something, and gives the lease back when
 * there is not. Whoever has appended asks for it; if another has it, that one does the work, and it is asked for again
 * only when that lease would have ended, for its holder may be gone.
 *
 * The lease saves work; it is not what correctness rests on. Positions are given in a statement that is guarded by the
 * lease's epoch, so of two that believe to hold it only one places, and what it places becomes visible in order.
 */
import type { Database } from "./database.ts";
import { leaveSequencer, placeEvents, takeSequencer } from "./sql-feed.ts";

/** Between an append and its position: short enough for a reader who looks on, long enough for many to go together. */
const pauseMs = 25;
const leaseMs = 1000;
/** Appends that are placed in one statement. */
const batchMax = 20_000;
const retryMs = 500;

type Took = { epoch: number | null; waiting: boolean; free_in_ms: number };

export class Sequencer {
  readonly #db: Database;
  readonly #holder: string;
  #epoch: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Whether something may have been appended since the last look. */
  #asked = false;
  #working: Promise<void> | undefined;
  #stopped = false;

  constructor(db: Database, holder: string) {
    this.#db = db;
    this.#holder = holder;
  }

  /** Something was appended, here or by somebody who may be gone. */
  ask(): void {
    this.#asked = true;
    if (this.#working === undefined) this.#later(pauseMs);
  }

  /** Places what there still is, and gives the lease back. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#working;
    this.#stopped = true;
    clearTimeout(this.#timer);
    if (!this.#asked && this.#epoch === undefined) return;
    // Whoever reads next does it if this fails.
    await this.#work().catch(() => undefined);
  }

  #later(ms: number): void {
    if (this.#stopped || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#working = this.#work()
        .catch(() => {
          // Its epoch may have been raised, or its last statement may still be under way: it begins anew.
          this.#epoch = undefined;
          this.#asked = true;
          return retryMs;
        })
        .then((next) => {
          this.#working = undefined;
          if (next !== undefined) this.#later(next);
          else if (this.#asked) this.#later(pauseMs);
        });
    }, ms);
    // An idle process need not stay for it.
    this.#timer.unref();
  }

  /** Does what there is to do, and says in how many milliseconds to look again. */
  async #work(): Promise<number | undefined> {
    this.#asked = false;
    if (this.#epoch === undefined) {
      const [took] = await this.#db.aside<Took>(takeSequencer, [this.#holder, leaseMs]);
      if (took === undefined || !took.waiting) return undefined;
      if (took.epoch === null) return took.free_in_ms + pauseMs;
      this.#epoch = took.epoch;
    }
    for (;;) {
      const [placed] = await this.#db.aside<{ leading: boolean; parts: number }>(placeEvents, [
        this.#epoch,
        batchMax,
        leaseMs,
      ]);
      if (placed?.leading !== true) {
        this.#epoch = undefined;
        return pauseMs;
      }
      if (placed.parts === batchMax) continue;
      if (placed.parts > 0 && !this.#stopped) return pauseMs;
      const left = await this.#db.aside(leaveSequencer, [this.#epoch]);
      if (left.length === 0) continue;
      this.#epoch = undefined;
      return undefined;
    }
  }
}
