/**
 * Everything that a store knows of one run, loaded once per activation. The history is read page by page and leaves an
 * index of places behind, not its values: of these only the first are kept, and recall reads the others again.
 */
import { genesis, unseal } from "../core/chain.ts";
import type { StoredEvent } from "../core/chain.ts";
import { storedHash } from "../core/chain-text.ts";
import { isStemmaError, StemmaError } from "../core/error.ts";
import type { Digest, Event, EventOf, RunId, Seq, Timestamp, Value } from "../core/event.ts";
import { segmentRoot } from "../core/identity.ts";
import { decode } from "../core/json.ts";
import { limits } from "../core/limits.ts";
import type { Received, RunRow, Store } from "../store/store.ts";
import type { Log, RunInfo, Segment, Workflow } from "./body.ts";
import { rememberedDigest, sha256 } from "./hash.ts";
import { corrupt, pageBehind, portionsOf, readTexts } from "./history-pages.ts";
import { Packer } from "./packer.ts";
import { payloadsOf } from "./payload.ts";
import type { Undelivered } from "./carried.ts";
import { indexed } from "./index-text.ts";
import { digestIn, packEventsUsual, unpack } from "./pack.ts";
import type { PackedEvents } from "./pack.ts";
import { Recall } from "./recall.ts";
import type { OutcomeEvent } from "./recall.ts";
import { OutcomeRow, RecordedOutcomes, checksum, rowsBehind } from "./recorded-outcomes.ts";
import type { Kept as KeptOutcome } from "./recorded-outcomes.ts";
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
  /** Has seen the last events. */
  packer: Packer;
  /** The store's clock, as learned at the claim and carried on by the monotonic clock. */
  now: () => Timestamp;
};

export type LoadOptions = {
  /** Events read at a time. */
  pageEvents?: number | undefined;
  /** Events of a pack, in which the history is kept a second time. */
  packEvents?: number | undefined;
  /** For a body that holds on to all its outcomes: how much of their text is kept, where it is not the usual little. */
  heldCharsMax?: number | undefined;
};

/** Events read at a time: a few hundred take a millisecond, and are too few to count in memory. */
const pageEventsUsual = 256;
/** Packs read at a time. */
const packsPage = 8;
/** Outcomes kept from the first reading: these many pages of them, or as much text. */
const keptPages = 4;
const keptCharsMax = 1_048_576;
/** Work between two turns of the event loop, in characters; an event costs as much as these many, besides its own. */
const sliceWorkMax = 200_000;
const eventWork = 1000;
const packWork = 150_000;
/** A history of more events than these is long. */
export const longEventsUsual = 10_000;

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

/** How many events an activation of the run is loaded from, but for its first. */
export function eventsToRead({ state }: RunRow): number {
  return state.seq - (state.checkpoint?.seq ?? 0);
}

/** Reads a history, as far as it can be from packs. Where anything is wrong with these it is read again without. */
async function read(
  store: Store,
  row: RunRow,
  turn: (call: () => void) => void,
  options: LoadOptions,
): Promise<{ reading: Reading; inbox: readonly Received[] }> {
  if (store.packs !== undefined && eventsToRead(row) >= (options.packEvents ?? packEventsUsual)) {
    try {
      const reading = new Reading(store, row, turn, options, true);
      const inbox = await reading.all();
      reading.expectWhole();
      return { reading, inbox };
    } catch (error) {
      // Only the rows say what it is, if it was not the packs; that the run is in other hands they say no better.
      if (isStemmaError(error) && error.code !== "store.corrupt") throw error;
    }
  }
  const reading = new Reading(store, row, turn, options, false);
  return { reading, inbox: await reading.all() };
}

/** One reading of a history, and what it leaves behind. */
class Reading {
  readonly #store: Store;
  readonly #row: RunRow;
  readonly #turn: (call: () => void) => void;
  readonly #pageEvents: number;
  readonly #packEvents: number;
  readonly #fromPacks: boolean;
  readonly #packer: Packer;
  readonly #from: Seq;
  readonly #recall: Recall;
  readonly #kept: KeptOutcome[] = [];
  readonly #keptMax: { outcomes: number; chars: number };
  #keptChars = 0;
  #keeping = true;
  readonly #sums: Uint32Array;
  readonly #texts = new Map<Digest, string>();
  /** Declared input of the last step that was started. */
  #input: Digest | undefined;
  /** Digests of the packs that were read, by their first seq. */
  readonly #packs = new Map<Seq, Digest>();
  /** What was done since the event loop last turned. */
  #work = 0;
  #start: Event | undefined;
  #last: { seq: Seq; at: Timestamp; hash: Digest } | undefined;

  constructor(
    store: Store,
    row: RunRow,
    turn: (call: () => void) => void,
    { pageEvents = pageEventsUsual, packEvents = packEventsUsual, heldCharsMax }: LoadOptions,
    fromPacks: boolean,
  ) {
    this.#packEvents = packEvents;
    this.#store = store;
    this.#row = row;
    this.#turn = turn;
    this.#pageEvents = Math.min(pageEvents, limits.pageEventsMax);
    this.#fromPacks = fromPacks;
    this.#packer = new Packer(row.id, packEvents);
    this.#keptMax =
      heldCharsMax === undefined
        ? { outcomes: keptPages * this.#pageEvents, chars: keptCharsMax }
        : { outcomes: Infinity, chars: heldCharsMax };
    this.#from = row.state.checkpoint?.seq ?? 0;
    this.#recall = new Recall(this.#from, row.state.seq);
    this.#sums = new Uint32Array(row.state.seq + 1 - this.#from);
  }

  /** Reads and verifies all, and gives the messages that wait. */
  async all(): Promise<readonly Received[]> {
    // The event before a checkpoint is read too: the checkpoint's hash covers it.
    let after = Math.max(this.#from - 2, -1);
    for (;;) {
      if (this.#fromPacks) after = await this.#takePacks(after);
      const limit = this.#fromPacks ? rowsBehind(after, this.#pageEvents, this.#packEvents) : this.#pageEvents;
      const page = await pageBehind(this.#store, this.#row.id, after, limit);
      this.#expectHeld(page.row);
      await this.#takeRows(page.events);
      if (!page.more) return page.inbox;
      after = page.events.at(-1)?.seq ?? after;
    }
  }

  /** Takes the packs behind an event, as far as they go, and gives the seq of the last event in them. */
  async #takePacks(after: Seq): Promise<Seq> {
    const { id, state } = this.#row;
    let last = after;
    for (;;) {
      const from = last + 1;
      // What the run starts from is read as a row: of that a recall needs more than a pack has.
      if (from <= this.#from || from % this.#packEvents !== 0 || from + this.#packEvents > state.seq + 1) return last;
      const packs = (await this.#store.packs?.(id, { from, limit: packsPage })) ?? [];
      for (const pack of packs) {
        if (pack.first !== last + 1) return last;
        const unpacked = unpack(id, pack, this.#last?.hash ?? "");
        if (unpacked === undefined)
          throw corrupt(id, `the pack of its events from ${pack.first} on is not what was written`);
        // Another version may pack more or fewer.
        if (unpacked.packed.last !== last + this.#packEvents) return last;
        await this.#takePacked(unpacked.packed, unpacked.index());
        this.#packs.set(pack.first, digestIn(pack));
        last = unpacked.packed.last;
      }
      if (packs.length === 0) return last;
    }
  }

  async #takePacked(events: PackedEvents, index: readonly Event[]): Promise<void> {
    if (this.#work > sliceWorkMax) await this.#rest();
    const pack = { events, texts: await readTexts(this.#store, this.#row.id, events.payloads()) };
    this.#keptChars += events.chars;
    for (const text of pack.texts.values()) this.#keptChars += text.length;
    this.#keeping &&= this.#keptChars <= this.#keptMax.chars && this.#kept.length < this.#keptMax.outcomes;
    for (const event of index) if (this.#recall.add(event) && this.#keeping) this.#kept.push(pack);
    const { last, hash } = events;
    this.#last = { seq: last, at: events.at(last), hash };
    this.#work += packWork;
  }

  async #takeRows(all: readonly StoredEvent[]): Promise<void> {
    for await (const { events, texts } of portionsOf(this.#store, this.#row.id, all)) {
      for (const text of texts.values()) {
        if (this.#keeping) this.#keptChars += text.length;
        this.#work += text.length;
      }
      for (const stored of events) {
        if (this.#work > sliceWorkMax) await this.#rest();
        if (stored.seq >= this.#from) this.#take(stored, texts);
        this.#last = stored;
        this.#work += stored.data.length + eventWork;
      }
    }
  }

  /** What has moved on in other hands since it was claimed is whole, though not as it was then. */
  #expectHeld({ id, epoch }: RunRow): void {
    if (epoch === this.#row.epoch) return;
    throw new StemmaError("lease.lost", `Run ${id} was taken from this worker before it had read it.`, {
      data: { run: id },
    });
  }

  async #rest(): Promise<void> {
    this.#work = 0;
    await new Promise<void>((resolve) => this.#turn(resolve));
  }

  #take(stored: StoredEvent, texts: ReadonlyMap<Digest, string>): void {
    const { id } = this.#row;
    // One that a newer version wrote is refused as that, and not as damaged.
    const isStart = stored.seq === this.#from;
    const event = isStart ? unseal(stored) : indexed(stored, this.#input);
    if (event.type === "step.started") this.#input = event.data.input;
    const before = this.#last?.hash ?? genesis(sha256, id);
    if (storedHash(sha256, before, stored, rememberedDigest) !== stored.hash)
      throw corrupt(id, `event ${stored.seq} (${stored.type}) is not what was written: its hash differs`);
    this.#packer.add(stored, event, before);
    const settles = this.#recall.add(event);
    if (isStart) {
      this.#start = event;
      for (const { digest } of payloadsOf(event)) {
        const text = texts.get(digest);
        if (text !== undefined) this.#texts.set(digest, text);
      }
    }
    if (settles) this.#keep(stored, texts);
  }

  #keep(stored: StoredEvent, texts: ReadonlyMap<Digest, string>): void {
    this.#keptChars += stored.data.length;
    this.#keeping &&= this.#keptChars <= this.#keptMax.chars && this.#kept.length < this.#keptMax.outcomes;
    if (this.#keeping) this.#kept.push(new OutcomeRow(stored, texts));
    else this.#sums[stored.seq - this.#from] = checksum(stored);
  }

  /** What the run starts from; throws where the history does not end as the run's row says. */
  expectWhole(): { start: Event; lastAt: Timestamp; texts: Map<Digest, string> } {
    const { id, state, hash } = this.#row;
    const [start, last] = [this.#start, this.#last];
    const isStart = start?.type === (this.#from === 0 ? "run.created" : "checkpoint");
    if (start !== undefined && isStart && last?.seq === state.seq && last.hash === hash) {
      return { start, lastAt: last.at, texts: this.#texts };
    }
    const found = last === undefined ? "nothing" : `seq ${last.seq} with another hash or order`;
    throw corrupt(id, `expected its history to end with seq ${state.seq} as its row says, found ${found}`);
  }

  async found(): Promise<{ recall: Recall; outcomes: RecordedOutcomes; packer: Packer }> {
    const isLong = eventsToRead(this.#row) > longEventsUsual;
    // To put a long index into order takes a turn of its own, as what comes behind does.
    if (isLong) await this.#rest();
    const recall = this.#recall.complete();
    if (isLong) await this.#rest();
    const outcomes = new RecordedOutcomes({
      store: this.#store,
      run: this.#row.id,
      pageEvents: this.#pageEvents,
      packEvents: this.#packEvents,
      seqs: recall.outcomeSeqs(),
      kept: this.#kept,
      sums: this.#sums,
      packs: this.#packs,
      from: this.#from,
    });
    return { recall, outcomes, packer: this.#packer };
  }
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
