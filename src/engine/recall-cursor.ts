/**
 * Where a recall stands: which recorded outcome comes next, and whether it is due. It is due when its own ask, and
 * every recorded ask that had been made before it was delivered, have been made again. So a body that does plain I/O
 * between steps meets each outcome at the same point of its path, however long its I/O takes this time.
 */
import type { Recall } from "./recall.ts";
import type { RecordedOutcomes, StoredOutcome } from "./recorded-outcomes.ts";

export class RecallCursor {
  readonly #recall: Recall;
  readonly #outcomes: RecordedOutcomes;
  readonly #afterAsks: boolean;
  #outcome = 0;
  #ask = 0;

  /** @param afterAsks the rule of delivery says whether an outcome waits for the asks made before it */
  constructor(recall: Recall, outcomes: RecordedOutcomes, afterAsks: boolean) {
    this.#recall = recall;
    this.#outcomes = outcomes;
    this.#afterAsks = afterAsks;
  }

  /** Whether nothing recorded is still to come: all asks were made again, all outcomes delivered. */
  atEnd(): boolean {
    return this.#recall.allTaken && this.#outcome >= this.#recall.outcomes;
  }

  /**
   * The next outcome if it is due, and steps over it. "reading": it is due and will be there when `arrived` resolves.
   * "nothing": all are delivered and all asks were made again; what is on record is forgotten then.
   *
   * @throws what the store throws; store.corrupt
   */
  next(): StoredOutcome | "not yet" | "reading" | "nothing" {
    const due = this.#isDue();
    if (due === "nothing") this.#recall.forget();
    if (due !== "due") return due;
    const outcome = this.#outcomes.take();
    if (outcome === undefined) return "reading";
    this.#outcome += 1;
    return outcome;
  }

  /** Number of the ask of the outcome that was given last. */
  get ask(): number {
    return this.#recall.settledAt(this.#outcome - 1);
  }

  arrived(): Promise<void> {
    return this.#outcomes.arrived();
  }

  #isDue(): "due" | "not yet" | "nothing" {
    const recall = this.#recall;
    const isLast = this.#outcome >= recall.outcomes;
    const seq = isLast ? Infinity : recall.outcomeAt(this.#outcome);
    // Without the rule, asks are passed by unmade; they are waited for when all outcomes are delivered.
    if (isLast && !this.#afterAsks) this.#ask = 0;
    while (this.#ask < recall.asks && recall.afterOf(this.#ask) < seq) {
      if (!recall.wasMade(this.#ask) && (this.#afterAsks || isLast)) return "not yet";
      this.#ask += 1;
    }
    if (isLast) return "nothing";
    return recall.isAwaited(this.#outcome) ? "due" : "not yet";
  }
}
