/** How the code of one workflow is told from another, or from what it was before. */
import type { Workflow } from "./body.ts";
import { sha256 } from "./hash.ts";

const known = new WeakMap<Workflow, string>();

/** What tells one version of a workflow's code from another: 16 hexadecimal digits of the digest of its source. */
export function fingerprintOf(workflow: Workflow): string {
  const found = known.get(workflow) ?? sha256(`${workflow.name}@${workflow.version}\n${workflow.source}`).slice(0, 16);
  known.set(workflow, found);
  return found;
}
