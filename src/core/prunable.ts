/**
 * Which runs of a family nothing that stays can reach. A run that stays keeps what it comes from, for its reused values
 * and its trace lead there; whoever called it; and the runs that it called, which its own record names. So a run goes
 * only together with all that came from it, and a called run only with its caller.
 */
import type { Origin, RunId } from "./event.ts";

export type Candidate = { id: RunId; origin: Origin; goes: boolean };

/** The ids of those that may go, of the candidates that are to go. */
export function prunable(family: Iterable<Candidate>): Set<RunId> {
  const runs = new Map<RunId, Candidate>();
  const called = new Map<RunId, RunId[]>();
  for (const run of family) {
    runs.set(run.id, run);
    const { caller } = needsOf(run.origin);
    if (caller === undefined) continue;
    const others = called.get(caller);
    if (others === undefined) called.set(caller, [run.id]);
    else others.push(run.id);
  }
  const kept = new Set<RunId>();
  const open = [...runs.values()].filter(({ goes }) => !goes).map(({ id }) => id);
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    const run = runs.get(id);
    if (run === undefined || kept.has(id)) continue;
    kept.add(id);
    const { source, caller } = needsOf(run.origin);
    for (const needed of [source, caller, ...(called.get(id) ?? [])]) if (needed !== undefined) open.push(needed);
  }
  return new Set([...runs.keys()].filter((id) => !kept.has(id)));
}

function needsOf(origin: Origin): { source?: RunId; caller?: RunId } {
  if (origin.kind === "child") return { caller: origin.run };
  if (origin.kind !== "restart" && origin.kind !== "fork") return {};
  return { source: origin.run, ...(origin.caller === undefined ? {} : { caller: origin.caller.run }) };
}
