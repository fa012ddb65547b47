/** The ledger of effects: which run of a line has each, so that no two have the same one. */
import type { RunId } from "../../core/event.ts";
import type { Effect, Holding } from "../store.ts";
import { addTo } from "./columns.ts";
import type { Runner } from "./runner.ts";
import { effectsOf, insertEffects, takeEffectsOver } from "./sql.ts";

export type Wanted = Effect & { run: RunId };

/** Gives runs the effects that nobody has, and says of each, in their order, who has it now. */
export async function takeEffects(tx: Runner, wanted: readonly Wanted[]): Promise<readonly (readonly Holding[])[]> {
  if (wanted.length === 0) return [];
  const over: unknown[][] = [[], [], [], [], []];
  const all: unknown[][] = [[], [], [], []];
  for (const { line, place, input, run, from } of wanted) {
    addTo(all, line, place, input, run);
    if (from !== undefined) addTo(over, line, place, input, run, from);
  }
  if ((over[0]?.length ?? 0) > 0) await tx.query(takeEffectsOver, over);
  await tx.query(insertEffects, all);
  const rows = await tx.query<Holding & { line: RunId; place: string }>(effectsOf, all.slice(0, 2));
  const found = new Map<string, Holding[]>();
  for (const { line, place, input, run } of rows) {
    const holdings = found.get(`${line} ${place}`);
    if (holdings === undefined) found.set(`${line} ${place}`, [{ input, run }]);
    else holdings.push({ input, run });
  }
  return wanted.map(({ line, place }) => found.get(`${line} ${place}`) ?? []);
}
