/** States to continue from. A checkpoint closes a segment of the run: what is asked after it is counted anew. */
import { StemmaError } from "../core/error.ts";
import type { Seq, Timestamp } from "../core/event.ts";
import { segmentRoot } from "../core/identity.ts";
import type { Ask } from "./ask.ts";
import type { Segment } from "./body.ts";
import type { Journal } from "./journal.ts";
import type { Encoded } from "./value.ts";

const shownMax = 5;

/** Refuses a checkpoint while anything is open, for its outcome would belong to a segment that is closed. */
function checkQuiet(asks: Iterable<Ask>, another: boolean): void {
  const open = [...asks].slice(0, shownMax).map((ask) => ask.ref.key);
  if (another) open.push("another checkpoint");
  if (open.length === 0) return;
  throw new StemmaError(
    "checkpoint.not_quiescent",
    `A checkpoint needs all steps, waits and calls to be settled; open: ${open.join(", ")}. Await them before.`,
    { data: { open } },
  );
}

/** The checkpoints of one activation. One that is asked for in recall is not on record, and is held until it is live. */
export class Checkpoints {
  readonly #journal: Journal;
  readonly #open: () => Iterable<Ask>;
  readonly #signals: () => Seq[];
  #held: (() => void) | undefined;

  /** @param signals those that are kept: what is before a checkpoint is not read again, so it names them */
  constructor(journal: Journal, open: () => Iterable<Ask>, signals: () => Seq[]) {
    this.#journal = journal;
    this.#open = open;
    this.#signals = signals;
  }

  /** Appends the checkpoint; resolves when it is durable, with the segment that it opens and its time. */
  ask(causes: readonly Seq[], state: Encoded, live: boolean): Promise<{ segment: Segment; at: Timestamp }> {
    checkQuiet(this.#open(), this.#held !== undefined);
    const { promise, resolve } = Promise.withResolvers<{ segment: Segment; at: Timestamp }>();
    const record = (): void =>
      recordCheckpoint(this.#journal, causes, state, this.#signals(), (segment, at) => resolve({ segment, at }));
    if (live) record();
    else this.#held = record;
    return promise;
  }

  /** Recall is over. */
  goLive(): void {
    this.#held?.();
    this.#held = undefined;
  }
}

/** Appends the checkpoint, and calls back with the segment that it opens when it is durable. */
function recordCheckpoint(
  journal: Journal,
  causes: readonly Seq[],
  state: Encoded,
  signals: Seq[],
  durable: (segment: Segment, at: Timestamp) => void,
): void {
  const last = journal.state.checkpoint;
  const data = { state: state.value, parent: last?.seq ?? null, ...(signals.length === 0 ? {} : { signals }) };
  const extra = state.payload === undefined ? {} : { payloads: [state.payload] };
  const { seq, at } = journal.append({ type: "checkpoint", data, causes }, extra);
  journal.afterCommit(seq, () => durable({ root: segmentRoot((last?.count ?? 0) + 1), seq }, at));
}
