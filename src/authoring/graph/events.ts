/** What those who follow a run in memory are told. Each event says which run, its place there, and what it came from. */
import type { Json } from "../../core/json.ts";

export type GraphStatus = "idle" | "running" | "suspended" | "succeeded" | "failed" | "cancelled";

export type WorkflowEventType =
  | "started"
  | "status"
  | "failed"
  | "output"
  | "intermediate"
  | "data"
  | "request_info"
  | "warning"
  | "message_dropped"
  | "superstep_started"
  | "superstep_completed"
  | "checkpoint"
  | "executor_invoked"
  | "executor_completed"
  | "executor_failed"
  | "executor_reused";

export type WorkflowEvent<D = unknown> = {
  /** `<run>:<seq>` */
  readonly id: string;
  readonly run: string;
  readonly seq: number;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly type: WorkflowEventType;
  /** Whether the graph says so, or code of an executor. */
  readonly origin: "framework" | "executor";
  /** Ids of events that had to happen before; those of another run where this one continues it. */
  readonly causes: readonly string[];
  /** Behind sub-workflows with its path: `outer/inner`. */
  readonly executorId?: string;
  readonly iteration?: number;
  readonly status?: GraphStatus;
  readonly data?: D;
};

/** What there is to say, without what every event has. */
export type Telling = Pick<WorkflowEvent<Json>, "type" | "executorId" | "iteration" | "status" | "data"> & {
  causes?: readonly string[];
};

const byExecutors: ReadonlySet<WorkflowEventType> = new Set(["output", "intermediate", "data", "request_info"]);

/** The events of one run, in order. What is told without a cause comes from what was told before on the same path. */
export class EventLog {
  readonly events: WorkflowEvent<Json>[] = [];
  readonly #run: string;
  readonly #hear: (event: WorkflowEvent<Json>) => void;
  #last: readonly string[];

  /** @param before the event that the run continues from, if it does */
  constructor(run: string, before: readonly string[], hear: (event: WorkflowEvent<Json>) => void) {
    this.#run = run;
    this.#last = before;
    this.#hear = hear;
  }

  tell({ causes, ...said }: Telling): string {
    const seq = this.events.length;
    const event: WorkflowEvent<Json> = {
      id: `${this.#run}:${seq}`,
      run: this.#run,
      seq,
      at: Date.now(),
      origin: byExecutors.has(said.type) ? "executor" : "framework",
      causes: causes === undefined || causes.length === 0 ? this.#last : causes,
      ...said,
    };
    this.events.push(event);
    if (said.executorId === undefined) this.#last = [event.id];
    this.#hear(event);
    return event.id;
  }
}
