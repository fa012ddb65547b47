/** A run with the runs that it called, for tests of what becomes of all of them, whatever crashes. */
import { isDeepStrictEqual } from "node:util";
import { Stemma, components, reduceAll } from "../src/index.ts";
import type { RunId, Workflow } from "../src/index.ts";
import { isTerminal } from "../src/core/run.ts";
import type { RunRow } from "../src/store/store.ts";
import { fakeClock, faults } from "../src/testing.ts";
import type { FakeClock } from "../src/testing.ts";
import { crashStride, fresh, silent } from "./stage.ts";

/** The rows of a run and of all that it called, the oldest first. */
export async function familyOf(stemma: Stemma, run: RunId): Promise<RunRow[]> {
  const { family } = (await stemma.row(run)).state;
  return [...(await stemma.list({ family, limit: 500 })).runs].toReversed();
}

/** The rows of the runs that a run called itself. */
export async function childrenOf(stemma: Stemma, run: RunId): Promise<RunRow[]> {
  const rows = await familyOf(stemma, run);
  return rows.filter(({ state }) => state.origin.kind === "child" && state.origin.run === run);
}

/** The statuses of a family by workflow: `parent suspended`. */
export async function statusesOf(stemma: Stemma, run: RunId): Promise<string[]> {
  return (await familyOf(stemma, run)).map(({ state }) => `${state.workflow} ${state.status}`);
}

const ends: readonly string[] = ["run.succeeded", "run.failed", "run.cancelled", "run.timed_out"];

/**
 * `workflow type` of the ends of a family in the order in which they happened, as the histories have it: a run's comes
 * behind those of the runs that it called if it had heard of them by then. (The feed tells of several runs in an order of
 * its own.)
 */
export async function endsOf(stemma: Stemma, run: RunId): Promise<string[]> {
  const history = await stemma.history(run);
  const [first, last] = [history[0], history.at(-1)];
  const order: string[] = [];
  const called = new Map<string, RunId>();
  for (const { type, data } of history) {
    if (type === "child.started") called.set(data.key, data.run);
    if (type !== "child.ended") continue;
    order.push(...(await endsOf(stemma, called.get(data.key) ?? "")));
    called.delete(data.key);
  }
  const workflow = first?.type === "run.created" ? first.data.workflow : "";
  if (last !== undefined && ends.includes(last.type)) order.push(`${workflow} ${last.type}`);
  for (const unheard of called.values()) order.push(...(await endsOf(stemma, unheard)));
  return order;
}

/** What is not as it must be in every family, at any instant: one graph, and rows that are what their events add up to. */
export async function faultsOf(stemma: Stemma, run: RunId): Promise<string[]> {
  const found: string[] = [];
  const count = components(await stemma.trace(run, { family: true }));
  if (count !== 1) found.push(`the trace of the family has ${count} components`);
  const rows = await familyOf(stemma, run);
  const started = new Map<string, number>();
  for (const row of rows) {
    const history = await stemma.history(row.id);
    if (!isDeepStrictEqual(reduceAll(history), row.state)) found.push(`the row of ${row.id} is not its history`);
    const ended = history.filter(({ type }) => ends.includes(type)).length;
    if (ended !== (isTerminal(row.state.status) ? 1 : 0)) found.push(`${row.id} has ended ${ended} times`);
    for (const event of history)
      if (event.type === "child.started") started.set(event.data.run, (started.get(event.data.run) ?? 0) + 1);
  }
  for (const row of rows)
    if (row.state.origin.kind === "child" && started.get(row.id) !== 1) found.push(`${row.id} is called by no event`);
  const { flaws } = await stemma.verify(run, { family: true });
  found.push(...flaws.map(({ run: of, seq, kind, message }) => `${of} ${seq}: ${kind}: ${message}`));
  if (started.size !== rows.length - 1) found.push(`${started.size} calls, and ${rows.length - 1} called runs`);
  return found;
}

/**
 * Plays a story again and again, with a crash at its first commit, at its second and so on, before and behind each, until
 * there is no such commit. The story is told in each life anew, so what it asks for must bear being asked for twice.
 *
 * @param story starts or finds its run, does what it likes to it and moves time on; gives the run
 * @param check is given what is left when the run has ended
 * @returns how many crashes there were
 */
export async function atEveryCommit(
  workflows: readonly Workflow[],
  story: (stemma: Stemma, clock: FakeClock) => Promise<RunId>,
  check: (stemma: Stemma, run: RunId, where: string) => Promise<void>,
): Promise<number> {
  let crashes = 0;
  for (const point of ["commit.before", "commit.after"] as const) {
    for (let n = 1; ; n += crashStride) {
      const clock = fakeClock();
      const store = faults(fresh());
      store.crash(point, n);
      const dying = await new Stemma({ store, workflows, clock, log: silent }).start();
      const done = await Promise.race([story(dying, clock).then(() => "done"), store.crashed]);
      dying.abandon();
      const next = store.next();
      const stemma = await new Stemma({ store: next, workflows, clock, log: silent }).start();
      await clock.advance("1m");
      const run = await story(stemma, clock);
      await clock.advance("1m");
      await check(stemma, run, `${point} ${n}`);
      await stemma.stop();
      await next.close();
      if (done === "done") break;
      crashes += 1;
    }
  }
  return crashes;
}
