/**
 * Lines that other servers on the store hold: executions whose nodes answer to a server that is not this one. Nobody else
 * hears what they answer, so where that server was killed nobody does. It is there as long as its worker has its lease in
 * the store: the same sign by which runs are taken from workers that died.
 */
import type { RunId } from "../../core/event.ts";
import { isStemmaError } from "../../core/error.ts";
import type { Log } from "../../engine/body.ts";
import type { Store } from "../../store/store.ts";

type OtherLine = { node: string; holder: string };

export type OtherLinesParts = {
  store: Store;
  log: Log;
  /** Who held the line of a run has no lease any more. */
  gone(node: string, run: RunId): Promise<void>;
};

/** How often it is looked whether those that hold lines are there, and for how long an answer counts. */
const lookMs = 500;
const troubleMs = 2000;

export class OtherLines {
  readonly #with: OtherLinesParts;
  readonly #held = new Map<RunId, OtherLine>();
  readonly #stopped = new AbortController();
  #watching: Promise<void> | undefined;
  /** Who was there, and who was not, when it was asked last. */
  #known: { at: number; there: ReadonlySet<string>; gone: Set<string> } | undefined;

  constructor(parts: OtherLinesParts) {
    this.#with = parts;
  }

  /** The line of a run is held by a worker of another server. It is looked after until it is forgotten. */
  note(run: RunId, line: OtherLine): void {
    if (this.#stopped.signal.aborted) return;
    this.#held.set(run, line);
    this.#watching ??= this.#watch();
  }

  forget(run: RunId): void {
    this.#held.delete(run);
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#watching;
  }

  /** Whether a worker has no lease (any more); undefined where the store cannot say. */
  async isGone(holder: string): Promise<boolean | undefined> {
    const known = this.#known;
    if (known !== undefined && performance.now() - known.at < lookMs) {
      if (known.there.has(holder)) return false;
      // One that nobody has asked for may have come since.
      if (known.gone.has(holder)) return true;
    }
    const there = await this.#ask();
    if (there === undefined) return undefined;
    if (there.has(holder)) return false;
    this.#known?.gone.add(holder);
    return true;
  }

  async #ask(): Promise<ReadonlySet<string> | undefined> {
    const { store } = this.#with;
    const at = performance.now();
    const leased = await store.workers?.();
    if (leased === undefined) return undefined;
    const there = new Set(leased.map(({ worker }) => worker));
    this.#known = { at, there, gone: new Set() };
    return there;
  }

  async #watch(): Promise<void> {
    let ms = lookMs;
    while (this.#held.size > 0 && !this.#stopped.signal.aborted) {
      await this.#pause(ms);
      ms = lookMs;
      try {
        await this.#look();
      } catch (error) {
        if (isStemmaError(error, "store.closed")) break;
        this.#with.log.warn("Nobody knows who holds the lines of nodes; it is tried again", { error: String(error) });
        ms = troubleMs;
      }
    }
    // In the same turn in which there was nothing left: what is noted behind that is watched anew.
    this.#watching = undefined;
  }

  async #look(): Promise<void> {
    const there = this.#held.size === 0 ? undefined : await this.#ask();
    if (there === undefined) return;
    for (const [run, { node, holder }] of this.#held) {
      if (!there.has(holder) && !this.#stopped.signal.aborted) await this.#with.gone(node, run);
    }
  }

  #pause(ms: number): Promise<void> {
    const { signal } = this.#stopped;
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      signal.addEventListener("abort", end);
      if (signal.aborted) end();
    });
  }
}
