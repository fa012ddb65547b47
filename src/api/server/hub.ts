/**
 * One reader of the feed for all that follow it through this server. It keeps the latest entries in memory; whoever
 * follows takes theirs from there, and reads the store only for what lies further back. So a thousand followers cost the
 * store what one costs, and one that is slow loses nothing and holds up nobody: it falls behind what is kept, and
 * catches up from the store.
 */
import { unseal } from "../../core/chain.ts";
import { isStemmaError } from "../../core/error.ts";
import type { Event, RunId } from "../../core/event.ts";
import { limits } from "../../core/limits.ts";
import type { Log } from "../../engine/body.ts";
import { endOfFeed } from "../../engine/cursors.ts";
import type { Store } from "../../store/store.ts";

export type HubEntry = {
  readonly position: number;
  readonly run: RunId;
  readonly family: RunId;
  readonly workflow: string;
  readonly event: Event;
};

const pollMs = 20;
const troubleMs = 500;
const keptMax = 4096;
const knownRunsMax = 10_000;

export class Hub {
  readonly #store: Store;
  readonly #log: Log;
  #kept: HubEntry[] = [];
  /** Everything behind `#from` and up to `#head` is kept. */
  #from = 0;
  #head = 0;
  #followers = 0;
  #going: Promise<void> | undefined;
  #ready: Promise<void> | undefined;
  readonly #waiting = new Set<() => void>();
  readonly #runs = new Map<RunId, { family: RunId; workflow: string }>();
  readonly stopped: AbortController = new AbortController();

  constructor(store: Store, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  get head(): number {
    return this.#head;
  }

  /** Begins to follow; the function that it gives ends it. */
  async join(): Promise<() => void> {
    this.#followers += 1;
    let left = false;
    const leave = (): void => {
      if (!left) this.#followers -= 1;
      left = true;
    };
    const ready = (this.#ready ??= this.#begin());
    try {
      await ready;
    } catch (error) {
      leave();
      // Somebody else may have begun anew meanwhile; two that read the feed would be one too many.
      if (this.#ready === ready) this.#ready = undefined;
      throw error;
    }
    return leave;
  }

  /** Up to `max` entries behind a position; undefined where they are not kept (any more), and the store has to be asked. */
  since(position: number, max: number): readonly HubEntry[] | undefined {
    if (position < this.#from) return undefined;
    let [low, high] = [0, this.#kept.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#kept[middle]?.position ?? 0) <= position) low = middle + 1;
      else high = middle;
    }
    return this.#kept.slice(low, low + max);
  }

  /** Until there is news, `ms` have passed, or `signal` is aborted; whether there is news behind `position`. */
  async news(position: number, ms: number, signal: AbortSignal): Promise<boolean> {
    if (this.#head > position) return true;
    if (signal.aborted || this.stopped.signal.aborted) return false;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener("abort", done);
      this.#waiting.add(done);
    });
    return this.#head > position;
  }

  /** Ends it for everybody. */
  async stop(): Promise<void> {
    this.stopped.abort();
    for (const done of this.#waiting) done();
    await this.#going;
  }

  async #begin(): Promise<void> {
    const position = await endOfFeed(this.#store);
    // What came while nobody followed is not kept.
    this.#kept = [];
    [this.#from, this.#head] = [position, position];
    this.#going = this.#go();
  }

  async #go(): Promise<void> {
    while (!this.stopped.signal.aborted) {
      let waitMs = pollMs;
      try {
        if (await this.#read()) waitMs = 0;
      } catch (error) {
        if (isStemmaError(error, "store.closed")) return this.stopped.abort();
        this.#log.warn("The feed cannot be read; it is tried again.", { error: String(error) });
        waitMs = troubleMs;
      }
      if (this.#followers === 0) break;
      // Also where there is more at once: others have to get their turn.
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
    this.#ready = undefined;
  }

  /** Reads a page; whether it was a full one. */
  async #read(): Promise<boolean> {
    const { events, position } = await this.#store.feed({ after: this.#head, limit: limits.pageEventsMax });
    if (events.length > 0) await this.#learn(new Set(events.map(({ run }) => run)));
    for (const { position: at, run, event } of events) {
      const { family = run, workflow = "" } = this.#runs.get(run) ?? {};
      this.#kept.push({ position: at, run, family, workflow, event: unseal(event) });
    }
    const gone = this.#kept.splice(0, Math.max(0, this.#kept.length - keptMax));
    this.#from = gone.at(-1)?.position ?? this.#from;
    const isNews = position > this.#head;
    this.#head = position;
    if (isNews) for (const done of this.#waiting) done();
    return events.length === limits.pageEventsMax;
  }

  /** Of which family and workflow runs are, which never changes. */
  async #learn(runs: ReadonlySet<RunId>): Promise<void> {
    const unknown = [...runs].filter((run) => !this.#runs.has(run));
    for (let at = 0; at < unknown.length; at += limits.pageRunsMax) {
      const ids = unknown.slice(at, at + limits.pageRunsMax);
      const { runs: rows } = await this.#store.list({ ids, limit: limits.pageRunsMax });
      for (const { id, state } of rows) this.#runs.set(id, { family: state.family, workflow: state.workflow });
    }
    for (const run of this.#runs.keys()) {
      if (this.#runs.size <= knownRunsMax) break;
      if (!runs.has(run)) this.#runs.delete(run);
    }
  }
}
