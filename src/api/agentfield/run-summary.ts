/**
 * What is said of a run as a whole. All of it but its marks comes from its tree, which takes a look at the history of each
 * run in it; of a tree in which everything has ended it is remembered.
 */
import type { Timestamp } from "../../core/event.ts";
import { isTerminal } from "../../core/run.ts";
import type { RunRow } from "../../store/store.ts";
import { optionalTime, timeText } from "./answer.ts";
import { targetOf } from "./executions.ts";
import { belongsTo } from "./lineage.ts";
import { goldenOf, lineageOf } from "./run-lineage.ts";
import type { WireStatus } from "./status.ts";
import { isTerminalStatus, rollUp } from "./status.ts";
import type { TreeNode } from "./tree.ts";
import { statusOfRun, treeOf } from "./tree.ts";
import type { Wire } from "./wire.ts";

/** What a tree adds up to. */
export type TreeFacts = {
  status: WireStatus;
  rootStatus: WireStatus;
  total: number;
  /** -1 for one that is not shown as a whole. */
  depth: number;
  active: number;
  counts: Record<string, number>;
  latestAt: Timestamp;
  task: string;
};

export async function treeFacts(wire: Wire, row: RunRow): Promise<TreeFacts> {
  const key = `${row.id} ${row.hash}`;
  const known = wire.trees.get(key);
  if (known !== undefined) return known;
  const { nodes, more } = await treeOf(wire, row);
  const active = nodes.filter(({ status }) => !isTerminalStatus(status));
  const status = statusOfTree(nodes);
  const { name } = targetOf(row.state.workflow);
  const facts: TreeFacts = {
    status,
    rootStatus: nodes[0]?.status ?? status,
    total: nodes.length,
    depth: more ? -1 : depthOf(nodes),
    active: active.length,
    counts: countsOf(nodes),
    latestAt: latestOf(nodes),
    task: active.at(-1)?.name ?? name,
  };
  if (active.length === 0 && isTerminal(row.state.status)) wire.trees.set(key, facts);
  return facts;
}

/** How a run stands and when it last did anything: of one that has ended its own row says it, and no tree is looked at. */
export async function standingOfRun(wire: Wire, row: RunRow): Promise<{ status: WireStatus; latestAt: Timestamp }> {
  const { endedAt } = row.state;
  if (endedAt !== undefined) return { status: statusOfRun(row.state, false), latestAt: endedAt };
  return treeFacts(wire, row);
}

export type Summary = { run_id: string; [more: string]: unknown };

/** What the list says of one run. */
export async function summaryOf(wire: Wire, row: RunRow): Promise<Summary> {
  const facts = await treeFacts(wire, row);
  const { session, actor, marks } = await marksOf(wire, row);
  const { node, name } = targetOf(row.state.workflow);
  const { startedAt, createdAt, endedAt, error } = row.state;
  return {
    workflow_id: row.id,
    run_id: row.id,
    root_execution_id: row.id,
    root_execution_status: facts.rootStatus,
    root_error_category: null,
    root_error_message: error?.message ?? null,
    status: facts.status,
    display_name: name,
    current_task: facts.task,
    root_reasoner: name,
    agent_id: node,
    session_id: session ?? null,
    actor_id: actor ?? null,
    total_executions: facts.total,
    max_depth: facts.depth,
    active_executions: facts.active,
    status_counts: facts.counts,
    started_at: timeText(startedAt ?? createdAt),
    updated_at: timeText(facts.latestAt),
    completed_at: optionalTime(endedAt),
    duration_ms: endedAt === undefined ? null : endedAt - (startedAt ?? createdAt),
    latest_activity: timeText(facts.latestAt),
    terminal: isTerminalStatus(facts.status),
    ...marks,
  };
}

export type Marks = { session?: string; actor?: string; marks: { lineage?: object; golden?: object } };

/** What is said of a run wherever it is shown, besides its tree. */
export async function marksOf(wire: Wire, row: RunRow): Promise<Marks> {
  const lineage = await lineageOf(wire, row);
  const golden = await goldenOf(wire, row.id);
  return {
    ...belongsTo(row.state.tags),
    marks: { ...(lineage === undefined ? {} : { lineage }), ...(golden === undefined ? {} : { golden }) },
  };
}

export function statusOfTree(executions: readonly TreeNode[]): WireStatus {
  return rollUp(
    executions.map(({ status }) => status),
    executions[0]?.status,
  );
}

export function depthOf(executions: readonly TreeNode[]): number {
  return executions.reduce((most, { depth }) => Math.max(most, depth), 0);
}

export function latestOf(executions: readonly TreeNode[]): number {
  return executions.reduce((latest, { startedAt, endedAt }) => Math.max(latest, endedAt ?? startedAt), 0);
}

export function countsOf(executions: readonly TreeNode[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { status } of executions) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}
