/** What a run tells to those who listen. A listener that throws disturbs neither the run nor the other listeners. */
import type { TaskResult, TaskStep } from "./step.ts";

/** Which run an event is of, and which of its events. There is none on events that are emitted by hand. */
export type EventOrigin = {
  readonly runId?: string;
  /** 0 for the first event of the run. */
  readonly sequence?: number;
  /** Milliseconds since 1970. */
  readonly timestamp?: number;
};

export type RunnerEventPayloads<C = unknown> = {
  workflowStart: { context: C; steps: readonly TaskStep<C>[] } & EventOrigin;
  /** Once for each task that is entered, before it is. */
  taskStart: { step: TaskStep<C> } & EventOrigin;
  /** An attempt has failed and is followed by another one, after a delay in milliseconds. */
  taskRetry: { step: TaskStep<C>; attempt: number; delay: number; result: TaskResult } & EventOrigin;
  taskEnd: { step: TaskStep<C>; result: TaskResult } & EventOrigin;
  taskSkipped: { step: TaskStep<C>; result: TaskResult } & EventOrigin;
  workflowEnd: { context: C; results: Map<string, TaskResult> } & EventOrigin;
};

export type RunnerEvent = keyof RunnerEventPayloads;

/** A listener is not waited for; what it returns is of no interest, but if that rejects it is reported. */
export type RunnerEventListener<C, E extends RunnerEvent> = (payload: RunnerEventPayloads<C>[E]) => unknown;

/** Listeners by event. */
export class EventBus<C = unknown> {
  readonly #listeners = new Map<string, Set<(payload: never) => unknown>>();
  #count = 0;

  on<E extends RunnerEvent>(event: E, listener: RunnerEventListener<C, E>): void {
    let listeners = this.#listeners.get(event);
    if (listeners === undefined) this.#listeners.set(event, (listeners = new Set()));
    this.#count -= listeners.size;
    this.#count += listeners.add(listener).size;
  }

  off<E extends RunnerEvent>(event: E, listener: RunnerEventListener<C, E>): void {
    if (this.#listeners.get(event)?.delete(listener) === true) this.#count--;
  }

  /** Calls the listeners soon, in the order in which they came. */
  emit<E extends RunnerEvent>(event: E, payload: RunnerEventPayloads<C>[E]): void {
    queueMicrotask(() => this.tell(event, payload));
  }

  /** Calls the listeners now: who starts a task wants it known before the task does anything. */
  tell<E extends RunnerEvent>(event: E, payload: RunnerEventPayloads<C>[E]): void {
    for (const listener of this.#listeners.get(event) ?? []) {
      try {
        const told = listener(payload as never);
        if (isThenable(told)) told.then(undefined, (error: unknown) => report(event, error));
      } catch (error) {
        report(event, error);
      }
    }
  }

  /** Whether nobody listens to anything. */
  get silent(): boolean {
    return this.#count === 0;
  }

  /** Whether anybody listens to it. Asked for each task, so the usual answer comes without looking it up. */
  hears(event: RunnerEvent): boolean {
    return this.#count > 0 && (this.#listeners.get(event)?.size ?? 0) > 0;
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}

function report(event: string, error: unknown): void {
  try {
    write(`Error in event listener for ${event}:`, error);
  } catch (unwritten) {
    try {
      write(`Unexpected error in event bus execution for ${event}:`, unwritten);
    } catch {
      // Whoever replaced the console by one that throws each time wants no news.
    }
  }
}

/** What a listener of another program threw has nowhere else to go, and where it goes is part of the API. */
function write(text: string, error: unknown): void {
  // oxlint-disable-next-line no-console
  console.error(text, error);
}

/** Makes the events of one run: numbered, and with its id, which are read off them but no part of what is compared. */
export class Origin {
  readonly runId: string;
  #told = 0;

  constructor(runId: string) {
    this.runId = runId;
  }

  mark<P extends object>(payload: P): P & EventOrigin {
    return new Marked(payload, this.runId, this.#told++) as unknown as P & EventOrigin;
  }
}

class Marked {
  readonly #runId: string;
  readonly #sequence: number;
  readonly #timestamp = Date.now();

  constructor(payload: object, runId: string, sequence: number) {
    Object.assign(this, payload);
    this.#runId = runId;
    this.#sequence = sequence;
  }

  get runId(): string {
    return this.#runId;
  }

  get sequence(): number {
    return this.#sequence;
  }

  get timestamp(): number {
    return this.#timestamp;
  }
}
