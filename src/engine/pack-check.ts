/**
 * Whether the packs of a history say what its rows say. Whoever takes up the run is given what is in the packs, and they
 * are made of the events alone: so they are made again from the rows, and must come out the same.
 */
import type { StoredEvent } from "../core/chain.ts";
import type { Flaw } from "../core/chain-check.ts";
import type { Digest, RunId, Seq } from "../core/event.ts";
import type { Pack, Store } from "../store/store.ts";
import { indexed } from "./index-text.ts";
import { contentOf } from "./pack.ts";
import type { Content } from "./pack.ts";
import { Packing } from "./packer.ts";

/** Packs read at a time. */
const packsPage = 8;

export class PackCheck {
  readonly flaws: Flaw[] = [];
  readonly #store: Store;
  readonly #run: RunId;
  /** Those that were read and are still to come, and where to go on; undefined behind the last. */
  #packs: Pack[] = [];
  #from: Seq | undefined = 0;
  /** What the one at hand has in it, and what its events come to. */
  #content: Content | undefined;
  #packing: Packing = new Packing(1);
  #before: Digest = "";

  constructor(store: Store, run: RunId) {
    this.#store = store;
    this.#run = run;
  }

  /** Takes the next row. */
  async take(stored: StoredEvent): Promise<void> {
    const before = this.#before;
    this.#before = stored.hash;
    if (this.#packs.length === 0 && this.#from !== undefined) await this.#read(this.#from);
    const [pack] = this.#packs;
    if (pack === undefined || stored.seq < pack.first) return;
    if (stored.seq === pack.first) this.#open(pack);
    if (this.#content === undefined) return void this.#packs.shift();
    const made = this.#add(stored, before);
    if (stored.seq < pack.first + this.#content.columns.kinds.length - 1) return;
    this.#packs.shift();
    const isSame = made?.texts === this.#content.texts && equal(made.columns, this.#content.columns);
    if (!isSame)
      this.#flaw(pack, "it does not say what they say; who takes up the run from it is given something else");
  }

  #add(stored: StoredEvent, before: Digest): Content | undefined {
    try {
      return this.#packing.add(stored, indexed(stored), before);
    } catch {
      // It is no event; the chain says so.
      return undefined;
    }
  }

  async #read(from: Seq): Promise<void> {
    this.#packs = [...((await this.#store.packs?.(this.#run, { from, limit: packsPage })) ?? [])];
    const last = this.#packs.at(-1);
    this.#from = last === undefined ? undefined : last.first + 1;
  }

  #open(pack: Pack): void {
    try {
      this.#content = contentOf(this.#run, pack);
    } catch {
      this.#content = undefined;
    }
    this.#packing = new Packing(this.#content?.columns.kinds.length ?? 1);
    if (this.#content === undefined)
      this.#flaw(pack, "it is not what was written; the events themselves are read then");
  }

  #flaw({ first }: Pack, what: string): void {
    const message = `the pack of the events from here on, a second copy of them: ${what}`;
    this.flaws.push({ run: this.#run, seq: first, kind: "pack differs", message });
  }
}

function equal(a: object, b: object): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
