/**
 * Whether the payloads that a history names are there, and are what their digests say; through trees of states too. They
 * are read about a megabyte at a time, and each once for a run as far as it is remembered.
 */
import type { Flaw } from "../core/chain-check.ts";
import type { Digest, Event, RunId, Seq } from "../core/event.ts";
import { utf8Length } from "../core/json.ts";
import { partsOf } from "../core/state.ts";
import type { Store } from "../store/store.ts";
import { sha256 } from "./hash.ts";
import type { Turns } from "./turns.ts";

type Named = { digest: Digest; bytes: number; tree?: number };

const batchBytesMax = 1_048_576;
const batchMax = 500;
/** What is assumed of a piece of a state, whose size nothing says before it is read. */
const pieceBytes = 2048;
/** Digests that are remembered as looked at; more begin anew. */
const seenMax = 100_000;

export class PayloadCheck {
  flaws: Flaw[] = [];
  count = 0;
  bytes = 0;
  readonly #store: Pick<Store, "payloads">;
  readonly #turns: Turns;
  #run: RunId = "";
  #seen = new Set<Digest>();
  /** Payloads to be read, with the event that named each first, and whether it is a row of a tree. */
  #wanted = new Map<Digest, { seq: Seq; node: boolean; bytes: number }>();
  #wantedBytes = 0;

  constructor(store: Pick<Store, "payloads">, turns: Turns) {
    this.#store = store;
    this.#turns = turns;
  }

  begin(run: RunId): void {
    this.#run = run;
    this.flaws = [];
    this.#seen.clear();
  }

  async add({ seq }: Event, refs: readonly Named[]): Promise<void> {
    for (const { digest, bytes, tree } of refs) {
      this.#want(digest, { seq, node: tree !== undefined, bytes: tree === undefined ? bytes : pieceBytes });
    }
    while (this.#wantedBytes > batchBytesMax || this.#wanted.size > batchMax) await this.#read();
  }

  async end(): Promise<void> {
    while (this.#wanted.size > 0) await this.#read();
  }

  #want(digest: Digest, wanted: { seq: Seq; node: boolean; bytes: number }): void {
    if (this.#seen.has(digest)) return;
    if (this.#seen.size >= seenMax) this.#seen.clear();
    this.#seen.add(digest);
    this.#wanted.set(digest, wanted);
    this.#wantedBytes += wanted.bytes;
  }

  async #read(): Promise<void> {
    const some: Digest[] = [];
    let bytes = 0;
    for (const [digest, wanted] of this.#wanted) {
      if (some.length >= batchMax || bytes > batchBytesMax) break;
      some.push(digest);
      bytes += wanted.bytes;
    }
    const texts = await this.#store.payloads(some);
    for (const digest of some) {
      const wanted = this.#wanted.get(digest);
      this.#wanted.delete(digest);
      if (wanted === undefined) continue;
      this.#wantedBytes -= wanted.bytes;
      await this.#turns.pause();
      this.#check(digest, wanted, texts.get(digest));
    }
  }

  #check(digest: Digest, { seq, node }: { seq: Seq; node: boolean }, text: string | undefined): void {
    if (text === undefined) return this.#flaw(seq, digest, "payload missing", "is not there");
    this.count += 1;
    if (typeof text !== "string" || sha256(text) !== digest) {
      return this.#flaw(seq, digest, "payload altered", "is not what was written: its digest differs");
    }
    this.bytes += utf8Length(text);
    if (!node) return;
    for (const part of partsOf(text)) {
      if (typeof part !== "string") this.#want(part.digest, { seq, node: part.node, bytes: pieceBytes });
    }
  }

  #flaw(seq: Seq, digest: Digest, kind: "payload missing" | "payload altered", what: string): void {
    this.flaws.push({ run: this.#run, seq, kind, message: `the payload ${digest} ${what}`, digest });
  }
}
