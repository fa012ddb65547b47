/**
 * Signals of one run. One that somebody waits for is that wait's answer; one that comes early is kept, on record, and
 * answers the next wait for its name. First come, first taken, for each name.
 */
import type { Event, Seq, Value } from "../core/event.ts";
import type { Ask } from "./ask.ts";
import type { WaitAsk } from "./body.ts";
import type { Journal } from "./journal.ts";
import type { Encoded } from "./value.ts";

export type Kept = { seq: Seq; name: string; value: Encoded };

/**
 * Takes an answer to a wait: records it, or refuses it; or says that it came too late, and is told the name of the signal.
 */
export type Accept = (ask: Ask, value: Encoded, from: { signal: Seq }, late: () => string) => void;

export class Signals {
  readonly #journal: Journal;
  readonly #accept: Accept;
  #kept: Kept[];

  /** @param kept those that came early and were not taken, in their order */
  constructor(kept: readonly Kept[], journal: Journal, accept: Accept) {
    this.#kept = [...kept];
    this.#journal = journal;
    this.#accept = accept;
  }

  /** Seqs of those that are kept: a checkpoint names them, for what is before it is not read again. */
  get kept(): Seq[] {
    return this.#kept.map(({ seq }) => seq);
  }

  /** Keeps a signal that nobody waits for yet. */
  keep(name: string, value: Encoded, by: string | undefined, message: string): void {
    const data = { name, payload: value.value, message, ...(by === undefined ? {} : { by }) };
    const extra = value.payload === undefined ? {} : { payloads: [value.payload] };
    const { seq } = this.#journal.append({ type: "signal.received", data, causes: [this.#journal.head] }, extra);
    this.#kept.push({ seq, name, value });
  }

  /** Answers a wait with a kept signal, if there is one for it. */
  answer(ask: Ask, wait: WaitAsk): boolean {
    if (wait.kind !== "signal") return false;
    const at = this.#kept.findIndex(({ name }) => name === (wait.signal ?? wait.name));
    const [signal] = at === -1 ? [] : this.#kept.splice(at, 1);
    if (signal === undefined) return false;
    this.#accept(ask, signal.value, { signal: signal.seq }, () => this.#keepOn(signal));
    return true;
  }

  /** One that was not taken after all is kept in its place. */
  #keepOn(signal: Kept): string {
    this.#kept = [...this.#kept, signal].toSorted((a, b) => a.seq - b.seq);
    return signal.name;
  }
}

/** Which signals a history keeps: received, and named by no answer or refusal. */
export class SignalIndex {
  readonly #kept = new Map<Seq, { name: string; payload: Value }>();
  readonly #taken = new Set<Seq>();

  add(event: Event): void {
    if (event.type === "signal.received") this.#kept.set(event.seq, event.data);
    else if (event.type === "wait.answered" || event.type === "wait.refused") {
      const { signal } = event.data;
      if (signal === undefined) return;
      this.#kept.delete(signal);
      this.#taken.add(signal);
    }
  }

  get taken(): ReadonlySet<Seq> {
    return this.#taken;
  }

  get kept(): ReadonlyMap<Seq, { name: string; payload: Value }> {
    return this.#kept;
  }
}
