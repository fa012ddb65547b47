/**
 * Whether a success was made up for since. A run makes up for its successes when it fails, which may be after another
 * one was made from it; so where a success can be made up for, its run is looked at again before it is reused.
 */
import type { RunId, Seq } from "../core/event.ts";
import { isTerminal } from "../core/run.ts";
import type { Store } from "../store/store.ts";
import type { OutcomeEvent } from "./recall.ts";
import { undoneIn } from "./source.ts";

export class Undone {
  readonly #store: Store;
  /** By run: seqs of what it has made up for. Of one that has ended, for good; of others, as of a moment ago. */
  readonly #known = new Map<RunId, { seqs: ReadonlySet<Seq>; isFinal: boolean }>();

  constructor(store: Store) {
    this.#store = store;
  }

  look(event: OutcomeEvent, run: RunId): "undone" | "valid" | "unknown" {
    if (!("compensate" in event.data)) return "valid";
    const { run: producer, seq } = producerOf(event, run);
    const known = this.#known.get(producer);
    if (known === undefined) return "unknown";
    if (known.seqs.has(seq)) return "undone";
    // It is true now; the next one is looked at anew.
    if (!known.isFinal) this.#known.delete(producer);
    return "valid";
  }

  async read(event: OutcomeEvent, run: RunId): Promise<void> {
    const { run: producer } = producerOf(event, run);
    const { runs } = await this.#store.list({ ids: [producer] });
    const [row] = runs;
    const undone = row === undefined ? [] : await undoneIn(this.#store, row);
    const isFinal = row === undefined || isTerminal(row.state.status);
    this.#known.set(producer, { seqs: new Set(undone.map(([seq]) => seq)), isFinal });
  }
}

function producerOf(event: OutcomeEvent, run: RunId): { run: RunId; seq: Seq } {
  return event.type === "step.reused" ? event.data.origin : { run, seq: event.seq };
}
