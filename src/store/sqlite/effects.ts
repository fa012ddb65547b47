/** The ledger of effects: which run of a line has each, so that no two have the same one. */
import type { Effect, Holding } from "../store.ts";
import type { RunId } from "../../core/event.ts";
import type { Statements } from "./driver.ts";
import { effectsOf, insertEffect } from "./sql.ts";

/** Gives the run the effects that nobody has, and says of each who has it now. */
export function takeEffects(db: Statements, run: RunId, effects: readonly Effect[]): readonly (readonly Holding[])[] {
  return effects.map(({ line, place, input, from }) => {
    db.prepare(insertEffect).run(line, place, input, run, from ?? null);
    return (db.prepare(effectsOf).all(line, place) as Holding[]).map((row) => ({ input: row.input, run: row.run }));
  });
}
