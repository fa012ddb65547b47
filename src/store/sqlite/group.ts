/**
 * Group commit between callers. Runs are created by many at once, and each of them on its own would wait for the disk;
 * so those of one turn of the event loop are created in one transaction, which is also that of the next commit if one
 * comes first. Nobody is answered before the transaction is durable.
 */
import { isStemmaError } from "../../core/error.ts";
import type { Driver } from "./driver.ts";

export type Write<T> = {
  work(): T;
  /** Whether what `work` answered is in the file; undefined where it left nothing there to look for. */
  landed(result: T): boolean | undefined;
};

type Waiting = { write: Write<unknown>; resolve: (result: unknown) => void; reject: (error: unknown) => void };

/** Writes in one transaction; more than these would hold up the event loop for too long. */
const writesMax = 64;

export class Group {
  readonly #driver: Driver;
  #waiting: Waiting[] = [];

  constructor(driver: Driver) {
    this.#driver = driver;
  }

  /** Carries out a write with the next transaction, at the latest in the next turn of the event loop. */
  join<T>(write: Write<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ write, resolve: resolve as Waiting["resolve"], reject });
      if (this.#waiting.length === 1) this.#flushLater();
    });
  }

  /** Carries out a write at once, and in its transaction what waits. */
  now<T>(write: Write<T>): T {
    if (this.#waiting.length === 0) return writeAll(this.#driver, [write])[0] as T;
    let answer: { result: unknown } | { error: unknown } | undefined;
    const last: Waiting = {
      write,
      resolve: (result) => (answer = { result }),
      reject: (error) => (answer = { error }),
    };
    carryOut(this.#driver, [...this.#waiting.splice(0, writesMax), last]);
    if (answer !== undefined && "result" in answer) return answer.result as T;
    throw answer?.error;
  }

  /** Carries out all that waits. */
  flush(): void {
    while (this.#waiting.length > 0) carryOut(this.#driver, this.#waiting.splice(0, writesMax));
  }

  #flushLater(): void {
    setImmediate(() => {
      carryOut(this.#driver, this.#waiting.splice(0, writesMax));
      if (this.#waiting.length > 0) this.#flushLater();
    });
  }
}

function carryOut(driver: Driver, waiting: readonly Waiting[]): void {
  if (waiting.length === 0) return;
  let results: readonly unknown[];
  try {
    results = writeAll(
      driver,
      waiting.map(({ write }) => write),
    );
  } catch (error) {
    // An error of the store means all alike. Any other is one caller's own: it must not be the others' too.
    if (waiting.length > 1 && !(isStemmaError(error) && error.code.startsWith("store."))) {
      for (const one of waiting) carryOut(driver, [one]);
    } else for (const { reject } of waiting) reject(error);
    return;
  }
  for (const [i, { resolve }] of waiting.entries()) resolve(results[i]);
}

function writeAll(driver: Driver, writes: readonly Write<unknown>[]): readonly unknown[] {
  return driver.write(
    () => writes.map((write) => write.work()),
    (results) => {
      // All of it is there or nothing, so what one of them finds is true of all.
      const found = writes.map((write, i) => write.landed(results[i]));
      return found.includes(true) || !found.includes(false);
    },
  );
}
