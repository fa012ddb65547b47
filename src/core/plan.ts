/**
 * The plan of a restart or fork: what of its source would be reused and what would run again, and why. This is the grade
 * that needs no code: it is computed from the history alone, so it can be shown anywhere, also in a browser. What it
 * calls `reuse` is never entered by the same code and what it calls `run` is never reused by it; what depends on what
 * the steps before it will return is called so.
 */
import { groupOf } from "./align.ts";
import { isIn } from "./cut.ts";
import type { RunId, Seq, SeqRange } from "./event.ts";
import { namesOf } from "./identity.ts";
import { sameValue } from "./compare.ts";
import type { RecordedStep, RecordedSteps } from "./recorded-step.ts";
import type { Unsettled } from "./unsettled.ts";
import { isUnsettled, unsettledBy } from "./unsettled.ts";

/**
 * `reuse`: it is not entered. `run`: it is. `depends`: it is behind something that runs or changes, and is reused if its
 * input comes out the same. `decide`: a person or a program has to say what is to become of it.
 */
export type Verdict = "reuse" | "run" | "depends" | "decide";

export type PlannedStep = {
  key: string;
  verdict: Verdict;
  /** In words: `cut`, `failed`, `behind classify`, `input changed at $.dir` … */
  reason: string;
  /** What reusing it saves, as it was recorded: milliseconds, and cost in the unit of whoever recorded it. */
  saves: { ms: number; cost: number };
  /** The run that has it, where that is not the source itself. */
  run?: RunId;
};

/** Least and most, by what the steps that depend will turn out to do. */
export type Range = readonly [least: number, most: number];

export type PlanTotals = Readonly<Record<Verdict, number>> & {
  /** Steps on record that are entered again. New ones are not known here. */
  runs: Range;
  saves: { ms: Range; cost: Range };
};

export type Plan = { grade: "history" | "dry run"; steps: readonly PlannedStep[]; totals: PlanTotals };

/** A run whose record is offered to the new one: the source itself first, then what the source was offered. */
export type PlanSource = {
  run: RunId;
  steps: RecordedSteps;
  /** What of it is not offered. */
  cut: readonly SeqRange[];
  /** Keys of the steps whose failure ended it; undefined where it did not end by itself, and no failure is replayed. */
  ended?: readonly string[] | undefined;
  /** Where its input and context differ from the new run's; as the change says if left out. */
  differs?: Pick<PlannedChange, "input" | "context">;
  /** Seq of its checkpoint that the new run goes on from. */
  start?: Seq;
  /** Keys of the waits that it carries: they are asked again. */
  carried?: ReadonlySet<string>;
  /** What is known by now, by key, of its successes that can be made up for: that they were, or may still be. */
  fates?: ReadonlyMap<string, "undone" | "open">;
};

/** Why it is open whether a success is reused that the run which has it may yet give back: it is waited for. */
export const mayGoBackText = "its run may still make up for it";

/** What the change is to the new run's code, as far as it can be known beforehand. */
export type PlannedChange = {
  /** Whether nothing at all is reused. */
  reuse?: "default" | "all" | "none";
  /** Keys or names of `once` steps that may be entered again. */
  allowEffects?: readonly string[];
  /** JSON path at which the new input or context differs from the source's; undefined where it is the same. */
  input?: string | undefined;
  context?: string | undefined;
  /** Outputs that are given, by key, and where each differs from the record. */
  outputs?: ReadonlyMap<string, { differs: string | undefined }>;
};

type Judged = { verdict: Verdict; reason: string };
/** Of a source while it is judged: what each event makes of what is behind it. */
type Judging = {
  source: PlanSource;
  change: PlannedChange;
  judged: Map<RecordedStep, Judged>;
  /** Steps that this source has, and a nearer one too: what they are there. */
  nearer: ReadonlyMap<string, { step: RecordedStep; judged: Judged }>;
  /** Groups of equal asks of which only some are on offer. */
  shared: ReadonlySet<string>;
  line: Line;
};

/** Of all sources and others: which they are, and what of them is known to be done once, by identity. What is reused does not say so. */
type Line = { runs: ReadonlySet<RunId>; once: ReadonlySet<string> };

/**
 * The plan, by history alone. It costs as much as there are events and causes.
 *
 * @param sources the source, then the runs whose successes it was offered itself, nearest first
 * @param others runs of the line of which nothing is offered
 */
export function planOf(
  sources: readonly PlanSource[],
  change: PlannedChange,
  others: readonly PlanSource[] = [],
): Plan {
  const nearer = new Map<string, { step: RecordedStep; judged: Judged }>();
  const steps: PlannedStep[] = [];
  /** A nearer run that came as far as this says more of it, also where its input was another. */
  const keys = new Set<string>();
  const line = lineOf([...sources, ...others]);
  for (const [i, source] of sources.entries()) {
    const judging: Judging = {
      source,
      change: { ...change, ...source.differs },
      judged: new Map(),
      nearer,
      shared: sharedOf(source),
      line,
    };
    judgeAll(judging, undefined);
    // What changes may come sooner than it did, so there is more that depends on it than what was behind it.
    judgeAll(judging, unsettledBy(source.steps.list, changedSteps(judging)));
    for (const step of source.steps.list) {
      const judged = judging.judged.get(step);
      const { identity } = step;
      if (judged === undefined || nearer.has(identity) || keys.has(step.key)) continue;
      nearer.set(identity, { step, judged });
      keys.add(step.key);
      steps.push({
        key: step.key,
        ...judged,
        saves: judged.verdict === "run" ? none : { ms: step.ms ?? 0, cost: step.cost ?? 0 },
        ...(i === 0 ? {} : { run: source.run }),
      });
    }
  }
  return { grade: "history", steps, totals: totalsOf(steps) };
}

const none = { ms: 0, cost: 0 };

function lineOf(sources: readonly PlanSource[]): Line {
  const once = sources.flatMap(({ steps }) => steps.list.filter(({ effect }) => effect === "once"));
  return { runs: new Set(sources.map(({ run }) => run)), once: new Set(once.map(({ identity }) => identity)) };
}

function judgeAll(judging: Judging, unsettled: Unsettled | undefined): void {
  const { source, judged } = judging;
  const { steps } = source;
  judged.clear();
  /** By seq: the key of what will not be as it was, of all that is in front of an event. */
  const changed: (string | undefined)[] = [];
  for (const [seq, causes] of steps.causes.entries()) {
    const step = steps.stepAt[seq];
    let behind: string | undefined;
    for (const cause of causes) behind ??= changed[cause];
    if (step === undefined) {
      changed[seq] = behind;
      continue;
    }
    if (step.first === seq) judged.set(step, judge(judging, step, behind, unsettled));
    const found = judged.get(step);
    changed[seq] = found !== undefined && staysAsItWas(judging, step, found) ? undefined : step.key;
  }
}

/** Whether what is behind a step is given what it was given before. */
function staysAsItWas({ change, nearer }: Judging, step: RecordedStep, { verdict }: Judged): boolean {
  if (verdict !== "reuse" || change.outputs?.get(step.key)?.differs !== undefined) return false;
  // A nearer run of the line has this step too, and may have gone another way there.
  const other = nearer.get(step.identity);
  return other === undefined || (other.judged.verdict === "reuse" && sameValue(other.step.output, step.output));
}

function judge(
  judging: Judging,
  step: RecordedStep,
  behind: string | undefined,
  unsettled: Unsettled | undefined,
): Judged {
  const { change, source } = judging;
  if (source.start !== undefined && step.first <= source.start && source.carried?.has(step.key) !== true) {
    return { verdict: "reuse", reason: "before the checkpoint" };
  }
  const output = change.outputs?.get(step.key);
  if (output !== undefined) return { verdict: "reuse", reason: "output given" };
  const judged = judgeRecord(judging, step, behind, unsettled);
  if (judged.verdict !== "reuse" || source.fates?.get(step.key) !== "open") return judged;
  return { verdict: "depends", reason: mayGoBackText };
}

/** What the record of a step says, as far as it stays what it is. */
function judgeRecord(
  judging: Judging,
  step: RecordedStep,
  behind: string | undefined,
  unsettled: Unsettled | undefined,
): Judged {
  const { change, source } = judging;
  const cut = change.reuse === "none" || (step.outcome !== undefined && isIn(source.cut, step.outcome));
  const isOnce = step.effect === "once" || judging.line.once.has(step.identity);
  if (isUndone(source, step) && !isOnce) return { verdict: "run", reason: "compensated" };
  if (isOnce) return judgeOnce(judging, step, cut, judgeOffered(change, step, behind, unsettled));
  if (change.reuse !== "none" && judging.shared.has(groupText(step))) {
    return { verdict: "depends", reason: "equal asks share what is recorded of them" };
  }
  if (cut && step.from !== undefined && !judging.line.runs.has(step.from.run)) {
    // Only what is to be done once is had from a run that offers nothing, and then it is not cut either.
    return { verdict: "depends", reason: "cut, unless it is to be done once" };
  }
  if (cut) return { verdict: "run", reason: "cut" };
  return notOffered(source, step) ?? judgeOffered(change, step, behind, unsettled);
}

/** A success, or a failure that is replayed: reused if its key comes out the same. */
function judgeOffered(
  change: PlannedChange,
  step: RecordedStep,
  behind: string | undefined,
  unsettled: Unsettled | undefined,
): Judged {
  const bare = step.input === null;
  if (bare && change.input !== undefined) {
    // It runs, unless its author says that it is always the same, which is not on record.
    return { verdict: "depends", reason: `no declared input, and the run's changed at ${change.input}` };
  }
  if (behind !== undefined) return { verdict: "depends", reason: `behind ${behind}` };
  if (change.input !== undefined) return { verdict: "depends", reason: `the run's input changed at ${change.input}` };
  if (change.context !== undefined) {
    return { verdict: "depends", reason: `the run's context changed at ${change.context}` };
  }
  if (unsettled !== undefined && isUnsettled(step, unsettled)) {
    return { verdict: "depends", reason: bare ? "no declared input" : "beside something that changes" };
  }
  return { verdict: "reuse", reason: step.ending === "error" ? "a failure that the run survived" : step.status };
}

/** A `once` step is not entered again without a decision, wherever the cut is. `offered`: what it would be otherwise. */
function judgeOnce({ change, source }: Judging, step: RecordedStep, cut: boolean, offered: Judged): Judged {
  if (step.status === "in_doubt") return { verdict: "decide", reason: "in doubt" };
  const undone = isUndone(source, step);
  const missing = undone ? undefined : notOffered(source, step);
  // Of a failure it is certain that nothing happened, or somebody has said so.
  if (missing !== undefined && step.ending === "error") return missing;
  if (missing !== undefined) return { verdict: "decide", reason: "effect once, begun and not settled" };
  if (offered.verdict === "reuse" && !cut && !undone) return offered;
  if (namesOf(step.key, step).some((named) => change.allowEffects?.includes(named)))
    return { verdict: "depends", reason: "effect once, allowed" };
  return { verdict: "decide", reason: `effect once, ${undone ? "made up for" : cut ? "cut" : offered.reason}` };
}

/** Whether it was made up for, or that was begun: as far as the record goes that is on offer, or behind it. */
function isUndone({ fates }: PlanSource, step: RecordedStep): boolean {
  return step.compensated !== undefined || fates?.get(step.key) === "undone";
}

/** Why the record of a step is not on offer; undefined where it is. */
function notOffered({ ended }: PlanSource, step: RecordedStep): Judged | undefined {
  switch (step.ending) {
    case "value":
      if (step.alone === true) {
        return {
          verdict: "run",
          reason: step.kind === "call" ? "called anew, to reuse its own" : "for this run alone",
        };
      }
      // That nobody answered in time is no answer.
      return step.status === "expired" ? { verdict: "run", reason: "expired" } : undefined;
    case "error":
      if (ended === undefined || step.kind !== "step") return { verdict: "run", reason: step.status };
      return ended.includes(step.key) ? { verdict: "run", reason: "failed, and ended the run" } : undefined;
    case "none":
      return { verdict: "run", reason: step.status };
    case "open":
      return step.status === "in_doubt"
        ? { verdict: "decide", reason: "in doubt" }
        : { verdict: "run", reason: "not settled" };
  }
}

/**
 * Asks that are equal in all that a reuse key has are given what is recorded of any of them. Where one of them is not on
 * offer, it cannot be said which of the others will have gone to it.
 */
function sharedOf(source: PlanSource): ReadonlySet<string> {
  const groups = new Map<string, { offered: number; missing: number }>();
  for (const step of source.steps.list) {
    if (step.input === null) continue;
    const text = groupText(step);
    const group = groups.get(text) ?? { offered: 0, missing: 0 };
    groups.set(text, group);
    // What is cut keeps its place: what is behind it is not taken for it.
    if (notOffered(source, step) === undefined) group.offered += 1;
    else group.missing += 1;
  }
  return new Set([...groups].flatMap(([text, { offered, missing }]) => (offered > 0 && missing > 0 ? [text] : [])));
}

function groupText(step: RecordedStep): string {
  return step.input === null ? "" : `${groupOf(step)} ${step.input}`;
}

/** The steps that will not be as they were, or not surely, or not when they were. */
function* changedSteps(judging: Judging): Generator<RecordedStep> {
  for (const step of judging.source.steps.list) {
    const judged = judging.judged.get(step);
    const stays = judged !== undefined && staysAsItWas(judging, step, judged);
    // What is given comes at once, also where it is what was recorded.
    if (!stays || judging.change.outputs?.has(step.key) === true) yield step;
  }
}

/** What a plan adds up to. */
export function totalsOf(steps: readonly PlannedStep[]): PlanTotals {
  const counts: Record<Verdict, number> = { reuse: 0, run: 0, depends: 0, decide: 0 };
  const least = { ms: 0, cost: 0 };
  const most = { ms: 0, cost: 0 };
  for (const { verdict, saves } of steps) {
    counts[verdict] += 1;
    if (verdict === "run") continue;
    most.ms += saves.ms;
    most.cost += saves.cost;
    if (verdict !== "reuse") continue;
    least.ms += saves.ms;
    least.cost += saves.cost;
  }
  return {
    ...counts,
    runs: [counts.run, counts.run + counts.depends + counts.decide],
    saves: { ms: [least.ms, most.ms], cost: [least.cost, most.cost] },
  };
}
