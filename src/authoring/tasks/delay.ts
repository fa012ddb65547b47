/** Waiting, until something does not want to wait any more. */
import { timerMsMax } from "./deadlines.ts";
import { nextTurn, turnIsOver } from "./turn.ts";

/** Waits for so many milliseconds; true if the signal was aborted before. */
export async function delay(ms: number, signal: AbortSignal | undefined): Promise<boolean> {
  if (isAborted(signal)) return true;
  if (!(ms > 0)) {
    // No delay is no reason for a timer, but whoever tries again and again must let others go on.
    if (turnIsOver(performance.now())) await nextTurn();
    return isAborted(signal);
  }
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve(isAborted(signal));
    };
    const timer = setTimeout(done, Math.min(ms, timerMsMax));
    signal?.addEventListener("abort", done, { once: true });
  });
}

/** Asked anew each time: what was not aborted before an `await` may be behind it. */
export function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}
