/**
 * Which of several versions and processes of a node gets the next call: versions by their weights, in turns that are as
 * even as can be (smooth weighted round robin, as nginx does it), and processes of one version one after the other.
 */
type Candidate = { version: string; weight: number; url: string };

type Turn = { current: number; last: string };

/** Remembers whose turn it was, by node and version. */
export class Turns {
  readonly #turns = new Map<string, Turn>();

  /** One of them; nothing where there is none. With weights of 0 alone, all have the same. */
  next<C extends Candidate>(node: string, candidates: readonly C[]): C | undefined {
    const weights = new Map(candidates.map(({ version, weight }) => [version, weight]));
    const total = [...weights.values()].reduce((sum, weight) => sum + weight, 0);
    let best: { version: string; turn: Turn } | undefined;
    for (const [version, weight] of weights) {
      const turn = this.#of(node, version);
      turn.current += total === 0 ? 1 : weight;
      if (weight === 0 && total > 0) continue;
      if (best === undefined || turn.current > best.turn.current) best = { version, turn };
    }
    if (best === undefined) return undefined;
    best.turn.current -= total === 0 ? weights.size : total;
    return nextProcess(
      best.turn,
      candidates.filter(({ version }) => version === best.version),
    );
  }

  /** Forgets those that are gone. */
  keep(node: string, versions: ReadonlySet<string>): void {
    const prefix = `${node}\n`;
    for (const key of this.#turns.keys()) {
      if (key.startsWith(prefix) && !versions.has(key.slice(prefix.length))) this.#turns.delete(key);
    }
  }

  #of(node: string, version: string): Turn {
    const key = `${node}\n${version}`;
    const turn = this.#turns.get(key) ?? { current: 0, last: "" };
    this.#turns.set(key, turn);
    return turn;
  }
}

function nextProcess<C extends { url: string }>(turn: Turn, processes: readonly C[]): C | undefined {
  const sorted = processes.toSorted((a, b) => (a.url < b.url ? -1 : 1));
  const next = sorted.find(({ url }) => url > turn.last) ?? sorted[0];
  turn.last = next?.url ?? "";
  return next;
}
