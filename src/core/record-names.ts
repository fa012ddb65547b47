/**
 * Runs that are records and no work of the user: what a store keeps for somebody beside its runs has the form of a run,
 * and so has what Stemma does on its own account, such as the delivery of a webhook. They are known by the names of the
 * workflows that they are said to be of, which no workflow of a user may have.
 */

/** Of the mark that makes a run golden. */
export const markWorkflow = "golden run";

/** What the workflow of each checkpoint in a store begins with; the name of the graph follows. */
export const checkpointOf = "checkpoint of ";

/** Of webhooks that hear of many runs, of those given with one run, of how far the feed was read for them, and of deliveries. */
export const webhookRecords = {
  subscription: "webhook subscription",
  ofRun: "webhook of a run",
  cursor: "webhook cursor",
  delivery: "webhook delivery",
} as const;

/** Names of records that stand for themselves; those of checkpoints only begin alike. */
export const recordNames: readonly string[] = [markWorkflow, ...Object.values(webhookRecords)];

const names: ReadonlySet<string> = new Set(recordNames);

/** Whether runs of a workflow of this name are records. */
export function isRecord(workflow: string): boolean {
  return names.has(workflow) || workflow.startsWith(checkpointOf);
}
