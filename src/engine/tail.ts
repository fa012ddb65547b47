/** Following the feed: every event of all runs once, in one order, from any point of the past into the future. */
import { unseal } from "../core/chain.ts";
import { StemmaError } from "../core/error.ts";
import type { Event, RunId } from "../core/event.ts";
import { limits } from "../core/limits.ts";
import { isTerminal } from "../core/run.ts";
import type { Store } from "../store/store.ts";
import type { Clock } from "./clock.ts";
import { expectInFeed } from "./cursors.ts";
import { checkRunId } from "./id.ts";

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
 *
 * @throws usage.invalid for what is no position; run.invalid_id, run.not_found; cursor.beyond_end where the feed has not come so far
 */
export async function* tail(store: Store, clock: Clock, options: FeedOptions): AsyncGenerator<FeedEntry> {
  const { run, family, workflow, once = false, signal } = options;
  const filter = {
    ...(run === undefined ? {} : { run: checkRunId(run) }),
    ...(family === undefined ? {} : { family: checkRunId(family) }),
    ...(workflow === undefined ? {} : { workflow }),
  };
  const isUnwanted = (): boolean => signal?.aborted === true;
  let after = positionOf(options.after ?? 0);
  await expectInFeed(store, after);
  for (;;) {
    if (isUnwanted()) return;
    // Whether the run has ended is asked before the feed is read, so nothing can come between the last page and the end.
    const ended = run !== undefined && (await hasEnded(store, run));
    let pending = false;
    for (let more = true; more;) {
      const page = await store.feed({ after, limit: limits.pageEventsMax, ...filter });
      for (const { position, run: of, event } of page.events) {
        if (isUnwanted()) return;
        yield { position, run: of, event: unseal(event) };
      }
      more = page.position !== after;
      after = page.position;
      pending = page.pending === true;
    }
    // A store may give positions a moment after the commit.
    if ((ended || once) && !pending) return;
    await pause(clock, signal);
  }
}

/** Until it is worth looking again, or nobody wants to know any more. */
function pause(clock: Clock, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stop();
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const stop = clock.after(pollMs, done, { kind: "poll" });
    signal?.addEventListener("abort", done);
    if (signal?.aborted === true) done();
  });
}

function positionOf(after: number): number {
  if (Number.isSafeInteger(after) && after >= 0) return after;
  throw new StemmaError("usage.invalid", `Expected a position of the feed: a whole number from 0 on, got ${after}.`);
}

async function hasEnded(store: Store, run: RunId): Promise<boolean> {
  const [row] = (await store.list({ ids: [run] })).runs;
  if (row === undefined)
    throw new StemmaError("run.not_found", `There is no run ${run} in this store.`, { data: { run } });
  return isTerminal(row.state.status);
}
