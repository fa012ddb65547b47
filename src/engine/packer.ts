/**
 * Writes packs: see `pack.ts`. Each takes a millisecond or two, once for so many events, and the text of these is held
 * until then.
 */
import { deflateRawSync } from "node:zlib";
import { unseal } from "../core/chain.ts";
import type { StoredEvent } from "../core/chain.ts";
import type { Digest, Event, RunId, Seq, Timestamp } from "../core/event.ts";
import type { Pack } from "../store/store.ts";
import { mayRefer } from "./history-pages.ts";
import { outputPlace } from "./index-text.ts";
import { behind, between, formNow, packCharsMax, packEventsUsual, sealed } from "./pack.ts";
import type { Columns, Content } from "./pack.ts";
import { payloadsOf } from "./payload.ts";

/** Causes that are more than these are left in the text. */
const causesMax = 8;

/** Puts the content of packs together, event by event. */
export class Packing {
  readonly #packEvents: number;
  /** Seq of the event that is expected; none fits before a pack can begin. */
  #next: Seq = -1;
  #columns: Columns = columnsBehind("");
  #texts = "";
  #bytes = 0;
  #at: Timestamp = 0;
  #inputs = new Map<Digest, number>();

  constructor(packEvents: number) {
    this.#packEvents = packEvents;
  }

  /**
   * Takes the next event, and the hash before it, and gives what it was the last of.
   *
   * @param event the same, as far as an index needs it
   */
  add(stored: StoredEvent, event: Event, before: Digest): Content | undefined {
    const { seq } = event;
    if (seq > 0 && seq % this.#packEvents === 0) this.#begin(seq, before);
    if (seq !== this.#next) return undefined;
    this.#next += 1;
    this.#note(stored, event);
    if (this.#texts.length + this.#bytes > packCharsMax) this.forget();
    if (seq + 1 !== this.#next || this.#columns.kinds.length < this.#packEvents) return undefined;
    this.#columns.hash = stored.hash;
    const content = { columns: this.#columns, texts: this.#texts };
    this.forget();
    return content;
  }

  /** The next content begins where one can begin. */
  forget(): void {
    this.#begin(-1, "");
  }

  #begin(seq: Seq, before: Digest): void {
    this.#next = seq;
    this.#columns = columnsBehind(before);
    [this.#texts, this.#bytes, this.#at] = ["", 0, 0];
    this.#inputs.clear();
  }

  #note(stored: StoredEvent, event: Event): void {
    const { seq, at } = event;
    const columns = this.#columns;
    const kind = kindOf(event);
    columns.kinds += kind;
    columns.at.push(at - this.#at);
    this.#at = at;
    if (kind !== "t") {
      const { key, after, input } = event.data as { key: string; after?: Seq; input?: Digest };
      const { causes } = event;
      const before = "same" in causes ? [causes.same - seq] : causes.map((cause) => seq - cause);
      columns.causes.push(before.length === 1 ? (before[0] ?? 0) : before);
      columns.keys.push(key);
      if (kind !== "e") {
        columns.after.push(after === undefined ? 0 : seq - after);
        columns.input.push(input === undefined ? 0 : this.#inputNumber(input));
      }
    }
    if (kind === "s") return;
    const text = stored.type + between + stored.causes + between + stored.data;
    const { from, to } = outputPlace(stored);
    columns.chars.push(text.length);
    columns.outputs.push(to > from ? text.length - stored.data.length + from : 0);
    columns.outputChars.push(to - from);
    this.#texts += text;
    if (mayRefer(stored.data)) for (const { bytes } of payloadsOf(unseal(stored))) this.#bytes += bytes;
  }

  #inputNumber(input: Digest): number {
    const known = this.#inputs.get(input) ?? this.#columns.inputs.push(input);
    this.#inputs.set(input, known);
    return known;
  }
}

/** Packs the events of a run, as they are read or appended. */
export class Packer {
  readonly #run: RunId;
  readonly #packing: Packing;
  #packs: Pack[] = [];

  constructor(run: RunId, packEvents: number = packEventsUsual) {
    this.#run = run;
    this.#packing = new Packing(packEvents);
  }

  /** Takes the next event, as `Packing` does. */
  add(stored: StoredEvent, event: Event, before: Digest): void {
    const content = this.#packing.add(stored, event, before);
    if (content !== undefined)
      this.#packs.push(packOf(this.#run, event.seq + 1 - content.columns.kinds.length, content));
  }

  /** The packs that are to go to the store with the events that were added last. */
  take(): readonly Pack[] {
    const packs = this.#packs;
    if (packs.length > 0) this.#packs = [];
    return packs;
  }

  /** What was added last is not on record. */
  forget(): void {
    this.#packing.forget();
    this.#packs = [];
  }
}

/** A pack of this content. */
export function packOf(run: RunId, first: Seq, { columns, texts }: Content): Pack {
  return sealed(run, first, deflateRawSync(JSON.stringify(columns) + behind + texts, { level: 1 }));
}

function columnsBehind(before: Digest): Columns {
  const [form, kinds, hash] = [formNow, "", ""];
  return {
    form,
    before,
    hash,
    kinds,
    at: [],
    chars: [],
    outputs: [],
    outputChars: [],
    causes: [],
    after: [],
    keys: [],
    input: [],
    inputs: [],
  };
}

/** What of an event the columns say: all that an index needs, or nothing. */
function kindOf({ type, causes, data }: Event): "s" | "e" | "o" | "t" {
  if (type !== "step.started" && type !== "step.succeeded") return "t";
  if (!("same" in causes) && causes.length > causesMax) return "t";
  if (data.n !== undefined || data.across !== undefined) return "t";
  if ("effect" in data || "compensate" in data) return "t";
  if (type === "step.succeeded") return data.input === undefined && data.after === undefined ? "e" : "o";
  return "attempt" in data && data.attempt === 1 ? "s" : "t";
}
