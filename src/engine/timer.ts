/** Timers that fire at a time of the store's clock. Those of the platform reach only some weeks, and may fire early. */
import type { Timestamp } from "../core/event.ts";
import type { Clock } from "./clock.ts";

/** Calls back when `now()` has reached `until`, however far off that is; the returned function takes it back. */
export function atTime(clock: Clock, now: () => Timestamp, until: Timestamp, call: () => void): () => void {
  let stop = (): void => {};
  const arm = (): void => {
    stop = clock.after(until - now(), () => (now() < until ? arm() : call()));
  };
  arm();
  return () => stop();
}
