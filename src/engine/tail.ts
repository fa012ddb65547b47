/** Following the feed: every event of all runs once, in one order, from any point of the past into the future. */
import { unseal } from "../core/chain.ts";
import type { Event, RunId } from "../core/event.ts";
import { limits } from "../core/limits.ts";
import { isTerminal } from "../core/run.ts";
import type { Store } from "../store/store.ts";
import type { Clock } from "./clock.ts";

export type FeedOptions = {
  /** Behind this position; 0, the beginning, if left out. */
  after?: number;
  run?: RunId;
  family?: RunId;
  workflow?: string;
  /** Ends when there is nothing more now, instead of waiting. */
  once?: boolean;
  signal?: AbortSignal;
};

export type FeedEntry = { position: number; run: RunId; event: Event };

const pollMs = 20;

/**
 * The entries behind a position, as they come. A position is for ever, so whoever keeps the last one they have dealt
 * with goes on from there after any restart, without a gap and without a repeat. Of one run it ends with the run.
 */
export async function* tail(store: Store, clock: Clock, options: FeedOptions): AsyncGenerator<FeedEntry> {
  const { run, family, workflow, once = false, signal } = options;
  const filter = {
    ...(run === undefined ? {} : { run }),
    ...(family === undefined ? {} : { family }),
    ...(workflow === undefined ? {} : { workflow }),
  };
  let after = options.after ?? 0;
  for (;;) {
    if (signal?.aborted === true) return;
    // Whether the run has ended is asked before the feed is read, so nothing can come between the last page and the end.
    const ended = run !== undefined && (await hasEnded(store, run));
    for (let more = true; more;) {
      const page = await store.feed({ after, limit: limits.pageEventsMax, ...filter });
      for (const { position, run: of, event } of page.events) yield { position, run: of, event: unseal(event) };
      more = page.position !== after;
      after = page.position;
    }
    if (ended || once) return;
    await new Promise<void>((resolve) => clock.after(pollMs, resolve, { kind: "poll" }));
  }
}

async function hasEnded(store: Store, run: RunId): Promise<boolean> {
  const [row] = (await store.list({ ids: [run] })).runs;
  return row === undefined || isTerminal(row.state.status);
}
