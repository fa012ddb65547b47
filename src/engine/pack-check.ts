/**
 * Whether the packs of a history say what its rows say. Whoever takes up the run is given what is in the packs, and they
 * are made of the events alone: so they are made again from the rows, and must come out the same.
 */
import type { StoredEvent } from "../core/chain.ts";
import type { Flaw } from "../core/chain-check.ts";
import type { Digest, Event, RunId, Seq } from "../core/event.ts";
import type { Pack, Store } from "../store/store.ts";
import { contentOf } from "./pack.ts";
import type { Content } from "./pack.ts";
import { Packing } from "./packer.ts";

/** Packs read at a time. */
const packsPage = 8;

/** One that begins among the events so far: what is in it, and what its events come to. */
type Open = { pack: Pack; content: Content; packing: Packing; last: Seq };

export class PackCheck {
  /** What is wrong. Of packs behind the last row nothing is said: they may have come since that was read. */
  readonly flaws: Flaw[] = [];
  readonly #store: Store;
  readonly #run: RunId;
  /** Those that were read and are still to come, and where to go on; undefined behind the last. */
  #packs: Pack[] = [];
  #from: Seq | undefined = 0;
  #open: Open[] = [];
  #before: Digest = "";

  constructor(store: Store, run: RunId) {
    this.#store = store;
    this.#run = run;
  }

  /** Takes the next row, and the event that it is if it is one. Gives a promise where packs have to be read first. */
  take(stored: StoredEvent, event: Event | undefined): Promise<void> | undefined {
    if (this.#packs.length === 0 && this.#from !== undefined)
      return this.#read(this.#from).then(() => this.#take(stored, event));
    this.#take(stored, event);
    return undefined;
  }

  #take(stored: StoredEvent, event: Event | undefined): void {
    const before = this.#before;
    this.#before = stored.hash;
    for (let pack = this.#packs[0]; pack !== undefined && pack.first <= stored.seq; pack = this.#packs[0]) {
      this.#packs.shift();
      this.#begin(pack);
    }
    for (const open of this.#open) this.#add(open, stored, event, before);
    if (this.#open.some(({ last }) => last <= stored.seq))
      this.#open = this.#open.filter(({ last }) => last > stored.seq);
  }

  async #read(from: Seq): Promise<void> {
    this.#packs = [...((await this.#store.packs?.(this.#run, { from, limit: packsPage })) ?? [])];
    const last = this.#packs.at(-1);
    this.#from = last === undefined ? undefined : last.first + 1;
  }

  #begin(pack: Pack): void {
    const content = this.#contentOf(pack);
    const events = content?.columns.kinds.length ?? 0;
    if (content === undefined || events === 0)
      return this.#flaw(pack, "it is not what was written; the events themselves are read then");
    this.#open.push({ pack, content, packing: new Packing(events), last: pack.first + events - 1 });
  }

  #contentOf(pack: Pack): Content | undefined {
    try {
      return contentOf(this.#run, pack);
    } catch {
      return undefined;
    }
  }

  #add({ pack, content, packing, last }: Open, stored: StoredEvent, event: Event | undefined, before: Digest): void {
    // What is no event is said of the row.
    const made = event && packing.add(stored, event, before);
    if (stored.seq < last || (made?.texts === content.texts && equal(made.columns, content.columns))) return;
    this.#flaw(pack, "it does not say what they say; who takes up the run from it is given something else");
  }

  #flaw({ first }: Pack, what: string): void {
    const message = `the pack of the events from here on, a second copy of them: ${what}`;
    this.flaws.push({ run: this.#run, seq: first, kind: "pack differs", message });
  }
}

function equal(a: object, b: object): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
