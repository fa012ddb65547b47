/**
 * What becomes of what is open on record when a run ends without its body, which is what would ask for it again: waits
 * are withdrawn and steps cancelled, as they are where a body is there, and a `once` step that may have happened is in
 * doubt. So nothing waits on record in a run that is over. Called runs have ends of their own.
 */
import type { Draft, Unwanted } from "../core/event.ts";
import type { Recall, Recorded } from "./recall.ts";

/** The events that close what was not asked for again, each caused by the last that is on record about it. */
export function closings(recall: Recall, reason: Unwanted): Draft[] {
  const drafts: Draft[] = [];
  for (const recorded of recall.unasked()) {
    const draft = recorded.outcome === undefined ? closing(recorded, reason) : undefined;
    if (draft !== undefined) drafts.push(draft);
  }
  return drafts;
}

function closing(recorded: Recorded, reason: Unwanted): Draft | undefined {
  const { key, first, last = first, opened, entered, attempts, once, doubtful, unwanted, child } = recorded;
  if (child !== undefined || unwanted !== undefined || recorded.answered === true) return undefined;
  if (opened !== undefined || (entered === undefined && attempts === undefined))
    return { type: "wait.withdrawn", data: { key, reason }, causes: [opened?.seq ?? last] };
  // What is in doubt stays so on record: nobody knows more of it than before.
  if (doubtful === true || (once === true && entered !== undefined && entered > (attempts ?? 0)))
    return { type: "step.in_doubt", data: { key, attempt: entered ?? 1, unwanted: reason }, causes: [last] };
  return { type: "step.cancelled", data: { key, reason }, causes: [last] };
}
