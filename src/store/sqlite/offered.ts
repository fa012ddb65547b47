/** Which versions of which workflows somebody works on: what the workers that have their lease claimed with last. */
import type { Timestamp } from "../../core/event.ts";
import type { Statements } from "./driver.ts";
import type { Row } from "./row.ts";
import { offersHeld } from "./sql.ts";

/** As `textOf` in claim.ts writes them: workflow, version, and the fingerprint of the code, which does not count here. */
type Offers = readonly (readonly [string, number, string])[];

/** Tells of rows of runs whether their workflow and version are offered at `now`. */
export function offeredAt(db: Statements, now: Timestamp): (row: Row) => boolean {
  const known = new Set<string>();
  for (const row of db.prepare(offersHeld).all(now)) {
    for (const [workflow, version] of JSON.parse(row["offers"] as string) as Offers)
      known.add(`${workflow}@${version}`);
  }
  return (row) => known.has(`${String(row["workflow"])}@${String(row["version"])}`);
}
