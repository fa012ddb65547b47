/**
 * Where a recall stands: which recorded outcome comes next, and whether it is due. It is due when its own ask, and
 * every recorded ask that had been made before it was delivered, have been made again. So a body that does plain I/O
 * between steps meets each outcome at the same point of its path, however long its I/O takes this time.
 */
import type { Seq } from "../core/event.ts";
import type { Recall } from "./recall.ts";

export class RecallCursor {
  readonly #recall: Recall;
  readonly #afterAsks: boolean;
  #outcome = 0;
  #ask = 0;

  /** @param afterAsks the rule of delivery says whether an outcome waits for the asks made before it */
  constructor(recall: Recall, afterAsks: boolean) {
    this.#recall = recall;
    this.#afterAsks = afterAsks;
  }

  /**
   * Seq of the next outcome if it is due, and steps over it; "nothing" when all are delivered and all asks were made
   * again.
   */
  next(): Seq | "not yet" | "nothing" {
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
    if (!recall.isAwaited(this.#outcome)) return "not yet";
    this.#outcome += 1;
    return seq;
  }
}
