/** How often each may ask: a bucket of tokens for everybody who asks, filled at a steady rate. */

export type Rate = {
  /** Requests a second, for long. */
  perSecond: number;
  /** Requests at once. */
  burst: number;
};

const bucketsMax = 10_000;

export class Buckets {
  readonly #rate: Rate;
  readonly #now: () => number;
  readonly #buckets = new Map<string, { left: number; at: number }>();

  /** @param now milliseconds of a clock that only goes forward */
  constructor(rate: Rate, now: () => number = () => performance.now()) {
    this.#rate = rate;
    this.#now = now;
  }

  /** Takes one for `who`; false when there is none left. */
  take(who: string): boolean {
    const bucket = this.#filled(who);
    if (bucket.left < 1) return false;
    bucket.left -= 1;
    return true;
  }

  #filled(who: string): { left: number; at: number } {
    const { perSecond, burst } = this.#rate;
    const now = this.#now();
    const known = this.#buckets.get(who);
    const bucket = known ?? { left: burst, at: now };
    bucket.left = Math.min(burst, bucket.left + ((now - bucket.at) * perSecond) / 1000);
    bucket.at = now;
    // Whoever asked longest ago is forgotten first, so nobody can fill the memory with made-up names.
    this.#buckets.delete(who);
    this.#buckets.set(who, bucket);
    if (this.#buckets.size > bucketsMax) this.#buckets.delete(this.#buckets.keys().next().value ?? "");
    return bucket;
  }
}
