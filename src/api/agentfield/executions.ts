/**
 * Executions, as AgentField knows them, read from runs: each call of an agent is a run of its own, and has its id. A call
 * whose success was reused has no run; it is known by the run that made it and the place of the event that says so
 * (`run_…~12`), and so is a call that an agent carried out in its own process. What is called a run there is the run
 * without a caller, with all that it called: a tree.
 */
import { StemmaError } from "../../core/error.ts";
import type { ErrorRecord, Event, Produced, RunId, Seq, Timestamp, Value } from "../../core/event.ts";
import { parseKey } from "../../core/identity.ts";
import type { RunState } from "../../core/reduce.ts";
import { callerOf } from "../../engine/children.ts";
import { readHistory, readTexts } from "../../engine/history-pages.ts";
import { fromValue } from "../../engine/value.ts";
import type { RunRow, Store } from "../../store/store.ts";
import type { WireStatus } from "./status.ts";
import { wireStatusOf } from "./status.ts";

/** Where a reused success was found, and who really made it. */
export type Reuse = { execution: string; run: RunId; origin: { execution: string; run: RunId } };

export type Execution = {
  id: string;
  /** The root of its tree. */
  root: RunId;
  parent?: string;
  node: string;
  name: string;
  depth: number;
  status: WireStatus;
  reason?: string;
  startedAt: Timestamp;
  endedAt?: Timestamp;
  error?: ErrorRecord;
  reuse?: Reuse;
  /** What it was given, and what it gave, as events hold it. */
  input?: Value;
  output?: Value;
  /** The run that holds it: its own, or that of its caller. */
  run: RunId;
  row?: RunRow;
};

/** As many as one answer shows; more than that nobody looks at. */
export const executionsMax = 10_000;

const depthMax = 1000;

/** The id of a call without a run of its own. */
export function placeId(run: RunId, seq: Seq): string {
  return `${run}~${seq}`;
}

export function placeOf(id: string): { run: RunId; seq?: Seq } {
  const [run = "", seq, more] = id.split("~");
  if (seq === undefined) return { run };
  if (more === undefined && /^\d{1,9}$/.test(seq)) return { run, seq: Number(seq) };
  throw notFound(id);
}

export function notFound(id: string): StemmaError {
  return new StemmaError("run.not_found", `There is no execution ${id.slice(0, 100)} here.`);
}

const runIdForm = /^run_[0-7][0-9a-hjkmnp-tv-z]{25}$/;

/** The row of a run; undefined where there is none, or the id can be none of ours. */
export async function rowOf(store: Pick<Store, "list">, id: string): Promise<RunRow | undefined> {
  if (!runIdForm.test(id)) return undefined;
  return (await store.list({ ids: [id] })).runs[0];
}

/** The caller's run and so on up to the one that nobody called. Throws run.not_found. */
export async function rootOf(store: Pick<Store, "list">, id: RunId): Promise<RunRow> {
  let row = await rowOf(store, id);
  for (let depth = 0; row !== undefined && depth < depthMax; depth += 1) {
    const caller = callerOf(row.state.origin);
    const above = caller === undefined ? undefined : await rowOf(store, caller.run);
    // A caller that is gone leaves its call the first of what is left.
    if (above === undefined) return row;
    row = above;
  }
  throw notFound(id);
}

/** The node and the function of a call, from the name of its workflow. */
export function targetOf(workflow: string): { node: string; name: string } {
  const at = workflow.indexOf(".");
  return at < 0 ? { node: "", name: workflow } : { node: workflow.slice(0, at), name: workflow.slice(at + 1) };
}

/** A run with its calls, each behind its caller, in the order in which they were made. */
export async function treeOf(store: Store, root: RunRow): Promise<{ executions: Execution[]; more: boolean }> {
  const executions: Execution[] = [];
  const seen = new Set<RunId>();
  const waiting: { id: RunId; parent?: string; depth: number }[] = [{ id: root.id, depth: 0 }];
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    if (seen.has(next.id)) continue;
    seen.add(next.id);
    if (executions.length >= executionsMax) return { executions, more: true };
    const { row, events } = await readHistory(store, next.id);
    const { parent } = next;
    executions.push(ofRun(row, events, { root: root.id, depth: next.depth, ...(parent === undefined ? {} : { parent }) }));
    const inside: typeof waiting = [];
    for (const event of events) {
      if (event.type === "child.started") inside.push({ id: event.data.run, parent: next.id, depth: next.depth + 1 });
      const call = await callWithoutRun(store, root.id, { row, events, depth: next.depth + 1 }, event);
      if (call !== undefined && executions.length < executionsMax) executions.push(call);
    }
    waiting.unshift(...inside);
  }
  return { executions, more: false };
}

/** One execution by its id. Throws run.not_found. */
export async function executionOf(store: Store, id: string): Promise<Execution> {
  const place = placeOf(id);
  if (!runIdForm.test(place.run)) throw notFound(id);
  const root = await rootOf(store, place.run);
  const { row, events } = await readHistory(store, place.run);
  const caller = callerOf(row.state.origin)?.run;
  if (place.seq === undefined) {
    return ofRun(row, events, { root: root.id, depth: 0, ...(caller === undefined ? {} : { parent: caller }) });
  }
  const event = events[place.seq];
  const found = event && (await callWithoutRun(store, root.id, { row, events, depth: 0 }, event));
  if (found === undefined) throw notFound(id);
  return found;
}

function ofRun(
  row: RunRow,
  events: readonly Event[],
  place: Pick<Execution, "root" | "depth" | "parent">,
): Execution {
  const { state } = row;
  const [created] = events;
  const last = events.at(-1);
  return {
    id: row.id,
    ...place,
    ...targetOf(state.workflow),
    ...standingOf(state, events),
    startedAt: state.startedAt ?? state.createdAt,
    ...(state.endedAt === undefined ? {} : { endedAt: state.endedAt }),
    ...(state.error === undefined ? {} : { error: state.error }),
    ...(created?.type === "run.created" ? { input: created.data.input } : {}),
    ...(last?.type === "run.succeeded" ? { output: last.data.output } : {}),
    run: row.id,
    row,
  };
}

function standingOf(state: RunState, events: readonly Event[]): { status: WireStatus; reason?: string } {
  const asked = state.waits === undefined ? [] : state.waits.open.map((seq) => events[seq]);
  const isAsked = asked.some((event) => event?.type === "wait.opened" && event.data.kind === "approval");
  const status = wireStatusOf(state, isAsked);
  const said = state.cancel?.reason;
  if (status === "waiting") return { status, reason: isAsked ? "waiting_for_approval" : (state.reason ?? "waiting") };
  if (status === "cancelled" && said !== undefined) return { status, reason: said };
  return { status };
}

/** A call that was answered from another run: a leaf, which took no time. */
async function callWithoutRun(
  store: Store,
  root: RunId,
  { row, events, depth }: { row: RunRow; events: readonly Event[]; depth: number },
  event: Event,
): Promise<Execution | undefined> {
  if (event.type !== "step.reused") return undefined;
  const { key, from, origin, output } = event.data;
  const { name } = parseKey(key);
  if (!name.includes(".")) return undefined;
  const given = events.find((one) => "key" in one.data && one.data.key === key && "given" in one.data);
  const input = given !== undefined && "given" in given.data ? given.data.given : undefined;
  const source = await executionAt(store, from);
  const maker = await executionAt(store, origin);
  return {
    id: placeId(row.id, event.seq),
    root,
    parent: row.id,
    ...targetOf(name),
    depth,
    status: "succeeded",
    reason: `replayed_from_execution:${source.execution}`,
    startedAt: event.at,
    endedAt: event.at,
    reuse: { ...source, origin: maker },
    ...(input === undefined ? {} : { input }),
    output,
    run: row.id,
  };
}

/** The execution whose outcome an event of a run holds, and the tree that it is of. */
async function executionAt(store: Store, { run, seq }: Produced): Promise<{ execution: string; run: RunId }> {
  const page = await store.history(run, { after: seq - 1, limit: 1 });
  const root = await rootOf(store, run).then(
    ({ id }) => id,
    () => run,
  );
  const stored = page?.events[0];
  if (stored?.type !== "child.ended") return { execution: placeId(run, seq), run: root };
  const { run: child } = JSON.parse(stored.data) as { run: RunId };
  return { execution: child, run: root };
}

/** The values of an execution, decoded. */
export async function valuesOf(
  store: Pick<Store, "payloads">,
  { run, input, output }: Execution,
): Promise<{ input?: unknown; output?: unknown }> {
  const digests = [input, output].flatMap((value) => (value !== undefined && "digest" in value ? [value.digest] : []));
  const texts = await readTexts(store, run, digests);
  return {
    ...(input === undefined ? {} : { input: fromValue(input, texts) }),
    ...(output === undefined ? {} : { output: fromValue(output, texts) }),
  };
}
