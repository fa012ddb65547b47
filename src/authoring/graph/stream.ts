/**
 * The events of a run as they happen. Nothing starts before the first `next()`, so a stream that nobody reads holds
 * nothing. One that is left half-read stops its run: at once with `break`, `return()` or `await using`, and when it is
 * collected if it was merely dropped.
 */
import type { WorkflowEvent } from "./events.ts";
import type { WorkflowRunResult } from "./run.ts";

/** Events on their way from a run to whoever reads. It knows of no stream, so that a dropped stream can be collected. */
export class Channel {
  readonly #events: WorkflowEvent[] = [];
  /** Of those who wait for the next one: who asks again before the answer came waits too. */
  #wake = Promise.withResolvers<void>();
  #over = false;

  push(event: WorkflowEvent): void {
    if (this.#over) return;
    this.#events.push(event);
    this.#wakeAll();
  }

  close(): void {
    this.#over = true;
    this.#wakeAll();
  }

  /** The next event; nothing when there will be none. */
  async next(): Promise<WorkflowEvent | undefined> {
    while (this.#events.length === 0 && !this.#over) await this.#wake.promise;
    return this.#events.shift();
  }

  #wakeAll(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers<void>();
  }
}

/** A run that was started for a stream. */
export type Launched<Y> = {
  readonly channel: Channel;
  readonly end: Promise<WorkflowRunResult<Y>>;
  /** Nobody wants it any more: it is stopped, and holds nothing from now on. */
  readonly leave: () => void;
};

const dropped = new FinalizationRegistry<() => void>((leave) => leave());

export class WorkflowStream<Y = unknown> implements AsyncIterableIterator<WorkflowEvent, undefined>, AsyncDisposable {
  readonly #launch: () => Launched<Y>;
  #launched: Launched<Y> | undefined;
  #left = false;

  constructor(launch: () => Launched<Y>) {
    this.#launch = launch;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** @throws workflow.already_running with the first, if another run was started meanwhile; at the end what the run throws */
  async next(): Promise<IteratorResult<WorkflowEvent, undefined>> {
    if (this.#left) return { done: true, value: undefined };
    const { channel, end } = this.#begun();
    const value = await channel.next();
    if (value !== undefined) return { done: false, value };
    await end;
    this.#left = true;
    return { done: true, value: undefined };
  }

  /** Stops the run, and waits for its executors. */
  async return(): Promise<IteratorResult<WorkflowEvent, undefined>> {
    const launched = this.#launched;
    this.#left = true;
    if (launched !== undefined) {
      launched.leave();
      await launched.end.catch(() => undefined);
    }
    return { done: true, value: undefined };
  }

  /** Reads what is left, and gives how the run came to rest. */
  async finalResponse(): Promise<WorkflowRunResult<Y>> {
    const { end } = this.#begun();
    while ((await this.next()).done !== true);
    return end;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  #begun(): Launched<Y> {
    if (this.#launched === undefined) {
      this.#launched = this.#launch();
      dropped.register(this, this.#launched.leave);
    }
    return this.#launched;
  }
}
