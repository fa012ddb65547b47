/**
 * What earlier runs of a line have on offer for one of them: which recorded success an ask gets, and which had their
 * turn already. The very same step of the nearest run is mostly at hand, because sources are read ahead; for the rest
 * the index of the family is asked, many keys at a time.
 */
import type { EventOf, OfferedRun, ReuseKey, RunId, Seq } from "../core/event.ts";
import type { Store } from "../store/store.ts";
import { isIn } from "../core/cut.ts";
import { Earliest } from "./earliest.ts";
import type { Loaded } from "./load.ts";
import type { Places, Position } from "./positions.ts";
import { InOrder, offeredUnder } from "./positions.ts";
import type { OutcomeEvent } from "./recall.ts";
import { isReplayable } from "./reused-outcome.ts";
import { SourceReader } from "./source-reader.ts";
import { readEvent } from "./source.ts";
import { readList } from "./stored-list.ts";

/** As many outcomes of a stretch are wanted before it is taken for granted that the next one is wanted too. */
const followedMin = 100;

export type OnOfferParts = { run: RunId; store: Store; loaded: Pick<Loaded, "created" | "start"> };

export class OnOffer {
  readonly #with: OnOfferParts;
  readonly #isEarliest: boolean;
  /** Undefined until they are read. */
  #offers: readonly OfferedRun[] | undefined;
  #readers: SourceReader[] = [];
  /** Seqs of each offered run that were given, or had their turn. */
  #used: Set<Seq>[] = [];
  readonly #places = new Map<ReuseKey, Places>();
  /** How many outcomes were at hand since a stretch was read. */
  #followed = 0;
  /** Asks that other activations or segments have made, by key: they had their turn. */
  readonly #past = new Map<ReuseKey, string[]>();
  #pastReused: { run: RunId; seq: Seq }[] = [];
  readonly #pastReusedKeys = new Set<string>();

  constructor(parts: OnOfferParts) {
    this.#with = parts;
    const { offers, matching } = parts.loaded.created.data;
    this.#isEarliest = matching === "earliest";
    if (offers === undefined) this.#offers = [];
  }

  /** Whether it is known what is offered. */
  get isRead(): boolean {
    return this.#offers !== undefined;
  }

  /** Whether it is known that nothing is. */
  get isEmpty(): boolean {
    return this.#offers?.length === 0;
  }

  /** Reads the nearest of the runs. */
  get nearest(): SourceReader | undefined {
    return this.#readers[0];
  }

  /** The run that a place is in, and what reads it. */
  at({ entry }: Position): { offered: OfferedRun; reader: SourceReader } | undefined {
    const [offered, reader] = [this.#offers?.[entry], this.#readers[entry]];
    return offered === undefined || reader === undefined ? undefined : { offered, reader };
  }

  async read(): Promise<void> {
    const { store, run, loaded } = this.#with;
    const { value } = await readList<OfferedRun[]>(store, run, loaded.created.data.offers, []);
    this.#readers = value.map((offered) => new SourceReader(store, offered.run, offered.head));
    this.#used = value.map(() => new Set());
    // Only successes are given to whoever asks: a failure that is replayed to each of them would never end.
    this.#offers = this.#isEarliest ? value.map(withoutFailures) : value;
    // What is asked for first is most likely what the source asked for first.
    const { start } = loaded.created.data;
    if (this.nearest === undefined || loaded.start.seq > 0) return;
    await this.nearest.read(start !== undefined && start.run === this.nearest.run ? start.seq : 0);
  }

  // ---- what had its turn ---------------------------------------------------------------------------------------

  /** The nth of equal asks is the one for the nth success, whatever it was given. */
  hadItsTurn(label: string, key: ReuseKey | undefined): void {
    if (key === undefined) return;
    const places = this.#places.get(key);
    const past = this.#past.get(key);
    if (places !== undefined) this.#passOne(places, label);
    else if (past === undefined) this.#past.set(key, [label]);
    else past.push(label);
  }

  /** An outcome that is on record in this run was delivered again. */
  redelivered(event: OutcomeEvent): void {
    if ((event.type !== "step.reused" && event.type !== "step.failed") || event.data.from === undefined) return;
    this.#pastReused.push(event.data.from);
    this.#pastReusedKeys.add(event.data.key);
  }

  #use({ run, seq }: { run: RunId; seq: Seq }): void {
    const entry = this.#offers?.findIndex((offered) => offered.run === run) ?? -1;
    this.#used[entry]?.add(seq);
  }

  #passOne(places: Places, label: string): void {
    const position = places.passed(label);
    if (position !== undefined) this.#used[position.entry]?.add(position.seq);
  }

  /** Passes by what asks of this run before this activation had: in it, and in segments that are not read again. */
  async #passBy(key: ReuseKey, places: Places, producers: readonly { run: RunId; seq: Seq }[]): Promise<void> {
    const { run, store, loaded } = this.#with;
    for (const { run: of, seq } of producers) {
      if (of !== run || seq >= loaded.start.seq) continue;
      const reader = new SourceReader(store, run, seq);
      await reader.read(seq);
      const event = reader.at(seq)?.event;
      if (event === undefined) continue;
      const { from } = event.data as Partial<EventOf<"step.reused">["data"]>;
      if (from !== undefined) this.#use(from);
      else this.#passOne(places, event.data.key);
    }
    for (const label of this.#past.get(key) ?? []) if (!this.#pastReusedKeys.has(label)) this.#passOne(places, label);
    this.#past.delete(key);
  }

  // ---- what an ask gets ----------------------------------------------------------------------------------------

  /** The place for an ask, which then has it; undefined where there is none. `unknown`: it has to be found first. */
  take(label: string, key: ReuseKey): Position | "unknown" | undefined {
    for (const from of this.#pastReused) this.#use(from);
    this.#pastReused = [];
    const places = this.#places.get(key);
    // Equal asks that had their turn before may have had what is at hand.
    const atHand = this.#past.has(key) ? undefined : this.#atHand(label, key);
    if (atHand !== undefined) this.#followed += 1;
    const position = atHand ?? (places === undefined ? "unknown" : places.next(label));
    if (typeof position === "object") this.#used[position.entry]?.add(position.seq);
    return position;
  }

  /** The very same step of the nearest run is the one to take whatever else there is, and most often it is at hand. */
  #atHand(label: string, key: ReuseKey): Position | undefined {
    if (this.#isEarliest) return undefined;
    const [offered] = this.#offers ?? [];
    const found = this.nearest?.of(label);
    if (offered === undefined || found === undefined || found.reuse !== key) return undefined;
    const { run, head, cut } = offered;
    const { seq } = found.event;
    if (seq > head || this.#used[0]?.has(seq) === true) return undefined;
    return { entry: 0, run, seq, cut: isIn(cut, seq) };
  }

  /** It was taken back before it was given anything: what it would have been given is there for another. */
  free(position: Position, key: ReuseKey | undefined): void {
    this.#used[position.entry]?.delete(position.seq);
    if (key !== undefined) this.#places.get(key)?.freed();
  }

  /** What is in a place was given: it is not asked for again, unless it is there for all. */
  given(position: Position): void {
    if (!this.#isEarliest) this.#readers[position.entry]?.drop(position.seq);
  }

  /** Whether the success of the very same step is there for an ask, as far as it is known. */
  hasOwn(label: string, key: ReuseKey): boolean {
    if (!this.#past.has(key) && this.#atHand(label, key) !== undefined) return true;
    return this.#places.get(key)?.hasOwn(label) === true;
  }

  /**
   * Finds what is offered under keys that were not asked for before, or reads what is most likely offered under them.
   *
   * @param shared those that several asks have now
   */
  async find(keys: readonly ReuseKey[], shared: ReadonlySet<ReuseKey>): Promise<void> {
    const { store, loaded } = this.#with;
    // Who has asked for what the source did goes on with what it did then.
    const follows = this.#followed >= followedMin;
    this.#followed = 0;
    if (follows && (await this.nearest?.follow()) === true) return;
    let first = Infinity;
    const found = await store.reusable(loaded.created.data.family, keys);
    for (const key of keys) {
      if (this.#places.has(key)) continue;
      const producers = found.get(key) ?? [];
      const { start } = loaded.created.data;
      const positions = offeredUnder(this.#offers ?? [], producers, this.#isEarliest ? undefined : start);
      if (positions.length > 1 || shared.has(key)) for (const position of positions) await this.#name(position);
      const places = this.#isEarliest
        ? new Earliest(positions)
        : new InOrder(positions, ({ entry, seq }) => this.#used[entry]?.has(seq) === true);
      await this.#passBy(key, places, producers);
      this.#places.set(key, places);
      const [nearest] = positions;
      if (nearest !== undefined && nearest.entry === 0 && !nearest.cut) first = Math.min(first, nearest.seq);
    }
    // What is found of the first tells where the others are, and it is wanted in any case.
    const reader = this.nearest;
    if (reader !== undefined && first !== Infinity && reader.at(first) === undefined) await reader.read(first);
  }

  async #name(position: Position): Promise<void> {
    const reader = this.#readers[position.entry];
    if (reader === undefined) return;
    if (reader.at(position.seq) === undefined) await reader.read(position.seq);
    const event = reader.at(position.seq)?.event;
    if (event === undefined) return;
    position.key = event.data.key;
    if (event.type === "step.failed") position.failed = true;
    const offered = this.#offers?.[position.entry];
    if (offered !== undefined && !isReplayable(event, offered)) position.lost = true;
  }

  /** The run that a call began in the nearest of its callers; `cut` where it is to be made anew. */
  async begun(label: string, key: ReuseKey): Promise<{ run: RunId; caller: RunId; cut: boolean } | undefined> {
    const { store, loaded } = this.#with;
    const producers = (await store.reusable(loaded.created.data.family, [key])).get(key) ?? [];
    let found: { run: RunId; position: Position } | undefined;
    for (const position of offeredUnder(this.#offers ?? [], producers, loaded.created.data.start)) {
      if (this.#used[position.entry]?.has(position.seq) === true) continue;
      const event = await readEvent(store, position.run, position.seq);
      if (event.type !== "child.started" || event.data.reuse !== key) continue;
      const isSame = event.data.key === label;
      if (found === undefined || isSame) found = { run: event.data.run, position };
      if (isSame) break;
    }
    if (found === undefined) return undefined;
    this.#used[found.position.entry]?.add(found.position.seq);
    return { run: found.run, caller: found.position.run, cut: found.position.cut };
  }
}

/** Nor is anything used up that is before a checkpoint. */
function withoutFailures({ run, head, cut }: OfferedRun): OfferedRun {
  return { run, head, ...(cut === undefined ? {} : { cut }) };
}
