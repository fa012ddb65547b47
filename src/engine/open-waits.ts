/** Open questions of runs, found without reading their histories: the state of a run names the events that opened them. */
import { unseal } from "../core/chain.ts";
import type { Event, EventOf, RunId, Seq } from "../core/event.ts";
import { isTerminal } from "../core/run.ts";
import type { RunRow, Store } from "../store/store.ts";
import { readHistory } from "./history-pages.ts";

/** The events that opened the waits which are open now; one that was opened again is there with its latest opening. */
export async function openWaits(store: Store, row: RunRow): Promise<EventOf<"wait.opened">[]> {
  const { waits, status } = row.state;
  if (waits === undefined || isTerminal(status)) return [];
  if (waits.more === true) return [...(await openOf(store, row.id)).values()];
  const opened: EventOf<"wait.opened">[] = [];
  for (const seq of waits.open) {
    const event = await eventAt(store, row.id, seq);
    if (event?.type === "wait.opened") opened.push(event);
  }
  return opened;
}

async function eventAt(store: Store, run: RunId, seq: Seq): Promise<Event | undefined> {
  const page = await store.history(run, { after: seq - 1, limit: 1 });
  const [stored] = page?.events ?? [];
  return stored?.seq === seq ? unseal(stored) : undefined;
}

/** What is known of a run that has more open waits than its row names: those that are open behind this seq, by key. */
type Known = { seq: Seq; open: Map<string, EventOf<"wait.opened">> };

/** Of the runs that were asked about last, so that a run with thousands of waits is read once and not for each answer. */
const known = new WeakMap<Store, Map<RunId, Known>>();
const knownMax = 16;

async function openOf(store: Store, run: RunId): Promise<Known["open"]> {
  const runs = known.get(store) ?? new Map<RunId, Known>();
  known.set(store, runs);
  const before = runs.get(run) ?? { seq: -1, open: new Map<string, EventOf<"wait.opened">>() };
  const { events } = await readHistory(store, run, before.seq);
  // Somebody else may have asked meanwhile; each goes on from a copy, so that none takes an event in twice.
  const now: Known = { seq: events.at(-1)?.seq ?? before.seq, open: new Map(before.open) };
  for (const event of events) take(now.open, event);
  runs.delete(run);
  runs.set(run, now);
  for (const [oldest] of runs) if (runs.size > knownMax) runs.delete(oldest);
  return now.open;
}

function take(open: Known["open"], event: Event): void {
  if (event.type === "wait.opened" && event.data.kind !== "timer") open.set(event.data.key, event);
  else if (event.type.startsWith("wait.") && event.type !== "wait.refused" && "key" in event.data)
    open.delete(event.data.key);
}
