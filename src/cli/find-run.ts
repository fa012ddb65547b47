/** The run that somebody means: by its id, or by any part of it that no other run has. */
import { Argument } from "commander";
import { StemmaError } from "../core/error.ts";
import type { RunRow } from "../store/store.ts";
import { relativeText, wordsOf } from "./look.ts";
import { offerOf } from "./shown-run.ts";
import type { Asked } from "./place.ts";

const partCharsMin = 4;
const idChars = 30;
const shownMax = 5;
const part = /^(?:run_)?[0-9a-hjkmnp-tv-z]*$/;

/** The argument by which every command takes a run. */
export function runArgument(name: string = "run"): Argument {
  return new Argument(`<${name}>`, `id of the run, or at least ${partCharsMin} characters of it that no other run has`);
}

/**
 * The row of the only run whose id has `given` in it; with `run_` in front it is the beginning of the id.
 *
 * @throws StemmaError `run.invalid_id` for what cannot be part of an id, is too short or fits several; `run.not_found`
 */
export async function findRun(stemma: Asked, given: string): Promise<RunRow> {
  if (!part.test(given)) {
    throw new StemmaError(
      "run.invalid_id",
      `Expected the id of a run (run_ and 26 characters) or a part of it, got ${JSON.stringify(given.slice(0, 60))}. stemma runs lists the runs.`,
    );
  }
  const whole = given.startsWith("run_") ? given : `run_${given}`;
  if (whole.length >= idChars) return stemma.row(whole);
  if (given.replace("run_", "").length < partCharsMin) {
    throw new StemmaError(
      "run.invalid_id",
      `Expected at least ${partCharsMin} characters of a run's id, got ${JSON.stringify(given)}. Its last ones tell runs of one time apart.`,
    );
  }
  const found = await having(stemma, given);
  const [row] = found;
  if (row === undefined) {
    const what = given.startsWith("run_") ? `begins with ${given}` : `has ${given} in it`;
    throw new StemmaError("run.not_found", `No run in this store has an id that ${what}. stemma runs lists the runs.`, {
      data: { part: given },
    });
  }
  if (found.length > 1) throw ambiguous(given, found);
  return row;
}

function ambiguous(given: string, found: readonly RunRow[]): StemmaError {
  const now = Date.now();
  const shown = found.slice(0, shownMax).map((row) => {
    const { status, createdAt } = row.state;
    return `${row.id} (${offerOf(row)}, ${wordsOf(status)}, created ${relativeText(createdAt, now)})`;
  });
  const more = found.length > shownMax ? ", …" : "";
  return new StemmaError(
    "run.invalid_id",
    `Several runs have an id that fits ${given}: ${shown.join(", ")}${more}. Give more of it.`,
    { data: { part: given, runs: found.slice(0, shownMax).map(({ id }) => id) } },
  );
}

/** The newest of the runs whose ids fit, and one more than is shown. */
async function having(stemma: Asked, given: string): Promise<readonly RunRow[]> {
  const { runs } = await stemma.list({ idPart: given, limit: shownMax + 1 });
  return runs;
}
