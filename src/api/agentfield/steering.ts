/** What is asked of executions that are under way: pause, resume, cancel, one or a whole tree. */
import type { RunId } from "../../core/event.ts";
import { isTerminal } from "../../core/run.ts";
import type { Answer } from "./answer.ts";
import { ok, refusal, timeText } from "./answer.ts";
import { readExecution } from "./standing.ts";
import { found, namedBy, ownId, rowOf } from "./executions.ts";
import type { Asked } from "./mount.ts";
import { objectOf } from "./restart-request.ts";
import { isTerminalStatus } from "./status.ts";
import type { WireStatus } from "./status.ts";
import { treeOf } from "./tree.ts";
import type { Wire } from "./wire.ts";

/** How long what was asked is waited for to be so; it is on its way in any case. */
const settleMsMax = 5000;
const lookMs = 10;

type Steered = {
  id: string;
  run: RunId;
  status: WireStatus;
  reason: { reason?: string };
  by: { by?: string; reason?: string };
};

async function steered(wire: Wire, { params, body, by }: Asked): Promise<Steered> {
  const id = params["execution"] ?? "";
  const { row } = await namedBy(wire, id);
  const { status } = await readExecution(wire, await found(wire, id));
  const given = objectOf(body)["reason"];
  const reason = typeof given === "string" && given !== "" ? { reason: given.slice(0, 1000) } : {};
  return { id, run: row.id, status, reason, by: { ...by, ...reason } };
}

function invalidState(id: string, status: WireStatus, expected: string): Answer {
  return refusal(409, "invalid_state", {
    message: `Expected execution ${id} to be ${expected}, it is ${status}.`,
    status,
  });
}

export async function pause(wire: Wire, asked: Asked): Promise<Answer> {
  const { id, run, status, reason, by } = await steered(wire, asked);
  if (status !== "running") return invalidState(id, status, "running");
  await wire.stemma.pause(run, { ...by, ...asked.once });
  await until(
    async () =>
      (await rowOf(wire.stemma.store, run))?.state.status !== "suspended" && (await statusIs(wire, run, "paused")),
  );
  return ok({
    execution_id: id,
    previous_status: status,
    status: "paused",
    ...reason,
    paused_at: timeText(Date.now()),
  });
}

export async function resume(wire: Wire, asked: Asked): Promise<Answer> {
  const { id, run, status, reason, by } = await steered(wire, asked);
  if (status !== "paused") return invalidState(id, status, "paused");
  await wire.stemma.unpause(run, { ...by, ...asked.once });
  await until(async () => !(await statusIs(wire, run, "paused")));
  return ok({
    execution_id: id,
    previous_status: status,
    status: "running",
    ...reason,
    resumed_at: timeText(Date.now()),
  });
}

async function statusIs({ stemma }: Wire, run: RunId, status: string): Promise<boolean> {
  const now = (await stemma.row(run)).state.status;
  return now === status || isTerminal(now);
}

export async function cancel(wire: Wire, asked: Asked): Promise<Answer> {
  const { id, run, status, reason, by } = await steered(wire, asked);
  if (isTerminalStatus(status)) return invalidState(id, status, "one that has not ended");
  const { accepted } = await wire.agents.cancel(ownId(id), by);
  await until(async () => isTerminal((await wire.stemma.row(run)).state.status));
  const now = (await wire.stemma.row(run)).state.status;
  if (!accepted && now !== "cancelled") return invalidState(id, await statusOf(wire, id), "one that has not ended");
  return ok({
    execution_id: id,
    previous_status: status,
    status: "cancelled",
    ...reason,
    cancelled_at: timeText(Date.now()),
  });
}

async function statusOf(wire: Wire, id: string): Promise<WireStatus> {
  return (await readExecution(wire, await found(wire, id))).status;
}

/** Ends a run: its root, and what that called, the leaves first. */
export async function cancelTree(wire: Wire, { params, body, by }: Asked): Promise<Answer> {
  const { row } = await namedBy(wire, params["run"] ?? "");
  const given = objectOf(body)["reason"];
  const reason = typeof given === "string" && given !== "" ? { reason: given.slice(0, 1000) } : {};
  const before = await treeOf(wire, row);
  const open = before.nodes.filter(({ status }) => !isTerminalStatus(status));
  if (open.length > 0) {
    await wire.agents.cancel(row.id, { ...by, ...reason });
    await until(async () => isTerminal((await wire.stemma.row(row.id)).state.status));
  }
  const after = new Map((await treeOf(wire, row)).nodes.map((node) => [node.id, node]));
  const nodes = before.nodes
    .toSorted((a, b) => b.depth - a.depth)
    .map(({ id, node, name, depth, status }) => {
      const now = after.get(id)?.status ?? status;
      const skipped = isTerminalStatus(status) ? "terminal" : now === "cancelled" ? undefined : "raced_to_terminal";
      return {
        execution_id: id,
        agent_node_id: node,
        reasoner_id: name,
        workflow_depth: depth,
        previous_status: status,
        status: now,
        ...(skipped === undefined ? {} : { skip_reason: skipped }),
      };
    });
  const cancelled = nodes.filter((one) => one.skip_reason === undefined).length;
  return ok({
    run_id: row.id,
    workflow_id: row.id,
    total_nodes: nodes.length,
    cancelled_count: cancelled,
    skipped_count: nodes.length - cancelled,
    error_count: 0,
    nodes,
    ...reason,
    cancelled_at: timeText(Date.now()),
  });
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (
    const end = Date.now() + settleMsMax;
    Date.now() < end;
    await new Promise((resolve) => setTimeout(resolve, lookMs))
  ) {
    if (await isSo()) return;
  }
}
