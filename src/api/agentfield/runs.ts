/**
 * Runs as AgentField's tools read them: details and graphs; lists are made of the same trees and the same roll-up, so they
 * cannot disagree. What is called by a run that is gone stands at the top of what is left.
 */
import type { RunId } from "../../core/event.ts";
import { callerOf } from "../../engine/children.ts";
import type { RunRow } from "../../store/store.ts";
import type { Answer } from "./answer.ts";
import { ok, optionalTime, timeText } from "./answer.ts";
import { notFound, rootOf, rowOf, targetOf } from "./executions.ts";
import type { Asked } from "./mount.ts";
import { lineageOf } from "./run-lineage.ts";
import { countsOf, depthOf, latestOf, marksOf, statusOfTree } from "./run-summary.ts";
import type { WireStatus } from "./status.ts";
import { isTerminalStatus, wireStatusOf } from "./status.ts";
import type { TreeNode } from "./tree.ts";
import { treeOf } from "./tree.ts";
import type { Wire } from "./wire.ts";

export async function runDetail(wire: Wire, { params }: Asked): Promise<Answer> {
  const row = await runRow(wire, params["run"] ?? "");
  const { nodes: executions, more } = await treeOf(wire, row);
  const [status, said] = [statusOfTree(executions), await marksOf(wire, row)];
  const ended = (status: WireStatus): number => executions.filter((one) => one.status === status).length;
  return ok({
    run: {
      run_id: row.id,
      root_workflow_id: row.id,
      root_execution_id: row.id,
      status,
      total_steps: executions.length,
      completed_steps: ended("succeeded"),
      failed_steps: ended("failed"),
      returned_steps: executions.length,
      truncated: more,
      status_counts: countsOf(executions),
      created_at: timeText(row.state.createdAt),
      updated_at: timeText(latestOf(executions)),
      completed_at: optionalTime(row.state.endedAt),
      session_id: said.session ?? null,
      actor_id: said.actor ?? null,
      ...said.marks,
    },
    executions: executions.map((one) => ({
      ...nodeOf(one, row.id),
      active_children: executions.filter(({ parent, status }) => parent === one.id && !isTerminalStatus(status)).length,
      pending_children: executions.filter(({ parent, status }) => parent === one.id && status === "queued").length,
    })),
  });
}

/** The graph of a run: every execution once, each behind its caller. */
export async function runGraph(wire: Wire, { params, query }: Asked): Promise<Answer> {
  const row = await runRow(wire, params["run"] ?? "");
  const { nodes: executions, more } = await treeOf(wire, row);
  const [status, said] = [statusOfTree(executions), await marksOf(wire, row)];
  const isLight = query.get("mode") === "lightweight" || query.get("lightweight") === "1";
  const nodes = executions.map((one) => nodeOf(one, row.id));
  return ok({
    root_workflow_id: row.id,
    workflow_status: status,
    workflow_name: targetOf(row.state.workflow).name,
    session_id: said.session ?? null,
    actor_id: said.actor ?? null,
    total_nodes: nodes.length,
    max_depth: depthOf(executions),
    truncated: more,
    timeline: nodes,
    mode: isLight ? "lightweight" : "full",
    unique_agent_node_ids: [...new Set(executions.map(({ node }) => node))],
    ...said.marks,
    ...(isLight ? {} : { dag: nested(executions, row.id) }),
  });
}

function nested(executions: readonly TreeNode[], run: RunId): object | null {
  const byParent = Map.groupBy(executions.slice(1), ({ parent }) => parent ?? "");
  const build = (one: TreeNode): object => ({
    ...nodeOf(one, run),
    children: (byParent.get(one.id) ?? []).map(build),
  });
  const [root] = executions;
  return root === undefined ? null : build(root);
}

/** One execution in a graph or list. */
function nodeOf(one: TreeNode, run: RunId): object {
  const { id, parent, node, name, status, reason, startedAt, endedAt, depth, reuse, error } = one;
  return {
    execution_id: id,
    parent_execution_id: parent ?? null,
    run_id: run,
    workflow_id: run,
    agent_node_id: node,
    reasoner_id: name,
    status,
    status_reason: reason ?? null,
    started_at: timeText(startedAt),
    completed_at: optionalTime(endedAt),
    duration_ms: endedAt === undefined ? null : endedAt - startedAt,
    workflow_depth: depth,
    ...(error === undefined ? {} : { error_message: error.message }),
    ...(reuse === undefined ? {} : { reuse }),
  };
}

/** The run of this id, or the one that an execution of this id is of. */
async function runRow(wire: Wire, id: string): Promise<RunRow> {
  const row = await rowOf(wire.stemma.store, id);
  if (row === undefined) throw notFound(id);
  return rootOf(wire.stemma.store, row.id);
}

/** Ancestors and descendants of a run, by restart and fork alone. */
export async function runLineage(wire: Wire, { params }: Asked): Promise<Answer> {
  const row = await runRow(wire, params["run"] ?? "");
  const { ancestors, descendants, runs } = await wire.stemma.lineage(row.id);
  const roots = new Set(runs.filter(({ origin }) => callerOf(origin) === undefined).map(({ id }) => id));
  const shown = async (id: RunId): Promise<object> => {
    const found = await rowOf(wire.stemma.store, id);
    const lineage = found === undefined ? undefined : await lineageOf(wire, found);
    return {
      run_id: id,
      status: found === undefined ? null : wireStatusOf(found.state, false),
      ...(lineage === undefined ? {} : { lineage }),
    };
  };
  const only = (ids: readonly RunId[]): Promise<object[]> => Promise.all(ids.filter((id) => roots.has(id)).map(shown));
  return ok({ ...(await shown(row.id)), ancestors: await only(ancestors), descendants: await only(descendants) });
}
