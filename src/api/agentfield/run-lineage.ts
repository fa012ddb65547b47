/** Where a run comes from, and whether it is one that others are held against, as it is shown with the run. */
import type { RunId } from "../../core/event.ts";
import type { RunRow } from "../../store/store.ts";
import { timeText } from "./answer.ts";
import { rootOf } from "./executions.ts";
import { askedOf } from "./lineage.ts";
import type { Wire } from "./wire.ts";

/** Where a run comes from; undefined for one that comes from nowhere. */
export async function lineageOf({ stemma }: Wire, row: RunRow): Promise<object | undefined> {
  const { origin, tags } = row.state;
  if ((origin.kind !== "restart" && origin.kind !== "fork") || origin.caller !== undefined) return undefined;
  const asked = askedOf(tags);
  const [first] = (await stemma.store.history(row.id, { after: -1, limit: 1 }))?.events ?? [];
  const said = first === undefined ? {} : (JSON.parse(first.data) as { reason?: string; by?: string; reuse?: string });
  const source = await rootOf(stemma.store, origin.run).then(
    ({ id }) => id,
    () => origin.run,
  );
  const effective = asked?.effective ?? (said.reuse === "none" ? "none" : "all-succeeded");
  return {
    kind: asked?.kind ?? origin.kind,
    source_run_id: source,
    source_execution_id: asked?.named ?? origin.run,
    restarted_execution_id: origin.run,
    scope: asked?.scope ?? "workflow",
    reuse: asked?.requested ?? effective,
    effective_reuse: effective,
    ...(said.reason === undefined ? {} : { reason: said.reason }),
    ...(said.by === undefined ? {} : { by: said.by }),
  };
}

export async function goldenOf({ stemma }: Wire, run: RunId): Promise<object | undefined> {
  const [mark] = await stemma.goldens({ run });
  if (mark === undefined) return undefined;
  const { name, tags, by, at } = mark;
  return { name, tags, saved_by: by ?? "user", saved_at: timeText(at) };
}
