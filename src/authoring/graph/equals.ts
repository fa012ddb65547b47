/**
 * How often what is asked for was asked for before, in the whole run: so that an invocation is known by its executor, its
 * message, and its place among equal ones, wherever in the supersteps it comes. What is counted goes into checkpoints,
 * as a list to which each invocation adds a short mark, because a state is stored as what was added to it.
 */
import type { Digest } from "../../core/event.ts";
import { grown } from "../../core/growing-list.ts";
import { sha256 } from "../../engine/hash.ts";

/** 72 bits: two different invocations with one mark would be told apart by their inputs all the same. */
const markChars = 12;

export class Equals {
  readonly #counts = new Map<string, number>();
  #marks: readonly string[];
  #added: string[] = [];

  constructor(marks: readonly string[]) {
    this.#marks = marks;
    for (const mark of marks) this.#count(mark);
  }

  /** The place, from 0, of an ask with this name and input among its equals. */
  next(name: string, input: Digest | null): number {
    const mark = Buffer.from(sha256(`${name}#${input ?? "-"}`), "hex")
      .toString("base64url")
      .slice(0, markChars);
    this.#added.push(mark);
    return this.#count(mark);
  }

  /** All that was counted. Lists that were given are never changed. */
  marks(): readonly string[] {
    this.#marks = grown(this.#marks, this.#added);
    this.#added = [];
    return this.#marks;
  }

  #count(mark: string): number {
    const before = this.#counts.get(mark) ?? 0;
    this.#counts.set(mark, before + 1);
    return before;
  }
}
