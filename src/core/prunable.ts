/**
 * Which runs of a family nothing that stays can reach. A run that stays keeps what it comes from, for its reused values
 * and its trace lead there; whoever called it; and the runs that it called, which its own record names. So a run goes
 * only together with all that came from it, and a called run only with its caller.
 */
import type { Origin, RunId } from "./event.ts";

export type Candidate = { id: RunId; origin: Origin; goes: boolean };

/**
 * Those that may go, of the candidates that are to go: in units, each a run with all that it called, which go together or
 * not at all; and a unit behind those that come from it.
 */
export function prunable(family: Iterable<Candidate>): RunId[][] {
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
  const unitOf = new Map<RunId, RunId[]>();
  for (const { id } of runs.values()) if (!kept.has(id) && !unitOf.has(id)) gather(id, runs, called, unitOf);
  return inOrder(unitOf, runs);
}

/** All that calls lead to from a run, up and down. What one of them needs stays or goes with it, so all of them go. */
function gather(
  start: RunId,
  runs: ReadonlyMap<RunId, Candidate>,
  called: ReadonlyMap<RunId, readonly RunId[]>,
  unitOf: Map<RunId, RunId[]>,
): void {
  const unit: RunId[] = [];
  const open = [start];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    const run = runs.get(id);
    if (run === undefined || unitOf.has(id)) continue;
    unitOf.set(id, unit);
    unit.push(id);
    const { caller } = needsOf(run.origin);
    for (const other of [caller, ...(called.get(id) ?? [])]) if (other !== undefined) open.push(other);
  }
}

/** A unit is given when all that come from it were. Units that came from each other, if there are, are one. */
function inOrder(unitOf: ReadonlyMap<RunId, RunId[]>, runs: ReadonlyMap<RunId, Candidate>): RunId[][] {
  const sources = new Map<RunId[], Set<RunId[]>>();
  const comers = new Map<RunId[], number>();
  for (const [id, unit] of unitOf) {
    const { source = "" } = needsOf(runs.get(id)?.origin ?? { kind: "new" });
    const from = unitOf.get(source);
    const known = sources.get(unit) ?? new Set();
    sources.set(unit, known);
    if (from === undefined || from === unit || known.has(from)) continue;
    known.add(from);
    comers.set(from, (comers.get(from) ?? 0) + 1);
  }
  const open = [...sources.keys()].filter((unit) => comers.get(unit) === undefined);
  const ordered: RunId[][] = [];
  for (let unit = open.pop(); unit !== undefined; unit = open.pop()) {
    ordered.push(unit);
    for (const from of sources.get(unit) ?? []) {
      const left = (comers.get(from) ?? 1) - 1;
      comers.set(from, left);
      if (left === 0) open.push(from);
    }
  }
  const rest = [...sources.keys()].filter((unit) => (comers.get(unit) ?? 0) > 0).flat();
  return rest.length === 0 ? ordered : [...ordered, rest];
}

function needsOf(origin: Origin): { source?: RunId; caller?: RunId } {
  if (origin.kind === "child") return { caller: origin.run };
  if (origin.kind !== "restart" && origin.kind !== "fork") return {};
  return { source: origin.run, ...(origin.caller === undefined ? {} : { caller: origin.caller.run }) };
}

/**
 * The runs of those units that can be removed by what a store has found of them, each unit as a whole.
 *
 * @param ended those of them that ended before the time
 * @param comers runs that come from them, with that which each comes from
 */
export function removable(
  units: readonly (readonly RunId[])[],
  ended: ReadonlySet<RunId>,
  comers: readonly { id: RunId; origin: RunId }[],
): RunId[] {
  const from = new Map<RunId, RunId[]>();
  for (const { id, origin } of comers) {
    const known = from.get(origin);
    if (known === undefined) from.set(origin, [id]);
    else known.push(id);
  }
  const gone = new Set<RunId>();
  for (const unit of units) {
    const own = new Set(unit);
    const isFree = (id: RunId): boolean =>
      ended.has(id) && (from.get(id) ?? []).every((comer) => own.has(comer) || gone.has(comer));
    if (unit.every(isFree)) for (const id of unit) gone.add(id);
  }
  return [...gone];
}
