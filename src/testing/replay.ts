/**
 * `replay`: recorded runs against the code of today, for tests that run before a deploy. It enters no function and writes
 * nothing, so it may read a copy of the store of production, or runs that were exported from it.
 */
import { StemmaError } from "../core/error.ts";
import type { RunId } from "../core/event.ts";
import { limits } from "../core/limits.ts";
import type { Status } from "../core/run.ts";
import type { Workflow } from "../engine/body.ts";
import { replayRun } from "../engine/replay.ts";
import type { ReplayFinding, ReplayOptions } from "../engine/replay.ts";
import type { Store } from "../store/store.ts";

/** Which recorded runs: those named, or those of the workflow that fit, the newest first. */
export type Histories = {
  store: Store;
  runs?: readonly RunId[];
  status?: readonly Status[];
  tag?: string;
  /** How many at most. Default 1000. */
  limit?: number;
};

export type Replayed = {
  /** Every one of them fits. */
  ok: boolean;
  /** How many were replayed, and how many of them fit. */
  runs: number;
  fits: number;
  findings: readonly ReplayFinding[];
};

/** So many at a time: each waits for its body most of the time. */
const atOnceMax = 16;

/**
 * Runs recorded histories against a workflow, with no side effects, and says which the code no longer fits, where and why.
 * Runs that have not ended may go on beyond what is recorded. What is behind a cancel or a limit of time is no matter of
 * the code, and is left out. Runs of other versions of the workflow are not looked at, unless they are named.
 *
 * @throws usage.invalid where there is nothing to replay, for a test that tests nothing says nothing
 * @example
 * const { ok, findings } = await replay({ store: sqlite("kept/production.db"), limit: 200 }, audit);
 * expect(findings).toEqual([]);
 */
export async function replay<I, O>(
  histories: Histories,
  workflow: Workflow<I, O>,
  options: ReplayOptions = {},
): Promise<Replayed> {
  const runs = histories.runs ?? (await runsOf(histories, workflow));
  if (runs.length === 0) {
    const what = `${workflow.name}@${workflow.version}`;
    throw new StemmaError("usage.invalid", `There is no recorded run of ${what} in ${histories.store.name}.`);
  }
  const findings: ReplayFinding[][] = [];
  for (let from = 0; from < runs.length; from += atOnceMax) {
    const some = runs.slice(from, from + atOnceMax);
    findings.push(
      ...(await Promise.all(some.map((run) => replayRun(histories.store, run, workflow as Workflow, options)))),
    );
  }
  const fits = findings.filter((found) => found.length === 0).length;
  return { ok: fits === runs.length, runs: runs.length, fits, findings: findings.flat() };
}

async function runsOf(
  { store, status, tag, limit = 1000 }: Histories,
  workflow: Pick<Workflow, "name" | "version">,
): Promise<RunId[]> {
  const runs: RunId[] = [];
  let cursor: string | undefined;
  do {
    const page = await store.list({
      workflow: workflow.name,
      limit: limits.pageRunsMax,
      ...(status === undefined ? {} : { status }),
      ...(tag === undefined ? {} : { tag }),
      ...(cursor === undefined ? {} : { cursor }),
    });
    runs.push(...page.runs.filter(({ state }) => state.version === workflow.version).map(({ id }) => id));
    cursor = page.cursor;
  } while (cursor !== undefined && runs.length < limit);
  return runs.slice(0, limit);
}
