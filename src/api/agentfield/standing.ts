/** How an execution stands: what everybody who asks for it is told, its values apart. */
import type { Json } from "../../core/json.ts";
import { isTerminal } from "../../core/run.ts";
import type { Execution } from "../agents/execution.ts";
import { optionalTime } from "./answer.ts";
import { executionAt, rootOf, wireId } from "./executions.ts";
import type { WireStatus } from "./status.ts";
import { wireStatusOf } from "./status.ts";
import type { Wire } from "./wire.ts";

export type Shown = {
  id: string;
  run: string;
  status: WireStatus;
  reason: string | null;
  error: string | null;
  error_details: Json;
  completed_at: string | null;
  duration_ms: number | null;
};

export async function readExecution(wire: Wire, execution: Execution): Promise<Shown> {
  const { id, error, startedAt, createdAt, endedAt, reused } = execution;
  const { status, reason } = await standingOf(wire, execution);
  const began = startedAt ?? createdAt;
  return {
    id: wireId(id),
    run: (await rootOf(wire.stemma.store, execution.run ?? execution.caller?.run ?? "")).id,
    status,
    reason: reason ?? null,
    error: error?.message ?? null,
    error_details: error?.data ?? null,
    completed_at: optionalTime(endedAt),
    duration_ms: reused !== undefined ? 0 : endedAt === undefined || began === undefined ? null : endedAt - began,
  };
}

async function standingOf(wire: Wire, execution: Execution): Promise<{ status: WireStatus; reason?: string }> {
  const { run, status, error, reused, waits } = execution;
  if (reused !== undefined) {
    const { execution: source } = await executionAt(wire, reused.from);
    return { status: "succeeded", reason: `replayed_from_execution:${wireId(source)}` };
  }
  if (run === undefined) return { status: isTerminal(status) ? wireStatusOf({ status }, false) : "queued" };
  const { state } = await wire.stemma.row(run);
  if (state.status === "failed" && error?.code === "step.timed_out") return { status: "timeout" };
  const awaiting = wire.awaiting.get(run);
  const shown = wireStatusOf(state, waits.length > 0 || awaiting !== undefined);
  if (shown === "waiting") {
    return {
      status: shown,
      reason: waits.length > 0 ? "waiting_for_approval" : (awaiting ?? state.reason ?? "waiting"),
    };
  }
  const said = shown === "cancelled" ? state.cancel?.reason : undefined;
  return { status: shown, ...(said === undefined ? {} : { reason: said }) };
}

/** Where a reused success was found, and who really made it. */
export async function reuseOf(wire: Wire, { from, origin }: NonNullable<Execution["reused"]>): Promise<object> {
  const source = await executionAt(wire, from);
  const maker = await executionAt(wire, origin);
  return {
    hit: true,
    source_execution_id: wireId(source.execution),
    source_run_id: source.run,
    origin_execution_id: wireId(maker.execution),
    origin_run_id: maker.run,
  };
}
