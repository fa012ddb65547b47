/**
 * Creates runs. A run that is already there, by id or by (workflow, idempotency key), is left as it is, so whoever
 * does not know whether an earlier call went through may simply call again.
 */
import { StemmaError } from "../../core/error.ts";
import type { RunId, Timestamp } from "../../core/event.ts";
import { sourceGone } from "../../core/lineage.ts";
import type { RunState } from "../../core/reduce.ts";
import { isTerminal } from "../../core/run.ts";
import type { Created, NewRun } from "../store.ts";
import { append } from "./append.ts";
import { bytesOf } from "./digest.ts";
import type { Statements } from "./driver.ts";
import { stateText } from "./row.ts";
import { eventHash, insertRun, insertTag, runHead, runThere } from "./sql.ts";

export function createRuns(db: Statements, runs: readonly NewRun[], now: Timestamp): readonly Created[] {
  return runs.map((run) => createRun(db, run, now));
}

/**
 * A run that was removed while another was made from it would leave that one without what it is to reuse. Throws
 * run.not_found, and with that nothing is created.
 */
export function expectOrigins(db: Statements, runs: readonly NewRun[], created: readonly Created[]): void {
  for (const [i, { state }] of runs.entries()) {
    const origin = originOf(state);
    if (created[i]?.created !== true || origin === null || db.prepare(runHead).get(origin) !== undefined) continue;
    throw sourceGone(origin);
  }
}

/** Whether runs that were answered as created are there; undefined if none were. */
export function haveLanded(db: Statements, created: readonly Created[]): boolean | undefined {
  const first = created.find((run) => run.created);
  return first === undefined ? undefined : db.prepare(eventHash).get(first.id, 0) !== undefined;
}

function createRun(db: Statements, run: NewRun, now: Timestamp): Created {
  const { id, state, idempotencyKey: key = null } = run;
  const last = run.events.at(-1);
  if (last === undefined) throw new StemmaError("engine.bug", `Expected run ${id} to have a first event, got none.`);
  const ended = isTerminal(state.status);
  const dueAt = ended ? null : (run.dueAt ?? now);
  const row = db
    .prepare(insertRun)
    .get(
      id,
      state.family === id ? null : state.family,
      originOf(state),
      state.workflow,
      state.version,
      state.status,
      state.createdAt,
      endOf(state, now),
      stateText(state),
      JSON.stringify(state.tags),
      state.refused ?? null,
      last.seq,
      bytesOf(last.hash),
      dueAt,
      dueAt !== null && dueAt <= now ? 1 : 0,
      run.queue ?? "default",
      run.priority ?? 0,
      key,
    );
  if (row === undefined) {
    const there = db.prepare(runThere).get(id, state.workflow, key);
    return { id: there?.["id"] as RunId, created: false };
  }
  const n = row["n"] as number;
  for (const tag of state.tags) db.prepare(insertTag).run(tag, n);
  append(db, { run: n, family: state.family, seq: 0, events: run.events, payloads: run.payloads, reuse: undefined });
  return { id, created: true };
}

function originOf({ origin }: RunState): RunId | null {
  return "run" in origin ? origin.run : null;
}

/** When a run ended, by its own events; null while it has not. */
export function endOf(state: RunState, now: Timestamp): Timestamp | null {
  return isTerminal(state.status) ? (state.endedAt ?? now) : null;
}
