/**
 * A long history is kept a second time, in packs: what a recall needs of many events, in one text, compressed. A row each
 * is what appending, following and looking things up need; but whoever takes up a run of a hundred thousand steps needs
 * something of all of them, and to fetch and to hash two hundred thousand rows takes several times as long.
 *
 * A pack holds the events from one multiple of a number of events to the next: an index, as columns, and the texts of all
 * events but those that only say that a step was entered. It is bound to its place: its digest covers the run and the seq, and
 * in it are the hashes of the chain before and at its end. So whoever reads packs one behind the other, and the rows
 * before and behind them, has verified what he has read as if he had hashed each event. A pack that is missing, or is not
 * what was written, costs time and nothing else, for its events are all there as rows.
 */
import { isAscii } from "node:buffer";
import { createHash } from "node:crypto";
import { inflateRawSync } from "node:zlib";
import { unseal } from "../core/chain.ts";
import type { StoredEvent } from "../core/chain.ts";
import type { Causes, Digest, Event, RunId, Seq, Timestamp } from "../core/event.ts";
import type { Pack } from "../store/store.ts";
import { mayRefer } from "./history-pages.ts";
import { payloadsOf } from "./payload.ts";

/** Events of a pack; the first so many of a history are not packed, for they are read in a few milliseconds anyway. */
export const packEventsUsual = 1024;
/**
 * Events with longer texts than these together, or values of so many bytes, are not packed: to compress twice as much, where
 * it is as good as random, would hold up the event loop for longer than anybody may.
 */
export const packCharsMax = 524_288;
/** No pack has more bytes in it, in UTF-8 and with its index. */
const contentBytesMax = 8 * packCharsMax;
/** Room for what comes out of most packs. */
const contentBytesUsual = 131_072;
const digestBytes = 32;

/** What stands in no JSON text: between the fields of an event, and behind each event. */
export const between = "\t";
export const behind = "\n";
/** Of the form in which packs are written; one in another form is not read. */
export const formNow = 1;

/**
 * What is in front of the texts, as JSON. Numbers are small where they can be: times as what has passed since the event
 * before, other events as how many there are in between.
 */
export type Columns = {
  form: number;
  before: Digest;
  hash: Digest;
  /**
   * Of each event: "s" for the first start of a step; "e" for its success; "o" for a success that is the first that is
   * on record of its step; "t" for all others, and for those of which the columns do not say enough.
   */
  kinds: string;
  at: number[];
  /** Of all but "s": characters of the text; and of the output in it: where it begins, and how many there are, or 0. */
  chars: number[];
  outputs: number[];
  outputChars: number[];
  /** Of all but "t": one cause, or several, or what says the causes, as a negative number. */
  causes: (number | number[])[];
  keys: string[];
  /** Of each "s" and "o": what had come before, and which of the declared inputs it has; 0 for none. */
  after: number[];
  input: number[];
  inputs: Digest[];
};

/** What is in a pack: an index, and the texts of all events but the first starts of steps, behind one another. */
export type Content = { columns: Columns; texts: string };

/** What is in a pack; undefined where it is not what was written. */
export function contentOf(run: RunId, { first, body }: Pack): Content | undefined {
  const compressed = body.subarray(digestBytes);
  if (!digestOf(run, first, compressed).equals(body.subarray(0, digestBytes))) return undefined;
  const bytes = inflateRawSync(compressed, { maxOutputLength: contentBytesMax, chunkSize: contentBytesUsual });
  const encoding = isAscii(bytes) ? "latin1" : "utf8";
  const end = bytes.indexOf(behind);
  const columns = JSON.parse(bytes.toString(encoding, 0, end)) as Columns;
  return columns.form === formNow ? { columns, texts: bytes.toString(encoding, end + 1) } : undefined;
}

/**
 * The events of a pack, and the same as far as an index needs them; undefined where it is not what was written.
 *
 * @param before hash of the event behind which it was written, where that is not known already
 */
export function unpack(
  run: RunId,
  pack: Pack,
  before?: Digest,
): { packed: PackedEvents; index: () => readonly Event[] } | undefined {
  const content = contentOf(run, pack);
  if (content === undefined || (before !== undefined && content.columns.before !== before)) return undefined;
  const packed = new PackedEvents(pack.first, content);
  return { packed, index: () => indexOf(packed, content.columns) };
}

/** Puts the parts of a pack together. */
export function sealed(run: RunId, first: Seq, compressed: Uint8Array): Pack {
  return { first, body: Buffer.concat([digestOf(run, first, compressed), compressed]) };
}

/** How many rows to read behind an event, so that none is read that may be in a pack. */
export function rowsBehind(after: Seq, pageEvents: number, packEvents: number): number {
  return Math.min(pageEvents, packEvents - ((after + 1) % packEvents));
}

/** Names a pack for whoever reads it a second time. */
export function digestIn({ body }: Pack): Digest {
  return Buffer.from(body.subarray(0, digestBytes)).toString("hex");
}

function digestOf(run: RunId, first: Seq, compressed: Uint8Array): Buffer {
  return createHash("sha256").update(`${run} ${first}\n`).update(compressed).digest();
}

function indexOf(packed: PackedEvents, { kinds, causes, after, keys, input, inputs }: Columns): Event[] {
  const events: Event[] = [];
  let [k, f] = [0, 0];
  for (let seq = packed.first; seq <= packed.last; seq += 1) {
    const kind = kinds[seq - packed.first];
    if (kind === "t") {
      events.push(unseal(packed.stored(seq)));
      continue;
    }
    const data: { key: string; attempt?: number; after?: Seq; input?: Digest } = { key: keys[k] ?? "" };
    if (kind === "s") data.attempt = 1;
    if (kind !== "e") {
      if (after[f] !== 0) data.after = seq - (after[f] ?? 0);
      if (input[f] !== 0) data.input = inputs[(input[f] ?? 0) - 1] as Digest;
      f += 1;
    }
    const type = kind === "s" ? "step.started" : "step.succeeded";
    const from = causesBefore(seq, causes[k] ?? 0);
    events.push({ seq, at: packed.at(seq), type, hash: "", causes: from, data } as unknown as Event);
    k += 1;
  }
  return events;
}

function causesBefore(seq: Seq, cause: number | readonly number[]): Causes {
  if (typeof cause !== "number") return cause.map((one) => seq - one);
  return cause < 0 ? { same: seq + cause } : [seq - cause];
}

/** What is kept of a pack for as long as its outcomes are waited for. */
export class PackedEvents {
  readonly first: Seq;
  readonly last: Seq;
  /** Hash of the last event. */
  readonly hash: Digest;
  /** Texts of all events but the first starts of steps, behind one another. */
  readonly #texts: string;
  /** When each event was; where its text begins, and the next; and where its output begins, and ends. */
  readonly #at: Float64Array;
  readonly #starts: Int32Array;
  readonly #outputs: Int32Array;

  constructor(first: Seq, { columns, texts }: Content) {
    const { kinds, chars, outputs, outputChars } = columns;
    const events = kinds.length;
    this.first = first;
    this.last = first + events - 1;
    this.hash = columns.hash;
    this.#texts = texts;
    this.#at = new Float64Array(events);
    this.#starts = new Int32Array(events + 1);
    this.#outputs = new Int32Array(2 * events);
    let [at, start, t] = [0, 0, 0];
    for (let i = 0; i < events; i += 1) {
      this.#at[i] = at += columns.at[i] ?? 0;
      if (kinds[i] !== "s") {
        this.#outputs[2 * i] = start + (outputs[t] ?? 0);
        this.#outputs[2 * i + 1] = start + (outputs[t] ?? 0) + (outputChars[t] ?? 0);
        start += chars[t] ?? 0;
        t += 1;
      }
      this.#starts[i + 1] = start;
    }
  }

  /** Of all texts. */
  get chars(): number {
    return this.#texts.length;
  }

  /** Digests of the values that they hold by reference. */
  payloads(): Digest[] {
    if (!mayRefer(this.#texts)) return [];
    const digests = new Set<Digest>();
    for (let seq = this.first; seq <= this.last; seq += 1) {
      const stored = this.stored(seq);
      if (mayRefer(stored.data)) for (const { digest } of payloadsOf(unseal(stored))) digests.add(digest);
    }
    return [...digests];
  }

  at(seq: Seq): Timestamp {
    return this.#at[seq - this.first] ?? 0;
  }

  /** An event that has a text, as it is stored. Its hash is not known here. */
  stored(seq: Seq): StoredEvent {
    const i = seq - this.first;
    const text = this.#texts.slice(this.#starts[i], this.#starts[i + 1]);
    const [type = "", causes = "", data = ""] = text.split(between);
    return { seq, at: this.at(seq), type, causes, data, hash: "" };
  }

  /** The text of what a step gave, if it is in there and nothing else matters. */
  output(seq: Seq): string | undefined {
    const i = 2 * (seq - this.first);
    const [from = 0, to = 0] = [this.#outputs[i], this.#outputs[i + 1]];
    return from === to ? undefined : this.#texts.slice(from, to);
  }
}
