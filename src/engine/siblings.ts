/**
 * The other runs of a line, from which a new one is offered nothing: what stands beside its source. What they did once is
 * done in the whole line all the same, so a plan has to look at them.
 */
import { unseal } from "../core/chain.ts";
import type { EventData, RunId } from "../core/event.ts";
import type { RunRow, Store } from "../store/store.ts";
import { rowsOfFamily } from "./lineage.ts";

/** Why it is open whether a `once` step runs, where one of these may have done it. */
export const besideText = "effect once, and another run of its line may have done it";

/** As many are looked at; where there are more, nobody knows. */
const siblingsMax = 200;

/**
 * Ids of the runs that stand in the same place of the same line, without those that are offered; undefined where there are
 * too many to look at.
 *
 * @param created what the new run would be created with
 */
export async function siblingsOf(
  store: Store,
  created: EventData["run.created"],
  offered: readonly RunId[],
): Promise<RunId[] | undefined> {
  const known = new Set(offered);
  const rows = (await rowsOfFamily(store, created.family)).filter(
    ({ id, state }) => state.workflow === created.workflow && !known.has(id),
  );
  if (rows.length > siblingsMax) return undefined;
  const place = placeOf(created, "");
  const found: RunId[] = [];
  for (const row of rows) if ((await placeOfRow(store, row)) === place) found.push(row.id);
  return found;
}

async function placeOfRow(store: Store, { id }: RunRow): Promise<string | undefined> {
  const page = await store.history(id, { after: -1, limit: 1 });
  const [first] = page?.events ?? [];
  const event = first === undefined ? undefined : unseal(first);
  return event?.type === "run.created" ? placeOf(event.data, id) : undefined;
}

/** A call that was made anew on purpose is in the same place: what was done once there is done. */
function placeOf({ line, calls = [] }: EventData["run.created"], run: RunId): string {
  return JSON.stringify([line ?? run, ...calls.map((call) => call.replace(/~\d+$/, ""))]);
}
