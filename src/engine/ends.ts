/**
 * Who waits for runs to end. One that ends in this process is known by its commit, and nobody is asked; one that ends
 * elsewhere is found by one question for all that are waited for, a few dozen times a second. Who waits for weeks waits
 * through the restarts of a server: a store that is away for now is asked again, ever less often, until it is back.
 */
import type { StoredEvent } from "../core/chain.ts";
import { StemmaError, isStemmaError } from "../core/error.ts";
import type { RunId } from "../core/event.ts";
import { limits } from "../core/limits.ts";
import type { RunState } from "../core/reduce.ts";
import { isTerminal } from "../core/run.ts";
import type { Commit, RunRow, Store } from "../store/store.ts";
import type { Log } from "./body.ts";
import type { Clock } from "./clock.ts";

/** How a run ended. */
export type End = {
  readonly id: RunId;
  readonly state: RunState;
  /** Its last event, where it was committed here. */
  readonly last?: StoredEvent;
};

/** The longest that a store which is away is left alone. */
const retryMsMax = 5000;

type Waiting = { resolve: (end: End) => void; reject: (error: unknown) => void };

export class Ends {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #pollMs: number;
  readonly #log: Log;
  readonly #waiting = new Map<string, Waiting[]>();
  /** Runs that somebody has begun to wait for in this turn of the event loop. */
  #asked: RunId[] = [];
  #stopPoll: (() => void) | undefined;
  /** How often in a row the store could not be asked. */
  #failures = 0;
  #stopped = false;

  constructor(store: Store, clock: Clock, pollMs: number, log: Log) {
    this.#log = log;
    this.#store = store;
    this.#clock = clock;
    this.#pollMs = pollMs;
  }

  /** How a run ended, when it has. */
  of(run: RunId): Promise<End> {
    return new Promise((resolve, reject) => {
      const others = this.#waiting.get(run);
      if (others === undefined) this.#waiting.set(run, [{ resolve, reject }]);
      else others.push({ resolve, reject });
      this.#ask(run);
    });
  }

  /** Reads something of a run, again and again as long as the store is only away for now. */
  async read<T>(run: RunId, call: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        const read = await call();
        this.#failures = 0;
        return read;
      } catch (error) {
        if (!this.#passes(error)) throw error;
        await new Promise<void>((resolve) => void this.#clock.after(this.#retryMs, resolve, { kind: "poll" }));
        if (this.#stopped) throw stoppedBefore(run);
      }
    }
  }

  /** Whether the same question may be answered later; says so once for each time that the store is away. */
  #passes(error: unknown): boolean {
    if (!isStemmaError(error) || !error.retryable) return false;
    this.#failures += 1;
    if (this.#failures === 1) {
      const facts = { code: error.code, error: error.message };
      this.#log.warn("The store cannot be asked how runs ended; it is asked again until it can", facts);
    }
    return true;
  }

  get #retryMs(): number {
    return Math.min(this.#pollMs * 2 ** Math.min(this.#failures, 16), retryMsMax);
  }

  /** These commits went through, and with them their runs ended. */
  ended(commits: readonly Commit[]): void {
    for (const { run, state, events } of commits) {
      const last = events.at(-1);
      this.#tell({ id: run, state, ...(last === undefined ? {} : { last }) });
    }
  }

  /** Until it is worth looking again at a run that somebody watches. */
  pause(): Promise<void> {
    return new Promise((resolve) => void this.#clock.after(this.#pollMs, resolve, { kind: "poll" }));
  }

  /** Nobody is told any more: whoever still waits gets engine.stopped, and can ask another object. */
  stop(): void {
    this.#stopped = true;
    this.#stopPoll?.();
    this.#giveUp();
  }

  #giveUp(): void {
    for (const [run, waiting] of this.#waiting) for (const { reject } of waiting) reject(stoppedBefore(run));
    this.#waiting.clear();
  }

  /** It may have ended before: one question for all that are asked for in one turn. */
  #ask(run: RunId): void {
    this.#asked.push(run);
    if (this.#asked.length > 1) return;
    this.#clock.turn(() => {
      const asked = this.#asked;
      this.#asked = [];
      void this.#check(asked);
    });
  }

  async #check(ids: readonly string[]): Promise<void> {
    try {
      for (let at = 0; at < ids.length; at += limits.pageRunsMax) {
        const some = ids.slice(at, at + limits.pageRunsMax);
        const { runs } = await this.#store.list({ ids: some, limit: limits.pageRunsMax });
        for (const row of runs) if (isTerminal(row.state.status)) this.#tell({ id: row.id, state: row.state });
        if (runs.length < some.length) this.#missing(some, runs);
      }
      this.#failures = 0;
    } catch (error) {
      for (const id of this.#passes(error) ? [] : ids) {
        for (const { reject } of this.#waiting.get(id) ?? []) reject(error);
        this.#waiting.delete(id);
      }
    }
    if (this.#stopped) this.#giveUp();
    else this.#pollLater();
  }

  #tell(end: End): void {
    for (const { resolve } of this.#waiting.get(end.id) ?? []) resolve(end);
    this.#waiting.delete(end.id);
  }

  #missing(asked: readonly string[], found: readonly RunRow[]): void {
    const there = new Set(found.map((row) => row.id));
    for (const id of asked) {
      if (there.has(id)) continue;
      const error = new StemmaError("run.not_found", `There is no run ${id} in this store.`, { data: { run: id } });
      for (const { reject } of this.#waiting.get(id) ?? []) reject(error);
      this.#waiting.delete(id);
    }
  }

  #pollLater(): void {
    if (this.#stopPoll !== undefined || this.#waiting.size === 0) return;
    // Most end in this process and are seen at their commit, so asking after many may take its time.
    const usualMs = this.#pollMs * Math.ceil(this.#waiting.size / limits.pageRunsMax);
    const waitMs = this.#failures === 0 ? usualMs : this.#retryMs;
    const look = (): void => {
      this.#stopPoll = undefined;
      void this.#check([...this.#waiting.keys()]);
    };
    this.#stopPoll = this.#clock.after(waitMs, look, { kind: "poll" });
  }
}

function stoppedBefore(run: string): StemmaError {
  const message = `This Stemma was stopped before run ${run} ended. Get the run from one that is open to wait for it.`;
  return new StemmaError("engine.stopped", message, { data: { run } });
}
