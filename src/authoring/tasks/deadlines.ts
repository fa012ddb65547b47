/**
 * Limits of time of many attempts with one timer each for all that have the same limit: they run out in the order in
 * which they began, so a list is enough, and who is done in time takes itself out of it.
 */

import { turnIsOver } from "./turn.ts";

/** Something with a limit of time, as a link of a list. */
export type Timed = {
  readonly limitMs: number;
  /** When the time is over, by `performance.now()`. */
  readonly until: number;
  before: Timed | undefined;
  after: Timed | undefined;
  /** The time is over. */
  expire(): void;
  /** The run is over. */
  abort(reason: unknown): void;
};

type List = {
  head: Timed | undefined;
  tail: Timed | undefined;
  timer: NodeJS.Timeout | undefined;
  /** Whom the timer was set for. */
  awaited: Timed | undefined;
};

/** The longest delay that a timer of Node can have; a longer one would fire at once. */
export const timerMsMax = 2_147_483_647;

export class Deadlines {
  readonly #lists = new Map<number, List>();

  add(timed: Timed): void {
    let list = this.#lists.get(timed.limitMs);
    if (list === undefined) {
      list = { head: undefined, tail: undefined, timer: undefined, awaited: undefined };
      this.#lists.set(timed.limitMs, list);
    }
    timed.before = list.tail;
    if (list.tail === undefined) list.head = timed;
    else list.tail.after = timed;
    list.tail = timed;
    if (list.timer === undefined) this.#arm(list, timed, timed.limitMs);
  }

  remove(timed: Timed): void {
    const list = this.#lists.get(timed.limitMs);
    if (list === undefined) return;
    if (timed.before === undefined) list.head = timed.after;
    else timed.before.after = timed.after;
    if (timed.after === undefined) list.tail = timed.before;
    else timed.after.before = timed.before;
    if (list.awaited === timed) list.awaited = undefined;
  }

  abort(reason: unknown): void {
    for (const list of this.#lists.values()) {
      for (let timed = list.head; timed !== undefined; timed = timed.after) timed.abort(reason);
    }
  }

  /** No more timers. */
  close(): void {
    for (const { timer } of this.#lists.values()) clearTimeout(timer);
    this.#lists.clear();
  }

  #arm(list: List, timed: Timed, ms: number): void {
    list.awaited = timed;
    list.timer = setTimeout(() => this.#ring(list), Math.min(Math.max(ms, 0), timerMsMax));
  }

  #ring(list: List): void {
    list.timer = undefined;
    const { awaited } = list;
    // The timer knows when it was due better than the clock does, which may be a little behind it.
    const now =
      awaited === undefined || awaited.limitMs > timerMsMax
        ? performance.now()
        : Math.max(awaited.until, performance.now());
    for (let timed = list.head; timed !== undefined && timed.until <= now; timed = list.head) {
      timed.expire();
      // Very many may run out together; those that are left are due at once, in another turn.
      if (turnIsOver(performance.now())) break;
    }
    const { head } = list;
    if (head !== undefined && list.timer === undefined) this.#arm(list, head, head.until - now);
  }
}
