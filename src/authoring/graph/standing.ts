/** What became of each executor in a run: how often it ran, what failed, and where the run waits. */
import type { Trace, TraceNode } from "../../core/trace.ts";
import type { GraphDefinition } from "./definition.ts";
import type { WorkflowRunResult } from "./run.ts";

/** A run to be drawn: the trace of one that is durable, or what came of one in memory (or `error.data` of its failure). */
export type DrawnRun = Trace | (Pick<WorkflowRunResult, "events"> & Partial<Pick<WorkflowRunResult, "requests">>);

/** How many invocations ended in which way, how many are at work, and how many requests are open. */
export type Standing = { ran: number; reused: number; failed: number; running: number; waiting: number };

/** By the path of the executor: `outer/inner` where a graph is inside. */
export type Standings = ReadonlyMap<string, Standing>;

type Tally = (path: string, what: keyof Standing, by?: number) => void;

export function standingsOf(graph: GraphDefinition, run: DrawnRun): Standings {
  const found = new Map<string, Standing>();
  const tally: Tally = (path, what, by = 1) => {
    const standing = found.get(path) ?? { ran: 0, reused: 0, failed: 0, running: 0, waiting: 0 };
    standing[what] += by;
    found.set(path, standing);
  };
  if ("nodes" in run) ofTrace(graph, run, tally);
  else ofEvents(run, tally);
  return found;
}

function ofEvents({ events, requests = [] }: Exclude<DrawnRun, Trace>, tally: Tally): void {
  for (const { type, executorId = "" } of events) {
    if (type === "executor_invoked") tally(executorId, "running");
    if (type === "executor_completed" || type === "executor_failed") tally(executorId, "running", -1);
    if (type === "executor_completed") tally(executorId, "ran");
    if (type === "executor_failed") tally(executorId, "failed");
    if (type === "executor_reused") tally(executorId, "reused");
  }
  for (const { executorId } of requests) tally(executorId, "waiting");
}

/** What the status of a step says of its executor. */
const ends: Readonly<Record<string, keyof Standing>> = {
  succeeded: "ran",
  overridden: "ran",
  decided: "ran",
  reused: "reused",
  failed: "failed",
  timed_out: "failed",
  in_doubt: "failed",
  running: "running",
  retrying: "running",
  suspended: "running",
  paused: "running",
  queued: "running",
};

function ofTrace(graph: GraphDefinition, { nodes, edges }: Trace, tally: Tally): void {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const cameFrom = (node: TraceNode, kind: string): TraceNode[] =>
    edges.flatMap((edge) => (edge.kind === kind && edge.to === node.id ? (byId.get(edge.from) ?? []) : []));
  /** Paths in front of executors' names, by run: the first run, and those that it called. Others are not of this one. */
  const paths = new Map<string, string>();
  for (const node of nodes) {
    if (node.kind !== "run") continue;
    const [caller] = cameFrom(node, "child_run");
    const outside = caller && paths.get(caller.run);
    if (paths.size === 0) paths.set(node.run, "");
    else if (caller !== undefined && outside !== undefined) paths.set(node.run, `${outside}${nameOf(caller)}/`);
  }
  for (const node of nodes) {
    const path = paths.get(node.run);
    if (node.kind !== "step" || path === undefined) continue;
    const end = ends[node.status];
    if (end !== undefined) tally(`${path}${nameOf(node)}`, end);
    if (node.status !== "waiting") continue;
    const asked = cameFrom(node, "wf_next_step_exec").find(({ kind }) => kind === "step");
    const asker = asked === undefined ? askerOf(graph, nameOf(node)) : nameOf(asked);
    tally(`${path}${asker}`, "waiting");
  }
}

/** The name of a step, of its key: `#3/name#2`. */
function nameOf({ key = "" }: TraceNode): string {
  return key.slice(key.lastIndexOf("/") + 1).replace(/#\d+$/u, "");
}

/** Of a request whose asking is in another run: ids that the graph makes begin with the name of the executor. */
function askerOf(graph: GraphDefinition, request: string): string {
  const names = [...graph.nodes.keys()].filter((name) => request.startsWith(`${name}-`));
  return names.toSorted((a, b) => b.length - a.length)[0] ?? request;
}
