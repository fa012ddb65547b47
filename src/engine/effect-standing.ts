/** What became of a `once` step in another run of its line, as that run's history tells. */
import type { ErrorRecord, ReuseKey, RunId, Seq } from "../core/event.ts";
import { compensationScope } from "../core/identity.ts";
import { isTerminal } from "../core/run.ts";
import type { Store } from "../store/store.ts";
import type { Found } from "./source-reader.ts";
import { SourceReader } from "./source-reader.ts";
import { eventsOf } from "./source.ts";

/**
 * `not done`: it certainly did not happen, or was made up for. `in doubt`: nobody knows; `isOpen`: that run may still
 * come to know. `in flight`: that run is about to do it, or doing it; `isHeld`: it waits for yet another run.
 */
export type Standing =
  | { is: "succeeded"; found: Found }
  | { is: "not done" }
  | { is: "in flight"; isHeld: boolean }
  | { is: "in doubt"; isOpen: boolean; error?: ErrorRecord };

/** @param reuse key under which the step would have recorded its success */
export async function standingOf(store: Store, run: RunId, key: string, reuse: ReuseKey): Promise<Standing> {
  const { runs } = await store.list({ ids: [run] });
  const [row] = runs;
  // Taken out of the store, it takes what it knew along.
  if (row === undefined) return { is: "in doubt", isOpen: false };
  const isOver = isTerminal(row.state.status);
  let is: Standing["is"] = isOver ? "not done" : "in flight";
  let isHeld = false;
  let success: Seq | undefined;
  let undoing: "no" | "begun" | "done" = "no";
  for await (const event of eventsOf(store, run, 0, row.state.seq)) {
    if (!("key" in event.data)) continue;
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
        break;
      case "step.attempt_failed":
      case "step.decided":
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
    return found?.reuse === reuse ? { is, found } : { is: "in doubt", isOpen: false };
  }
  if (is === "in flight") return { is, isHeld };
  return is === "in doubt" ? { is, isOpen: !isOver } : { is: "not done" };
}
