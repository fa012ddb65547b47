/** One run, as the program that started or found it sees it. */
import { StemmaError } from "../core/error.ts";
import type { ErrorCode } from "../core/error.ts";
import { unseal } from "../core/chain.ts";
import type { Digest, Event, RunId } from "../core/event.ts";
import type { Status } from "../core/run.ts";
import { isTerminal } from "../core/run.ts";
import type { Trace } from "../core/trace.ts";
import { limits } from "../core/limits.ts";
import type { End, Ends } from "./ends.ts";
import { expectInRun } from "./cursors.ts";
import { StepError } from "./failure.ts";
import type { By } from "./requests.ts";
import type { Stemma } from "./stemma.ts";
import { follow, placeIn } from "./streams.ts";
import type { StreamItem } from "./streams.ts";
import { fromValue } from "./value.ts";
import { checkWhole } from "./whole-number.ts";

const endCodes: Partial<Record<Status, ErrorCode>> = {
  failed: "run.failed",
  cancelled: "run.cancelled",
  timed_out: "run.timed_out",
};

export class RunHandle<O = unknown> {
  readonly id: RunId;
  readonly #stemma: Stemma;
  readonly #ends: Ends;

  constructor(id: RunId, stemma: Stemma, ends: Ends) {
    this.id = id;
    this.#stemma = stemma;
    this.#ends = ends;
  }

  /** Where it stands now. */
  async status(): Promise<Status> {
    return (await this.#stemma.row(this.id)).state.status;
  }

  /**
   * Waits for the end and gives the output, decoded from the record. It waits through a store that is away for a while,
   * and logs one warning then.
   *
   * @throws run.failed, run.cancelled, run.timed_out; `data` has the run id and the keys of the steps that ended it
   */
  async result(): Promise<O> {
    const end = await this.#ends.of(this.id);
    const last =
      end.last === undefined
        ? (await this.#ends.read(this.id, () => this.#stemma.history(this.id, { after: end.state.seq - 1 }))).at(-1)
        : unseal(end.last);
    if (last?.type === "run.succeeded") {
      const { output } = last.data;
      const read = (digest: Digest) => this.#ends.read(this.id, () => this.#stemma.store.payloads([digest]));
      const texts = "digest" in output ? await read(output.digest) : new Map<string, string>();
      return fromValue(output, texts) as O;
    }
    throw endError(end, last);
  }

  /** Ends it, and the runs that it called. As `Stemma.cancel`. */
  cancel(by: By = {}): Promise<{ accepted: boolean; status: Status }> {
    return this.#stemma.cancel(this.id, by);
  }

  /** The graph of what happened and why. */
  trace(): Promise<Trace> {
    return this.#stemma.trace(this.id);
  }

  /** All events so far. */
  history(): Promise<Event[]> {
    return this.#stemma.history(this.id);
  }

  /**
   * Events as they are recorded, from behind `after` (a seq; from the start if left out) to the end of the run.
   *
   * @throws cursor.beyond_end where the run has not come so far
   */
  async *events(options: { after?: number } = {}): AsyncGenerator<Event> {
    let after = checkWhole(options.after ?? -1, "after", -1);
    expectInRun(await this.#stemma.row(this.id), after);
    for (;;) {
      const page = await this.#stemma.store.history(this.id, { after, limit: limits.pageEventsMax });
      if (page === undefined) throw new StemmaError("run.not_found", `There is no run ${this.id} in this store.`);
      for (const stored of page.events) {
        after = stored.seq;
        yield unseal(stored);
      }
      if (page.more) continue;
      if (isTerminal(page.row.state.status) && after >= page.row.state.seq) return;
      await this.#ends.pause();
    }
  }

  /**
   * Values of a stream as they come, from behind the position `after` (from the oldest that is kept, if left out) to
   * the end of the run. `step` is the key of the step that a value comes from; the empty text is the body. After
   * `{ reset: true }` what came from the same step before is void: it was entered again and begins anew. A stream keeps
   * its latest 10,000 values, so a reader that comes late finds positions missing at the beginning.
   *
   * @throws name.invalid, usage.invalid; run.not_found; cursor.beyond_end where the stream has not come so far
   * @example
   * for await (const item of run.stream<string>("tokens")) {
   *   if (item.reset) shown.delete(item.step);
   *   else shown.set(item.step, (shown.get(item.step) ?? "") + item.value);
   * }
   */
  stream<T = unknown>(name: string, options: { after?: number } = {}): AsyncGenerator<StreamItem<T>> {
    const { store } = this.#stemma;
    return follow<T>(store, () => this.#stemma.row(this.id), placeIn(this.id, name, options.after));
  }
}

function endError({ id, state }: End, last: Event | undefined): StemmaError {
  const { workflow, status, error, seq } = state;
  const code = endCodes[status] ?? "run.failed";
  const frontier = last?.type === "run.failed" ? last.data.frontier : [];
  const at = frontier.length === 0 ? "" : ` at ${frontier.join(", ")}`;
  const why = error === undefined ? "" : `: ${error.message}`;
  return new StemmaError(code, `Run ${id} (${workflow}) ${status.replace("_", " ")}${at}${why}`, {
    data: { run: id, status, steps: frontier, lastSeq: seq },
    ...(error === undefined ? {} : { cause: new StepError(error) }),
  });
}
