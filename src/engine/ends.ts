/**
 * Who waits for runs to end. A run that ends in this process is seen at its commit; one that ends elsewhere is found by
 * one question for all that are waited for, a few dozen times a second.
 */
import { StemmaError } from "../core/error.ts";
import { isTerminal } from "../core/run.ts";
import type { CommitResult, RunRow, Store } from "../store/store.ts";
import { limits } from "../core/limits.ts";
import type { Clock } from "./clock.ts";

type Waiting = { resolve: (row: RunRow) => void; reject: (error: unknown) => void };

export class Ends {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #pollMs: number;
  readonly #waiting = new Map<string, Waiting[]>();
  #stopPoll: (() => void) | undefined;
  #stopped = false;

  constructor(store: Store, clock: Clock, pollMs: number) {
    this.#store = store;
    this.#clock = clock;
    this.#pollMs = pollMs;
  }

  /** The row of a run when it has ended. */
  of(run: string): Promise<RunRow> {
    return new Promise((resolve, reject) => {
      const others = this.#waiting.get(run);
      if (others === undefined) this.#waiting.set(run, [{ resolve, reject }]);
      else others.push({ resolve, reject });
      void this.#check([run]);
    });
  }

  /** Runs that were just committed may have ended. */
  look(results: readonly CommitResult[]): void {
    if (this.#waiting.size === 0) return;
    const runs = results.flatMap((result) => (result.ok && this.#waiting.has(result.run) ? [result.run] : []));
    if (runs.length > 0) void this.#check(runs);
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
    for (const [run, waiting] of this.#waiting) {
      const message = `This Stemma was stopped before run ${run} ended. Get the run from one that is open to wait for it.`;
      for (const { reject } of waiting) reject(new StemmaError("engine.stopped", message, { data: { run } }));
    }
    this.#waiting.clear();
  }

  async #check(ids: readonly string[]): Promise<void> {
    try {
      for (let at = 0; at < ids.length; at += limits.pageRunsMax) {
        const some = ids.slice(at, at + limits.pageRunsMax);
        const { runs } = await this.#store.list({ ids: some, limit: limits.pageRunsMax });
        for (const row of runs) if (isTerminal(row.state.status)) this.#tell(row);
        if (runs.length < some.length) this.#missing(some, runs);
      }
    } catch (error) {
      for (const id of ids) {
        for (const { reject } of this.#waiting.get(id) ?? []) reject(error);
        this.#waiting.delete(id);
      }
    }
    if (this.#stopped) this.#giveUp();
    else this.#pollLater();
  }

  #tell(row: RunRow): void {
    for (const { resolve } of this.#waiting.get(row.id) ?? []) resolve(row);
    this.#waiting.delete(row.id);
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
    const waitMs = this.#pollMs * Math.ceil(this.#waiting.size / limits.pageRunsMax);
    const look = (): void => {
      this.#stopPoll = undefined;
      void this.#check([...this.#waiting.keys()]);
    };
    this.#stopPoll = this.#clock.after(waitMs, look, { kind: "poll" });
  }
}
