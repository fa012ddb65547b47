/** Places to continue from, and where they are kept. */
import { StemmaError } from "../../core/error.ts";
import { newRunId } from "../../engine/id.ts";
import type { GraphState } from "./message.ts";

declare const brand: unique symbol;

/** Id of a checkpoint: `ckpt_` and 26 characters that sort by time. */
export type CheckpointID = string & { readonly [brand]: "CheckpointID" };

export type WorkflowCheckpoint = {
  readonly version: 1;
  readonly checkpointId: CheckpointID;
  /** The one that execution continued from; null for the first of a fresh run. */
  readonly previousCheckpointId: CheckpointID | null;
  readonly workflowName: string;
  readonly graphSignature: string;
  readonly runId: string;
  /** The first of the runs that went on from each other, where it is another one: keys for services are made of it. */
  readonly line?: string;
  /**
   * `entry`: before anything ran. `superstep`: after one. `response`: with answers on their way. `failure`: of a
   * superstep that was not finished, with what was done of it.
   */
  readonly kind: "entry" | "superstep" | "response" | "failure";
  /** In the first of a run that continues another: how, and from where. */
  readonly continues?: { readonly kind: "resume" | "fork"; readonly run: string; readonly checkpoint: CheckpointID };
  /** ISO 8601, UTC. */
  readonly timestamp: string;
  /** Supersteps so far; not unique. */
  readonly iterationCount: number;
  /** Event that it was saved behind, for what continues from here. */
  readonly event: string;
  readonly state: GraphState;
};

/** Where checkpoints are kept. What is loaded is never the object that was saved. */
export type CheckpointStorage = {
  save(checkpoint: WorkflowCheckpoint): Promise<CheckpointID>;
  /** @throws checkpoint.not_found, checkpoint.unreadable */
  load(id: CheckpointID): Promise<WorkflowCheckpoint>;
  /** Oldest first; what cannot be read is left out. */
  listCheckpoints(query: { workflowName: string }): Promise<WorkflowCheckpoint[]>;
  listCheckpointIds(query: { workflowName: string }): Promise<CheckpointID[]>;
  /** False where there is none. */
  delete(id: CheckpointID): Promise<boolean>;
  /** @throws checkpoint.unreadable where the newest cannot be read: an older one would be a lie */
  getLatest(query: { workflowName: string }): Promise<WorkflowCheckpoint | undefined>;
};

/** States of runs at work. They are made of each other and never changed, so a storage may go by what is the same in them. */
export const unchanging: WeakSet<GraphState> = new WeakSet();

export function newCheckpointId(): CheckpointID {
  return newRunId(Date.now()).replace("run_", "ckpt_") as CheckpointID;
}

export function notFound(id: string): StemmaError {
  return new StemmaError("checkpoint.not_found", `No checkpoint found with ID ${JSON.stringify(id)}.`, {
    data: { checkpoint: id },
  });
}

export function unreadable(id: string, cause: unknown): StemmaError {
  const message = `Checkpoint ${id} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`;
  return new StemmaError("checkpoint.unreadable", message, { data: { checkpoint: id }, cause });
}

/** Whose storage could not give it, for a reason of its own. */
export function notRestored(id: string, cause: unknown): StemmaError {
  const why = cause instanceof Error ? cause.message : String(cause);
  const message = `Failed to restore from checkpoint ${id}: ${why}`;
  return new StemmaError("checkpoint.unreadable", message, { data: { checkpoint: id }, cause });
}

/** Refuses what a storage gave that is no checkpoint, before any of it reaches a run. Throws checkpoint.unreadable. */
export function checkWhole({ checkpointId, state }: WorkflowCheckpoint): void {
  const isObject = (value: unknown): boolean => typeof value === "object" && value !== null && !Array.isArray(value);
  const refuse = (what: string): never => {
    throw unreadable(checkpointId, new TypeError(`expected ${what}`));
  };
  if (!isObject(state)) refuse("its state to be an object");
  for (const key of ["iteration", "sinceInput"] as const) {
    if (!Number.isSafeInteger(state[key])) refuse(`${key} to be a whole number, got ${typeof state[key]}`);
  }
  for (const key of ["messages", "answered"] as const) {
    if (!Array.isArray(state[key])) refuse(`${key} to be a list, got ${typeof state[key]}`);
  }
  for (const key of ["shared", "executors", "fanIn", "joins", "requests"] as const) {
    if (!isObject(state[key]))
      refuse(`${key} to be an object, got ${Array.isArray(state[key]) ? "a list" : typeof state[key]}`);
  }
}
