/**
 * Checkpoints in a Stemma store, beside the runs of the engine and under the same backups. Each is a paused run, forked
 * from the one of the checkpoint before it: so `stemma lineage` shows their ancestry, and a checkpoint that others
 * continue stays until they have gone.
 */
import type { ErrorCode } from "../../core/error.ts";
import { isStemmaError, StemmaError } from "../../core/error.ts";
import type { RunId } from "../../core/event.ts";
import { checkpointOf } from "../../core/record-names.ts";
import type { Store } from "../../engine/kept-states.ts";
import { keptStates } from "../../engine/kept-states.ts";
import type { CheckpointID, CheckpointStorage, WorkflowCheckpoint } from "./checkpoint.ts";
import { notFound, unchanging, unreadable } from "./checkpoint.ts";

const idShape = /^ckpt_([0-7][0-9a-hjkmnp-tv-z]{25})$/u;

/**
 * Keeps checkpoints in a store. What was deleted is gone from here at once, and from the store with its next `prune`.
 *
 * @example
 * const storage = storeCheckpoints(sqlite("stemma.db"));
 * const { checkpointId } = await graph.run("hello", { checkpointStorage: storage });
 */
export function storeCheckpoints(store: Store): CheckpointStorage {
  const kept = keptStates(store);
  const load = async (id: CheckpointID): Promise<WorkflowCheckpoint> => {
    const run = runOf(id);
    const found = await kept
      .read(run)
      .catch((error: unknown) => Promise.reject(isBroken(error) ? unreadable(id, error) : (error as Error)));
    if (found === undefined) throw notFound(id);
    return found.value as unknown as WorkflowCheckpoint;
  };
  const idsOf = async (workflowName: string): Promise<CheckpointID[]> =>
    (await kept.ids(kindOf(workflowName))).map((run) => run.replace("run_", "ckpt_") as CheckpointID);
  return {
    async save(checkpoint) {
      const { checkpointId, previousCheckpointId: previous, workflowName, kind, runId, iterationCount } = checkpoint;
      await kept.keep({
        id: runOf(checkpointId),
        kind: kindOf(workflowName),
        value: checkpoint,
        ...(previous !== null && idShape.test(previous) ? { from: runOf(previous) } : {}),
        note: { kind, runId, iterationCount },
        ...(unchanging.has(checkpoint.state) ? { line: runId } : {}),
        at: Date.parse(checkpoint.timestamp),
      });
      return checkpointId;
    },
    load,
    async listCheckpoints({ workflowName }) {
      const loaded: WorkflowCheckpoint[] = [];
      for (const id of await idsOf(workflowName)) {
        const found = await load(id).catch((error: unknown) => skipped(error));
        if (found !== undefined) loaded.push(found);
      }
      return loaded;
    },
    listCheckpointIds: ({ workflowName }) => idsOf(workflowName),
    delete: async (id) => kept.giveUp(runOf(id)),
    async getLatest({ workflowName }) {
      const newest = (await idsOf(workflowName)).at(-1);
      return newest === undefined ? undefined : load(newest);
    },
  };
}

/** Whether it is the checkpoint that is broken: a store that does not answer says nothing of what it has. */
function isBroken(error: unknown): boolean {
  return ["store.corrupt", "store.newer", "payload.missing"].some((code) => isStemmaError(error, code as ErrorCode));
}

/** One that was deleted meanwhile, or cannot be read, is left out of a list. */
function skipped(error: unknown): undefined {
  if (isStemmaError(error, "checkpoint.unreadable") || isStemmaError(error, "checkpoint.not_found")) return undefined;
  throw error;
}

/** The workflow that these runs are said to be of. */
function kindOf(workflowName: string): string {
  return `${checkpointOf}${workflowName}`;
}

/** Both are a UUIDv7 behind their own word. */
function runOf(id: string): RunId {
  const [, digits] = idShape.exec(id) ?? [];
  if (digits !== undefined) return `run_${digits}`;
  throw new StemmaError("usage.invalid", `Invalid checkpoint ID: ${JSON.stringify(id)}.`);
}
