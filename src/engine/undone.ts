/**
 * Whether a success was made up for since. A run makes up for its successes when it fails, which may be after another
 * one was made from it; so where a success can be made up for, its run is looked at again before it is reused. As long as
 * that run is open nobody knows.
 */
import type { RunId, Seq } from "../core/event.ts";
import { isTerminal } from "../core/run.ts";
import type { Store } from "../store/store.ts";
import type { Clock } from "./clock.ts";
import type { OutcomeEvent } from "./recall.ts";
import { undoneIn } from "./source.ts";

/** As long it is taken for granted that a run which was open still is, in milliseconds: to wait on does no harm. */
const openMs = 50;

export class Undone {
  readonly #store: Store;
  readonly #clock: Clock;
  /** By run: seqs of what it has made up for. Of one that has ended, for good (`isFinal`); of others, as of a moment ago. */
  readonly #known = new Map<RunId, { seqs: ReadonlySet<Seq>; isFinal: boolean; at: number }>();

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** `open`: it was not made up for a moment ago, by this run, which may still do so. */
  look(event: OutcomeEvent, run: RunId): "undone" | "valid" | "unknown" | { open: RunId } {
    if (!("compensate" in event.data)) return "valid";
    const { run: producer, seq } = producerOf(event, run);
    const known = this.#known.get(producer);
    if (known === undefined) return "unknown";
    if (known.seqs.has(seq)) return "undone";
    if (known.isFinal) return "valid";
    if (this.#clock.monotonic() - known.at <= openMs) return { open: producer };
    this.#known.delete(producer);
    return "unknown";
  }

  async read(event: OutcomeEvent, run: RunId): Promise<void> {
    const { run: producer } = producerOf(event, run);
    const at = this.#clock.monotonic();
    const { runs } = await this.#store.list({ ids: [producer] });
    const [row] = runs;
    const undone = row === undefined ? [] : await undoneIn(this.#store, row);
    const isFinal = row === undefined || isTerminal(row.state.status);
    this.#known.set(producer, { seqs: new Set(undone.map(([seq]) => seq)), isFinal, at });
  }
}

function producerOf(event: OutcomeEvent, run: RunId): { run: RunId; seq: Seq } {
  return event.type === "step.reused" ? event.data.origin : { run, seq: event.seq };
}
