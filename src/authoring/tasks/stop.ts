/** What ends a run before its tasks do: the signal of the caller, or the run's own limit of time. */
import { timerMsMax } from "./deadlines.ts";

export type StopCause = { cause: "timeout" | "abort"; error: unknown };

export class Stop {
  /** What tasks are given; undefined where nothing can stop the run. */
  readonly signal: AbortSignal | undefined;
  /** Why the run was stopped, once it was. */
  stopped: StopCause | undefined;
  readonly #given: AbortSignal | undefined;
  readonly #timeoutMs: number | undefined;
  readonly #own: AbortController | undefined;
  #timer: NodeJS.Timeout | undefined;
  #onStop: ((cause: StopCause) => void) | undefined;

  constructor(signal: AbortSignal | undefined, timeoutMs: number | undefined) {
    this.#given = signal;
    this.#timeoutMs = timeoutMs;
    this.#own = timeoutMs === undefined ? undefined : new AbortController();
    this.signal = this.#own?.signal ?? signal;
  }

  /** Begins to watch. True if the run is stopped already; `onStop` is called when it is, later. */
  begin(onStop: (cause: StopCause) => void): boolean {
    if (this.#given?.aborted === true) {
      this.#stop("abort", this.#given.reason);
      return true;
    }
    this.#onStop = onStop;
    this.#given?.addEventListener("abort", this.#abort, { once: true });
    if (this.#timeoutMs !== undefined) {
      const ring = (): void => {
        this.#stop("timeout", new DOMException(`The run took longer than ${this.#timeoutMs} ms.`, "TimeoutError"));
      };
      this.#timer = setTimeout(ring, Math.min(this.#timeoutMs, timerMsMax));
    }
    return false;
  }

  /** Nothing is watched any more. */
  close(): void {
    clearTimeout(this.#timer);
    this.#given?.removeEventListener("abort", this.#abort);
  }

  readonly #abort = (): void => this.#stop("abort", this.#given?.reason);

  #stop(cause: StopCause["cause"], error: unknown): void {
    if (this.stopped !== undefined) return;
    this.stopped = { cause, error };
    this.close();
    this.#onStop?.(this.stopped);
    this.#own?.abort(error);
  }
}
