/**
 * What a restart or fork need not do again. Each ask that is not on record is looked up here before it is begun, all
 * asks of a turn with one question to the store; where an earlier run of the line has its success, that is its outcome.
 *
 * Of the outcomes that are found, one is recorded and delivered in a turn, the one that its source recorded first, when
 * the body has been given all before it and has said what else it asks for. So a body with parallel branches takes the
 * way of its source, and asks with undeclared input are known again behind them. What is found costs a look into memory
 * mostly: a source is read ahead from where the last outcome was found.
 */
import type { Digest, EventOf, NotReused, OfferedRun, ReuseKey, RunId, Seq, Value } from "../core/event.ts";
import type { Store } from "../store/store.ts";
import { segmentOf } from "../core/identity.ts";
import type { Ask } from "./ask.ts";
import { isIn } from "../core/cut.ts";
import type { Journal } from "./journal.ts";
import type { calledLine } from "./line.ts";
import type { Loaded } from "./load.ts";
import type { Effects } from "./effects.ts";
import { Generations } from "./generations.ts";
import { whyNot } from "./not-reused.ts";
import type { Patiently } from "./patience.ts";
import type { Position } from "./positions.ts";
import { Places, offeredUnder } from "./positions.ts";
import { Ready } from "./ready.ts";
import type { Hit } from "./ready.ts";
import type { ReuseKeys } from "./reuse-keys.ts";
import type { OutcomeEvent } from "./recall.ts";
import { isReplayable, reusedOutcome } from "./reused-outcome.ts";
import { corrupt, readTexts } from "./history-pages.ts";
import { SourceReader } from "./source-reader.ts";
import { readEvent } from "./source.ts";
import { Undone } from "./undone.ts";
import { readList } from "./stored-list.ts";

export type ReuseParts = {
  run: RunId;
  store: Store;
  loaded: Pick<Loaded, "created" | "start">;
  journal: Pick<Journal, "reuse" | "flush" | "append" | "head">;
  keys: ReuseKeys;
  /** Fingerprint of the code at work. */
  fingerprint: string;
  /** Begins an ask for which nothing is to be reused. */
  begin(ask: Ask): void;
  effects: Effects;
  /** Calls back in the next turn of the event loop. */
  next(call: () => void): void;
  /** What makes the run of a call from one that did not come to its end. */
  remakeChild(ask: Ask, child: RunId): Promise<NonNullable<Ask["remake"]>>;
  lineOf(ask: Ask): ReturnType<typeof calledLine>;
  patiently: Patiently;
  changed(): void;
};

/** Turns in which nothing is reused, after which nothing more is taken to follow: the body needs one to ask again. */
const quietTurns = 3;

/** How many asks are looked up in the index at a time. */
const lookUpMax = 64;

/** How many stretches of the source are read only to say why a step is not reused. */
const whyReadsMax = 8;

export class Reuse {
  readonly #with: ReuseParts;
  /** Undefined until they are read. */
  #offers: readonly OfferedRun[] | undefined;
  #readers: SourceReader[] = [];
  /** Seqs of each offered run that were given, or had their turn. */
  #used: Set<Seq>[] = [];
  readonly #places = new Map<ReuseKey, Places>();
  readonly #overrides: ReadonlyMap<string, Value>;
  /** Overrides that were not asked for yet. */
  readonly #unasked: Set<string>;
  /** Asks that other activations or segments have made, by key: they had their turn. */
  readonly #past = new Map<ReuseKey, string[]>();
  #pastReused: { run: RunId; seq: Seq }[] = [];
  readonly #pastReusedKeys = new Set<string>();
  #waiting: Ask[] = [];
  #missed: Ask[] = [];
  readonly #ready = new Ready();
  /** Texts of overrides. */
  readonly #texts = new Map<Digest, string>();
  readonly #undone: Undone;
  readonly #generations: Generations;
  #reading = false;
  #whyReads = 0;
  /** How many outcomes were given, and how many of them were seen to go to the store. */
  #given = 0;
  #settled = 0;
  #settling = false;
  #order = 0;

  constructor(parts: ReuseParts) {
    this.#with = parts;
    this.#undone = new Undone(parts.store);
    this.#generations = new Generations(parts.store, parts.loaded.created, parts.patiently);
    const { offers, overrides = {} } = parts.loaded.created.data;
    if (offers === undefined) this.#offers = [];
    this.#overrides = new Map(Object.entries(overrides));
    this.#unasked = new Set(this.#overrides.keys());
  }

  /** Whether anything may be reused or overridden at all. */
  get #isIdle(): boolean {
    if (this.#generations.ready() !== undefined) return false;
    return this.#overrides.size === 0 && this.#offers !== undefined && this.#offers.length === 0;
  }

  /** What the runs that are called have of this. */
  get ofCalls(): { begunKey(ask: Ask): ReuseKey; lineOf(ask: Ask): ReturnType<typeof calledLine> } {
    const { keys, lineOf } = this.#with;
    return { begunKey: (ask) => keys.begun(ask), lineOf };
  }

  /** What to wait for before anything is entered. */
  unready(): Promise<void> | undefined {
    return this.#generations.ready();
  }

  /** How often a success of an ask was given up on purpose. */
  generation(ask: Ask): number {
    return this.#generations.of(ask);
  }

  /** Whether something is being looked up, or waits to be given. */
  get busy(): boolean {
    return this.#isLooking || this.#with.effects.busy;
  }

  /** Whether it is being found out if a `once` step may be entered. */
  get judging(): boolean {
    return this.#with.effects.busy;
  }

  /** Whether a `once` step may be entered. */
  admits(ask: Ask): boolean {
    return this.#with.effects.admits(ask);
  }

  get #isLooking(): boolean {
    return this.#reading || this.#waiting.length > 0 || this.#missed.length > 0 || this.#ready.size > 0;
  }

  /** Whether there is something to do here that waits for nothing. */
  get due(): boolean {
    return this.#isLooking && !this.#reading;
  }

  /** Overrides that nobody asked for, as far as this activation can tell. */
  get unasked(): string[] {
    const { start } = this.#with.loaded;
    const from =
      start.type === "checkpoint" ? (start.data.count ?? 0) : (this.#with.loaded.created.data.start?.count ?? 0);
    return [...this.#unasked].filter((key) => segmentOf(key) >= from);
  }

  /** Says, before the run ends, which overrides it never asked for: whoever gave them meant something else. */
  warnOfUnasked(): void {
    const keys = this.unasked;
    if (keys.length === 0) return;
    this.#unasked.clear();
    const message = `Outputs were given for what this run never asked for: ${keys.join(", ")}.`;
    const data = { code: "override.unused", message, data: { keys } };
    this.#with.journal.append({ type: "run.warned", data, causes: [this.#with.journal.head] });
  }

  /** An ask that is on record was made again. */
  recalled(ask: Ask): void {
    if (this.#isIdle) return;
    this.#unasked.delete(ask.ref.key);
    this.#hadItsTurn(ask, this.#with.keys.of(ask));
  }

  /** The nth of equal asks is the one for the nth success, whatever it was given. */
  #hadItsTurn({ ref }: Ask, key: ReuseKey | undefined): void {
    if (key === undefined) return;
    const places = this.#places.get(key);
    const past = this.#past.get(key);
    if (places !== undefined) this.#passOne(places, ref.key);
    else if (past === undefined) this.#past.set(key, [ref.key]);
    else past.push(ref.key);
  }

  /** An outcome that is on record was delivered again. */
  redelivered(event: OutcomeEvent): void {
    if ((event.type !== "step.reused" && event.type !== "step.failed") || event.data.from === undefined) return;
    this.#pastReused.push(event.data.from);
    this.#pastReusedKeys.add(event.data.key);
  }

  /** Takes an ask that is about to be begun, if it has to be looked up first; it is begun later where nothing is found. */
  takes(ask: Ask): boolean {
    if (this.#isIdle || ask.looked === true || ask.recorded !== undefined) return false;
    ask.looked = true;
    this.#waiting.push(ask);
    this.#with.changed();
    return true;
  }

  /** Goes one step on when the body has nothing else to hear. True if there is more to do at once. */
  turn(): boolean {
    if (this.#reading || !this.#isLooking) return false;
    if (this.#offers === undefined || this.#generations.ready() !== undefined)
      return this.#read(() => this.#readOffers());
    if (this.#waiting.length > 0) this.#lookUp();
    if (this.#missed.length > 0 && !this.#reading) this.#explain();
    if (this.#reading) return false;
    const given = this.#give();
    if (given) this.#given += 1;
    return given;
  }

  /** Sees to it that what was reused goes to the store, when nothing more of it follows. */
  settle(): void {
    if (this.#settling || this.#given === this.#settled) return;
    this.#settling = true;
    let [seen, quiet] = [this.#given, 0];
    const look = (): void => {
      quiet = seen === this.#given && !this.#isLooking ? quiet + 1 : 0;
      seen = this.#given;
      if (quiet < quietTurns) return this.#with.next(look);
      this.#settling = false;
      this.#settled = seen;
      this.#with.journal.flush();
    };
    this.#with.next(look);
  }

  /** Does something that takes a while; nothing else happens here meanwhile. */
  #read(call: () => Promise<void>): false {
    this.#reading = true;
    void this.#with.patiently(call).then(() => {
      this.#reading = false;
      this.#with.changed();
    });
    return false;
  }

  async #readOffers(): Promise<void> {
    await this.#generations.ready();
    const { store, run, loaded } = this.#with;
    const { value } = await readList<OfferedRun[]>(store, run, loaded.created.data.offers, []);
    this.#readers = value.map((offered) => new SourceReader(store, offered.run, offered.head));
    this.#used = value.map(() => new Set());
    this.#offers = value;
    // What is asked for first is most likely what the source asked for first.
    const [nearest] = this.#readers;
    const { start } = loaded.created.data;
    if (nearest === undefined || loaded.start.seq > 0) return;
    await nearest.read(start !== undefined && start.run === nearest.run ? start.seq : 0);
  }

  // ---- looking up ----------------------------------------------------------------------------------------------

  #lookUp(): void {
    for (const { run, seq } of this.#pastReused) this.#use({ run, seq });
    this.#pastReused = [];
    const asks = this.#waiting;
    this.#waiting = [];
    const unknown: { ask: Ask; key: ReuseKey }[] = [];
    for (const ask of asks) {
      if (ask.withdrawn !== undefined) continue;
      const key = this.#with.keys.of(ask);
      const places = key === undefined ? undefined : this.#places.get(key);
      if (this.#overrides.has(ask.ref.key)) {
        this.#unasked.delete(ask.ref.key);
        this.#hadItsTurn(ask, key);
        this.#hit(ask, undefined);
      } else if (key === undefined) this.#with.begin(ask);
      else if (!this.#atHand(ask, key)) {
        if (places === undefined) unknown.push({ ask, key });
        else this.#choose(ask, places);
      }
    }
    // Where many are asked at once, what is found of the first tells where the others are.
    const some = unknown.splice(0, lookUpMax);
    this.#waiting.push(...unknown.map(({ ask }) => ask));
    if (some.length > 0) this.#read(() => this.#find(some, unknown.length > 0));
  }

  #hit(ask: Ask, position: Position | undefined): void {
    this.#order += 1;
    this.#ready.add({ ask, position, order: this.#order });
  }

  /** The very same step of the nearest run is the one to take whatever else there is, and most often it is at hand. */
  #atHand(ask: Ask, key: ReuseKey): boolean {
    const [offered] = this.#offers ?? [];
    const found = this.#readers[0]?.of(ask.ref.key);
    if (offered === undefined || found === undefined || found.reuse !== key) return false;
    const { run, head, cut } = offered;
    const { seq } = found.event;
    if (seq > head || this.#used[0]?.has(seq) === true) return false;
    this.#take(ask, { entry: 0, run, seq, cut: isIn(cut, seq) });
    return true;
  }

  #choose(ask: Ask, places: Places): void {
    const position = places.next(ask.ref.key);
    if (position === undefined) this.#miss(ask);
    else this.#take(ask, position);
  }

  #take(ask: Ask, position: Position): void {
    this.#used[position.entry]?.add(position.seq);
    if (position.cut) this.#miss(ask, "cut");
    else this.#hit(ask, position);
  }

  #miss(ask: Ask, why?: NotReused): void {
    if (why !== undefined) ask.why = why;
    this.#missed.push(ask);
  }

  #use({ run, seq }: { run: RunId; seq: Seq }): void {
    const entry = this.#offers?.findIndex((offered) => offered.run === run) ?? -1;
    this.#used[entry]?.add(seq);
  }

  /** Finds what is offered under keys that were not asked for before. */
  async #find(asks: readonly { ask: Ask; key: ReuseKey }[], isPart: boolean): Promise<void> {
    const { store, loaded } = this.#with;
    const keys = [...new Set(asks.map(({ key }) => key))];
    let first = Infinity;
    const found = await store.reusable(loaded.created.data.family, keys);
    for (const key of keys) {
      if (this.#places.has(key)) continue;
      const producers = found.get(key) ?? [];
      const positions = offeredUnder(this.#offers ?? [], producers);
      if (positions.length > 1) for (const position of positions) await this.#name(position);
      const places = new Places(positions, ({ entry, seq }) => this.#used[entry]?.has(seq) === true);
      await this.#passBy(key, places, producers);
      this.#places.set(key, places);
      const [nearest] = positions;
      if (nearest !== undefined && nearest.entry === 0) first = Math.min(first, nearest.seq);
    }
    const [reader] = this.#readers;
    if (isPart && reader !== undefined && first !== Infinity && reader.at(first) === undefined)
      await reader.read(first);
    this.#waiting.unshift(...asks.map(({ ask }) => ask));
  }

  async #name(position: Position): Promise<void> {
    const reader = this.#readers[position.entry];
    if (reader === undefined) return;
    if (reader.at(position.seq) === undefined) await reader.read(position.seq);
    const key = reader.at(position.seq)?.event.data.key;
    if (key !== undefined) position.key = key;
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

  #passOne(places: Places, label: string): void {
    const position = places.passed(label);
    if (position !== undefined) this.#used[position.entry]?.add(position.seq);
  }

  // ---- nothing found -------------------------------------------------------------------------------------------

  /** Begins what was not found, and says why it was not. */
  #explain(): void {
    for (let ask = this.#missed[0]; ask !== undefined; ask = this.#missed[0]) {
      const [reader] = this.#readers;
      if (ask.withdrawn === undefined && ask.why === undefined && reader !== undefined) {
        if (this.#isWorthReading(reader, ask)) {
          this.#whyReads += 1;
          this.#read(() => reader.readOn());
          return;
        }
        ask.why = whyNot(ask, reader, this.#with.loaded.created, this.#with.fingerprint);
      }
      this.#missed.shift();
      if (ask.withdrawn !== undefined) continue;
      if (ask.work.kind === "call" && ask.why !== "cut") {
        const call = ask;
        this.#read(() => this.#remake(call));
        return;
      }
      this.#with.begin(ask);
    }
  }

  #isWorthReading(reader: SourceReader, ask: Ask): boolean {
    return this.#whyReads < whyReadsMax && reader.asked(ask.ref.key) === undefined && !reader.knowsTo(Infinity);
  }

  /** A called run that failed, or did not end, goes on as a restart of its own. */
  async #remake(ask: Ask): Promise<void> {
    const { store, loaded, keys, remakeChild, begin } = this.#with;
    const key = keys.begun(ask);
    const producers = (await store.reusable(loaded.created.data.family, [key])).get(key) ?? [];
    let found: { run: RunId; position: Position } | undefined;
    for (const position of offeredUnder(this.#offers ?? [], producers)) {
      if (this.#used[position.entry]?.has(position.seq) === true) continue;
      const event = await readEvent(store, position.run, position.seq);
      if (event.type !== "child.started" || event.data.reuse !== key) continue;
      const isSame = event.data.key === ask.ref.key;
      if (found === undefined || isSame) found = { run: event.data.run, position };
      if (isSame) break;
    }
    if (found !== undefined) {
      if (found.position.cut) ask.why = "cut";
      else ask.remake = await remakeChild(ask, found.run);
      this.#used[found.position.entry]?.add(found.position.seq);
    }
    begin(ask);
  }

  // ---- giving --------------------------------------------------------------------------------------------------

  /** Records what comes next, for the body to be given; false where nothing does, or it has to be read first. */
  #give(): boolean {
    for (let hit = this.#ready.first; hit !== undefined; hit = this.#ready.first) {
      if (hit.ask.withdrawn !== undefined) {
        this.#ready.take();
        this.#free(hit);
        continue;
      }
      const done = hit.position === undefined ? this.#override(hit) : this.#reuse(hit, hit.position);
      if (done === "reading") return false;
      this.#ready.take();
      if (done === "given") return true;
      this.#missed.push(hit.ask);
      this.#with.changed();
      return false;
    }
    return false;
  }

  /** It was taken back before it was given anything: what it would have been given is there for another. */
  #free({ ask, position }: Hit): void {
    if (position === undefined) return;
    this.#used[position.entry]?.delete(position.seq);
    if (ask.reuse !== undefined) this.#places.get(ask.reuse)?.freed();
  }

  #override({ ask }: Hit): "given" | "reading" {
    const { store, journal, loaded } = this.#with;
    const output = this.#overrides.get(ask.ref.key) ?? { undefined: true };
    const { by, reason } = loaded.created.data;
    const text = "digest" in output ? this.#texts.get(output.digest) : undefined;
    if ("digest" in output && text === undefined) {
      this.#read(async () => {
        for (const [digest, found] of await readTexts(store, this.#with.run, [output.digest]))
          this.#texts.set(digest, found);
        if (!this.#texts.has(output.digest))
          throw corrupt(this.#with.run, `the output given for ${ask.ref.key} is missing`);
      });
      return "reading";
    }
    const said = { ...(by === undefined ? {} : { by }), ...(reason === undefined ? {} : { reason }) };
    const known = "digest" in output && text !== undefined ? { known: [{ digest: output.digest, text }] } : {};
    journal.reuse(ask, { type: "step.overridden", data: { key: ask.ref.key, output, ...said } }, known);
    return "given";
  }

  #reuse({ ask }: Hit, { entry, seq }: Position): "given" | "reading" | "missed" {
    const reader = this.#readers[entry];
    const offered = this.#offers?.[entry];
    if (reader === undefined || offered === undefined) return "missed";
    const found = reader.at(seq);
    if (found === undefined) {
      this.#read(() => reader.read(seq));
      return "reading";
    }
    // The index has room for a part of the key only; what is found must have it all.
    if (found.reuse !== this.#with.keys.of(ask) || !isReplayable(found.event, offered)) return "missed";
    const undone = this.#undone.look(found.event, reader.run);
    if (undone === "unknown") {
      this.#read(() => this.#undone.read(found.event, reader.run));
      return "reading";
    }
    if (undone === "undone") ask.why = "compensated";
    const recording = undone === "undone" ? undefined : reusedOutcome(ask, found, reader.run);
    if (recording === undefined) return "missed";
    reader.drop(seq);
    this.#with.journal.reuse(ask, recording.draft, recording.extra);
    return "given";
  }
}
