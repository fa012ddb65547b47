/**
 * The cut: what of a source a new run is not offered, so that it runs again. It is computed here and nowhere else, for
 * the engine, which offers what is outside of it, and for the plan, which shows it. What counts is cause, not the clock:
 * a step that merely finished later is not behind another one.
 */
import type { Change } from "./change.ts";
import { StemmaError } from "./error.ts";
import type { Event, Seq } from "./event.ts";
import { outcomeOf } from "./event.ts";

/** Ascending, apart from each other, both ends included. */
export type Ranges = readonly (readonly [from: Seq, to: Seq])[];

/** The part of a change that says where it cuts. */
export type CutAt = Pick<Change, "from" | "after" | "reuse"> & { checkpoint?: Seq };

/** A cut while the history is read, event by event. */
export type Cutting = {
  readonly at: CutAt;
  /** By seq: whether what is caused by this event is cut, and whether one of its own causes says so of it. */
  readonly passes: boolean[];
  readonly behind: boolean[];
  /** Whether the step of a key is cut, decided by its first event: it is asked for once. */
  readonly steps: Map<string, boolean>;
  readonly ranges: [Seq, Seq][];
  /** The last place that is cut is joined by the next one, as nothing that is offered lies between. */
  joined: boolean;
  found: boolean;
};

/** @throws usage.invalid for more than one place to cut at */
export function newCut(at: CutAt): Cutting {
  const given = [at.from, at.after, at.checkpoint].filter((each) => each !== undefined).length;
  if (given > 1) {
    throw new StemmaError("usage.invalid", `Expected one of from, after and checkpoint, got ${given} of them.`);
  }
  return { at, passes: [], behind: [], steps: new Map(), ranges: [], joined: false, found: given === 0 };
}

/** Takes in the next event of the source's history. It costs as much as the event has causes. */
export function addToCut(cutting: Cutting, event: Event): void {
  const { at, passes, behind, ranges } = cutting;
  const { seq, causes } = event;
  behind[seq] = "same" in causes ? behind[causes.same] === true : causes.some((cause) => passes[cause] === true);
  const cut = at.reuse === "none" || isCut(cutting, event);
  passes[seq] = (cut && at.reuse !== "all") || ("key" in event.data && event.data.key === at.after);
  if (at.checkpoint === seq) cutting.found = event.type === "checkpoint";
  // Only outcomes are offered and only checkpoints are gone on from: ranges reach over what lies between.
  if (outcomeOf[event.type] === null && event.type !== "checkpoint") return;
  const last = ranges.at(-1);
  if (cut && cutting.joined && last !== undefined) last[1] = seq;
  else if (cut) ranges.push([seq, seq]);
  cutting.joined = cut;
}

function isCut(cutting: Cutting, event: Event): boolean {
  const { at, steps } = cutting;
  if (at.checkpoint !== undefined) return event.seq > at.checkpoint;
  const behind = cutting.behind[event.seq] === true;
  if (!("key" in event.data)) return behind;
  const { key } = event.data;
  if (key === at.from || key === at.after) cutting.found = true;
  const own = steps.get(key) ?? (key === at.from || behind);
  steps.set(key, own);
  return own;
}

/**
 * What is cut of the history that was read.
 *
 * @throws step.not_found when the history has no step of the key, usage.invalid when it has no such checkpoint
 */
export function rangesOf({ at, ranges, found }: Cutting): Ranges {
  if (found) return ranges;
  if (at.checkpoint !== undefined) {
    throw new StemmaError("usage.invalid", `Expected the seq of a checkpoint of the run, got ${at.checkpoint}.`, {
      data: { checkpoint: at.checkpoint },
    });
  }
  const key = at.from ?? at.after ?? "";
  throw new StemmaError("step.not_found", `The run has no step ${JSON.stringify(key)}; stemma show lists its steps.`, {
    data: { key },
  });
}

/**
 * What is cut of a whole history, in one pass.
 *
 * @throws as newCut and rangesOf
 * @example cutOf(events, { from: "summarise" }); // [[7, 9]]: what has these seqs runs again
 */
export function cutOf(history: Iterable<Event>, at: CutAt): Ranges {
  const cutting = newCut(at);
  for (const event of history) addToCut(cutting, event);
  return rangesOf(cutting);
}

/** Whether a place is in the ranges, by binary search. */
export function isWithin(ranges: Ranges, seq: Seq): boolean {
  let [low, high] = [0, ranges.length - 1];
  while (low <= high) {
    const middle = (low + high) >> 1;
    const [from, to] = ranges[middle] ?? [0, 0];
    if (seq < from) high = middle - 1;
    else if (seq > to) low = middle + 1;
    else return true;
  }
  return false;
}
