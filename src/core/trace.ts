/**
 * The trace: the graph of what happened and why, computed from events and never written by anybody. It is connected
 * because every event names its causes and every run its origin, so there is no edge that somebody could forget.
 *
 * Each step has a number: its place among the steps in the order in which the history first mentions them, which never
 * changes afterwards. A wait takes one number when it opens and its answer takes another, also the answer that it has to
 * wait on; scopes take none.
 */
import type { Event, EventType, RunId, Seq } from "./event.ts";
import { causesOf } from "./event.ts";
import type { Status } from "./run.ts";
import { isTerminal, nextStatus } from "./run.ts";
import * as id from "./trace-id.ts";

export type NodeKind = "run" | "step" | "checkpoint" | "scope" | "terminal";
export type EdgeKind =
  | "wf_next_step_exec"
  | "persist_checkpoint"
  | "scope_closed"
  | "reused_from"
  | "forked_from"
  | "restarted_from"
  | "child_run"
  | "resolved"
  | "terminal";

export type TraceNode = { id: string; kind: NodeKind; run: RunId; n?: number; key?: string; status: string };
export type TraceEdge = { id: string; kind: EdgeKind; from: string; to: string };
export type Trace = { nodes: TraceNode[]; edges: TraceEdge[] };

/** One run's id and its history, whole and in order. */
export type TracedRun = { run: RunId; events: readonly Event[] };

/**
 * The trace of one run, or of several of a family: edges between runs are drawn where both ends are given.
 *
 * @example trace([{ run: "run_…", events }]).nodes[0] // { id: "wf_run|run_…", kind: "run", run: "run_…", status: "succeeded" }
 */
export function trace(runs: readonly TracedRun[]): Trace {
  const drawings = new Map<RunId, Drawing>();
  for (const { run, events } of runs) drawings.set(run, draw(run, events));
  const nodes: TraceNode[] = [];
  const edges: TraceEdge[] = [];
  for (const drawing of drawings.values()) {
    nodes.push(...drawing.nodes.values());
    edges.push(...drawing.edges);
    edges.push(...between(drawing, drawings));
  }
  return { nodes, edges };
}

/** How many connected components a trace has: 1, or something is wrong. Union-find with path halving. */
export function components(graph: Trace): number {
  const parent = new Map<string, string>(graph.nodes.map((node) => [node.id, node.id]));
  const find = (start: string): string => {
    let at = start;
    for (;;) {
      const above = parent.get(at) ?? at;
      if (above === at) return at;
      const next = parent.get(above) ?? above;
      parent.set(at, next);
      at = next;
    }
  };
  let count = parent.size;
  for (const edge of graph.edges) {
    if (!parent.has(edge.from) || !parent.has(edge.to)) continue;
    const [from, to] = [find(edge.from), find(edge.to)];
    if (from !== to) {
      parent.set(from, to);
      count -= 1;
    }
  }
  return count;
}

/** One run's part of the graph while it is being drawn. */
type Drawing = {
  run: RunId;
  nodes: Map<string, TraceNode>;
  edges: TraceEdge[];
  /** The node that each event belongs to, so that a cause can be drawn as an edge from it. */
  nodeAt: string[];
  /** The node of each step, and of the open wait, by key. */
  nodeOf: Map<string, TraceNode>;
  /** Keys of the waits that are open, so that what opens one again is known for the answer that it is. */
  open: Set<string>;
  events: readonly Event[];
  /** How many steps there are, and how many places at which branches come together. */
  count: number;
  scopes: number;
};

function draw(run: RunId, events: readonly Event[]): Drawing {
  const drawing: Drawing = {
    run,
    nodes: new Map(),
    edges: [],
    nodeAt: [],
    nodeOf: new Map(),
    open: new Set(),
    events,
    count: 0,
    scopes: 0,
  };
  let status: Status | undefined;
  for (const event of events) {
    status = nextStatus(status, event.type);
    drawing.nodeAt.push(place(drawing, event, status));
  }
  const root = drawing.nodes.get(id.runNode(run));
  if (root !== undefined && status !== undefined) root.status = status;
  if (status !== undefined && isTerminal(status)) closeOpen(drawing);
  return drawing;
}

/** What a step is whose run ended while it was open; a history that does not say so of each means the same. */
const over: Readonly<Record<string, string>> = { waiting: "withdrawn", running: "cancelled", retrying: "cancelled" };

function closeOpen({ nodes }: Drawing): void {
  for (const node of nodes.values()) if (node.kind === "step") node.status = over[node.status] ?? node.status;
}

/** What each event shows on the node of its step: a status, and whether the step is now on record (a checkpoint). */
const shown: Partial<Record<EventType, { status: string; recorded: boolean }>> = {
  "step.started": { status: "running", recorded: false },
  "step.attempt_failed": { status: "retrying", recorded: false },
  "step.succeeded": { status: "succeeded", recorded: true },
  "step.failed": { status: "failed", recorded: true },
  "step.cancelled": { status: "cancelled", recorded: true },
  "step.reused": { status: "reused", recorded: true },
  "step.overridden": { status: "overridden", recorded: true },
  "step.in_doubt": { status: "in_doubt", recorded: false },
  "step.decided": { status: "decided", recorded: false },
  "wait.opened": { status: "waiting", recorded: true },
  "wait.answered": { status: "answered", recorded: true },
  "wait.failed": { status: "failed", recorded: true },
  "wait.refused": { status: "waiting", recorded: false },
  "wait.expired": { status: "expired", recorded: true },
  "wait.withdrawn": { status: "withdrawn", recorded: false },
  "child.started": { status: "running", recorded: false },
  "child.ended": { status: "ended", recorded: true },
};

/** What ends a wait. One that is opened while it is open was answered, too: it has to wait on. */
const answers: ReadonlySet<EventType> = new Set(["wait.answered", "wait.failed", "wait.expired"]);

/** Draws one event and gives the id of the node that it belongs to. */
function place(drawing: Drawing, event: Event, status: Status): string {
  const { run } = drawing;
  const root = id.runNode(run);
  if (event.seq === 0) {
    drawing.nodes.set(root, { id: root, kind: "run", run, status });
    return root;
  }
  const look = shown[event.type];
  if (look !== undefined && "key" in event.data) return placeStep(drawing, event, event.data.key, look);
  if (event.type === "scope.closed") {
    const node = id.scopeNode(run, drawing.scopes++);
    drawing.nodes.set(node, { id: node, kind: "scope", run, key: event.data.scope, status: "closed" });
    link(drawing, event, node, "scope_closed", (from) => id.plainEdge("scope_closed", run, from, node));
    return node;
  }
  if (event.type === "checkpoint") return drawing.nodeAt[lastCause(drawing, event)] ?? root;
  if (isTerminal(status)) {
    const node = id.terminalNode(run, status);
    drawing.nodes.set(node, { id: node, kind: "terminal", run, status });
    link(drawing, event, node, "terminal", (from) => id.plainEdge("terminal", run, from, node));
    return node;
  }
  return root;
}

function placeStep(drawing: Drawing, event: Event, key: string, look: { status: string; recorded: boolean }): string {
  const known = drawing.nodeOf.get(key);
  const isAnswer = answers.has(event.type) || (event.type === "wait.opened" && drawing.open.has(key));
  if (event.type === "wait.opened") drawing.open.add(key);
  let node = known;
  if (node === undefined || isAnswer) {
    const n = drawing.count++;
    node = { id: id.stepNode(drawing.run, n), kind: "step", run: drawing.run, n, key, status: look.status };
    drawing.nodes.set(node.id, node);
    drawing.nodeOf.set(key, node);
    const to = node.id;
    link(drawing, event, to, "wf_next_step_exec", (from) => id.nextStepEdge(drawing.run, n, from, to));
    if (isAnswer && known !== undefined) {
      // That wait is over: its own node says so, the answer's node says how.
      known.status = "resolved";
      const edge = id.plainEdge("resolved", drawing.run, known.id, to);
      drawing.edges.push({ id: edge, kind: "resolved", from: known.id, to });
    }
  }
  node.status = event.type === "child.ended" ? event.data.status : look.status;
  if (look.recorded) checkpointOf(drawing, node);
  return node.id;
}

/** Every recorded outcome is a place from which execution can continue, so every recorded step has a checkpoint. */
function checkpointOf(drawing: Drawing, step: TraceNode): void {
  const n = step.n ?? 0;
  const node = id.checkpointNode(drawing.run, n);
  if (drawing.nodes.has(node)) return;
  drawing.nodes.set(node, { id: node, kind: "checkpoint", run: drawing.run, n, status: "stored" });
  const edge = id.checkpointEdge(drawing.run, n, step.id, node);
  drawing.edges.push({ id: edge, kind: "persist_checkpoint", from: step.id, to: node });
}

/**
 * Draws an edge from the node of each cause; two causes on one node are one edge. What came to the run from outside (a
 * signal that was kept) is drawn as the run itself, which everything is behind anyway: it is the cause of a step only
 * where no other is known.
 */
function link(drawing: Drawing, event: Event, to: string, kind: EdgeKind, name: (from: string) => string): void {
  const causes = new Set<string>();
  for (const cause of causesOf(event, (seq: Seq) => drawing.events[seq])) {
    const from = drawing.nodeAt[cause];
    if (from !== undefined && from !== to) causes.add(from);
  }
  if (kind === "wf_next_step_exec" && causes.size > 1) causes.delete(id.runNode(drawing.run));
  for (const from of causes) drawing.edges.push({ id: name(from), kind, from, to });
}

function lastCause(drawing: Drawing, event: Event): Seq {
  return Math.max(0, ...causesOf(event, (seq: Seq) => drawing.events[seq]));
}

/** Edges from the run that this one comes from, and from the steps that it reused. */
function between(drawing: Drawing, drawings: ReadonlyMap<RunId, Drawing>): TraceEdge[] {
  const edges: TraceEdge[] = [];
  const { run } = drawing;
  const to = id.runNode(run);
  const first = drawing.events[0];
  if (first?.type === "run.created" && "run" in first.data.origin) {
    const { origin } = first.data;
    const edge = origin.kind === "child" ? "child_run" : origin.kind === "restart" ? "restarted_from" : "forked_from";
    const comes: [EdgeKind, { run: RunId; seq: Seq }][] = [[edge, origin]];
    if (origin.kind !== "child" && origin.caller !== undefined) comes.push(["child_run", origin.caller]);
    for (const [kind, { run: source, seq }] of comes) {
      const from = drawings.get(source)?.nodeAt[seq];
      if (from !== undefined) edges.push({ id: id.plainEdge(kind, run, from, to), kind, from, to });
    }
  }
  for (const event of drawing.events) {
    if ((event.type !== "step.reused" && event.type !== "step.failed") || event.data.from === undefined) continue;
    const from = drawings.get(event.data.from.run)?.nodeAt[event.data.from.seq];
    const node = drawing.nodeAt[event.seq];
    if (from === undefined || node === undefined) continue;
    edges.push({ id: id.plainEdge("reused_from", run, from, node), kind: "reused_from", from, to: node });
  }
  return edges;
}
