/** What gives a run back that no activation holds: it was not begun, cannot be read, or was let go. */
import { StemmaError, isStemmaError } from "../core/error.ts";
import type { Json } from "../core/json.ts";
import type { Commit, CommitResult, RunRow, Store } from "../store/store.ts";
import { Appender } from "./appender.ts";
import type { Log } from "./body.ts";
import type { Committer } from "./committer.ts";
import { toRecord } from "./failure.ts";

/** How long a suspect waits for another one. */
const suspectMs = 1000;

/** Gives back a run of which nothing was executed. */
export function untried(row: RunRow, now: () => number): Commit {
  const appender = new Appender(row, row.state.createdAt, now);
  return appender.take({ dueAt: now() + suspectMs, force: true, untried: true }).commit;
}

/** How long a run that could not be read for now is left alone, and one that a newer version wrote, to that version. */
const unreadMs = 1000;
const newerMs = 60_000;

/** Gives back a run that cannot be read: to be tried again if that may help, else suspended with the reason. */
export function unreadable(row: RunRow, error: unknown, now: () => number): Commit {
  const appender = new Appender(row, row.state.createdAt, now);
  if (isStemmaError(error) && error.retryable) return appender.take({ dueAt: now() + unreadMs, force: true }).commit;
  if (isStemmaError(error, "store.newer")) return appender.take({ dueAt: now() + newerMs, force: true }).commit;
  const detail = toRecord(error) as unknown as Json;
  appender.append({ type: "run.suspended", data: { reason: "corrupt", detail }, causes: [row.state.seq] });
  return appender.take({ dueAt: null, force: true }).commit;
}

export type GiveBackParts = {
  store: Store;
  committer: Committer;
  log: Log;
  /** Name of the worker. */
  name: string;
  now(): number;
};

/**
 * Gives a run back with the next flush that the store can take. A store that refuses this because more is on record than
 * was heard of, or for good, is asked how the run stands, and it is given back from there, once.
 */
export async function giveBack(commit: Commit, parts: GiveBackParts): Promise<void> {
  const first = await flush(commit, parts.committer);
  if (isSettled(first)) return;
  try {
    const again = await commitFrom(commit, parts);
    const second = again === undefined ? undefined : await flush(again, parts.committer);
    if (second === undefined || isSettled(second)) return;
    throw "error" in second ? second.error : new StemmaError("engine.bug", `The history of ${commit.run} moves on.`);
  } catch (error) {
    parts.log.error("A run could not be given back; this worker has it until it stops", {
      run: commit.run,
      ...(isStemmaError(error) ? { code: error.code } : {}),
      error: String(error),
    });
  }
}

type Flushed = CommitResult | { error: unknown };

/** Where the run is in other hands by now, it is given back. */
function isSettled(result: Flushed): boolean {
  return !("error" in result) && (result.ok || result.reason !== "seq");
}

function flush(commit: Commit, committer: Committer): Promise<Flushed> {
  const { promise, resolve } = Promise.withResolvers<Flushed>();
  let waiting: Commit | undefined = commit;
  committer.request({
    take() {
      const taken = waiting;
      waiting = undefined;
      return taken;
    },
    settle: resolve,
    lose: (error) => resolve({ error }),
  });
  return promise;
}

/** The same for the run as it stands on record; undefined where this worker does not have it any more. */
async function commitFrom({ run, epoch }: Commit, { store, name, now }: GiveBackParts): Promise<Commit | undefined> {
  const [row] = (await store.list({ ids: [run] })).runs;
  if (row === undefined || row.worker !== name || row.epoch !== epoch) return undefined;
  return new Appender(row, row.state.createdAt, now).take({ dueAt: now() + unreadMs, force: true }).commit;
}
