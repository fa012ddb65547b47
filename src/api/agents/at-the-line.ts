/**
 * Gives an execution to a node and hears what it answers: at once that it reports by itself, or in the end with the result.
 * One that answers with the result holds the line meanwhile, which is bounded by whether it is there and by nothing else.
 */
import { isStemmaError } from "../../core/error.ts";
import type { RunId } from "../../core/event.ts";
import type { Log } from "../../engine/body.ts";
import type { Stemma } from "../../engine/stemma.ts";
import type { AgentsHooks } from "./agents.ts";
import type { Given, Parcel } from "./dispatch.ts";
import { give, held } from "./dispatch.ts";
import type { Lines } from "./lines.ts";
import type { Message } from "./messages.ts";
import { queue } from "./messages.ts";

type Parts = { stemma: Stemma; hooks: readonly AgentsHooks[]; lines: Lines; log: Log };

/** Which dispatch of which run, what had been said to that before (`inbox`), and who is told whether the node was there. */
type Which = { run: RunId; n: number; inbox: number; worked: (given: Given) => void };

/** How often it is looked whether a node that holds the line has spoken to another server. */
const lookMs = { first: 500, most: 5000 };
/** How long behind what a node says its answer may be that it reports by itself. */
const graceMs = 250;
/** How often what came of a line is said where the store does not take it. */
const sayMax = 10;

export class AtTheLine {
  readonly #with: Parts;

  constructor(parts: Parts) {
    this.#with = parts;
  }

  /**
   * A node that answers with the result may speak of the execution before: it calls others, or tells what it does. What it
   * says is taken in when it is on record that it has the execution, so that is said as soon as it speaks, and what it
   * answers in the end is a message like any report. One that says `202` may speak before that is here, so that is waited for.
   */
  async give(parcel: Parcel, which: Which): Promise<Given> {
    const { lines } = this.#with;
    const { token, abort } = parcel;
    const { spoke, cut } = lines.open(token, parcel.registration.instance);
    const own = new AbortController();
    const stop = (): void => own.abort(abort.reason);
    abort.addEventListener("abort", stop, { once: true });
    const answered = give({ ...parcel, abort: AbortSignal.any([own.signal, cut]) }).then((given) => {
      which.worked(given);
      return this.#own(given, `${parcel.registration.node}.${parcel.called.name}`);
    });
    const done = new AbortController();
    try {
      const first = await Promise.race([answered, this.#spoken(which, spoke, done.signal)]);
      // What it said before it answered is on its way to the run: its answer goes the same way, behind that.
      const isEnd = first?.state === "done" || first?.state === "failed";
      if (first !== undefined && !(isEnd && lines.isHeard(token))) {
        lines.close(token);
        return first;
      }
    } catch (error) {
      lines.close(token);
      throw error;
    } finally {
      done.abort();
      abort.removeEventListener("abort", stop);
    }
    if (abort.aborted) return answered.finally(() => lines.close(token));
    void answered
      .then((given) => this.#say(which, token, given))
      .catch((error: unknown) =>
        this.#with.log.warn("What a node answered is lost", { run: which.run, error: String(error) }),
      )
      .finally(() => lines.close(token));
    return held(parcel, this.#with.stemma.worker);
  }

  /**
   * Until the node has spoken of it: to this server, or to another one, which is seen by what was sent to the run. It does not
   * count whether that still waits: the worker that has the run takes in what comes whenever it sees it.
   */
  async #spoken({ run, inbox }: Which, spoke: Promise<void>, done: AbortSignal): Promise<undefined> {
    let isSpoken = false;
    void spoke.then(() => (isSpoken = true));
    for (let ms = lookMs.first; !isSpoken && !done.aborted; ms = Math.min(ms * 2, lookMs.most)) {
      await Promise.race([spoke, pause(ms, done)]);
      if (isSpoken || done.aborted) break;
      const row = await this.#with.stemma.row(run).catch(() => undefined);
      isSpoken = row !== undefined && row.inbox > inbox;
    }
    await pause(graceMs, done);
  }

  async #own(given: Given, target: string): Promise<Given> {
    if (given.state !== "done" && given.state !== "failed") return given;
    for (const { told } of this.#with.hooks) await told?.({ token: given.token, target });
    if (given.state === "failed" || !("output" in given)) return given;
    const output = this.#with.hooks.reduce((value, { result }) => (result ? result(value) : value), given.output);
    return { ...given, output };
  }

  /** What a node that held the line has answered. */
  async #say({ run, n: dispatch }: Which, token: string, given: Given): Promise<void> {
    const [message, key] = ((): [Message, string] => {
      switch (given.state) {
        case "done":
          return [
            { kind: "result", token, ok: true, ...("output" in given ? { output: given.output } : {}) },
            `result ${token}`,
          ];
        case "failed": {
          const { error, final } = given;
          const more = final === undefined ? {} : { final };
          return [{ kind: "result", token, ok: false, error, ...more }, `result ${token}`];
        }
        case "working":
          return [{ kind: "took", dispatch }, `took ${dispatch}`];
        case "away":
        case "busy":
          return [{ kind: "lost", dispatch, why: "its line broke" }, `lost ${dispatch}`];
      }
    })();
    for (let tries = 1; ; tries += 1) {
      try {
        await this.#with.stemma.signal(run, queue, message, { idempotencyKey: key });
        return;
      } catch (error) {
        if (isStemmaError(error, "run.ended")) return;
        if (tries === sayMax) throw error;
        await pause(lookMs.first * tries);
      }
    }
  }
}

function pause(ms: number, done?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(end, ms);
    done?.addEventListener("abort", end, { once: true });
    function end(): void {
      clearTimeout(timer);
      done?.removeEventListener("abort", end);
      resolve();
    }
    if (done?.aborted === true) end();
  });
}
