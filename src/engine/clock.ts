/**
 * Time as the engine sees it, in one place, so that a test can hold it in its hand. Wall time is only ever compared
 * with what the store said; durations are measured on the monotonic clock.
 */
import type { Store } from "../store/store.ts";

/** What a timer is for, where it is more than a point in time. */
export type TimerOptions = {
  /** It does not keep the process alive. */
  background?: boolean;
  /**
   * To the system's clock all are alike; one in the hand of a test jumps over years, and must know what it jumps over.
   *
   * `heartbeat`, `poll`: upkeep, which comes again for ever and at which nothing falls due. It may ring early, and time
   * never stops for it. `grace`: how long code of the user may take, which is real time whatever a test does. `look`:
   * when somebody who waits for a thing to come looks for it again; where nobody moves time on, that is real time too.
   * Looks are counted, not timed: a clock that stands still would have them go on for ever.
   */
  kind?: "heartbeat" | "poll" | "grace" | "look";
};

export type Clock = {
  /** Milliseconds since 1970. */
  now(): number;
  /** Milliseconds on a clock that never goes back. */
  monotonic(): number;
  /** Calls back after `ms`; the returned function takes it back. */
  after(ms: number, call: () => void, options?: TimerOptions): () => void;
  /** Calls back in the next turn of the event loop, when all microtasks of this one have run. */
  turn(call: () => void): void;
  /** Given a store to be used on this clock, the store to use: a clock of a test listens, and gives the store its time. */
  attach?(store: Store): Store;
};

/** Node's timers overflow beyond this and fire at once. */
const timerMsMax = 2 ** 31 - 1;

/**
 * Calls made in one turn of the event loop; the others wait for the next. All that is due at once would be called in one
 * turn, and with hundreds of runs in hand timers and sockets would wait for all of them.
 */
const callsOfTurn = 32;
let under = 0;
let waiting: (() => void)[] = [];
let first = 0;

function turn(call: () => void): void {
  if (under === callsOfTurn) {
    waiting.push(call);
    return;
  }
  under += 1;
  setImmediate(take, call);
}

/** Each call has an immediate of its own, behind which microtasks run. */
function take(call: () => void): void {
  const next = waiting[first];
  if (next === undefined) under -= 1;
  else {
    first += 1;
    setImmediate(take, next);
    if (first === waiting.length) [waiting, first] = [[], 0];
  }
  call();
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, call, { background = false } = {}) {
    const timer = setTimeout(call, Math.min(Math.max(ms, 0), timerMsMax));
    if (background) timer.unref();
    return () => clearTimeout(timer);
  },
  turn,
};

/** The same clock, whose calls cannot end the process: what they throw goes to `fault`. */
export function guarded(clock: Clock, fault: (error: unknown) => void): Clock {
  const guard = (call: () => void) => (): void => {
    try {
      call();
    } catch (error) {
      fault(error);
    }
  };
  return { ...clock, after: (ms, call, options) => clock.after(ms, guard(call), options) };
}
