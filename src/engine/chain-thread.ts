/**
 * The hash chain of a long history is recomputed in a thread of its own, beside the reading: it is a third of what reading
 * takes, and needs nothing but the texts. Only its end is compared, because one change changes every hash behind it. Which
 * event it was is not said here; whoever needs to know, or finds no thread, hashes again as he reads.
 */
import { Worker } from "node:worker_threads";
import type { StoredEvent } from "../core/chain.ts";
import type { Digest, Seq } from "../core/event.ts";

/** Events behind one another, their texts in one text each: a thread is given copies, and few long ones cost least. */
export type PageMessage = {
  /** Hash of what is before the first of them. */
  before: Digest;
  seq: Seq;
  at: Float64Array;
  types: string;
  causes: string;
  data: string;
};

/** Stands in no JSON text; a text that holds it all the same is not what was written. */
export const between = "\n";

/** Pages that the thread has not come to yet: a thread that is slower than the reading must not fill the memory. */
const waitingMax = 32;

/** One at a time: a process that takes up many runs at once has no processor left over for the others. */
let inUse = false;

export class ChainThread {
  readonly #worker: Worker;
  readonly #over = Promise.withResolvers<Digest | undefined>();
  #waiting = 0;
  #room: (() => void) | undefined;
  #failed = false;

  /** A thread, or undefined where there is none to be had now. */
  static start(): ChainThread | undefined {
    if (inUse) return undefined;
    try {
      return new ChainThread();
    } catch {
      return undefined;
    }
  }

  private constructor() {
    // Beside this file: as TypeScript where the sources are run, and as JavaScript where they were built.
    const name = import.meta.url.endsWith(".ts") ? "./chain-worker.ts" : "./chain-worker.js";
    this.#worker = new Worker(new URL(name, import.meta.url), { execArgv: [], stdin: false });
    inUse = true;
    this.#worker.on("message", (answer: Digest | undefined) => {
      if (answer === undefined) this.#arrived();
      else this.#over.resolve(answer);
    });
    this.#worker.on("error", () => this.#fail());
    this.#worker.on("exit", () => {
      inUse = false;
      this.#fail();
    });
  }

  /** Gives it the next page, behind `before`; resolves when it has room for another one. */
  async take(before: Digest, events: readonly StoredEvent[]): Promise<void> {
    const [first] = events;
    if (first === undefined || this.#failed) return;
    const page: PageMessage = {
      before,
      seq: first.seq,
      at: Float64Array.from(events, ({ at }) => at),
      types: events.map(({ type }) => type).join(between),
      causes: events.map(({ causes }) => causes).join(between),
      data: events.map(({ data }) => data).join(between),
    };
    this.#send(page);
    this.#waiting += 1;
    if (this.#waiting < waitingMax) return;
    await new Promise<void>((resolve) => {
      this.#room = resolve;
    });
  }

  /** All are given: the hash of the last one, or undefined where the thread could not tell. */
  async end(): Promise<Digest | undefined> {
    if (!this.#failed) this.#send("end");
    return this.#over.promise;
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }

  #send(message: PageMessage | "end"): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- threads have none
    this.#worker.postMessage(message);
  }

  #arrived(): void {
    this.#waiting -= 1;
    this.#room?.();
    this.#room = undefined;
  }

  #fail(): void {
    this.#failed = true;
    this.#room?.();
    this.#over.resolve(undefined);
  }
}
