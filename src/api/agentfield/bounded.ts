/** A map that forgets what was set longest ago, so nobody can fill the memory with made-up names. */
export class Bounded<T> {
  readonly #max: number;
  readonly #entries = new Map<string, T>();

  constructor(max: number) {
    this.#max = max;
  }

  get(key: string): T | undefined {
    return this.#entries.get(key);
  }

  set(key: string, value: T): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size > this.#max) this.#entries.delete(this.#entries.keys().next().value ?? "");
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }
}
