/** What must be true of runs: at any time, and at their end. Each check gives what is wrong in words. */
import { isDeepStrictEqual } from "node:util";
import { unseal } from "../../src/core/chain.ts";
import type { Event } from "../../src/core/event.ts";
import { reduceAll } from "../../src/core/reduce.ts";
import type { RunState } from "../../src/core/reduce.ts";
import { isTerminal } from "../../src/core/run.ts";
import { components, trace } from "../../src/core/trace.ts";
import { readHistory } from "../../src/engine/history-pages.ts";
import type { Stemma } from "../../src/index.ts";
import type { Message, RunRow, Store } from "../../src/store/store.ts";
import { strayCauses } from "./recorder.ts";

export type Seen = { row: RunRow; events: Event[] };

/** All runs of the families given, each with a history that is not older than the list. */
export async function look(store: Store, families: readonly string[]): Promise<Seen[]> {
  const seen: Seen[] = [];
  for (const family of families) {
    let cursor: string | undefined;
    do {
      const page = await store.list({ family, ...(cursor === undefined ? {} : { cursor }) });
      for (const row of page.runs) seen.push({ row, events: (await readHistory(store, row.id)).events });
      cursor = page.cursor;
    } while (cursor !== undefined);
  }
  return seen;
}

/** What must be so whatever happens, at any time. `ends` remembers how runs have ended. */
export function judge(seen: readonly Seen[], families: readonly string[], ends: Map<string, string>): string[] {
  const wrong: string[] = [];
  for (const family of families) {
    const runs = seen
      .filter(({ row }) => row.state.family === family)
      .map(({ row, events }) => ({ run: row.id, events }));
    const count = components(trace(runs));
    if (count !== 1) wrong.push(`the trace of ${family} has ${count} components`);
  }
  for (const { row, events } of seen) {
    const state = tryReduce(events, row.id, wrong);
    if (state === undefined) continue;
    if (state.seq === row.state.seq && !isDeepStrictEqual(plain(state), plain(row.state)))
      wrong.push(`${row.id}: the row says ${JSON.stringify(row.state)}, its events say ${JSON.stringify(state)}`);
    wrong.push(...ended(row.id, state, ends), ...ancestry(row.id, events), ...leavesFirst(row.id, events, seen));
    if (isTerminal(state.status)) wrong.push(...leftOpen(row.id, events));
    if (isTerminal(state.status) && state.cancel !== undefined && state.status !== "cancelled")
      wrong.push(`${row.id} was asked to end, and ended as ${state.status}`);
    for (const stray of strayCauses(events)) wrong.push(`${row.id}: ${stray}`);
    const { reason } = state;
    if (reason !== undefined && reason !== "waiting" && reason !== "in_doubt")
      wrong.push(
        `${row.id} is suspended: ${reason} ${JSON.stringify(events.findLast((e) => e.type === "run.suspended")?.data)}`,
      );
  }
  return wrong;
}

const plain = (state: RunState): unknown => JSON.parse(JSON.stringify(state));

function tryReduce(events: readonly Event[], run: string, wrong: string[]): RunState | undefined {
  try {
    return reduceAll(events);
  } catch (error) {
    wrong.push(`${run}: its history cannot be: ${(error as Error).message}`);
    return undefined;
  }
}

function ended(run: string, state: RunState, ends: Map<string, string>): string[] {
  const before = ends.get(run);
  const now = `${state.status} at seq ${state.seq}`;
  if (before !== undefined && before !== now) return [`${run} had ended as ${before}, and is ${now}`];
  if (isTerminal(state.status)) ends.set(run, now);
  return [];
}

function ancestry(run: string, events: readonly Event[]): string[] {
  const wrong: string[] = [];
  let last: number | null = null;
  for (const { type, seq, data } of events) {
    if (type !== "checkpoint") continue;
    if (data.parent !== last) wrong.push(`${run}: the checkpoint at ${seq} has the parent ${data.parent}, not ${last}`);
    last = seq;
  }
  return wrong;
}

/** A run that has ended has no open children, and its children had ended before. */
function leavesFirst(run: string, events: readonly Event[], seen: readonly Seen[]): string[] {
  const wrong: string[] = [];
  const open = new Map<string, string>();
  for (const { type, data } of events) {
    if (type === "child.started") open.set(data.key, data.run);
    if (type !== "child.ended") continue;
    open.delete(data.key);
    const child = seen.find(({ row }) => row.id === data.run);
    // Its history is older than what was read of this one where it is not there or not over yet.
    const last = child?.events.at(-1);
    if (last !== undefined && isTerminal(child?.row.state.status ?? "queued") && last.type !== `run.${data.status}`)
      wrong.push(`${run}: its child ${data.run} ended with ${last.type}, and it was told ${data.status}`);
  }
  const last = events.at(-1);
  if (last !== undefined && open.size > 0 && /^run\.(succeeded|failed|cancelled|timed_out)$/u.test(last.type))
    wrong.push(`${run} has ended before its children ${[...open.values()].join(", ")}`);
  return wrong;
}

/** What is said last of a step or wait in a run that has ended: nothing goes on any more, but what is in doubt is so. */
const unsettled: ReadonlySet<string> = new Set([
  "step.started",
  "step.attempt_failed",
  "step.decided",
  "wait.opened",
  "wait.refused",
  "child.started",
]);

function leftOpen(run: string, events: readonly Event[]): string[] {
  const last = new Map<string, string>();
  for (const { type, data } of events) if ("key" in data) last.set(data.key, type);
  return [...last].flatMap(([key, type]) =>
    unsettled.has(type) ? [`${run} has ended, and of ${key} there is ${type}`] : [],
  );
}

export type Told = {
  accepted: readonly Message[];
  /** Messages that a warning was logged about: `run kind key`. */
  warned: ReadonlySet<string>;
  /** Position of the feed before the first of the runs. */
  position: number;
};

/** What must be so when all is over, beside what must always be so. */
export async function judgeEnd(seen: readonly Seen[], stemma: Stemma, told: Told): Promise<string[]> {
  const wrong: string[] = [];
  const feed = new Map<string, Event[]>();
  for (let after = told.position; ;) {
    const page = await stemma.store.feed({ after, limit: 500 });
    for (const { run, event } of page.events) feed.set(run, [...(feed.get(run) ?? []), unseal(event)]);
    if (page.position === after) break;
    after = page.position;
  }
  for (const { row, events } of seen) {
    if (!isDeepStrictEqual(feed.get(row.id), events))
      wrong.push(`${row.id}: the feed has ${feed.get(row.id)?.length ?? 0} events, the history ${events.length}`);
    const handle = await (await stemma.get(row.id)).status();
    const of = [handle, row.state.status, reduceAll(events).status, reduceAll(feed.get(row.id) ?? events).status];
    if (new Set(of).size > 1) wrong.push(`${row.id} has several statuses: ${of.join(", ")}`);
    wrong.push(...(await outcome(stemma, row)), ...madeUp(row.id, events));
    if (row.inboxDone < row.inbox && !told.warned.has(row.id))
      wrong.push(
        `${row.id} (${row.state.status}): of ${row.inbox} messages only ${row.inboxDone} were looked at, in silence`,
      );
    if (row.worker !== undefined) wrong.push(`${row.id} has ended and is still held by ${row.worker}`);
  }
  for (const message of told.accepted) {
    const events = seen.find(({ row }) => row.id === message.run)?.events;
    if (events !== undefined && !noticed(message, events, told))
      wrong.push(`${message.run}: silence about ${message.kind} ${message.key}`);
  }
  return wrong;
}

function noticed({ run, key, kind }: Message, events: readonly Event[], { warned }: Told): boolean {
  if (warned.has(`${run} ${kind} ${key}`) || warned.has(run)) return true;
  const named = events.filter(({ data }) => "message" in data && data.message === key);
  if (kind === "answer" || kind === "signal") return named.length === 1;
  if (kind === "cancel") return named.length === 1 || events.some(({ type }) => type === "cancel.requested");
  // A pause of a paused run, and a decision that was made already, change nothing.
  if (kind === "decide")
    return warned.has(`${run} step ${key.split(" ")[1]}`) || events.some(({ type }) => type === "step.decided");
  return true;
}

/** A run that did not succeed has made up for every success that can be, the latest first; one that did, for none. */
function madeUp(run: string, events: readonly Event[]): string[] {
  let successes: string[] = [];
  const made: string[] = [];
  for (const { type, data } of events) {
    if (type === "checkpoint") successes = [];
    if (!("key" in data) || !type.startsWith("step.")) continue;
    if (data.key.startsWith("compensate/")) {
      if (/succeeded|failed$/u.test(type) && type !== "step.attempt_failed") made.push(data.key.slice(11));
    } else if (type === "step.succeeded" && data.compensate === true) successes.push(data.key);
  }
  const due = events.at(-1)?.type === "run.succeeded" ? [] : successes.toReversed();
  return isDeepStrictEqual(due, made)
    ? []
    : [`${run} had to make up for ${due.join(", ")}, and did for ${made.join(", ")}`];
}

/** What `result()` says has to be how the run ended. */
async function outcome(stemma: Stemma, { id, state }: RunRow): Promise<string[]> {
  try {
    await (await stemma.get(id)).result();
    return state.status === "succeeded" ? [] : [`${id} is ${state.status} and has a result`];
  } catch (error) {
    const { code } = error as { code?: string };
    return code === `run.${state.status}` ? [] : [`${id} is ${state.status}, and its result is the error ${code}`];
  }
}
