/**
 * What a restart or fork need not do again. Each ask that is not on record is looked up here before it is begun, all
 * asks of a turn with one question to the store; where an earlier run of the line has its success, that is its outcome.
 *
 * Of the outcomes that are found, one is recorded and delivered in a turn, the one that its source recorded first, when
 * the body has been given all before it and has said what else it asks for. So a body with parallel branches takes the
 * way of its source, and asks with undeclared input are known again behind them. What is found costs a look into memory
 * mostly: a source is read ahead from where the last outcome was found.
 */
import { isStemmaError } from "../core/error.ts";
import type { Digest, NotReused, ReuseKey, RunId, Value } from "../core/event.ts";
import type { Store } from "../store/store.ts";
import { segmentOf } from "../core/identity.ts";
import type { Ask } from "./ask.ts";
import type { Clock } from "./clock.ts";
import type { Journal } from "./journal.ts";
import type { CalledFrom } from "./line.ts";
import type { Loaded } from "./load.ts";
import type { Effects } from "./effects.ts";
import { Generations } from "./generations.ts";
import { whyNot } from "./not-reused.ts";
import type { Patiently } from "./patience.ts";
import { OnOffer } from "./on-offer.ts";
import type { Position } from "./positions.ts";
import { Ready } from "./ready.ts";
import type { Hit } from "./ready.ts";
import type { ReuseKeys } from "./reuse-keys.ts";
import type { OutcomeEvent } from "./recall.ts";
import { isReplayable, reusedOutcome } from "./reused-outcome.ts";
import { corrupt, readTexts } from "./history-pages.ts";
import type { SourceReader } from "./source-reader.ts";
import { atTime } from "./timer.ts";
import { Undone } from "./undone.ts";

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
  /** Sees to it that the run of a call goes on with one that was called before, or knows what became of that. */
  goOnWithChild(ask: Ask, child: RunId, isCut: boolean): Promise<void>;
  lineOf(ask: Ask): CalledFrom;
  patiently: Patiently;
  clock: Clock;
  /** The store's clock. */
  now(): number;
  /** Nothing is waited for: it is a plan. */
  isDry: boolean;
  changed(): void;
};

/** Turns in which nothing is reused, after which nothing more is taken to follow: the body needs one to ask again. */
const quietTurns = 3;

/** How many asks are looked up in the index at a time. */
const lookUpMax = 64;

const none: ReadonlySet<ReuseKey> = new Set();

/** When it is looked again whether a success stays: the longer it was waited for, the later. Milliseconds. */
const againMs = { least: 100, most: 300_000, share: 8 };

/** How many stretches of the source are read only to say why a step is not reused. */
const whyReadsMax = 8;

export class Reuse {
  readonly #with: ReuseParts;
  readonly #onOffer: OnOffer;
  readonly #overrides: ReadonlyMap<string, Value>;
  /** Overrides that were not asked for yet. */
  readonly #unasked: Set<string>;
  #waiting: Ask[] = [];
  #missed: Ask[] = [];
  readonly #ready = new Ready();
  /** Texts of overrides. */
  readonly #texts = new Map<Digest, string>();
  readonly #undone: Undone;
  readonly #generations: Generations;
  /** Calls whose success is given up, and the run in which they had it. */
  readonly #givenUpIn = new WeakMap<Ask, RunId>();
  #reading = false;
  #whyReads = 0;
  /** How many outcomes were given, and how many of them were seen to go to the store. */
  #given = 0;
  #settled = 0;
  #settling = false;
  #order = 0;

  constructor(parts: ReuseParts) {
    this.#with = parts;
    this.#onOffer = new OnOffer(parts);
    this.#undone = new Undone(parts.store, parts.clock);
    this.#generations = new Generations(parts);
    this.#overrides = new Map(Object.entries(parts.loaded.created.data.overrides ?? {}));
    this.#unasked = new Set(this.#overrides.keys());
  }

  /** Whether anything may be reused or overridden at all. */
  get isIdle(): boolean {
    if (this.#generations.ready() !== undefined) return false;
    return this.#overrides.size === 0 && this.#onOffer.isEmpty;
  }

  /** What the runs that are called have of this. */
  get ofCalls(): { begunKey(ask: Ask): ReuseKey; lineOf(ask: Ask): CalledFrom } {
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
    const from = start.type === "checkpoint" ? start.data : this.#with.loaded.created.data.start;
    const isCarried = (key: string): boolean => from?.waits?.some((wait) => wait.key === key) === true;
    return [...this.#unasked].filter((key) => segmentOf(key) >= (from?.count ?? 0) || isCarried(key));
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
    if (this.isIdle) return;
    this.#unasked.delete(ask.ref.key);
    this.#onOffer.hadItsTurn(ask.ref.key, this.#with.keys.of(ask));
  }

  /** An outcome that is on record was delivered again. */
  redelivered(event: OutcomeEvent): void {
    this.#onOffer.redelivered(event);
  }

  /** Takes an ask that is about to be begun, if it has to be looked up first; it is begun later where nothing is found. */
  takes(ask: Ask): boolean {
    if (this.isIdle || ask.looked === true || ask.recorded !== undefined) return false;
    ask.looked = true;
    this.#waiting.push(ask);
    this.#with.changed();
    return true;
  }

  /** Goes one step on when the body has nothing else to hear. True if there is more to do at once. */
  turn(): boolean {
    if (this.#reading || !this.#isLooking) return false;
    if (!this.#onOffer.isRead || this.#generations.ready() !== undefined) return this.#read(() => this.#readOffers());
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
    await this.#onOffer.read();
  }

  // ---- looking up ----------------------------------------------------------------------------------------------

  #lookUp(): void {
    const asks = this.#ownFirst(this.#waiting);
    this.#waiting = [];
    const unknown: Ask[] = [];
    for (const ask of asks) {
      if (ask.withdrawn !== undefined) continue;
      const key = this.#with.keys.of(ask);
      if (this.#overrides.has(ask.ref.key)) {
        this.#unasked.delete(ask.ref.key);
        this.#onOffer.hadItsTurn(ask.ref.key, key);
        this.#hit(ask, undefined);
        continue;
      }
      const position = key === undefined ? undefined : this.#onOffer.take(ask.ref.key, key);
      if (key === undefined) this.#with.begin(ask);
      else if (position === "unknown") unknown.push(ask);
      else if (position === undefined) this.#miss(ask);
      else if (position.cut) this.#missCut(ask, position);
      else this.#hit(ask, position);
    }
    // Where many are asked at once, what is found of the first tells where the others are.
    const some = unknown.slice(0, lookUpMax);
    this.#waiting = unknown.concat(this.#waiting);
    if (some.length > 0) this.#read(() => this.#onOffer.find(this.#keysOf(some), this.#sharedBy(unknown)));
  }

  /** Of equal asks those come first whose very own success is there: whoever has none does not take it from them. */
  #ownFirst(asks: Ask[]): Ask[] {
    const shared = this.#sharedBy(asks);
    if (shared.size === 0) return asks;
    const isOwn = (ask: Ask): boolean => {
      const key = this.#with.keys.of(ask);
      return key !== undefined && shared.has(key) && this.#onOffer.hasOwn(ask.ref.key, key);
    };
    const own = new Set(asks.filter(isOwn));
    return [...own, ...asks.filter((ask) => !own.has(ask))];
  }

  /** Keys that several asks have. */
  #sharedBy(asks: readonly Ask[]): ReadonlySet<ReuseKey> {
    if (asks.length < 2) return none;
    const [seen, shared] = [new Set<ReuseKey>(), new Set<ReuseKey>()];
    for (const ask of asks) {
      const key = this.#with.keys.of(ask);
      if (key === undefined) continue;
      if (seen.has(key)) shared.add(key);
      seen.add(key);
    }
    return shared;
  }

  #keysOf(asks: readonly Ask[]): ReuseKey[] {
    return [...new Set(asks.flatMap((ask) => this.#with.keys.of(ask) ?? []))];
  }

  #hit(ask: Ask, position: Position | undefined): void {
    this.#order += 1;
    this.#ready.add({ ask, position, order: this.#order });
  }

  #miss(ask: Ask, why?: NotReused): void {
    if (why !== undefined) ask.why = why;
    this.#missed.push(ask);
  }

  #missCut(ask: Ask, { run }: Position): void {
    this.#givenUpIn.set(ask, run);
    this.#miss(ask, "cut");
  }

  // ---- nothing found -------------------------------------------------------------------------------------------

  /** Begins what was not found, and says why it was not. */
  #explain(): void {
    for (let ask = this.#missed[0]; ask !== undefined; ask = this.#missed[0]) {
      const reader = this.#onOffer.nearest;
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
      if (ask.work.kind === "call") {
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

  /**
   * A called run that failed, or did not end, goes on as a restart of its own. So it does where it came behind a success
   * of the call that was given up: only what the success itself came from is behind it.
   */
  async #remake(ask: Ask): Promise<void> {
    const { keys, goOnWithChild, begin } = this.#with;
    const found = await this.#onOffer.begun(ask.ref.key, keys.begun(ask));
    if (found !== undefined && found.caller !== this.#givenUpIn.get(ask)) {
      if (found.cut) ask.why = "cut";
      await goOnWithChild(ask, found.run, found.cut).catch(unlessRemoved);
    }
    begin(ask);
  }

  // ---- giving --------------------------------------------------------------------------------------------------

  /** Records what comes next, for the body to be given; false where nothing does, or it has to be read first. */
  #give(): boolean {
    for (let hit = this.#ready.first; hit !== undefined; hit = this.#ready.first) {
      if (hit.ask.withdrawn !== undefined) {
        this.#ready.take();
        if (hit.position !== undefined) this.#onOffer.free(hit.position, hit.ask.reuse);
        continue;
      }
      const done = hit.position === undefined ? this.#override(hit) : this.#reuse(hit, hit.position);
      if (done === "reading") return false;
      this.#ready.take();
      if (done === "waiting") continue;
      if (done === "given") return true;
      this.#missed.push(hit.ask);
      this.#with.changed();
      return false;
    }
    return false;
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

  #reuse(hit: Hit, position: Position): "given" | "reading" | "missed" | "waiting" {
    const { ask } = hit;
    const at = this.#onOffer.at(position);
    if (at === undefined) return "missed";
    const { reader, offered } = at;
    const { seq } = position;
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
    // Only an earlier run is waited for, so no two wait for each other.
    if (typeof undone === "object" && undone.open < this.#with.run) return this.#wait(hit, undone.open);
    delete ask.goesBack;
    if (undone === "undone") ask.why = "compensated";
    const recording = undone === "undone" ? undefined : reusedOutcome(ask, found, reader.run);
    if (recording === undefined) return "missed";
    this.#onOffer.given(position);
    this.#with.journal.reuse(ask, recording.draft, recording.extra);
    return "given";
  }

  /**
   * A run may still make up for what is to be given: whoever went on with it could be left without it. So it is given when
   * that run has ended, and did not; else it is done anew. Meanwhile this run may rest.
   */
  #wait(hit: Hit, open: RunId): "waiting" | "missed" {
    const { clock, now, loaded, isDry, changed } = this.#with;
    const { ask } = hit;
    ask.goesBack = open;
    if (isDry) return "missed";
    const waited = Math.max(now() - loaded.created.at, 0);
    ask.until = now() + Math.min(Math.max(waited / againMs.share, againMs.least), againMs.most);
    ask.stop = atTime(clock, now, ask.until, () => {
      delete ask.until;
      this.#ready.add(hit);
      changed();
    });
    return "waiting";
  }
}

/** A called run is removed before its caller, so it may be gone; then there is nothing to go on from. */
function unlessRemoved(error: unknown): undefined {
  if (!isStemmaError(error, "run.not_found")) throw error;
}
