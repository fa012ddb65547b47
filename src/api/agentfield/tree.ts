/** A run with all that it called, each behind its caller and in the order of the calls: what graphs and details are made of. */
import type { ErrorRecord, Event, RunId, Seq, Timestamp } from "../../core/event.ts";
import type { RunState } from "../../core/reduce.ts";
import { parseKey } from "../../core/identity.ts";
import { isTerminal } from "../../core/run.ts";
import { readHistory } from "../../engine/history-pages.ts";
import type { RunRow } from "../../store/store.ts";
import type { Course, CourseLocal } from "../agents/course.ts";
import { callId } from "../agents/execution.ts";
import type { Execution } from "../agents/execution.ts";
import { reuseOf } from "./standing.ts";
import { executionAt, targetOf, treeRows, wireId } from "./executions.ts";
import type { WireStatus } from "./status.ts";
import { isTerminalStatus, wireStatusOf } from "./status.ts";
import type { Wire } from "./wire.ts";

export type TreeNode = {
  id: string;
  parent?: string;
  node: string;
  name: string;
  depth: number;
  status: WireStatus;
  reason?: string;
  startedAt: Timestamp;
  endedAt?: Timestamp;
  error?: ErrorRecord;
  /** Where a reused success was found, and who really made it. */
  reuse?: object;
};

/** As many as one answer shows; more than that nobody looks at. */
const nodesMax = 10_000;

type Item = { at: Seq; leaf: TreeNode } | { at: Seq; row: RunRow; parent?: string };

export async function treeOf(wire: Wire, root: RunRow): Promise<{ nodes: TreeNode[]; more: boolean }> {
  const rows = new Map((await treeRows(wire.stemma.store, root.id)).map((row) => [row.id, row]));
  const nodes: TreeNode[] = [];
  const waiting: Item[] = [{ at: 0, row: rows.get(root.id) ?? root }];
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    if (nodes.length >= nodesMax) return { nodes: withDepths(nodes), more: true };
    if ("leaf" in next) nodes.push(next.leaf);
    else {
      const { row, parent } = next;
      const { events } = await readHistory(wire.stemma.store, row.id);
      nodes.push(ofRun(wire, row, events, parent));
      waiting.unshift(...(await inside(wire, row, events, rows)));
    }
  }
  return { nodes: withDepths(nodes), more: false };
}

/** Calls that came from a call inside the agent, by their keys. */
function parentsOf(course: Course | undefined): ReadonlyMap<string, string> {
  const parents = new Map<string, string>();
  for (const { key, messages } of course?.calls ?? []) {
    const note = messages[0]?.note;
    const parent = typeof note === "object" && note !== null && !Array.isArray(note) ? note["parent"] : undefined;
    if (typeof parent === "string" && course?.locals.has(parent) === true) parents.set(key, parent);
  }
  return parents;
}

/** How a run's status reads, its end by a limit of time being one of its own. */
export function statusOfRun(state: RunState, isAsked: boolean): WireStatus {
  const plain = wireStatusOf(state, isAsked);
  return plain === "failed" && state.error?.code === "step.timed_out" ? "timeout" : plain;
}

function ofRun(wire: Wire, { id, state }: RunRow, events: readonly Event[], parent: string | undefined): TreeNode {
  const { startedAt, createdAt, endedAt, error } = state;
  const isAsked = (state.waits?.open ?? []).some((seq) => {
    const event = events[seq];
    return event?.type === "wait.opened" && event.data.kind === "approval";
  });
  const awaiting = wire.awaiting.get(id);
  const status = statusOfRun(state, isAsked || awaiting !== undefined);
  const reason =
    status === "waiting"
      ? isAsked
        ? "waiting_for_approval"
        : (awaiting ?? state.reason)
      : status === "cancelled"
        ? state.cancel?.reason
        : undefined;
  return {
    id,
    ...targetOf(state.workflow),
    depth: 0,
    status,
    startedAt: startedAt ?? createdAt,
    ...(parent === undefined ? {} : { parent }),
    ...(reason === undefined ? {} : { reason }),
    ...(endedAt === undefined ? {} : { endedAt }),
    ...(error === undefined ? {} : { error }),
  };
}

/** What a run called, in order: runs, calls that were reused, and those that an agent carried out in its own process. */
async function inside(
  wire: Wire,
  row: RunRow,
  events: readonly Event[],
  rows: ReadonlyMap<RunId, RunRow>,
): Promise<Item[]> {
  const course = wire.agents.isExecution(row) ? await wire.agents.course(row.id) : undefined;
  const parents = parentsOf(course);
  const locals = new Set([...(course?.locals.values() ?? [])].flatMap(({ key }) => key ?? []));
  const items: Item[] = [];
  for (const event of events) {
    if (event.type === "child.started") {
      const below = rows.get(event.data.run);
      const parent = parents.get(event.data.key) ?? row.id;
      if (below !== undefined) items.push({ at: event.seq, row: below, parent });
    } else if (event.type === "step.reused") {
      const { key } = event.data;
      if (locals.has(key) || !parseKey(key).name.includes(".")) continue;
      const id = callId(row.id, course?.calls.find((call) => call.key === key)?.messages[0]?.id ?? key);
      const leaf = await reusedCall(wire, { id, key, parent: parents.get(key) ?? row.id }, event);
      items.push({ at: event.seq, leaf });
    }
  }
  for (const local of course?.locals.values() ?? []) {
    const told = events.find((event) => tells(event, local.id));
    items.push({ at: told?.seq ?? row.state.seq, leaf: await localNode(wire, row, events, local) });
  }
  return items.sort((a, b) => a.at - b.at);
}

/** Whether an event is the message that told of a call inside an agent, as far as it stands in the event itself. */
function tells({ type, data }: Event, id: string): boolean {
  if (type !== "wait.answered" || !("inline" in data.value)) return false;
  const { inline } = data.value;
  return typeof inline === "object" && inline !== null && "id" in inline && inline["id"] === id;
}

type Reused = Extract<Event, { type: "step.reused" }>;

async function reusedCall(
  wire: Wire,
  call: { id: string; key: string; parent: string },
  { at, data }: Reused,
): Promise<TreeNode> {
  const { execution: source } = await executionAt(wire, data.from);
  return {
    id: wireId(call.id),
    parent: call.parent,
    ...targetOf(parseKey(call.key).name),
    depth: 0,
    status: "succeeded",
    reason: `replayed_from_execution:${wireId(source)}`,
    startedAt: at,
    endedAt: at,
    reuse: await reuseOf(wire, { from: data.from, origin: data.origin } satisfies NonNullable<Execution["reused"]>),
  };
}

async function localNode(
  wire: Wire,
  row: RunRow,
  events: readonly Event[],
  { id, began, ended, key }: CourseLocal,
): Promise<TreeNode> {
  const last =
    key === undefined ? undefined : events.findLast((event) => "key" in event.data && event.data.key === key);
  const at = last?.at ?? row.state.startedAt ?? row.state.createdAt;
  const status: WireStatus =
    ended?.status === "succeeded" || ended?.status === "failed"
      ? ended.status
      : isTerminal(row.state.status)
        ? "cancelled"
        : "running";
  return {
    id,
    parent: began.parent ?? row.id,
    ...targetOf(began.target),
    depth: 0,
    status,
    startedAt: at - (ended?.ms ?? 0),
    ...(isTerminalStatus(status) ? { endedAt: at } : {}),
    ...(ended?.status === "failed" ? { error: ended.error } : {}),
    ...(last?.type === "step.reused" ? { reuse: await reuseOf(wire, last.data) } : {}),
  };
}

/** A parent that is not there leaves what it called at the top, behind the root; a circle ends where it began. */
function withDepths(nodes: readonly TreeNode[]): TreeNode[] {
  const [root] = nodes;
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const depths = new Map<string, number>();
  const depthOf = (node: TreeNode): number => {
    const known = depths.get(node.id);
    if (known !== undefined) return known;
    depths.set(node.id, 1);
    const above = node.parent === undefined ? undefined : byId.get(node.parent);
    const depth = node === root ? 0 : above === undefined ? 1 : depthOf(above) + 1;
    depths.set(node.id, depth);
    return depth;
  };
  return nodes.map((node) => {
    const isAttached = node === root || (node.parent !== undefined && byId.has(node.parent));
    const parent = isAttached || root === undefined ? {} : { parent: root.id };
    return { ...node, ...parent, depth: depthOf(node) };
  });
}
