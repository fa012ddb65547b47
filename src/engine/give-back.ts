/** What gives a run back that no activation holds: it was not begun, or cannot be read. */
import { isStemmaError } from "../core/error.ts";
import type { Json } from "../core/json.ts";
import type { Commit, RunRow } from "../store/store.ts";
import { Appender } from "./appender.ts";
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
