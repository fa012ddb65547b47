/**
 * Time as the engine sees it, in one place, so that a test can hold it in its hand. Wall time is only ever compared
 * with what the store said; durations are measured on the monotonic clock.
 */
export type Clock = {
  /** Milliseconds since 1970. */
  now(): number;
  /** Milliseconds on a clock that never goes back. */
  monotonic(): number;
  /** Calls back after `ms`; the returned function takes it back. `background` timers do not keep the process alive. */
  after(ms: number, call: () => void, background?: boolean): () => void;
  /** Calls back in the next turn of the event loop, when all microtasks of this one have run. */
  turn(call: () => void): void;
};

/** Node's timers overflow beyond this and fire at once. */
const timerMsMax = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, call, background = false) {
    const timer = setTimeout(call, Math.min(Math.max(ms, 0), timerMsMax));
    if (background) timer.unref();
    return () => clearTimeout(timer);
  },
  turn: (call) => void setImmediate(call),
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
  return { ...clock, after: (ms, call, background) => clock.after(ms, guard(call), background) };
}
