/**
 * Executions by their ids, as this wire has them: each call of an agent is a run of its own, and has its id. A call whose
 * success was reused has no run; it is known by the run that made it and its key there. What is called a run there is the
 * run without a caller, with all that it called.
 */
import { StemmaError } from "../../core/error.ts";
import type { Event, Produced, RunId } from "../../core/event.ts";
import { unseal } from "../../core/chain.ts";
import { limits } from "../../core/limits.ts";
import { isRecord } from "../../core/record-names.ts";
import { callerOf } from "../../engine/children.ts";
import type { RunRow, Store } from "../../store/store.ts";
import type { Execution } from "../agents/execution.ts";
import { callId, readId } from "../agents/execution.ts";
import type { Wire } from "./wire.ts";

/** What an id names: a run, or a call without one in the run of its caller. */
export type Named = { row: RunRow; call?: string };

const depthMax = 1000;

/** An id as it is told: it goes into addresses, where `#` begins something else. */
export function wireId(id: string): string {
  return id.replaceAll("#", "%23");
}

export function ownId(id: string): string {
  return id.replaceAll("%23", "#");
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

/** What an id stands for. Throws run.not_found. */
export async function namedBy({ stemma }: Pick<Wire, "stemma">, id: string): Promise<Named> {
  const own = ownId(id);
  if (!runIdForm.test(own.split(/[.~]/)[0] ?? "")) throw notFound(id);
  const { run, call } = readId(own);
  const row = await rowOf(stemma.store, run);
  // What the server keeps in the form of a run, such as a webhook, is nobody's execution.
  if (row === undefined || isRecord(row.state.workflow)) throw notFound(id);
  return { row, ...(call === undefined ? {} : { call }) };
}

/** An execution as it is now, by the id that somebody names. Throws run.not_found. */
export async function found(wire: Wire, id: string): Promise<Execution> {
  await namedBy(wire, id);
  return wire.agents.read(ownId(id));
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

/** As many runs of a family as are looked through. */
const familyMax = 20_000;

/** The runs of a tree: the one named, and all that it and those called. */
export async function treeRows(store: Pick<Store, "list">, root: RunId): Promise<RunRow[]> {
  const top = await rowOf(store, root);
  if (top === undefined) return [];
  const called = new Map<RunId, RunRow[]>();
  let cursor: string | undefined;
  let looked = 0;
  do {
    const query = { family: top.state.family, limit: limits.pageRunsMax };
    const page = await store.list(cursor === undefined ? query : { ...query, cursor });
    looked += page.runs.length;
    for (const row of page.runs) {
      const caller = callerOf(row.state.origin)?.run;
      if (caller !== undefined) called.set(caller, [...(called.get(caller) ?? []), row]);
    }
    ({ cursor } = page);
  } while (cursor !== undefined && looked < familyMax);
  const rows = [top];
  for (let at = 0; at < rows.length; at += 1) rows.push(...(called.get(rows[at]?.id ?? "") ?? []));
  return rows;
}

/** The node and the function of a call, from the name of its workflow. */
export function targetOf(workflow: string): { node: string; name: string } {
  const at = workflow.indexOf(".");
  return at < 0 ? { node: "", name: workflow } : { node: workflow.slice(0, at), name: workflow.slice(at + 1) };
}

/** The execution whose outcome an event of a run holds, and the tree that it is of. */
export async function executionAt(
  wire: Pick<Wire, "agents" | "stemma">,
  { run, key, seq }: Produced,
): Promise<{ execution: string; run: RunId }> {
  const { store } = wire.stemma;
  const root = await rootOf(store, run).then(
    ({ id }) => id,
    () => run,
  );
  const event = await eventAt(store, run, seq);
  if (event?.type === "child.ended") return { execution: event.data.run, run: root };
  return { execution: await callAt(wire, run, key), run: root };
}

/** The id of a call without a run: by what asked for it, or the key of who called it in another way. */
async function callAt({ agents, stemma }: Pick<Wire, "agents" | "stemma">, run: RunId, key: string): Promise<string> {
  const row = await rowOf(stemma.store, run);
  if (row === undefined || !agents.isExecution(row)) return callId(run, key);
  const course = await agents.course(run);
  const local = [...course.locals.values()].find((one) => one.key === key);
  if (local !== undefined) return local.id;
  return callId(run, course.calls.find((call) => call.key === key)?.messages[0]?.id ?? key);
}

async function eventAt(store: Store, run: RunId, seq: number): Promise<Event | undefined> {
  const page = await store.history(run, { after: seq - 1, limit: 1 });
  const [stored] = page?.events ?? [];
  return stored === undefined ? undefined : unseal(stored);
}
