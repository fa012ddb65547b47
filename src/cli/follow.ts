/** Follows a run: its row and what was added to its history, by one question to the store each time. */
import { setTimeout as sleep } from "node:timers/promises";
import { unseal } from "../core/chain.ts";
import { isStemmaError, StemmaError } from "../core/error.ts";
import type { StemmaError as Trouble } from "../core/error.ts";
import type { Event, RunId } from "../core/event.ts";
import { limits } from "../core/limits.ts";
import { isTerminal } from "../core/run.ts";
import type { RunRow } from "../store/store.ts";
import type { Looked } from "./place.ts";

export type News = {
  row: RunRow;
  /** Events behind those of the news before; none when nothing happened. */
  events: readonly Event[];
  /** Whether this is all that is there now. */
  caughtUp: boolean;
};

export type FollowOptions = {
  pollMs: number;
  /** Ends it. */
  signal: AbortSignal;
  /** Told when the store cannot be asked now; it is asked again. */
  trouble(error: Trouble): void;
};

const troubleMs = 1000;

/**
 * What there is of the run, and then, each `pollMs`, what came since, until the run has ended and all of it was given.
 *
 * @throws run.not_found also when the run is removed meanwhile; errors of the store that asking again does not mend
 */
export async function* follow(store: Looked, run: RunId, options: FollowOptions): AsyncGenerator<News> {
  const { pollMs, signal, trouble } = options;
  let after = -1;
  while (!signal.aborted) {
    let waitMs = pollMs;
    try {
      const page = await store.history(run, { after, limit: limits.pageEventsMax });
      if (page === undefined) throw new StemmaError("run.not_found", `There is no run ${run} in this store.`);
      after = page.events.at(-1)?.seq ?? after;
      yield { row: page.row, events: page.events.map(unseal), caughtUp: !page.more };
      if (page.more) continue;
      if (isTerminal(page.row.state.status) && after >= page.row.state.seq) return;
    } catch (error) {
      if (!isStemmaError(error) || !error.retryable) throw error;
      trouble(error);
      waitMs = troubleMs;
    }
    await sleep(waitMs, undefined, { signal }).catch(() => {});
  }
}
