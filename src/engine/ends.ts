/**
 * Who waits for runs to end. A run that ends in this process is seen at its commit; one that ends elsewhere is found by
 * one question for all that are waited for, a few dozen times a second.
 */
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

  /** Nobody is told any more; whoever waits goes on waiting in another object. */
  stop(): void {
    this.#stopped = true;
    this.#stopPoll?.();
  }

  async #check(ids: readonly string[]): Promise<void> {
    try {
      for (let at = 0; at < ids.length; at += limits.pageRunsMax) {
        const some = ids.slice(at, at + limits.pageRunsMax);
        const { runs } = await this.#store.list({ ids: some, limit: limits.pageRunsMax });
        for (const row of runs) if (isTerminal(row.state.status)) this.#tell(row);
      }
    } catch (error) {
      for (const id of ids) {
        for (const { reject } of this.#waiting.get(id) ?? []) reject(error);
        this.#waiting.delete(id);
      }
    }
    this.#pollLater();
  }

  #tell(row: RunRow): void {
    for (const { resolve } of this.#waiting.get(row.id) ?? []) resolve(row);
    this.#waiting.delete(row.id);
  }

  #pollLater(): void {
    if (this.#stopPoll !== undefined || this.#waiting.size === 0 || this.#stopped) return;
    this.#stopPoll = this.#clock.after(this.#pollMs, () => {
      this.#stopPoll = undefined;
      void this.#check([...this.#waiting.keys()]);
    });
  }
}
