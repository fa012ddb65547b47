/**
 * What stands directly behind an event of a run: the nearest outcomes, and the creation of the run, that lead to it by
 * cause. Events that hand nothing on by themselves (a scope that closed, a pause, a checkpoint) are passed through. Causes
 * are exact in graphs; in functions they are an upper bound: what may have been used, and never too little.
 */
import type { Seq } from "./event.ts";
import type { RecordedSteps } from "./recorded-step.ts";

/** @param from the event whose causes are followed; of a step its first, for with that it was asked for */
export function upstreamOf({ causes, stepAt }: RecordedSteps, from: Seq): Seq[] {
  const found = new Set<Seq>();
  const seen = new Set<Seq>();
  const open = [...(causes[from] ?? [])];
  for (let seq = open.pop(); seq !== undefined; seq = open.pop()) {
    if (seen.has(seq)) continue;
    seen.add(seq);
    const step = stepAt[seq];
    if (seq === 0) found.add(0);
    else if (step !== undefined && step.outcome === seq) found.add(seq);
    // An outcome that was superseded, and what a run notes of itself, are on the way.
    else open.push(...(causes[seq] ?? []));
  }
  return [...found].toSorted((a, b) => a - b);
}
