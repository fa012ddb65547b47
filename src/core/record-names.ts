/**
 * Runs that are records and no work: what a store keeps for somebody beside its runs has the form of a run, and nobody
 * works on it. They are known by the names of the workflows that they are said to be of, which no workflow may have.
 */

/** Of the mark that makes a run golden. */
export const markWorkflow = "golden run";

/** What the workflow of each checkpoint in a store begins with; the name of the graph follows. */
export const checkpointOf = "checkpoint of ";

/** What the names of other records begin with: "record of a node". */
export const recordOf = "record of ";

/** Whether runs of a workflow of this name are records. */
export function isRecord(workflow: string): boolean {
  return workflow === markWorkflow || workflow.startsWith(checkpointOf) || workflow.startsWith(recordOf);
}
