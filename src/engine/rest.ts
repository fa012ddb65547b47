/** When a run may rest: everything it still asks for is a wait, so no process needs to hold it. */
import type { Draft, Seq, Timestamp } from "../core/event.ts";
import type { RunState } from "../core/reduce.ts";
import type { Ask } from "./ask.ts";
import type { Recall } from "./recall.ts";

/** What may still be under way in a run. */
type UnderWay = {
  steps: { readonly running: number };
  journal: { readonly idle: boolean };
  inbox: { readonly busy: boolean };
  reuse: { readonly busy: boolean; readonly judging: boolean };
  undertakings: { readonly paused: boolean };
  asks: { open(): Iterable<Ask> };
};

/** What the run waits for if nothing is under way, which may be nothing while it is paused; else undefined. */
export function restful({ steps, journal, inbox, reuse, undertakings, asks }: UnderWay): readonly Ask[] | undefined {
  if (steps.running > 0 || !journal.idle || inbox.busy) return undefined;
  if (reuse.judging || (reuse.busy && !undertakings.paused)) return undefined;
  return onlyWaits(asks.open()) ?? (undertakings.paused ? [] : undefined);
}

/** The open asks if all of them are waits, in doubt, or back off before an attempt; undefined while anything else may still happen. */
function onlyWaits(open: Iterable<Ask>): Ask[] | undefined {
  const waits: Ask[] = [];
  for (const ask of open) {
    if (ask.withdrawn !== undefined) continue;
    if (ask.work.kind === "step" && ask.doubtful !== true && ask.until === undefined) return undefined;
    waits.push(ask);
  }
  return waits.length === 0 ? undefined : waits;
}

/** So many steps are named that wait to be given what another run may still make up for. */
const shownMax = 20;

/**
 * The event that suspends a run with these waits; undefined when a timer fires so soon that it is not worth it.
 *
 * @param deadline when the run's own time is up; it has to be looked at then too
 * @param last seq of the last event, the cause where no wait is on record
 */
export function suspension(
  waits: readonly Ask[],
  deadline: Timestamp | undefined,
  now: Timestamp,
  lingerMs: number,
  last: Seq,
): Draft | undefined {
  const untils = [...waits.flatMap((ask) => ask.until ?? []), ...(deadline === undefined ? [] : [deadline])];
  const until = untils.length === 0 ? undefined : Math.min(...untils);
  if (until !== undefined && until - now <= lingerMs) return undefined;
  const doubtful = waits.filter((ask) => ask.doubtful === true).map((ask) => ask.ref.key);
  const goingBack = waits.flatMap(({ ref, goesBack }) =>
    goesBack === undefined ? [] : [{ step: ref.key, run: goesBack }],
  );
  const causes = waits.flatMap((ask) => ask.begunAt ?? []);
  return {
    type: "run.suspended",
    data: {
      reason: doubtful.length > 0 ? "in_doubt" : "waiting",
      ...(until === undefined ? {} : { until }),
      ...(doubtful.length > 0 ? { detail: doubtful } : {}),
      // Somebody has to see to what is in doubt; what another run may make up for, time will tell.
      ...(doubtful.length === 0 && goingBack.length > 0 ? { detail: { mayGoBack: goingBack.slice(0, shownMax) } } : {}),
    },
    causes: causes.length > 0 ? causes : [last],
  };
}

/** The event that suspends a run which is about to end, until its children have, or something is tried again. */
export function suspensionBeforeEnd(until: Timestamp | undefined, last: Seq): Draft {
  const data = { reason: "waiting" as const, ending: true as const, ...(until === undefined ? {} : { until }) };
  return { type: "run.suspended", data, causes: [last] };
}

const lookAgainMsMin = 30_000;
const lookAgainMsMax = 86_400_000;

/**
 * When a run that waits for the ends of those that it called looks after them again. Their ends wake it; but a worker
 * that had one of them may have died, and nobody else may come to it. The longer it has been waiting, the later, so that
 * it costs next to nothing.
 */
export function lookAgainAt({ endingSince }: RunState, now: Timestamp): Timestamp {
  return now + Math.min(Math.max(now - (endingSince ?? now), lookAgainMsMin), lookAgainMsMax);
}

/** Keys of the steps that were in flight when the last worker let go of the run: one of them may have killed it. */
export function inFlight(recall: Recall): string[] {
  return [...recall.noted()].flatMap((ask) =>
    ask.started !== undefined && ask.outcome === undefined ? [ask.key] : [],
  );
}
