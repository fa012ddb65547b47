/**
 * Checkpoints in pieces. The text of each is cut where the text itself says, so equal stretches of two checkpoints are
 * one piece, and a list that grows costs what was added. A piece is known by its digest; one that no checkpoint names any
 * more goes with the last that did.
 */
import type { Digest } from "../../core/event.ts";
import { decode, encode, utf8Length } from "../../core/json.ts";
import type { Json } from "../../core/json.ts";
import { partsOf, stateForm, stateText } from "../../core/state.ts";
import { cutState } from "../../core/state-cut.ts";
import { StateMemory } from "../../core/state-memory.ts";
import type { MemorizedCut } from "../../core/state-memory.ts";
import { sha256 } from "../../engine/hash.ts";
import type { CheckpointID, CheckpointStorage, WorkflowCheckpoint } from "./checkpoint.ts";
import { notFound, unchanging, unreadable } from "./checkpoint.ts";

/** What is said of a checkpoint without reading its pieces. */
export type Header = {
  readonly id: CheckpointID;
  readonly workflowName: string;
  readonly root: Digest;
  readonly bytes: number;
};

/** Where headers and pieces are kept: in memory, or in files. */
export type Shelf = {
  headers(): Promise<readonly (Header | { id: CheckpointID; error: unknown })[]>;
  header(id: CheckpointID): Promise<Header | undefined>;
  /** Pieces first, so that a header never names what is not there. */
  put(header: Header, pieces: readonly { digest: Digest; text: string }[]): Promise<void>;
  piece(digest: Digest): Promise<string | undefined>;
  /** Whether it is there; then it stays for a while, also if another process finds that nothing names it. */
  hold(digest: Digest): Promise<boolean>;
  remove(id: CheckpointID): Promise<boolean>;
  /** Removes pieces that are not among these, but for those that were put or held lately where others can come between. */
  keepOnly(digests: ReadonlySet<Digest>): Promise<void>;
};

/** Runs whose last checkpoints are remembered, so that the next one takes the time of what is new in it. */
const memoriesMax = 100;

/**
 * Saves do not wait for each other, and no delete comes between what a save finds there and what it puts. Of another
 * process that deletes, that is true as well: what a save finds is held, and what it builds on is looked for once more.
 */
export function storageOn(shelf: Shelf): CheckpointStorage {
  const gate = new Gate();
  const memories = new Map<string, { states: StateMemory; last: CheckpointID }>();
  const load = async (id: CheckpointID): Promise<WorkflowCheckpoint> => {
    const header = await shelf.header(id).catch((error: unknown) => Promise.reject(unreadable(id, error)));
    if (header === undefined) throw notFound(id);
    try {
      const texts = await readPieces(shelf, header.root);
      const tree = { tree: stateForm, digest: header.root, bytes: header.bytes };
      return decode(stateText(tree, (digest) => texts.get(digest) ?? "")) as unknown as WorkflowCheckpoint;
    } catch (error) {
      throw unreadable(id, error);
    }
  };
  const of = async (workflowName: string): Promise<Header[]> => {
    const found = (await shelf.headers()).flatMap((header) => ("error" in header ? [] : [header]));
    return found.filter((header) => header.workflowName === workflowName).toSorted(byId);
  };
  const isThere = async (last: CheckpointID | undefined): Promise<boolean> =>
    last === undefined || (await shelf.header(last)) !== undefined;
  const save = async (checkpoint: WorkflowCheckpoint): Promise<CheckpointID> => {
    const { checkpointId: id, workflowName, runId } = checkpoint;
    const memory = memories.get(runId);
    memories.delete(runId);
    const states = memory?.states ?? new StateMemory(sha256);
    const put = async (): Promise<void> => {
      const { root, bytes, made } = unchanging.has(checkpoint.state)
        ? states.cut(plainOf(checkpoint))
        : cutWhole(checkpoint);
      const missing = [];
      for (const piece of made) if (!(await shelf.hold(piece.digest))) missing.push(piece);
      await shelf.put({ id, workflowName, root, bytes }, missing);
    };
    // Pieces of the last one are there as long as it is: somebody may have deleted it, or may be about to.
    if (!(await isThere(memory?.last))) states.forget();
    await put();
    if (!(await isThere(memory?.last))) {
      states.forget();
      await put();
    }
    // Only what was kept is built on.
    if (unchanging.has(checkpoint.state)) memories.set(runId, { states, last: id });
    const [oldest] = memories.keys();
    if (memories.size > memoriesMax && oldest !== undefined) memories.delete(oldest);
    return id;
  };
  return {
    save: (checkpoint) => gate.among(() => save(checkpoint)),
    load,
    async listCheckpoints({ workflowName }) {
      const loaded: WorkflowCheckpoint[] = [];
      for (const { id } of await of(workflowName))
        await load(id).then(
          (found) => loaded.push(found),
          () => 0,
        );
      return loaded;
    },
    listCheckpointIds: async ({ workflowName }) => (await of(workflowName)).map(({ id }) => id),
    delete: (id) =>
      gate.alone(async () => {
        if (!(await shelf.remove(id))) return false;
        const named = new Set<Digest>();
        for (const header of await shelf.headers()) {
          // What names pieces that cannot be found out: nothing goes, rather than something of it.
          if ("error" in header) return true;
          for (const digest of (await readPieces(shelf, header.root)).keys()) named.add(digest);
        }
        await shelf.keepOnly(named);
        return true;
      }),
    async getLatest({ workflowName }) {
      const headers = (await shelf.headers()).toSorted(byId).toReversed();
      const newest = headers.find((header) => "error" in header || header.workflowName === workflowName);
      if (newest === undefined) return undefined;
      if ("error" in newest) throw unreadable(newest.id, newest.error);
      return load(newest.id);
    },
  };
}

/** Lets many be at work at once, or one that is alone. Who is alone goes first: others that come wait for it. */
class Gate {
  #alone: Promise<unknown> = Promise.resolve();
  readonly #among = new Set<Promise<unknown>>();

  async among<T>(call: () => Promise<T>): Promise<T> {
    for (let alone; alone !== this.#alone;) await (alone = this.#alone);
    const done = call();
    const settled = done.then(nothing, nothing);
    this.#among.add(settled);
    void settled.then(() => this.#among.delete(settled));
    return done;
  }

  alone<T>(call: () => Promise<T>): Promise<T> {
    const before = this.#alone;
    const done = before.then(() => Promise.all(this.#among)).then(call);
    this.#alone = done.then(nothing, nothing);
    return done;
  }
}

function nothing(): void {}

function cutWhole(checkpoint: WorkflowCheckpoint): MemorizedCut {
  const text = encode(checkpoint, "checkpoint") ?? "null";
  const { root, added } = cutState(sha256, text, new Set());
  return { root, bytes: utf8Length(text), made: added };
}

/** A checkpoint is JSON; its type says more than that of JSON does. */
function plainOf(checkpoint: WorkflowCheckpoint): Json {
  return checkpoint as unknown as Json;
}

function byId(a: { id: string }, b: { id: string }): number {
  return a.id < b.id ? -1 : 1;
}

/** The texts of all pieces below a root. Throws where one is missing or is not what its digest says. */
async function readPieces(shelf: Shelf, root: Digest): Promise<Map<Digest, string>> {
  const texts = new Map<Digest, string>();
  const due = [{ digest: root, node: true }];
  for (let next = due.pop(); next !== undefined; next = due.pop()) {
    const { digest, node } = next;
    if (texts.has(digest)) continue;
    const text = await shelf.piece(digest);
    if (text === undefined || sha256(text) !== digest) throw new TypeError(`its piece ${digest} is missing or damaged`);
    texts.set(digest, text);
    if (node) for (const part of partsOf(text)) if (typeof part !== "string") due.push(part);
  }
  return texts;
}

/** Checkpoints in memory, for tests and for runs that live as long as their process. */
export function memoryCheckpoints(): CheckpointStorage & { /** Bytes of all pieces. */ readonly bytes: number } {
  const headers = new Map<CheckpointID, Header>();
  const pieces = new Map<Digest, string>();
  const storage = storageOn({
    headers: async () => [...headers.values()],
    header: async (id) => headers.get(id),
    async put(header, added) {
      for (const { digest, text } of added) pieces.set(digest, text);
      headers.set(header.id, header);
    },
    piece: async (digest) => pieces.get(digest),
    hold: async (digest) => pieces.has(digest),
    remove: async (id) => headers.delete(id),
    async keepOnly(digests) {
      for (const digest of pieces.keys()) if (!digests.has(digest)) pieces.delete(digest);
    },
  });
  return Object.defineProperty(storage, "bytes", {
    get: () => [...pieces.values()].reduce((sum, text) => sum + utf8Length(text), 0),
  }) as CheckpointStorage & { readonly bytes: number };
}
