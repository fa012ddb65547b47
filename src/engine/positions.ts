/**
 * Which recorded success the n-th of equal asks gets: the n-th that is offered, and rather the one of the very same
 * step. What a run offers under a key is what it has itself and, behind that, what it was offered. A success that is to
 * be made anew keeps its place, so that the one behind it is not taken for it.
 */
import type { CheckpointAt, OfferedRun, RunId, Seq } from "../core/event.ts";
import type { Producer } from "../store/store.ts";
import { isIn } from "../core/cut.ts";

/**
 * A place in what is offered under one key. Where there are several: `key` of the step there, whether it failed, and
 * whether what is there is `lost` to whoever gets the place, so that it runs.
 */
export type Position = {
  entry: number;
  run: RunId;
  seq: Seq;
  cut: boolean;
  key?: string;
  failed?: true;
  lost?: true;
};

/** The places under one key. */
export interface Places {
  /** The place that an ask had which is on record and was not reused. */
  passed(key: string): Position | undefined;
  /** A place that was used is free again. */
  freed(): void;
  /** Whether the place of the very step with this key is free. */
  hasOwn(key: string): boolean;
  /** The place for the ask with this key; the caller notes that it is used. */
  next(key: string): Position | undefined;
}

/**
 * What is offered under a key, from its recorded successes in the order of the feed.
 *
 * @param start the checkpoint that whoever is offered it goes on from: what is before it had its turn there
 */
export function offeredUnder(
  offers: readonly OfferedRun[],
  producers: readonly Producer[],
  start?: CheckpointAt,
): Position[] {
  const byRun = new Map<RunId, Seq[]>();
  for (const { run, seq } of producers) {
    const seqs = byRun.get(run);
    if (seqs === undefined) byRun.set(run, [seq]);
    else seqs.push(seq);
  }
  let positions: Position[] = [];
  for (let entry = offers.length - 1; entry >= 0; entry -= 1) {
    const { run, head, cut, start: own } = offers[entry] as OfferedRun;
    positions = behind(positions, own);
    const seqs = byRun.get(run)?.filter((seq) => seq <= head) ?? [];
    if (seqs.length === 0) continue;
    const places = seqs.toSorted((a, b) => a - b).map((seq) => ({ entry, run, seq, cut: isIn(cut, seq) }));
    positions = [...places, ...positions.slice(places.length)];
  }
  return behind(positions, start);
}

function behind(positions: Position[], start: CheckpointAt | undefined): Position[] {
  if (start === undefined) return positions;
  return positions.filter(({ run, seq }) => run !== start.run || seq > start.seq);
}

/** Places of which each is given once, in their order. */
export class InOrder implements Places {
  readonly #positions: readonly Position[];
  readonly #isUsed: (position: Position) => boolean;
  readonly #byKey = new Map<string, Position>();
  #from = 0;

  /** @param isUsed whether a place was given already, under this key or otherwise */
  constructor(positions: readonly Position[], isUsed: (position: Position) => boolean) {
    this.#positions = positions;
    this.#isUsed = isUsed;
    for (const position of positions) if (position.key !== undefined) this.#byKey.set(position.key, position);
  }

  /**
   * The place that an ask had which is on record and was not reused: one that is to be made anew, or of which there is
   * nothing to be had, if any. Where it ran because there was none for it, it took none from others.
   */
  passed(key: string): Position | undefined {
    const had = (position: Position): boolean => (position.cut || position.lost === true) && !this.#isUsed(position);
    const same = this.#byKey.get(key);
    if (same !== undefined && !this.#isUsed(same)) return had(same) ? same : undefined;
    return this.#positions.find(had);
  }

  freed(): void {
    this.#from = 0;
  }

  hasOwn(key: string): boolean {
    const same = this.#byKey.get(key);
    return same !== undefined && !this.#isUsed(same);
  }

  next(key: string): Position | undefined {
    const same = this.#byKey.get(key);
    if (same !== undefined && !this.#isUsed(same)) return same;
    for (; this.#from < this.#positions.length; this.#from += 1) {
      const position = this.#positions[this.#from] as Position;
      if (!this.#isUsed(position)) return position;
    }
    return undefined;
  }
}
