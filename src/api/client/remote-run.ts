/** One run on a server: the same as `RunHandle` of the engine. */
import type { Event, RunId } from "../../core/event.ts";
import type { Status } from "../../core/run.ts";
import { isTerminal } from "../../core/run.ts";
import type { Trace } from "../../core/trace.ts";
import type { By } from "../../engine/requests.ts";
import type { StreamItem } from "../../engine/streams.ts";
import type { StemmaClient } from "./client.ts";
import type { Connection } from "./connection.ts";
import { followStream } from "./follow-stream.ts";

const resultWaitMs = 30_000;

export class RemoteRun<O = unknown> {
  readonly id: RunId;
  readonly #client: StemmaClient;
  readonly #connection: Connection;

  constructor(id: RunId, client: StemmaClient, connection: Connection) {
    this.id = id;
    this.#client = client;
    this.#connection = connection;
  }

  /** Where it stands now. */
  async status(): Promise<Status> {
    return (await this.#client.row(this.id)).state.status;
  }

  /**
   * Waits for the end and gives the output, decoded from the record.
   *
   * @throws run.failed, run.cancelled, run.timed_out; `data` has the run id and the keys of the steps that ended it
   */
  async result(): Promise<O> {
    for (;;) {
      const ended = await this.#connection.ask("GET /v1/runs/{run}/result", {
        params: { run: this.id },
        query: { wait: resultWaitMs },
      });
      if (isTerminal(ended.status)) return ended.output as O;
    }
  }

  /** Ends it, and the runs that it called. As `Stemma.cancel`. */
  cancel(by: By = {}): Promise<{ accepted: boolean; status: Status }> {
    return this.#client.cancel(this.id, by);
  }

  /** The graph of what happened and why. */
  trace(): Promise<Trace> {
    return this.#client.trace(this.id);
  }

  /** All events so far. */
  history(): Promise<Event[]> {
    return this.#client.history(this.id);
  }

  /** Events as they are recorded, from behind `after` (a seq; from the start if left out) to the end of the run. */
  events(options: { after?: number; signal?: AbortSignal } = {}): AsyncGenerator<Event> {
    const { after = -1, signal } = options;
    const wish = { params: { run: this.id }, query: after < 0 ? {} : { after } };
    return followStream(this.#connection, "GET /v1/runs/{run}/events", wish, { signal });
  }

  /** Values of a stream as they come, to the end of the run. As `RunHandle.stream`. */
  stream<T = unknown>(
    name: string,
    options: { after?: number; signal?: AbortSignal } = {},
  ): AsyncGenerator<StreamItem<T>> {
    const { signal, ...after } = options;
    const wish = { params: { run: this.id }, query: { name, ...after } };
    const items = followStream(this.#connection, "GET /v1/runs/{run}/stream", wish, { signal });
    return items as AsyncGenerator<StreamItem<T>>;
  }
}
