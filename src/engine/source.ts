/** The run that a restart or fork is made from, as it is at one moment: what comes behind that is none of its business. */
import { unseal } from "../core/chain.ts";
import { StemmaError } from "../core/error.ts";
import type { Digest, Event, EventOf, OfferedRun, RunId, Seq, SeqRange } from "../core/event.ts";
import { outcomeOf } from "../core/event.ts";
import { limits } from "../core/limits.ts";
import type { RunRow, Store } from "../store/store.ts";
import type { CutAt } from "../core/cut.ts";
import { Cutter } from "../core/cut.ts";
import { corrupt, pagesOf } from "./history-pages.ts";
import { readList } from "./stored-list.ts";

export type Source = {
  row: RunRow;
  created: EventOf<"run.created">;
  /** What the source was offered itself, and the pieces in which that is stored. */
  offers: readonly OfferedRun[];
  pieces: ReadonlySet<Digest>;
};

/** Reads a source. Its head is where its row says. Throws run.not_found. */
export async function readSource(store: Store, id: RunId): Promise<Source> {
  const page = await store.history(id, { after: -1, limit: 1 });
  if (page === undefined) {
    throw new StemmaError("run.not_found", `There is no run ${id} in this store.`, { data: { run: id } });
  }
  const [stored] = page.events;
  const created = stored === undefined ? undefined : unseal(stored);
  if (created?.type !== "run.created") throw corrupt(id, "expected event 0 to be run.created");
  const { value, pieces } = await readList<OfferedRun[]>(store, id, created.data.offers, []);
  return { row: page.row, created, offers: value, pieces };
}

/** One event. Throws store.corrupt where it is missing. */
export async function readEvent(store: Store, run: RunId, seq: Seq): Promise<Event> {
  const page = await store.history(run, { after: seq - 1, limit: 1 });
  const [stored] = page?.events ?? [];
  if (stored?.seq !== seq) throw corrupt(run, `expected the event with seq ${seq}`);
  return unseal(stored);
}

/** All events of a run from `from` to `to`. */
export async function* eventsOf(store: Store, run: RunId, from: Seq, to: Seq): AsyncGenerator<Event> {
  if (from > to) return;
  for await (const page of pagesOf(store, run, from - 1, limits.pageEventsMax)) {
    for (const stored of page.events) {
      if (stored.seq > to) return;
      yield unseal(stored);
    }
  }
}

/**
 * Which steps the failure of a run came from, so that its other failures, which its body survived, are known. Undefined
 * where that is not known: it has not ended, was stopped from outside, or its body's own code threw, who knows why.
 */
export async function endedBy(store: Store, { id, state }: RunRow): Promise<string[] | undefined> {
  if (state.status === "succeeded") return [];
  if (state.status !== "failed") return undefined;
  const last = await readEvent(store, id, state.seq);
  const frontier = last.type === "run.failed" ? last.data.frontier : [];
  return frontier.length > 0 && frontier.length <= endedMax ? frontier : undefined;
}

const endedMax = 1000;

/** The successes of a run that it has made up for, or began to. */
export async function undoneIn(store: Store, { id, state }: RunRow): Promise<SeqRange[]> {
  if (state.undoing === undefined) return [];
  const undone: SeqRange[] = [];
  for await (const { type, causes } of eventsOf(store, id, state.undoing, state.seq)) {
    if (type !== "step.started" || "same" in causes) continue;
    const [success] = causes;
    if (success !== undefined) undone.push([success, success]);
  }
  return undone.toSorted(([a], [b]) => a - b);
}

/** What a look at a whole history found: what is behind a step, and which keys were asked for. */
export type Looked = { ranges: SeqRange[]; left: Seq | undefined; asked: ReadonlySet<string> };

export async function lookThrough(store: Store, run: RunId, head: Seq, at: CutAt | undefined): Promise<Looked> {
  const cutter = at === undefined ? undefined : new Cutter(at);
  const asked = new Set<string>();
  for await (const event of eventsOf(store, run, 0, head)) {
    cutter?.add(event, outcomeOf[event.type] !== null);
    if ("key" in event.data) asked.add(event.data.key);
  }
  return { ranges: cutter?.ranges ?? [], left: cutter?.left, asked };
}
