/**
 * One run in memory. Everything that belongs to a run is here and nowhere else: its messages and state, where its
 * checkpoints go and which was the last, its events, and its end. So nothing of a run that was left behind can get into
 * another, and cleaning up after it can touch nothing but itself.
 */
import { StemmaError } from "../../core/error.ts";
import type { Json } from "../../core/json.ts";
import { toRecord } from "../../engine/failure.ts";
import { newRunId } from "../../engine/id.ts";
import type { CheckpointID, CheckpointStorage, WorkflowCheckpoint } from "./checkpoint.ts";
import { newCheckpointId, unchanging } from "./checkpoint.ts";
import type { Running } from "./deliver.ts";
import { EventLog } from "./events.ts";
import type { GraphStatus, WorkflowEvent } from "./events.ts";
import { isSomethingDone, ownStates, restoreExecutors, untilRest, withDone } from "./loop.ts";
import { cancelledRun, MemoryHost } from "./memory-host.ts";
import type { GraphState } from "./message.ts";
import { fromPlain } from "./plain.ts";
import { SuperstepFailure, withAnswers } from "./superstep.ts";

export type Answer = { readonly id: string; readonly data: Json };

export type RunStart = {
  readonly state: GraphState;
  /** Where it continues from; nothing for a fresh run. */
  readonly from?: { readonly kind: "resume" | "fork"; readonly checkpoint: WorkflowCheckpoint };
};

/** How a run came to rest. */
export type WorkflowRunResult<Y = unknown> = {
  readonly runId: string;
  readonly status: "succeeded" | "suspended";
  readonly outputs: readonly Y[];
  readonly intermediates: readonly unknown[];
  /** Open requests; to be answered with `run({ responses })`. */
  readonly requests: readonly {
    readonly id: string;
    readonly executorId: string;
    readonly data: unknown;
    readonly prompt?: string;
  }[];
  readonly events: readonly WorkflowEvent[];
  /** The last one; null where none was kept. */
  readonly checkpointId: CheckpointID | null;
};

export type Saving = {
  readonly storage?: CheckpointStorage | undefined;
  /** What a checkpoint that cannot be saved does: fail the run (default), or say so in an event and go on. */
  readonly onSaveFailure?: "fail" | "continue" | undefined;
};

export class GraphRun {
  readonly id: string = newRunId(Date.now());
  readonly #parts: Running;
  readonly #signature: string;
  readonly #from: RunStart["from"];
  /** The first of the runs that went on from each other. */
  readonly #line: string;
  #abort = new AbortController();
  #saving: Saving;
  #state: GraphState;
  /** The last checkpoint that was saved or continued from. */
  #parent: CheckpointID | null;
  #log: EventLog;
  #events = 0;
  #hear: (event: WorkflowEvent) => void = () => undefined;
  status: GraphStatus = "idle";
  #saved = 0;
  #notes: Json[] = [];

  constructor(parts: Running, signature: string, start: RunStart, saving: Saving) {
    this.#parts = parts;
    this.#signature = signature;
    this.#state = start.state;
    this.#from = start.from;
    const { line, runId = this.id } = start.from?.checkpoint ?? {};
    this.#line = line ?? runId;
    this.#parent = start.from?.checkpoint.checkpointId ?? null;
    this.#saving = saving;
    const before = start.from === undefined ? [] : [start.from.checkpoint.event];
    this.#log = new EventLog(this.id, before, (event) => this.#hear(this.#decoded(event)));
  }

  get state(): GraphState {
    return this.#state;
  }

  get parts(): Running {
    return this.#parts;
  }

  /** Its executors are told to stop. */
  cancel(reason?: unknown): void {
    this.#abort.abort(cancelledRun(this.id, reason));
  }

  /** Something to be told of when it starts. */
  note(what: Json): void {
    this.#notes.push(what);
  }

  /** Where checkpoints go from now on; those of a run that continues may go elsewhere. */
  saveTo(saving: Saving): void {
    this.#saving = saving;
  }

  /**
   * Works until it is at rest, from the beginning or with answers.
   *
   * @throws run.failed with `{ run, checkpoint, events }` and the executor's error as its cause; run.cancelled
   */
  async proceed<Y>(answers: readonly Answer[], hear: (event: WorkflowEvent) => void): Promise<WorkflowRunResult<Y>> {
    this.#hear = hear;
    this.#events = this.#log.events.length;
    const fresh = this.#log.events.length === 0;
    const started = this.#log.tell({ type: "started" });
    this.#become("running");
    for (const data of this.#notes.splice(0)) this.#log.tell({ type: "warning", data });
    const rounds = {
      begin: (iteration: number) => void this.#log.tell({ type: "superstep_started", iteration }),
      end: (state: GraphState) => this.#endOfSuperstep(state),
    };
    try {
      await this.#enter(answers, fresh, started);
      const host = new MemoryHost(this.#parts, this.#place(), `${this.id}.`);
      this.#state = await untilRest(this.#parts, this.#state, host, rounds);
    } catch (error) {
      throw await this.#failed(error);
    }
    this.#tellOfIncomplete();
    this.#become(Object.keys(this.#state.requests).length > 0 ? "suspended" : "succeeded");
    return this.#result<Y>();
  }

  #place(): ConstructorParameters<typeof MemoryHost>[1] {
    const tell: EventLog["tell"] = (telling) => this.#log.tell(telling);
    return { runId: this.id, line: this.#line, abort: this.#abort.signal, path: "", tell };
  }

  /** The checkpoint before anything runs, or the one with answers on their way; what is open is told again. */
  async #enter(answers: readonly Answer[], fresh: boolean, started: string): Promise<void> {
    const causes = [started];
    if (fresh && this.#from !== undefined) await restoreExecutors(this.#parts, ownStates(this.#state));
    if (fresh && this.#from === undefined) {
      const messages = this.#state.messages.map((message) => ({ ...message, causes }));
      this.#state = { ...this.#state, messages };
      await this.#save("entry");
    } else if (fresh && this.#from?.kind === "fork") await this.#save("entry");
    if (answers.length > 0) {
      this.#state = withAnswers(
        this.#state,
        answers.map((answer) => ({ ...answer, causes })),
      );
      await this.#save("response");
    }
    if (!fresh && answers.length === 0) return;
    for (const { executor, causes: _, ...request } of Object.values(this.#state.requests)) {
      this.#log.tell({ type: "request_info", executorId: executor, causes, data: request });
    }
  }

  async #endOfSuperstep(state: GraphState): Promise<GraphState> {
    this.#state = state;
    await this.#save("superstep");
    this.#log.tell({ type: "superstep_completed", iteration: state.iteration });
    if (this.#abort.signal.aborted) throw this.#abort.signal.reason;
    return state;
  }

  async #save(kind: WorkflowCheckpoint["kind"]): Promise<void> {
    const { storage, onSaveFailure = "fail" } = this.#saving;
    if (storage === undefined) return;
    const checkpointId = newCheckpointId();
    const event = this.#log.tell({ type: "checkpoint", data: { checkpointId, kind, previous: this.#parent } });
    const { runId: run, checkpointId: checkpoint } = this.#from?.checkpoint ?? {};
    const first = this.#saved === 0 && this.#from !== undefined && run !== undefined && checkpoint !== undefined;
    const saved: WorkflowCheckpoint = {
      version: 1,
      checkpointId,
      previousCheckpointId: this.#parent,
      workflowName: this.#parts.graph.name,
      graphSignature: this.#signature,
      runId: this.id,
      ...(this.#line === this.id ? {} : { line: this.#line }),
      kind,
      ...(first && this.#from !== undefined ? { continues: { kind: this.#from.kind, run, checkpoint } } : {}),
      timestamp: new Date().toISOString(),
      iterationCount: this.#state.iteration,
      event,
      state: this.#state,
    };
    unchanging.add(this.#state);
    try {
      await storage.save(saved);
      this.#parent = checkpointId;
      this.#saved += 1;
    } catch (error) {
      if (onSaveFailure === "fail") throw error;
      this.#log.tell({ type: "warning", data: { what: "checkpoint not saved", error: toRecord(error) as Json } });
    }
  }

  /** What was done of a superstep that failed is kept, so that a run that continues from there does not do it again. */
  async #failed(thrown: unknown): Promise<StemmaError> {
    const cause = thrown instanceof SuperstepFailure ? thrown.error : thrown;
    if (thrown instanceof SuperstepFailure && isSomethingDone(thrown)) {
      this.#state = withDone(this.#state, thrown);
      await this.#save("failure").catch(() => undefined);
    }
    const record = toRecord(cause) as Json;
    const cancelled = this.#abort.signal.aborted;
    if (!cancelled) this.#log.tell({ type: "failed", data: record });
    this.#become(cancelled ? "cancelled" : "failed");
    const events = this.#log.events.slice(this.#events);
    const data = { run: this.id, checkpoint: this.#parent, events };
    if (cancelled) return new StemmaError("run.cancelled", `Run ${this.id} was cancelled.`, { data, cause });
    const message = cause instanceof Error ? cause.message : String(cause);
    return new StemmaError("run.failed", message, { data, cause });
  }

  /** A fan-in that some sources never sent to: it is no error, and it is said. */
  #tellOfIncomplete(): void {
    if (Object.keys(this.#state.requests).length > 0) return;
    for (const [edge, buffers] of Object.entries(this.#state.fanIn)) {
      this.#log.tell({ type: "warning", data: { what: "fan-in incomplete", edge, from: Object.keys(buffers) } });
    }
  }

  #become(status: GraphStatus): void {
    this.status = status;
    this.#log.tell({ type: "status", status });
  }

  #result<Y>(): WorkflowRunResult<Y> {
    const events = this.#log.events.slice(this.#events).map((event) => this.#decoded(event));
    const dataOf = (type: string): unknown[] => events.filter((event) => event.type === type).map(({ data }) => data);
    return {
      runId: this.id,
      status: this.status === "suspended" ? "suspended" : "succeeded",
      outputs: dataOf("output") as Y[],
      intermediates: dataOf("intermediate"),
      requests: Object.values(this.#state.requests).map(({ id, executor, data, prompt }) => ({
        id,
        executorId: executor,
        data: fromPlain(data, this.#parts.graph.classes),
        ...(prompt === undefined ? {} : { prompt }),
      })),
      events,
      checkpointId: this.#parent,
    };
  }

  #decoded(event: WorkflowEvent<Json>): WorkflowEvent {
    return event.data === undefined ? event : { ...event, data: fromPlain(event.data, this.#parts.graph.classes) };
  }
}
