/** States to continue from. A checkpoint closes a segment of the run: what is asked after it is counted anew. */
import { StemmaError } from "../core/error.ts";
import type { Digest, Seq, Timestamp } from "../core/event.ts";
import { segmentRoot } from "../core/identity.ts";
import type { Ask } from "./ask.ts";
import type { Segment } from "./body.ts";
import type { Journal } from "./journal.ts";
import type { Prefix } from "./prefix.ts";
import type { EncodedState } from "./state.ts";
import { storeState } from "./state.ts";

const shownMax = 5;

/** Something is open whose outcome would belong to a segment that is closed. */
export function notQuiescent(why: string, open: readonly string[]): StemmaError {
  const shown = open.slice(0, shownMax).join(", ");
  const more = open.length > shownMax ? ` and ${open.length - shownMax} more` : "";
  return new StemmaError("checkpoint.not_quiescent", `${why}; open: ${shown}${more}.`, { data: { open } });
}

/** The checkpoints of one activation. */
export class Checkpoints {
  readonly #journal: Journal;
  readonly #open: () => Iterable<Ask>;
  readonly #signals: () => Seq[];
  readonly #prefix: Prefix;
  /** Digests of the payloads of the last state. */
  #pieces: ReadonlySet<Digest>;
  /** One that is asked for in recall is not on record; it waits until the run is live and what was taken back is settled. */
  #held: (() => void) | undefined;

  /** @param signals those that are kept: what is before a checkpoint is not read again, so it names them */
  constructor(
    journal: Journal,
    pieces: ReadonlySet<Digest>,
    open: () => Iterable<Ask>,
    signals: () => Seq[],
    prefix: Prefix,
  ) {
    this.#journal = journal;
    this.#pieces = pieces;
    this.#open = open;
    this.#signals = signals;
    this.#prefix = prefix;
  }

  /** Appends the checkpoint; resolves when it is durable, with the segment that it opens and its time. */
  ask(causes: readonly Seq[], state: EncodedState, live: boolean): Promise<{ segment: Segment; at: Timestamp }> {
    const open = [...this.#open()].filter((ask) => ask.withdrawn === undefined).map((ask) => ask.ref.key);
    if (open.length > 0) {
      throw notQuiescent("A checkpoint needs all steps, waits and calls to be settled. Await them before", open);
    }
    const { promise, resolve } = Promise.withResolvers<{ segment: Segment; at: Timestamp }>();
    this.#held = () => this.#append(causes, state, (segment, at) => resolve({ segment, at }));
    if (live) this.record();
    return promise;
  }

  /** Records what was asked for, if the losers of races are settled: their ends belong to the segment before. */
  record(): void {
    if (this.#held === undefined) return;
    for (const ask of this.#open()) if (ask.doubtful !== true) return;
    const record = this.#held;
    this.#held = undefined;
    record();
  }

  #append(causes: readonly Seq[], state: EncodedState, durable: (segment: Segment, at: Timestamp) => void): void {
    const journal = this.#journal;
    const last = journal.state.checkpoint;
    const { value, payloads, pieces } = storeState(state, this.#pieces);
    // Nothing is built on these pieces before they are durable: until then no other checkpoint is taken.
    this.#pieces = pieces;
    const signals = this.#signals();
    const prefix = this.#prefix.checkpoint(value);
    const count = (last?.count ?? journal.state.startCount ?? 0) + 1;
    const parent = last?.seq ?? null;
    const data = { state: value, parent, prefix, count, ...(signals.length === 0 ? {} : { signals }) };
    const { seq, at } = journal.append({ type: "checkpoint", data, causes }, { payloads });
    journal.afterCommit(seq, () => durable({ root: segmentRoot(count), seq }, at));
  }
}
