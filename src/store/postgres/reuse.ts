/** Finds the recorded successes of a family, all keys in one question. */
import type { Digest, RunId, Seq } from "../../core/event.ts";
import type { Producer } from "../store.ts";
import { reuseNumber } from "./columns.ts";
import type { Database } from "./database.ts";
import { reusableEvents } from "./sql.ts";

export async function readReusable(
  db: Database,
  family: RunId,
  keys: readonly Digest[],
): Promise<ReadonlyMap<Digest, readonly Producer[]>> {
  const found = new Map<Digest, Producer[]>();
  const numbers = new Map(keys.map((key) => [reuseNumber(family, key), key]));
  if (numbers.size === 0) return found;
  const hits = await db.read<{ reuse: string; run: RunId; seq: Seq }>(reusableEvents, [[...numbers.keys()]]);
  for (const { reuse, run, seq } of hits) {
    const key = numbers.get(reuse) as Digest;
    const producers = found.get(key);
    if (producers === undefined) found.set(key, [{ run, seq }]);
    else producers.push({ run, seq });
  }
  return found;
}
