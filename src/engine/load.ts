/** Everything that a store knows of one run, loaded once per activation. */
import { genesis, unseal } from "../core/chain.ts";
import { storedHash } from "../core/chain-text.ts";
import type { Digest, Event, EventOf, RunId, Seq, Timestamp, Value } from "../core/event.ts";
import { segmentRoot } from "../core/identity.ts";
import { decode } from "../core/json.ts";
import type { Received, RunRow, Store } from "../store/store.ts";
import type { Log, RunInfo, Segment, Workflow } from "./body.ts";
import { sha256 } from "./hash.ts";
import { corrupt, readTexts } from "./history-pages.ts";
import type { Packer } from "./packer.ts";
import { payloadsOf } from "./payload.ts";
import type { Undelivered } from "./carried.ts";
import { read } from "./reading.ts";
import type { LoadOptions } from "./reading.ts";
import type { OutcomeEvent, Recall } from "./recall.ts";
import type { RecordedOutcomes } from "./recorded-outcomes.ts";
import type { Kept } from "./signals.ts";
import type { Encoded } from "./value.ts";
import { readState } from "./state.ts";
import { fromValue, textOf } from "./value.ts";

export type Loaded = {
  row: RunRow;
  created: EventOf<"run.created">;
  /** What a body starts from: the creation of the run, or its last checkpoint. */
  start: Event;
  /** `at` of the last event. */
  lastAt: Timestamp;
  /** What is on record behind the start. */
  recall: Recall;
  outcomes: RecordedOutcomes;
  /** Texts of the payloads that creation and start name. */
  texts: Map<Digest, string>;
  /** Digests of the payloads that the state at the start is stored in. */
  pieces: ReadonlySet<Digest>;
  inbox: readonly Received[];
  /** Texts of the payloads that these messages name. */
  inboxTexts: ReadonlyMap<Digest, string>;
  /** Signals that came early and wait to be taken, in their order. */
  signals: readonly Kept[];
  /** Outcomes of waits that the checkpoint at the start carries, by key: they were on record and not given to the body. */
  answers: ReadonlyMap<string, Undelivered>;
  /** The event at a place of the history. */
  eventAt(seq: Seq): Promise<Event | undefined>;
  /** Texts of payloads that its events name. */
  textsOf(digests: readonly Digest[]): Promise<ReadonlyMap<Digest, string>>;
  /** Has seen the last events; left out for a store that keeps no packs. */
  packer: Packer | undefined;
  /** The store's clock, as learned at the claim and carried on by the monotonic clock. */
  now: () => Timestamp;
};

/**
 * Loads a run that was claimed, and recomputes its hashes on the way: a value that somebody changed in the file must
 * not reach a body as if it had been recorded.
 *
 * @param turn lets a turn of the event loop pass
 * @throws store.corrupt when the history is not what was written, or does not end where its row says; lease.lost when
 * the run is in other hands by now
 */
export async function load(
  store: Store,
  row: RunRow,
  now: () => Timestamp,
  turn: (call: () => void) => void,
  options: LoadOptions = {},
): Promise<Loaded> {
  const { reading, inbox } = await read(store, row, turn, options);
  const { start, lastAt, texts } = reading.expectWhole();
  const created = start.type === "run.created" ? start : await readCreated(store, row.id, texts);
  const found = await reading.found();
  return {
    row,
    created,
    start,
    lastAt,
    ...found,
    texts,
    pieces: await readState(store, row.id, start, texts),
    inbox,
    inboxTexts: await textsOfMessages(store, inbox),
    signals: await keptSignals(store, row.id, start, found.recall),
    answers: await carriedAnswers(store, row.id, start),
    eventAt: (seq) => eventAt(store, row.id, seq),
    textsOf: (digests) => readTexts(store, row.id, digests),
    now,
  };
}

/** The signals that are kept: received in this segment, or named by the checkpoint that it starts from. */
async function keptSignals(store: Store, run: RunId, start: Event, recall: Recall): Promise<Kept[]> {
  const found = new Map(recall.signals);
  for (const seq of start.type === "checkpoint" ? (start.data.signals ?? []) : []) {
    const event = await eventAt(store, run, seq);
    if (event?.type === "signal.received" && !recall.taken.has(seq)) found.set(seq, event.data);
  }
  const digests = [...found.values()].flatMap(({ payload }) => ("digest" in payload ? [payload.digest] : []));
  const texts = digests.length === 0 ? new Map<Digest, string>() : await store.payloads(digests);
  return [...found]
    .toSorted(([a], [b]) => a - b)
    .map(([seq, { name, payload }]) => ({ seq, name, value: encodedAgain(payload, texts) }));
}

async function carriedAnswers(store: Store, run: RunId, start: Event): Promise<ReadonlyMap<string, Undelivered>> {
  const answers = new Map<string, Undelivered>();
  for (const { key, outcome } of start.type === "checkpoint" ? (start.data.waits ?? []) : []) {
    const event = outcome === undefined ? undefined : await eventAt(store, run, outcome);
    if (event === undefined) continue;
    const digests = payloadsOf(event).map(({ digest }) => digest);
    const texts = await readTexts(store, run, digests);
    const known = [...texts].map(([digest, text]) => ({ digest, text }));
    answers.set(key, { event: event as OutcomeEvent, known });
  }
  return answers;
}

function encodedAgain(value: Value, texts: ReadonlyMap<Digest, string>): Encoded {
  const text = textOf(value, texts);
  return "digest" in value && text !== undefined
    ? { text, value, payload: { digest: value.digest, text } }
    : { text, value };
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
function startOf({ start, row, texts }: Loaded): { segment: Segment; restored: unknown } {
  if (start.type !== "checkpoint") {
    const from = start.type === "run.created" ? start.data.start : undefined;
    const restored = from === undefined ? undefined : fromValue(from.state, texts);
    return { segment: { root: segmentRoot(from?.count ?? 0), seq: 0 }, restored };
  }
  const root = segmentRoot(row.state.checkpoint?.count ?? 0);
  return { segment: { root, seq: start.seq }, restored: fromValue(start.data.state, texts) };
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

/** The first event of a run that is loaded from its last checkpoint on. */
async function readCreated(store: Store, run: RunId, texts: Map<Digest, string>): Promise<EventOf<"run.created">> {
  const page = await store.history(run, { after: -1, limit: 1 });
  const [stored] = page?.events ?? [];
  if (stored === undefined || storedHash(sha256, genesis(sha256, run), stored) !== stored.hash) {
    throw corrupt(run, "event 0 is not what was written: its hash differs");
  }
  const created = unseal(stored);
  if (created.type !== "run.created") throw corrupt(run, `expected event 0 to be run.created, found ${created.type}`);
  const digests = payloadsOf(created).map((reference) => reference.digest);
  for (const [digest, text] of await readTexts(store, run, digests)) texts.set(digest, text);
  return created;
}

async function eventAt(store: Store, run: RunId, seq: Seq): Promise<Event | undefined> {
  const page = await store.history(run, { after: seq - 1, limit: 1 });
  const [stored] = page?.events ?? [];
  return stored?.seq === seq ? unseal(stored) : undefined;
}
