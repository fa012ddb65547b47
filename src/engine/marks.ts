/**
 * What a body says of its run without waiting: its tags, and whether it takes new code. Nothing of that is delivered to
 * it later, so recall knows it by counting: the k-th call of `set` in a segment is the k-th that is recorded. What is
 * not on record is appended, in recall too, where nothing is flushed before the run goes live; so a crash between two
 * records neither loses nor repeats one.
 */
import { StemmaError } from "../core/error.ts";
import type { Draft, Seq } from "../core/event.ts";
import { limits } from "../core/limits.ts";
import type { RunState } from "../core/reduce.ts";
import type { Phase } from "./parts.ts";
import type { Recall } from "./recall.ts";

type MarksSurroundings = {
  append(draft: Draft): void;
  phase(): Phase;
  /** The body was told something that what it does next may depend on. */
  said(what: string, answer: string): void;
  /** Whether every recorded ask was made again, and every recorded outcome delivered. */
  allRecalled(): boolean;
};

export class Marks {
  readonly #with: MarksSurroundings;
  readonly #answers = new Map<string, boolean>();
  /** Recorded calls of `set` that were not made again yet. */
  #sets: number;
  /** Recorded ends of scopes that the body did not come to again yet. */
  readonly #closes: ReadonlyMap<string, Seq>;

  constructor({ sets, closed }: Recall, state: RunState, surroundings: MarksSurroundings) {
    this.#with = surroundings;
    this.#sets = sets;
    this.#closes = closed;
    for (const name of state.patches ?? []) this.#answers.set(name, true);
    for (const name of state.unpatched ?? []) this.#answers.set(name, false);
  }

  /** The run's tags from here on. */
  set(tags: string[], causes: readonly Seq[]): void {
    if (this.#sets > 0) this.#sets -= 1;
    else this.#append({ type: "run.set", data: { tags }, causes });
  }

  /**
   * Whether the run takes the new code behind a name. It does if it comes here for the first time: live, or at the very
   * end of what is recorded. Where anything recorded is still to come, older code has been past this place. Either
   * answer goes on record with the next flush and holds for the run from then on, behind checkpoints too. One that a
   * crash takes before is given anew; nothing behind it is on record either.
   *
   * @throws limit.exceeded
   */
  patched(name: string, causes: readonly Seq[]): boolean {
    const answer = this.#answer(name, causes);
    this.#with.said(`patched ${name}`, String(answer));
    return answer;
  }

  #answer(name: string, causes: readonly Seq[]): boolean {
    const known = this.#answers.get(name);
    if (known !== undefined) return known;
    if (this.#answers.size >= limits.patchesMax) {
      throw new StemmaError(
        "limit.exceeded",
        `A run asks for at most ${limits.patchesMax} patches; ${JSON.stringify(name)} is one more. Name a change of the code, not a value of the run.`,
      );
    }
    const answer = this.#with.phase() !== "recall" || !this.#isMoreToCome();
    this.#answers.set(name, answer);
    this.#append({ type: "run.patched", data: answer ? { name } : { name, old: true }, causes });
    return answer;
  }

  /** A checkpoint: what this segment has recorded and the body did not say again, it never will. */
  newSegment(): void {
    this.#sets = 0;
  }

  #isMoreToCome(): boolean {
    return this.#sets > 0 || this.#closes.size > 0 || !this.#with.allRecalled();
  }

  /** Code that nobody awaited may still be on its way when the run has ended; it adds nothing to the record. */
  #append(draft: Draft): void {
    const phase = this.#with.phase();
    if (phase === "recall" || phase === "live") this.#with.append(draft);
  }
}
