/** The run that somebody means: by its id, or by the beginning of it. */
import { StemmaError } from "../core/error.ts";
import { limits } from "../core/limits.ts";
import type { Stemma } from "../engine/stemma.ts";
import type { RunRow } from "../store/store.ts";

const prefixCharsMin = 8;
const idChars = 30;
const shownMax = 5;
const beginning = /^(?:run_)?[0-9a-hjkmnp-tv-z]*$/;

/**
 * The row of the only run whose id begins with `given`; `run_` may be left out.
 *
 * @throws StemmaError `run.invalid_id` for what cannot begin an id, is too short or fits several; `run.not_found`
 */
export async function findRun(stemma: Stemma, given: string): Promise<RunRow> {
  if (!beginning.test(given)) {
    throw new StemmaError(
      "run.invalid_id",
      `Expected the id of a run (run_ and 26 characters) or its beginning, got ${JSON.stringify(given.slice(0, 60))}.`,
    );
  }
  const prefix = given.startsWith("run_") ? given : `run_${given}`;
  if (prefix.length >= idChars) return stemma.row(prefix);
  if (given.length < prefixCharsMin) {
    throw new StemmaError(
      "run.invalid_id",
      `Expected at least ${prefixCharsMin} characters of a run's id, got ${JSON.stringify(given)}.`,
    );
  }
  const found = await startingWith(stemma, prefix);
  const [row] = found;
  if (row === undefined) {
    throw new StemmaError(
      "run.not_found",
      `No run in this store has an id that begins with ${prefix}. stemma runs lists them.`,
      {
        data: { prefix },
      },
    );
  }
  if (found.length === 1) return row;
  const ids = found.slice(0, shownMax).map(({ id }) => id);
  const more = found.length > shownMax ? ", …" : "";
  throw new StemmaError(
    "run.invalid_id",
    `Several runs have an id that begins with ${prefix}: ${ids.join(", ")}${more}. Give more of it.`,
    {
      data: { prefix, runs: ids },
    },
  );
}

/** Reads the whole list, because a run that was given its id by its maker may stand anywhere in it. */
async function startingWith(stemma: Stemma, prefix: string): Promise<RunRow[]> {
  const found: RunRow[] = [];
  let cursor: string | undefined;
  do {
    const page = await stemma.list({ limit: limits.pageRunsMax, ...(cursor === undefined ? {} : { cursor }) });
    found.push(...page.runs.filter(({ id }) => id.startsWith(prefix)));
    cursor = page.cursor;
  } while (cursor !== undefined && found.length <= shownMax);
  return found;
}
