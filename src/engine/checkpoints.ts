/** States to continue from. A checkpoint closes a segment of the run: what is asked after it is counted anew. */
import { StemmaError } from "../core/error.ts";
import type { Digest, Seq, Timestamp } from "../core/event.ts";
import { segmentRoot } from "../core/identity.ts";
import type { Ask, Asks } from "./ask.ts";
import type { Segment } from "./body.ts";
import { canCross, carriedWait } from "./carried.ts";
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
  readonly #asks: Pick<Asks, "open" | "cross">;
  readonly #isLooking: () => boolean;
  readonly #signals: () => Seq[];
  readonly #prefix: Prefix;
  /** Digests of the payloads of the last state. */
  #pieces: ReadonlySet<Digest>;
  /** One that is asked for in recall is not on record; it waits until the run is live and what was taken back is settled. */
  #held: (() => void) | undefined;

  /**
   * @param isLooking whether an answer is being looked at, which may be one to a wait that is to be carried
   * @param signals those that are kept: what is before a checkpoint is not read again, so it names them
   */
  constructor(
    journal: Journal,
    pieces: ReadonlySet<Digest>,
    asks: Pick<Asks, "open" | "cross">,
    isLooking: () => boolean,
    signals: () => Seq[],
    prefix: Prefix,
  ) {
    this.#journal = journal;
    this.#pieces = pieces;
    this.#asks = asks;
    this.#isLooking = isLooking;
    this.#signals = signals;
    this.#prefix = prefix;
  }

  /**
   * Appends the checkpoint; resolves when it is durable, with the segment that it opens and its time.
   *
   * @param carryWaits whether open waits of the root scope go along: from here on this body hears nothing more of them,
   * unless it asks again
   */
  ask(
    causes: readonly Seq[],
    state: EncodedState,
    { live, carryWaits }: { live: boolean; carryWaits: boolean },
  ): Promise<{ segment: Segment; at: Timestamp }> {
    const wanted = [...this.#asks.open()].filter((ask) => ask.withdrawn === undefined);
    const open = wanted.filter((ask) => !carryWaits || !canCross(ask)).map((ask) => ask.ref.key);
    if (open.length > 0) {
      const but = carryWaits ? "all but waits of the workflow's own scope" : "all steps, waits and calls";
      throw notQuiescent(`A checkpoint needs ${but} to be settled. Await them before`, open);
    }
    for (const ask of wanted) ask.crossing = true;
    const { promise, resolve } = Promise.withResolvers<{ segment: Segment; at: Timestamp }>();
    this.#held = () => this.#append(causes, state, (segment, at) => resolve({ segment, at }));
    if (live) this.record();
    return promise;
  }

  /**
   * Records what was asked for, if the losers of races are settled: their ends belong to the segment before. A wait that
   * is carried has to be on record, and no answer to it on its way there.
   */
  record(): void {
    if (this.#held === undefined) return;
    for (const ask of this.#asks.open()) {
      if (ask.crossing === true && (!isOnRecord(ask) || this.#isLooking())) return;
      if (ask.crossing !== true && ask.doubtful !== true) return;
    }
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
    const crossing = [...this.#asks.open()].filter((ask) => ask.crossing === true);
    const waits = crossing.map(carriedWait);
    const prefix = this.#prefix.checkpoint(value);
    const count = (last?.count ?? journal.state.startCount ?? 0) + 1;
    const parent = last?.seq ?? null;
    const kept = { ...(signals.length === 0 ? {} : { signals }), ...(waits.length === 0 ? {} : { waits }) };
    const data = { state: value, parent, prefix, count, ...kept };
    this.#asks.cross(crossing);
    const { seq, at } = journal.append({ type: "checkpoint", data, causes }, { payloads });
    journal.afterCommit(seq, () => durable({ root: segmentRoot(count), seq }, at));
  }
}

function isOnRecord({ begunAt, stage }: Ask): boolean {
  return begunAt !== undefined || stage === "recorded";
}
