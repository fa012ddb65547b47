/** What a live run reads of others while its store may be away: a run is not set aside because of that. */
import { isStemmaError } from "../core/error.ts";
import type { Clock } from "./clock.ts";

/** Does what reads from a store until it succeeds. What can never succeed is a fault of the run, and never settles. */
export type Patiently = <T>(call: () => Promise<T>) => Promise<T>;

const againMs = 1000;

export function patience(clock: Clock, fault: (error: unknown) => void): Patiently {
  return async (call) => {
    for (;;) {
      try {
        return await call();
      } catch (error) {
        if (!isStemmaError(error) || !error.retryable) {
          fault(error);
          return new Promise(() => {});
        }
        await new Promise<void>((resolve) => clock.after(againMs, resolve, { kind: "poll" }));
      }
    }
  };
}
