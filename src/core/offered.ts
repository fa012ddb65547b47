/** What is said of a run that nobody can work on, because no worker has code for its version: the same words everywhere. */
import type { RunState } from "./reduce.ts";
import { isTerminal } from "./run.ts";

/** The workflow and version of a run, and what can be done when nobody offers them. */
export function noWorkerOffersText({ workflow, version }: Pick<RunState, "workflow" | "version">): string {
  return `no worker offers ${workflow}@${version}: start a worker with that version, or restart the runs with one that is offered`;
}

/**
 * The sentence for a run that waits for a worker with its version; undefined where one is there, or the run has ended.
 *
 * @param row a row of `stemma.list()`
 * @example
 * noWorkerOffers(row); // "no worker offers audit@1: start a worker with that version, or restart …"
 */
export function noWorkerOffers(row: { offered: boolean; state: RunState }): string | undefined {
  return row.offered || isTerminal(row.state.status) ? undefined : noWorkerOffersText(row.state);
}
