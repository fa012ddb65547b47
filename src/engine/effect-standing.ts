/** What became of a `once` step in another run of its line, as that run's history tells. */
import type { ErrorRecord, ReuseKey, RunId, Seq, StepRef } from "../core/event.ts";
import type { Identity } from "../core/identity.ts";
import { compensationScope, identityOf, identityText, parseKey } from "../core/identity.ts";
import { isTerminal } from "../core/run.ts";
import type { RunRow, Store } from "../store/store.ts";
import type { Found } from "./source-reader.ts";
import { SourceReader } from "./source-reader.ts";
import { eventsOf } from "./source.ts";

/**
 * `succeeded`: it happened; unless `isSettled`, that run may still make up for it. `not done`: it certainly did not happen,
 * or was made up for. `in doubt`: nobody knows; `isOpen`: that run may still
 * come to know. `in flight`: that run is about to do it, or doing it; `isHeld`: it has not begun it, because of what yet
 * another run did with it, or is doing; `isUndecided`: then somebody has to decide there.
 */
export type Standing =
  | { is: "succeeded"; found: Found; isSettled: boolean }
  | { is: "not done" }
  | { is: "in flight"; isHeld: boolean; isUndecided: boolean }
  | { is: "in doubt"; isOpen: boolean; error?: ErrorRecord };

/** What was found of a run that had not ended, and where it stood then: as long as it stands there, that is how it is. */
export type Standings = Map<string, { seq: Seq; standing: Standing }>;

/** Which step of the other run is meant: the one of this label, or the very same one, whatever its label is there. */
export type Sought = { key: string } | { identity: Identity } | { way: string };

/** @param reuse key under which the step would have recorded its success */
export async function standingOf(
  store: Store,
  run: RunId,
  sought: Sought,
  reuse: ReuseKey,
  known: Standings = new Map(),
): Promise<Standing> {
  const { runs } = await store.list({ ids: [run] });
  const [row] = runs;
  // Taken out of the store, it takes what it knew along.
  if (row === undefined) return { is: "in doubt", isOpen: false };
  const asked = `${run} ${reuse} ${"identity" in sought ? identityText(sought.identity) : JSON.stringify(sought)}`;
  const before = known.get(asked);
  if (before?.seq === row.state.seq) return before.standing;
  const standing = await readStanding(store, row, sought, reuse);
  // What it succeeded with may be large, and is asked for once.
  if (standing.is !== "succeeded") known.set(asked, { seq: row.state.seq, standing });
  return standing;
}

async function readStanding(store: Store, row: RunRow, sought: Sought, reuse: ReuseKey): Promise<Standing> {
  const run = row.id;
  const isOver = isTerminal(row.state.status);
  let is: Standing["is"] = isOver ? "not done" : "in flight";
  let [isHeld, isUndecided] = [false, false];
  let success: Seq | undefined;
  let undoing: "no" | "begun" | "done" = "no";
  const labelled = labelIn(sought);
  for await (const event of eventsOf(store, run, 0, row.state.seq)) {
    if (!("key" in event.data)) continue;
    const key = labelled(event.data);
    if (key === undefined) continue;
    if (event.data.key === `${compensationScope}/${key}`) {
      undoing = event.type === "step.succeeded" ? "done" : undoing === "no" ? "begun" : undoing;
    }
    if (event.data.key !== key) continue;
    switch (event.type) {
      case "step.started":
        isHeld = false;
        is = isOver ? "in doubt" : "in flight";
        break;
      case "step.in_doubt":
        // Held back because of yet another run, it was not entered here.
        if (event.data.held === undefined) is = "in doubt";
        isHeld = event.data.held !== undefined;
        isUndecided = event.data.held !== undefined && event.data.held.why !== "in flight";
        break;
      case "step.attempt_failed":
      case "step.decided":
        isHeld = false;
        is = isOver ? "not done" : "in flight";
        break;
      case "step.failed":
      case "step.cancelled":
        is = "not done";
        break;
      case "step.succeeded":
      case "step.reused":
      case "step.overridden":
        is = "succeeded";
        success = event.seq;
        break;
      default:
    }
  }
  if (is === "succeeded" && success !== undefined) {
    if (undoing === "done") return { is: "not done" };
    if (undoing === "begun") return { is: "in doubt", isOpen: !isOver };
    const reader = new SourceReader(store, run, success);
    await reader.read(success);
    const found = reader.at(success);
    if (found?.reuse !== reuse) return { is: "in doubt", isOpen: false };
    // Who reuses it does not make up for it.
    const { type, data } = found.event;
    return { is, found, isSettled: isOver || type !== "step.succeeded" || data.compensate !== true };
  }
  if (is === "in flight") return { is, isHeld, isUndecided: isHeld && isUndecided };
  return is === "in doubt" ? { is, isOpen: !isOver } : { is: "not done" };
}

/** Gives the label of what is sought, as soon as the history that is read on from its beginning has told it. */
function labelIn(sought: Sought): (ref: StepRef) => string | undefined {
  if ("key" in sought) return () => sought.key;
  let label: string | undefined;
  if ("way" in sought) return ({ key, way }) => (label ??= way === sought.way ? key : undefined);
  const wanted = identityText(sought.identity);
  const seen = new Set<string>();
  return (ref) => {
    if (label !== undefined || seen.has(ref.key)) return label;
    if (parseKey(ref.key).name !== sought.identity.name) return undefined;
    // Only the first event of a step says what it is.
    seen.add(ref.key);
    if (identityText(identityOf(ref)) === wanted) label = ref.key;
    return label;
  };
}
