/**
 * Runs as AgentField's tools read them: lists, details and graphs. All three are made of one tree and one roll-up, so
 * they cannot disagree; what is called by a run that is gone stands at the top of what is left.
 */
import { StemmaError } from "../../core/error.ts";
import type { RunId } from "../../core/event.ts";
import { limits } from "../../core/limits.ts";
import { callerOf } from "../../engine/children.ts";
import type { RunRow } from "../../store/store.ts";
import type { Answer } from "./answer.ts";
import { ok, optionalTime, timeText } from "./answer.ts";
import { notFound, rootOf, rowOf, targetOf } from "./executions.ts";
import { belongsTags, belongsTo } from "./lineage.ts";
import type { Asked } from "./mount.ts";
import { goldenOf, lineageOf } from "./run-lineage.ts";
import type { WireStatus } from "./status.ts";
import { canonicalStatus, isTerminalStatus, rollUp, wireStatusOf } from "./status.ts";
import type { TreeNode } from "./tree.ts";
import { treeOf } from "./tree.ts";
import type { Wire } from "./wire.ts";

/** How many runs a list looks through; what is older is found by its id. */
const rowsMax = 10_000;

export async function listRuns(wire: Wire, { query }: Asked): Promise<Answer> {
  const page = wholeOf(query, "page", 1, 1, 1_000_000);
  const size = wholeOf(query, "page_size", 20, 1, 200);
  const roots = await rootRows(wire, query);
  const wanted = query.get("status");
  const status = wanted === null || wanted === "" ? undefined : canonicalStatus(wanted);
  const start = (page - 1) * size;
  let [matching, summaries]: [RunRow[], object[]] = [roots, []];
  if (status === undefined && !needsTrees(query)) {
    summaries = await Promise.all(roots.slice(start, start + size).map((row) => summaryOf(wire, row)));
  } else {
    const all = await Promise.all(roots.map(async (row) => ({ row, summary: await summaryOf(wire, row) })));
    const left = all.filter(({ summary }) => status === undefined || summary.status === status);
    sortSummaries(left, query);
    matching = left.map(({ row }) => row);
    summaries = left.slice(start, start + size).map(({ summary }) => summary);
  }
  const total = matching.length;
  return ok({ runs: summaries, total_count: total, page, page_size: size, has_more: start + size < total });
}

async function rootRows(wire: Wire, query: URLSearchParams): Promise<RunRow[]> {
  const [session, actor] = [query.get("session_id"), query.get("actor_id")];
  const since = Date.parse(query.get("since") ?? "");
  const [tag] = belongsTags({ session: session ?? undefined, actor: actor ?? undefined });
  const search = query.get("search")?.toLowerCase() ?? "";
  const run = query.get("run_id");
  const rows: RunRow[] = [];
  let cursor: string | undefined;
  let looked = 0;
  do {
    const page = await wire.stemma.list({
      limit: limits.pageRunsMax,
      ...(tag === undefined ? {} : { tag }),
      ...(Number.isFinite(since) ? { since } : {}),
      ...(run === null || run === "" ? {} : { idPart: run }),
      ...(cursor === undefined ? {} : { cursor }),
    });
    looked += page.runs.length;
    for (const row of page.runs) {
      const { session: ofSession, actor: ofActor } = belongsTo(row.state.tags);
      if (callerOf(row.state.origin) !== undefined) continue;
      if ((session !== null && session !== ofSession) || (actor !== null && actor !== ofActor)) continue;
      if (search !== "" && !`${row.id} ${row.state.workflow}`.toLowerCase().includes(search)) continue;
      rows.push(row);
    }
    ({ cursor } = page);
  } while (cursor !== undefined && looked < rowsMax);
  return rows;
}

const sortable = ["updated_at", "started_at", "status", "total_steps", "failed_steps", "active_executions"] as const;

/** The list of the engine is by beginning, newest first; any other order takes looking at every tree. */
function needsTrees(query: URLSearchParams): boolean {
  const by = query.get("sort_by") ?? "started_at";
  return by !== "started_at" || query.get("sort_order") === "asc";
}

/** What the list says of one run, as far as it is sorted by it. */
type Summary = {
  status: WireStatus;
  status_counts: Record<string, number>;
  total_executions: number;
  active_executions: number;
  started_at: string;
  updated_at: string;
  [more: string]: unknown;
};

function sortSummaries(all: { summary: Summary }[], query: URLSearchParams): void {
  const by = sortable.find((one) => one === query.get("sort_by")) ?? "started_at";
  const sign = query.get("sort_order") === "asc" ? 1 : -1;
  const keyOf = ({ summary }: { summary: Summary }): string | number => {
    switch (by) {
      case "updated_at":
        return summary.updated_at;
      case "status":
        return summary.status;
      case "total_steps":
        return summary.total_executions;
      case "failed_steps":
        return summary.status_counts["failed"] ?? 0;
      case "active_executions":
        return summary.active_executions;
      case "started_at":
        return summary.started_at;
    }
  };
  all.sort((a, b) => (keyOf(a) < keyOf(b) ? -sign : keyOf(a) > keyOf(b) ? sign : 0));
}

function wholeOf(query: URLSearchParams, name: string, otherwise: number, min: number, max: number): number {
  const given = query.get(name);
  if (given === null || given === "") return otherwise;
  if (!/^\d{1,9}$/.test(given)) throw new StemmaError("usage.invalid", `Expected ${name} to be a whole number.`);
  return Math.min(Math.max(Number(given), min), max);
}

/** What the list says of one run. */
export async function summaryOf(wire: Wire, row: RunRow): Promise<Summary> {
  const { nodes: executions, more } = await treeOf(wire, row);
  const said = await about(wire, row, executions);
  const [root] = executions;
  const { node, name } = targetOf(row.state.workflow);
  const active = executions.filter(({ status }) => !isTerminalStatus(status));
  const { startedAt, createdAt, endedAt } = row.state;
  return {
    workflow_id: row.id,
    run_id: row.id,
    root_execution_id: row.id,
    root_execution_status: root?.status ?? said.status,
    root_error_category: null,
    root_error_message: row.state.error?.message ?? null,
    status: said.status,
    display_name: name,
    current_task: active.at(-1)?.name ?? name,
    root_reasoner: name,
    agent_id: node,
    session_id: said.session ?? null,
    actor_id: said.actor ?? null,
    total_executions: executions.length,
    max_depth: more ? -1 : depthOf(executions),
    active_executions: active.length,
    status_counts: countsOf(executions),
    started_at: timeText(startedAt ?? createdAt),
    updated_at: timeText(latestOf(executions)),
    completed_at: optionalTime(endedAt),
    duration_ms: endedAt === undefined ? null : endedAt - (startedAt ?? createdAt),
    latest_activity: timeText(latestOf(executions)),
    terminal: isTerminalStatus(said.status),
    ...said.marks,
  };
}

type About = { status: WireStatus; session?: string; actor?: string; marks: { lineage?: object; golden?: object } };

/** What is said of a run wherever it is shown. */
async function about(wire: Wire, row: RunRow, executions: readonly TreeNode[]): Promise<About> {
  const lineage = await lineageOf(wire, row);
  const golden = await goldenOf(wire, row.id);
  return {
    status: rollUp(
      executions.map(({ status }) => status),
      executions[0]?.status,
    ),
    ...belongsTo(row.state.tags),
    marks: { ...(lineage === undefined ? {} : { lineage }), ...(golden === undefined ? {} : { golden }) },
  };
}

function depthOf(executions: readonly TreeNode[]): number {
  return executions.reduce((most, { depth }) => Math.max(most, depth), 0);
}

function latestOf(executions: readonly TreeNode[]): number {
  return executions.reduce((latest, { startedAt, endedAt }) => Math.max(latest, endedAt ?? startedAt), 0);
}

function countsOf(executions: readonly TreeNode[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { status } of executions) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

export async function runDetail(wire: Wire, { params }: Asked): Promise<Answer> {
  const row = await runRow(wire, params["run"] ?? "");
  const { nodes: executions, more } = await treeOf(wire, row);
  const said = await about(wire, row, executions);
  const ended = (status: WireStatus): number => executions.filter((one) => one.status === status).length;
  return ok({
    run: {
      run_id: row.id,
      root_workflow_id: row.id,
      root_execution_id: row.id,
      status: said.status,
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
  const said = await about(wire, row, executions);
  const isLight = query.get("mode") === "lightweight" || query.get("lightweight") === "1";
  const nodes = executions.map((one) => nodeOf(one, row.id));
  return ok({
    root_workflow_id: row.id,
    workflow_status: said.status,
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
