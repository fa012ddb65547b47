/** What is said of executions for people who look on: the last of it, in a bounded part of memory, oldest executions first out. */
import type { Json } from "../../core/json.ts";

type Remark = { at: number; text: string };

const charsMax = 16_000_000;
const ofOneMax = 1000;
const entryCharsMax = 16_000;

export class Remarks {
  readonly #of = new Map<string, Remark[]>();
  #chars = 0;

  /** One that is too long to be kept is kept as words that say so. */
  add(id: string, entries: readonly Json[]): void {
    const known = this.#take(id);
    for (const entry of entries) {
      const text = JSON.stringify(entry);
      known.push({ at: Date.now(), text: text.length > entryCharsMax ? tooLong(text) : text });
    }
    const kept = known.slice(-ofOneMax);
    this.#of.set(id, kept);
    this.#chars += charsOf(id, kept);
    for (const oldest of this.#of.keys()) {
      if (this.#chars <= charsMax) break;
      this.#take(oldest);
    }
  }

  of(id: string): { at: number; entry: Json }[] {
    return (this.#of.get(id) ?? []).map(({ at, text }) => ({ at, entry: JSON.parse(text) as Json }));
  }

  #take(id: string): Remark[] {
    const known = this.#of.get(id);
    if (known === undefined) return [];
    this.#of.delete(id);
    this.#chars -= charsOf(id, known);
    return known;
  }
}

function charsOf(id: string, remarks: readonly Remark[]): number {
  return remarks.reduce((sum, { text }) => sum + text.length, id.length);
}

function tooLong(text: string): string {
  return JSON.stringify({
    message: `${text.length} characters were too many to be kept; they begin: ${text.slice(0, 1000)}`,
  });
}
