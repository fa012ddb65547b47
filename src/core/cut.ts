/**
 * What of a history runs again when a step does: everything that it caused. Causes are never too few, so nothing that
 * may depend on the step is left out.
 */
import type { Event, Seq, SeqRange } from "./event.ts";

/** Where to cut: at a step, which then runs again itself, or behind it. */
export type CutAt = { key: string; isItself: boolean };

/** Collects, event by event, what is behind a step. */
export class Cutter {
  readonly #at: CutAt;
  /** Of each event: whether it is behind the step, and whether one of its causes is. */
  #behind: Uint8Array = new Uint8Array(256);
  #caused: Uint8Array = new Uint8Array(256);
  readonly #ranges: SeqRange[] = [];
  /** Whether a range may go on: nothing of a step that stays has come since. */
  #open = false;
  /** The event to be named as the place that the new run left from. */
  left: Seq | undefined;

  constructor(at: CutAt) {
    this.#at = at;
  }

  /** The stretches of history that are behind the step. */
  get ranges(): SeqRange[] {
    return this.#ranges;
  }

  add(event: Event, isOutcome: boolean): void {
    const { seq, causes, data } = event;
    if (seq >= this.#behind.length) this.#grow();
    const caused =
      "same" in causes ? this.#caused[causes.same] === 1 : causes.some((cause) => this.#behind[cause] === 1);
    const key = "key" in data ? data.key : undefined;
    const isStep = key === this.#at.key && this.#at.isItself;
    if (isStep) this.left ??= "same" in causes ? causes.same : Math.max(...causes);
    if (caused) this.#caused[seq] = 1;
    if (caused || isStep) this.#cut(seq);
    else if (key !== undefined) this.#open = false;
    // What follows from the outcome is behind it; the outcome stays.
    if (key === this.#at.key && !this.#at.isItself && isOutcome) {
      this.#behind[seq] = 1;
      this.left ??= seq;
    }
  }

  #cut(seq: Seq): void {
    this.#behind[seq] = 1;
    const last = this.#ranges.at(-1);
    if (this.#open && last !== undefined) last[1] = seq;
    else this.#ranges.push([seq, seq]);
    this.#open = true;
  }

  #grow(): void {
    const grown = (from: Uint8Array): Uint8Array => {
      const to = new Uint8Array(from.length * 2);
      to.set(from);
      return to;
    };
    [this.#behind, this.#caused] = [grown(this.#behind), grown(this.#caused)];
  }
}

/** Whether a seq is in one of the ranges, which ascend. */
export function isIn(ranges: readonly SeqRange[] | undefined, seq: Seq): boolean {
  if (ranges === undefined) return false;
  let [low, high] = [0, ranges.length - 1];
  while (low <= high) {
    const middle = (low + high) >> 1;
    const [from, to] = ranges[middle] as SeqRange;
    if (seq < from) high = middle - 1;
    else if (seq > to) low = middle + 1;
    else return true;
  }
  return false;
}

/** Ranges put together, in their order, those that touch as one. */
export function union(...all: readonly (readonly SeqRange[] | undefined)[]): SeqRange[] {
  const sorted = all.flatMap((ranges) => ranges ?? []).toSorted(([a], [b]) => a - b);
  const found: SeqRange[] = [];
  for (const [from, to] of sorted) {
    const last = found.at(-1);
    if (last !== undefined && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else found.push([from, to]);
  }
  return found;
}

/** What is left of 1 to `head` when ascending ranges are taken out. */
export function outside(ranges: readonly SeqRange[] | undefined, head: Seq): SeqRange[] {
  const left: SeqRange[] = [];
  let next = 1;
  for (const [from, to] of ranges ?? []) {
    if (from > next) left.push([next, from - 1]);
    next = Math.max(next, to + 1);
  }
  if (next <= head) left.push([next, head]);
  return left;
}
