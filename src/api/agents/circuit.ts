/**
 * Circuit breaking, by address:
 *
 *     closed ──failures in a row──▶ open ──time──▶ probing ──success──▶ closed
 *                                    ▲               │failure
 *                                    └───────────────┘   (and longer each time)
 *
 * While it is *open* nothing is sent there; *probing*, one request is let through and tells.
 */
type Circuit = { failures: number; openings: number; until: number; probing: boolean };

const failuresMax = 5;
const pauseMs = { first: 1000, max: 30_000 };

export class Circuits {
  readonly #circuits = new Map<string, Circuit>();

  state(url: string, now: number): "closed" | "open" | "probing" {
    const circuit = this.#circuits.get(url);
    if (circuit === undefined || circuit.openings === 0) return "closed";
    return circuit.probing || now >= circuit.until ? "probing" : "open";
  }

  /** Whether something may be sent there now; who is let through while it is probing has to say how it went. */
  mayTry(url: string, now: number): boolean {
    const circuit = this.#circuits.get(url);
    return circuit === undefined || circuit.openings === 0 || (!circuit.probing && now >= circuit.until);
  }

  /** Something is sent there. */
  tried(url: string): void {
    const circuit = this.#circuits.get(url);
    if (circuit !== undefined && circuit.openings > 0) circuit.probing = true;
  }

  /** It answered. */
  worked(url: string): void {
    this.#circuits.delete(url);
  }

  failed(url: string, now: number): void {
    const circuit = this.#circuits.get(url) ?? { failures: 0, openings: 0, until: 0, probing: false };
    this.#circuits.set(url, circuit);
    circuit.failures += 1;
    if (circuit.openings === 0 && circuit.failures < failuresMax) return;
    circuit.probing = false;
    circuit.until = now + Math.min(pauseMs.first * 2 ** circuit.openings, pauseMs.max);
    circuit.openings += 1;
  }

  /** How long it is still left alone, in milliseconds. */
  restMs(url: string, now: number): number {
    return Math.max(0, (this.#circuits.get(url)?.until ?? 0) - now);
  }

  keep(urls: ReadonlySet<string>): void {
    for (const url of this.#circuits.keys()) if (!urls.has(url)) this.#circuits.delete(url);
  }
}
