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
  if (waits.more === true) return openIn((await readHistory(store, row.id)).events);
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

function openIn(history: readonly Event[]): EventOf<"wait.opened">[] {
  const open = new Map<string, EventOf<"wait.opened">>();
  for (const event of history) {
    if (event.type === "wait.opened" && event.data.kind !== "timer") open.set(event.data.key, event);
    else if (event.type.startsWith("wait.") && event.type !== "wait.refused" && "key" in event.data)
      open.delete(event.data.key);
  }
  return [...open.values()];
}
