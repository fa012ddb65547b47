/** One execution as `GET /executions/:id` gives it. */
import type { Execution } from "../agents/execution.ts";
import { optionalTime } from "./answer.ts";
import { approvalOf } from "./approval.ts";
import { readExecution, reuseOf } from "./standing.ts";
import type { Wire } from "./wire.ts";

/** The whole of it. Scalars and lists stand inside an object, as agents report them: some clients read nothing else. */
export async function executionText(wire: Wire, execution: Execution): Promise<object> {
  const shown = await readExecution(wire, execution);
  const { id, run, status, reason, error, error_details, completed_at, duration_ms } = shown;
  const { startedAt, createdAt, reused, target, node } = execution;
  return {
    execution_id: id,
    run_id: run,
    workflow_id: run,
    target,
    status,
    status_reason: reason,
    result: status === "succeeded" ? wrapped(execution.output) : null,
    error,
    error_details,
    started_at: optionalTime(startedAt ?? createdAt),
    completed_at,
    duration_ms,
    webhook_registered: execution.run !== undefined && (await wire.webhooks?.of(execution.run)) !== undefined,
    webhook_events: [],
    ...(node === undefined ? {} : { agent_version: node.version }),
    ...(await approvalOf(wire, execution)),
    ...(reused === undefined ? {} : { reuse: await reuseOf(wire, reused) }),
  };
}

export function wrapped(output: unknown): unknown {
  if (output === undefined || output === null) return null;
  return typeof output === "object" && !Array.isArray(output) ? output : { result: output };
}
