/**
 * The family tree of runs, from where each says that it comes from. Like the trace it is computed and never written.
 * Whatever the origins say (a source that is not there any more, a circle), every run is in the tree once and every
 * walk ends; nothing here calls itself, so a chain may be as long as one likes.
 */
import { StemmaError } from "./error.ts";
import type { Origin, RunId, Seq } from "./event.ts";

/** What the tree needs to know of a run. */
export type Kin = { readonly id: RunId; readonly origin: Origin };

export type Family<K extends Kin> = {
  readonly runs: ReadonlyMap<RunId, K>;
  /** Runs that come from none of these, in the order given. */
  readonly roots: readonly K[];
  /** By the source: what came from it, in the order given. */
  readonly cameFrom: ReadonlyMap<RunId, readonly K[]>;
  readonly sources: ReadonlyMap<RunId, K>;
};

/** The run that an origin names, of any kind: source of a restart or fork, or caller. */
export function sourceOf(origin: Origin): { run: RunId; seq: Seq } | undefined {
  return "run" in origin ? { run: origin.run, seq: origin.seq } : undefined;
}

/** The refusal of a run whose source was removed while it was made; every store says it in the same words. */
export function sourceGone(source: RunId): StemmaError {
  return new StemmaError("run.not_found", `There is no run ${source} in this store any more to make another from.`, {
    data: { run: source },
  });
}

/**
 * The family of these runs. Of runs with one id the first counts. A circle of origins, which no engine writes, is opened
 * in front of the run of it that is met first.
 */
export function familyOf<K extends Kin>(members: Iterable<K>): Family<K> {
  const runs = new Map<RunId, K>();
  for (const member of members) if (!runs.has(member.id)) runs.set(member.id, member);
  const sources = new Map<RunId, K>();
  const opened = openedCircles(runs);
  for (const [id, { origin }] of runs) {
    const source = runs.get(sourceOf(origin)?.run ?? "");
    if (source !== undefined && !opened.has(id)) sources.set(id, source);
  }
  const cameFrom = new Map<RunId, K[]>();
  for (const [id, source] of sources) {
    const run = runs.get(id);
    const others = cameFrom.get(source.id);
    if (run === undefined) continue;
    if (others === undefined) cameFrom.set(source.id, [run]);
    else others.push(run);
  }
  return { runs, sources, cameFrom, roots: [...runs.values()].filter(({ id }) => !sources.has(id)) };
}

/** The run of each circle that is met first: walked once from each run, and never twice over the same. */
function openedCircles<K extends Kin>(runs: ReadonlyMap<RunId, K>): ReadonlySet<RunId> {
  const opened = new Set<RunId>();
  /** On which walk a run was met. */
  const met = new Map<RunId, RunId>();
  for (const start of runs.keys()) {
    let at: RunId | undefined = start;
    while (at !== undefined && runs.has(at) && !met.has(at)) {
      met.set(at, start);
      at = sourceOf(runs.get(at)?.origin ?? { kind: "new" })?.run;
    }
    // The walk came back to where it had been itself: the circle begins at what it met first of it.
    if (at !== undefined && met.get(at) === start) opened.add(at);
  }
  return opened;
}

/** What a run comes from, nearest first. */
export function ancestors<K extends Kin>(family: Family<K>, run: RunId): K[] {
  const found: K[] = [];
  for (let at = family.sources.get(run); at !== undefined; at = family.sources.get(at.id)) found.push(at);
  return found;
}

/** What came from a run, each behind what it comes from and its own directly behind it. */
export function descendants<K extends Kin>(family: Family<K>, run: RunId): K[] {
  const found: K[] = [];
  const open = (family.cameFrom.get(run) ?? []).toReversed();
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    found.push(at);
    for (const next of (family.cameFrom.get(at.id) ?? []).toReversed()) open.push(next);
  }
  return found;
}

/** What else came from the same run. */
export function siblings<K extends Kin>(family: Family<K>, run: RunId): readonly K[] {
  const source = family.sources.get(run);
  if (source === undefined) return [];
  return (family.cameFrom.get(source.id) ?? []).filter(({ id }) => id !== run);
}

/** Where the lines of two runs part. */
export type Parting = {
  /** The nearest run that both come from; it may be one of the two. */
  run: RunId;
  /** The seq of that run at which the line of each left it; absent for the run itself. */
  a?: Seq;
  b?: Seq;
};

/** The point up to which two runs have one history; undefined if they are of different families. */
export function partingOf<K extends Kin>(family: Family<K>, a: RunId, b: RunId): Parting | undefined {
  const [lineA, lineB] = [a, b].map((run) => lineOf(family, run));
  const left = new Map((lineA ?? []).map(({ run, left: seq }) => [run, seq]));
  const common = (lineB ?? []).find(({ run }) => left.has(run));
  if (common === undefined) return undefined;
  const { run, left: leftByB } = common;
  const leftByA = left.get(run);
  return {
    run,
    ...(leftByA === undefined ? {} : { a: leftByA }),
    ...(leftByB === undefined ? {} : { b: leftByB }),
  };
}

/** A run and its ancestors, each with the seq at which the line left it. */
function lineOf<K extends Kin>(family: Family<K>, start: RunId): { run: RunId; left?: Seq }[] {
  const line: { run: RunId; left?: Seq }[] = [];
  let left: Seq | undefined;
  for (let at = family.runs.get(start); at !== undefined; at = family.sources.get(at.id)) {
    line.push({ run: at.id, ...(left === undefined ? {} : { left }) });
    left = sourceOf(at.origin)?.seq;
  }
  return line;
}
