/**
 * Lists that a run is created with and that may be long. They are stored as states are, so that a chain of restarts,
 * each of which has the list of the one before and a little more, stores what is new.
 */
import type { Digest, RunId, StateTree, Value } from "../core/event.ts";
import { decode } from "../core/json.ts";
import type { Payload, Store } from "../store/store.ts";
import { encodeState, readTree, storeState } from "./state.ts";
import { fromValue } from "./value.ts";

const none: ReadonlySet<Digest> = new Set();

/** What an event holds of a value, and the payloads that go with it; those of `known` are in the store already. */
export function storeList(
  value: unknown,
  known: ReadonlySet<Digest> = none,
): { value: Value | StateTree; payloads: readonly Payload[] } {
  const stored = storeState(encodeState(value), known);
  // The run that is created with it reads it first thing, most often here.
  if ("tree" in stored.value) remember(stored.value.digest, { value, pieces: stored.pieces });
  return stored;
}

/** A value stored so, with the digests of its pieces. Throws payload.missing, store.corrupt, store.newer. */
export async function readList<T>(
  store: Pick<Store, "payloads">,
  run: RunId,
  value: Value | StateTree | undefined,
  empty: T,
): Promise<{ value: T; pieces: ReadonlySet<Digest> }> {
  if (value === undefined) return { value: empty, pieces: none };
  if (!("tree" in value)) return { value: fromValue(value, new Map()) as T, pieces: none };
  const known = lately.get(value.digest);
  if (known !== undefined) return known as { value: T; pieces: ReadonlySet<Digest> };
  const { text, pieces } = await readTree(store, run, value);
  const found = { value: decode(text) as T, pieces };
  // A chain of restarts is mostly gone along by one process, and each reads the list of the one before.
  remember(value.digest, found);
  return found;
}

function remember(digest: Digest, found: { value: unknown; pieces: ReadonlySet<Digest> }): void {
  lately.set(digest, found);
  for (const oldest of lately.keys()) if (lately.size > latelyMax) lately.delete(oldest);
}

/** Lists that were read lately, by the digest of all that is in them; nobody changes one. */
const lately = new Map<Digest, { value: unknown; pieces: ReadonlySet<Digest> }>();
const latelyMax = 16;
