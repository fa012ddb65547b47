/**
 * States of checkpoints on their way to the store and back. What the store has of the last one is kept as the digests
 * of its pieces, not as their texts, so that the next one writes only what is new.
 */
import { StemmaError } from "../core/error.ts";
import type { Digest, Event, RunId, StateTree, Value } from "../core/event.ts";
import { decode, encode, utf8Length } from "../core/json.ts";
import type { Json } from "../core/json.ts";
import { limits } from "../core/limits.ts";
import { checkForm, partsOf, stateForm, stateText } from "../core/state.ts";
import { cutState } from "../core/state-cut.ts";
import type { MemorizedCut, StateMemory } from "../core/state-memory.ts";
import type { Payload, Store } from "../store/store.ts";
import { sha256 } from "./hash.ts";
import { readTexts } from "./history-pages.ts";

/** The canonical text of a state and its size; no text where it is `undefined`, or was cut without one. */
export type EncodedState = { bytes: number } & (
  | { text: string | undefined; cut?: undefined }
  | { text?: undefined; cut: MemorizedCut }
);

/** What an event holds of a state, and what goes to the store with it. `pieces`: digests of all that it is made of. */
export type StoredState = { value: Value | StateTree; payloads: readonly Payload[]; pieces: ReadonlySet<Digest> };

const what = "state of a checkpoint";

/**
 * Encodes a state strictly.
 *
 * @param memory of states like this one; then it must be JSON already, and no value in it may ever be changed
 * @throws json.not_serializable, json.too_deep, payload.too_large
 */
export function encodeState(state: unknown, memory?: StateMemory): EncodedState {
  const cut = memory?.cut(state as Json);
  if (cut !== undefined && cut.bytes > limits.inlineBytesMax) {
    if (cut.bytes > limits.stateBytesMax) throw tooLarge(cut.bytes);
    return { cut, bytes: cut.bytes };
  }
  const text = encode(state, what);
  const bytes = text === undefined ? 0 : utf8Length(text);
  if (bytes <= limits.stateBytesMax) return { text, bytes };
  throw tooLarge(bytes);
}

function tooLarge(bytes: number): StemmaError {
  return new StemmaError(
    "payload.too_large",
    `Expected ${what} to be at most ${limits.stateBytesMax} bytes of JSON, got ${bytes}. Keep the data elsewhere and a reference to it in the state.`,
    { data: { bytes, limit: limits.stateBytesMax } },
  );
}

/** @param known digests of the pieces of the run's last state, which are not written again */
export function storeState({ text, cut, bytes }: EncodedState, known: ReadonlySet<Digest>): StoredState {
  if (cut !== undefined) {
    const payloads = cut.made.filter(({ digest }) => !known.has(digest));
    // What a run has written stays as long as the run does, so what was known is.
    return { value: { tree: stateForm, digest: cut.root, bytes }, payloads, pieces: known };
  }
  if (text === undefined) return { value: { undefined: true }, payloads: [], pieces: none };
  if (bytes <= limits.inlineBytesMax) return { value: { inline: decode(text) }, payloads: [], pieces: none };
  const { root, pieces, added } = cutState(sha256, text, known);
  return { value: { tree: stateForm, digest: root, bytes }, payloads: added, pieces };
}

const none: ReadonlySet<Digest> = new Set();

/** Pieces asked for at a time; they are a kilobyte or two each. */
const pageTextsMax = 1000;

/**
 * Reads the state that a run starts from, level by level and many pieces at a time, and puts its text with the texts
 * of the run's other values. Gives the digests of its pieces.
 *
 * @throws payload.missing, store.corrupt, store.newer
 */
export async function readState(
  store: Store,
  run: RunId,
  start: Event,
  texts: Map<Digest, string>,
): Promise<ReadonlySet<Digest>> {
  const state = stateAt(start);
  if (state === undefined || !("tree" in state)) return none;
  const { text, pieces } = await readTree(store, run, state);
  texts.set(state.digest, text);
  return pieces;
}

/** The state that a run starts from: of its last checkpoint, or of the checkpoint of another run that it began with. */
export function stateAt(start: Event): Value | StateTree | undefined {
  if (start.type === "checkpoint") return start.data.state;
  return start.type === "run.created" ? start.data.start?.state : undefined;
}

/** The text of a tree, and the digests of its pieces. Throws like `readState`. */
export async function readTree(
  store: Pick<Store, "payloads">,
  run: RunId,
  tree: StateTree,
): Promise<{ text: string; pieces: ReadonlySet<Digest> }> {
  checkForm(tree);
  const found = new Map<Digest, string>();
  /** Digests of one level, and whether they are nodes. */
  let level = new Map<Digest, boolean>([[tree.digest, true]]);
  while (level.size > 0) {
    const digests = [...level.keys()];
    for (let at = 0; at < digests.length; at += pageTextsMax) {
      for (const [digest, text] of await readTexts(store, run, digests.slice(at, at + pageTextsMax)))
        found.set(digest, text);
    }
    level = below(level, found);
  }
  return { text: stateText(tree, (digest) => textIn(found, digest)), pieces: new Set(found.keys()) };
}

/** What the nodes of a level name that was not read yet. */
function below(level: ReadonlyMap<Digest, boolean>, found: ReadonlyMap<Digest, string>): Map<Digest, boolean> {
  const next = new Map<Digest, boolean>();
  for (const [digest, node] of level) {
    if (!node) continue;
    for (const part of partsOf(textIn(found, digest))) {
      if (typeof part !== "string" && !found.has(part.digest)) next.set(part.digest, part.node);
    }
  }
  return next;
}

function textIn(found: ReadonlyMap<Digest, string>, digest: Digest): string {
  const text = found.get(digest);
  if (text !== undefined) return text;
  throw new StemmaError("payload.missing", `A part of the ${what} (${digest}) is not in the store any more.`, {
    data: { digest },
  });
}
