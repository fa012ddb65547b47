/** Everything that a store knows of one run, loaded once per activation, page by page. */
import { chainHash, genesis, unseal } from "../core/chain.ts";
import { StemmaError } from "../core/error.ts";
import type { Digest, Event, EventOf, RunId, Timestamp, Value } from "../core/event.ts";
import { segmentRoot } from "../core/identity.ts";
import { decode } from "../core/json.ts";
import { limits } from "../core/limits.ts";
import type { Received, RunRow, Store } from "../store/store.ts";
import type { Log, RunInfo, Segment, Workflow } from "./body.ts";
import { sha256 } from "./hash.ts";
import { payloadsOf } from "./payload.ts";
import { fromValue } from "./value.ts";

export type Loaded = {
  row: RunRow;
  created: EventOf<"run.created">;
  /** The history from its start, or from the last checkpoint. */
  events: readonly Event[];
  /** Texts of the payloads that the events name. */
  texts: Map<Digest, string>;
  inbox: readonly Received[];
  /** The store's clock, as learned at the claim and carried on by the monotonic clock. */
  now: () => Timestamp;
};

/**
 * Loads a run that was claimed, and recomputes its hashes on the way: a value that somebody changed in the file must
 * not reach a body as if it had been recorded.
 *
 * @param turn lets a turn of the event loop pass
 * @throws store.corrupt when the history is not what was written, or does not end where its row says
 */
export async function load(
  store: Store,
  row: RunRow,
  now: () => Timestamp,
  turn: (call: () => void) => void,
): Promise<Loaded> {
  const from = row.state.checkpoint?.seq ?? 0;
  // The event before a checkpoint is read too: the checkpoint's hash covers it.
  const { events: read, inbox } = await readHistory(store, row.id, Math.max(from - 2, -1));
  const before = from === 0 ? genesis(sha256, row.id) : (read.shift()?.hash ?? "");
  const [created] = from === 0 ? read : await firstOf(store, row.id);
  const last = read.at(-1);
  if (created?.type !== "run.created" || last?.seq !== row.state.seq || last.hash !== row.hash) {
    const found = last === undefined ? "nothing" : `seq ${last.seq} with another hash or order`;
    throw corrupt(row.id, `expected its history to end with seq ${row.state.seq} as its row says, found ${found}`);
  }
  await checkChain(row.id, before, read, turn);
  const texts = await readTexts(store, row.id, from === 0 ? read : [created, ...read]);
  for (const [digest, text] of await textsOfMessages(store, inbox)) texts.set(digest, text);
  return { row, created, events: read, texts, inbox, now };
}

/** Events whose hashes are recomputed in one go, so that a long history does not hold up the event loop. */
const chainEventsMax = 500;

async function checkChain(
  run: RunId,
  before: Digest,
  events: readonly Event[],
  turn: (call: () => void) => void,
): Promise<void> {
  let previous = before;
  for (const [i, event] of events.entries()) {
    if (i > 0 && i % chainEventsMax === 0) await new Promise<void>((resolve) => turn(resolve));
    if (chainHash(sha256, previous, event) !== event.hash) {
      throw corrupt(run, `event ${event.seq} (${event.type}) is not what was written: its hash differs`);
    }
    previous = event.hash;
  }
}

function corrupt(run: RunId, why: string): StemmaError {
  return new StemmaError("store.corrupt", `Run ${run} cannot be continued: ${why}. Restore the store from a backup.`, {
    data: { run },
  });
}

/** What a body is told of its run. */
export function runInfo(workflow: Workflow, loaded: Loaded, abort: AbortSignal, log: Log): RunInfo {
  const { row, created, texts } = loaded;
  const { input, context } = created.data;
  return {
    runId: row.id,
    workflow: workflow.name,
    version: workflow.version,
    input: fromValue(input, texts),
    context: context === undefined ? undefined : fromValue(context, texts),
    abort,
    log,
    ...startOf(loaded),
  };
}

/** Where a body starts: at the start of the run, or at its last checkpoint with the state recorded there. */
function startOf(loaded: Loaded): { segment: Segment; restored: unknown } {
  const [first] = loaded.events;
  if (first?.type !== "checkpoint") return { segment: { root: segmentRoot(0), seq: 0 }, restored: undefined };
  const root = segmentRoot(loaded.row.state.checkpoint?.count ?? 0);
  return { segment: { root, seq: first.seq }, restored: fromValue(first.data.state, loaded.texts) };
}

/** Texts of the values that messages hold by reference. */
export async function textsOfMessages(
  store: Store,
  messages: readonly Received[],
): Promise<ReadonlyMap<Digest, string>> {
  const digests = messages.flatMap((message) => {
    const { output } = (decode(message.body) ?? {}) as { output?: Value };
    return output !== undefined && "digest" in output ? [output.digest] : [];
  });
  return digests.length === 0 ? new Map() : store.payloads(digests);
}

async function firstOf(store: Store, run: string): Promise<Event[]> {
  const page = await store.history(run, { after: -1, limit: 1 });
  return (page?.events ?? []).map((stored) => unseal(stored));
}

/** The history of a run behind `after` (-1: the whole). Throws run.not_found. */
export async function readHistory(
  store: Store,
  run: string,
  after = -1,
): Promise<{ row: RunRow; events: Event[]; inbox: readonly Received[] }> {
  const events: Event[] = [];
  for (;;) {
    const next = after + 1 + events.length;
    const page = await store.history(run, { after: next - 1, limit: limits.pageEventsMax });
    if (page === undefined) {
      throw new StemmaError("run.not_found", `There is no run ${run} in this store.`, { data: { run } });
    }
    for (const stored of page.events) {
      if (stored.seq !== after + 1 + events.length) {
        throw corrupt(run, `expected the event with seq ${after + 1 + events.length}, found seq ${stored.seq}`);
      }
      events.push(unseal(stored));
    }
    if (!page.more) return { row: page.row, events, inbox: page.inbox };
  }
}

async function readTexts(store: Store, run: RunId, events: readonly Event[]): Promise<Map<Digest, string>> {
  const wanted = new Set<Digest>();
  for (const event of events) for (const digest of payloadsOf(event)) wanted.add(digest);
  const texts = new Map<Digest, string>();
  const digests = [...wanted];
  for (let at = 0; at < digests.length; at += limits.pageRunsMax) {
    for (const [digest, text] of await store.payloads(digests.slice(at, at + limits.pageRunsMax))) {
      if (sha256(text) !== digest)
        throw corrupt(run, `the value ${digest} is not what was written: its digest differs`);
      texts.set(digest, text);
    }
  }
  return texts;
}
