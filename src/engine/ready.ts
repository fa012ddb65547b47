/** Asks whose outcome is found, in the order in which their source recorded them (a binary heap). */
import type { Ask } from "./ask.ts";
import type { Position } from "./positions.ts";

/** An ask and what it is to be given; without a position, what the change of its run says. */
export type Hit = { ask: Ask; position: Position | undefined; order: number };

export class Ready {
  readonly #hits: Hit[] = [];

  get size(): number {
    return this.#hits.length;
  }

  get first(): Hit | undefined {
    return this.#hits[0];
  }

  add(hit: Hit): void {
    const hits = this.#hits;
    let at = hits.push(hit) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!isBefore(hit, hits[above] as Hit)) break;
      hits[at] = hits[above] as Hit;
      at = above;
    }
    hits[at] = hit;
  }

  take(): Hit | undefined {
    const hits = this.#hits;
    const first = hits[0];
    const last = hits.pop();
    if (last === undefined || hits.length === 0) return first;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= hits.length) break;
      if (below + 1 < hits.length && isBefore(hits[below + 1] as Hit, hits[below] as Hit)) below += 1;
      if (!isBefore(hits[below] as Hit, last)) break;
      hits[at] = hits[below] as Hit;
      at = below;
    }
    hits[at] = last;
    return first;
  }
}

/** What nearer runs recorded comes first: they went this way before those that they come from went on. */
function isBefore(a: Hit, b: Hit): boolean {
  const [one, other] = [a.position, b.position];
  if (one === undefined || other === undefined) return one === other ? a.order < b.order : one === undefined;
  if (one.entry !== other.entry) return one.entry < other.entry;
  return one.seq !== other.seq ? one.seq < other.seq : a.order < b.order;
}
