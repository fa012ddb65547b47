/**
 * Where a recall stands: which recorded outcome comes next, and whether it is due. It is due when its own ask, and
 * every recorded ask that had been made before it was delivered, have been made again. So a body that does plain I/O
 * between steps meets each outcome at the same point of its path, however long its I/O takes this time. What it has
 * stepped over is cleared, so a recall takes less memory the further it comes.
 */
import type { Recall, Recorded } from "./recall.ts";

export class RecallCursor {
  readonly #recall: Recall;
  readonly #afterAsks: boolean;
  #outcome = 0;
  #ask = 0;
  #asked = 0;

  /** @param afterAsks the rule of delivery says whether an outcome waits for the asks made before it */
  constructor(recall: Recall, afterAsks: boolean) {
    this.#recall = recall;
    this.#afterAsks = afterAsks;
  }

  /** Whether nothing recorded is still to come: all asks were made again, all outcomes delivered. */
  atEnd(): boolean {
    const { asks, outcomes } = this.#recall;
    // What was asked again and is behind the cursor has been let go of.
    while (this.#asked < asks.length && asks[this.#asked]?.asked !== false) this.#asked += 1;
    return this.#asked >= asks.length && this.#outcome >= outcomes.length;
  }

  /** The next outcome if it is due, and steps over it; "nothing" when all are delivered and all asks were made again. */
  next(): Recorded | "not yet" | "nothing" {
    const { asks, outcomes } = this.#recall;
    const recorded = outcomes[this.#outcome];
    const before = recorded?.outcome ?? Infinity;
    for (let ask = asks[this.#ask]; ask !== undefined && ask.after < before; ask = asks[this.#ask]) {
      if (ask.asked) asks[this.#ask] = undefined;
      else if (this.#afterAsks || recorded === undefined) return "not yet";
      this.#ask += 1;
    }
    if (recorded === undefined) {
      if (asks.some((ask) => ask?.asked === false)) return "not yet";
      asks.length = 0;
      outcomes.length = 0;
      return "nothing";
    }
    if (!recorded.asked) return "not yet";
    outcomes[this.#outcome] = undefined;
    this.#outcome += 1;
    return recorded;
  }
}
