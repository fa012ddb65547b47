/**
 * Where readers go on: each keeps how far it has come, and asks for what is behind that. A place that this store has not
 * reached is no place of its own (it was replaced, or put back to a copy): whoever waited there would be given nothing, and
 * miss what comes until it is reached.
 */
import { StemmaError } from "../core/error.ts";
import type { RunId, Seq } from "../core/event.ts";
import type { RunRow, Store } from "../store/store.ts";

/** No run has this id: what is asked of it is only how far the feed goes. */
const nobody: RunId = `run_${"0".repeat(26)}`;

/** The last position that the feed has given, also where what stood there is removed. */
export async function endOfFeed(store: Store): Promise<number> {
  return (await store.feed({ run: nobody, after: 0, limit: 1 })).position;
}

/** Throws cursor.beyond_end. */
export async function expectInFeed(store: Store, after: number): Promise<void> {
  if (after === 0) return;
  const end = await endOfFeed(store);
  if (after > end) throw beyond("the feed", after, end);
}

/** Throws cursor.beyond_end. */
export function expectInRun({ id, state }: RunRow, after: Seq): void {
  if (after > state.seq) throw beyond(`the history of ${id}`, after, state.seq);
}

/** Throws cursor.beyond_end. A stream keeps its latest values, so one that was read up to `after` has something there. */
export async function expectInStream(store: Store, run: RunId, stream: string, after: number): Promise<void> {
  if (after === 0) return;
  const { values = [] } = await store.feed({ run, stream, after: after - 1, limit: 1 });
  if (values.length === 0) throw beyond(`the stream ${stream} of ${run}`, after);
}

function beyond(what: string, after: number, end?: number): StemmaError {
  const known = end === undefined ? "" : `, which goes to ${end}`;
  const message = `Expected a place in ${what}${known}; got ${after}. It is of another store, or of this one before it was put back to a copy: read from the beginning.`;
  return new StemmaError("cursor.beyond_end", message, { data: { after, ...(end === undefined ? {} : { end }) } });
}
