/** The steps that a change names: whoever names one that its source never had is told which there are. */
import { StemmaError } from "../core/error.ts";
import type { RunId } from "../core/event.ts";
import { namesOf, parseKey } from "../core/identity.ts";
import type { Store } from "../store/store.ts";
import type { Change } from "./change.ts";
import type { Looked, Source } from "./source.ts";
import { lookThrough } from "./source.ts";

/** Whoever allows what the source never asked for has most likely mistyped it, and would wait for a decision all the same. */
export async function checkAllowed(store: Store, { row }: Source, change: Change): Promise<void> {
  const { allowEffects = [], allowUnused = false } = change;
  if (allowEffects.length === 0 || allowUnused) return;
  const { asked } = await lookThrough(store, row.id, row.state.seq, undefined);
  const names = new Set([...asked].flatMap((key) => namesOf(key, parseKey(key))));
  // What stands behind the name of a call is a step of what is called.
  const isKnown = (key: string): boolean => names.has(key) || [...names].some((name) => key.startsWith(`${name}/`));
  const unknown = allowEffects.find((key) => !isKnown(key));
  if (unknown === undefined) return;
  throw new StemmaError(
    "step.not_found",
    `Expected allowEffects to name steps of run ${row.id}; it has no ${JSON.stringify(unknown)}. ${stepsText(unknown, asked)} Say allowUnused where the new run has it.`,
    { data: { run: row.id, step: unknown } },
  );
}

/** Throws override.unused where outputs are given for what the source never asked for. */
export async function checkOverrides(
  store: Store,
  { row }: Source,
  wanted: ReadonlySet<string>,
  allowUnused: boolean,
): Promise<void> {
  if (wanted.size === 0 || allowUnused) return;
  const { asked } = await lookThrough(store, row.id, row.state.seq, undefined);
  expectAsked(row.id, wanted, asked, allowUnused);
}

export function expectAsked(
  run: RunId,
  wanted: ReadonlySet<string>,
  asked: ReadonlySet<string>,
  allowUnused: boolean,
): void {
  const unused = allowUnused ? [] : [...wanted].filter((key) => !asked.has(key));
  if (unused.length === 0) return;
  throw new StemmaError(
    "override.unused",
    `Expected outputs for what run ${run} asked for; it never asked for ${unused.join(", ")}. ${stepsText(unused[0] ?? "", asked)} Say allowUnused where the new run asks.`,
    { data: { run, keys: unused } },
  );
}

/** Throws step.not_found where the step at which the new run leaves its source is not there. */
export function expectStep(run: RunId, key: string, { left, asked }: Looked): void {
  if (left !== undefined) return;
  const missing = asked.has(key) ? "has no outcome yet of step" : "has no step";
  throw new StemmaError("step.not_found", `Run ${run} ${missing} ${JSON.stringify(key)}. ${stepsText(key, asked)}`, {
    data: { run, step: key },
  });
}

const namedMax = 8;

/** Keys that can be named: those in the scope of that name if it is one, else the first of all. */
function stepsText(key: string, asked: ReadonlySet<string>): string {
  const all = [...asked];
  const inside = all.filter((one) => one.startsWith(`${key}/`) || one.startsWith(`${key}#`));
  const shown = inside.length > 0 ? inside : all;
  const more = shown.length > namedMax ? ` and ${shown.length - namedMax} more` : "";
  const what = inside.length > 0 ? `Under ${key} it has` : "It has";
  return `${what} ${shown.slice(0, namedMax).join(", ") || "none"}${more}.`;
}
