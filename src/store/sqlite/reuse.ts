/**
 * Finds the recorded successes of a family. The index holds 63 bits of what is looked for, so each hit is compared in
 * full: the family by the run's row, the key by the event itself.
 */
import type { Digest, RunId, Seq } from "../../core/event.ts";
import type { Producer } from "../store.ts";
import { reuseNumber } from "./digest.ts";
import type { Statements } from "./driver.ts";
import { reusableEvents } from "./sql.ts";

type Hit = { id: RunId; seq: Seq; data: string };

export function readReusable(
  db: Statements,
  family: RunId,
  keys: readonly Digest[],
): ReadonlyMap<Digest, readonly Producer[]> {
  const found = new Map<Digest, readonly Producer[]>();
  for (const key of keys) {
    const hits = db.prepare(reusableEvents).all(reuseNumber(family, key), family) as Hit[];
    const producers = hits.filter((hit) => hasKey(hit.data, key)).map(({ id, seq }) => ({ run: id, seq }));
    if (producers.length > 0) found.set(key, producers);
  }
  return found;
}

/** An event need not repeat its key in its data; then the number has to do. */
function hasKey(data: string, key: Digest): boolean {
  const { reuse } = JSON.parse(data) as { reuse?: unknown };
  return reuse === undefined || reuse === key;
}
