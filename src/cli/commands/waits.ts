/** `stemma waits`: what is open, across all runs: the questions that people and services are asked. */
import type { Command } from "commander";
import { Option } from "commander";
import { formatDuration } from "../../core/duration.ts";
import type { WaitKind } from "../../core/event.ts";
import { limits } from "../../core/limits.ts";
import type { OpenWait, WaitsQuery } from "../../engine/waits-query.ts";
import { answerHint } from "../answer-hint.ts";
import { commandText } from "../command-text.ts";
import { findRun } from "../find-run.ts";
import { relativeText } from "../look.ts";
import { wholeNumber } from "../number-option.ts";
import type { CommonOptions } from "../store-option.ts";
import type { Asked } from "../place.ts";
import { openPlace, withPlaceOptions } from "../place.ts";
import type { Cell } from "../table.ts";
import { table } from "../table.ts";
import { note, paintNote, print, printJson, shorten, terminalWidth } from "../terminal.ts";

type WaitsOptions = CommonOptions & {
  run?: string;
  workflow?: string;
  tag?: string;
  kind?: WaitKind;
  name?: string;
  limit: number;
  cursor?: string;
};

const kinds = ["approval", "signal", "external"] as const satisfies readonly WaitKind[];
const limitDefault = 20;
const hintsMax = 5;
const promptCharsMax = 80;

export function addWaits(program: Command): void {
  const command = program
    .command("waits")
    .description("list open waits of all runs, and how to answer them")
    .option("--run <run>", "only of this run: its id, or a part of it that no other run has")
    .option("--workflow <name>", "only of runs of this workflow")
    .option("--tag <tag>", "only with this tag, of the run or of the wait")
    .addOption(new Option("--kind <kind>", "only of this kind").choices(kinds))
    .option("--name <name>", "only of this name")
    .option(
      "--limit <n>",
      "waits to look for; those of one run are not torn apart",
      wholeNumber(1, 10_000),
      limitDefault,
    )
    .option("--cursor <cursor>", "the next page, as the page before named it");
  withPlaceOptions(command).action(waits);
}

async function waits(options: WaitsOptions): Promise<void> {
  await using place = await openPlace(options);
  const { stemma, store } = place;
  const run = options.run === undefined ? undefined : (await findRun(stemma, options.run)).id;
  const page = await enough(stemma, queryOf(options, run), options.limit);
  if (options.json === true) return printJson(page);
  if (page.waits.length === 0) note(paintNote(`No such waits in ${store.name}.`, "dim"));
  else showWaits(page.waits, options);
  if (page.cursor !== undefined) note(paintNote(`More: ${nextCommand(options, page.cursor)}`, "dim"));
}

/** Few runs may wait among many: pages are read until there is something to show. */
async function enough(
  stemma: Asked,
  query: WaitsQuery,
  limit: number,
): Promise<{ waits: OpenWait[]; cursor?: string }> {
  const found: OpenWait[] = [];
  let cursor = query.cursor;
  do {
    const page = await stemma.waits({
      ...query,
      limit: Math.min(limit, limits.pageRunsMax),
      ...(cursor === undefined ? {} : { cursor }),
    });
    found.push(...page.waits);
    cursor = page.cursor;
  } while (cursor !== undefined && found.length < limit);
  return { waits: found, ...(cursor === undefined ? {} : { cursor }) };
}

function queryOf({ workflow, tag, kind, name, cursor }: WaitsOptions, run: string | undefined): WaitsQuery {
  return {
    ...(run === undefined ? {} : { run }),
    ...(workflow === undefined ? {} : { workflow }),
    ...(tag === undefined ? {} : { tag }),
    ...(kind === undefined ? {} : { kind }),
    ...(name === undefined ? {} : { name }),
    ...(cursor === undefined ? {} : { cursor }),
  };
}

const columns = [
  { title: "run" },
  { title: "key", cut: true },
  { title: "kind" },
  { title: "prompt", cut: true },
  { title: "age", align: "right" },
  { title: "expires" },
] as const;

function showWaits(found: readonly OpenWait[], options: WaitsOptions): void {
  const now = Date.now();
  print(
    ...table(
      columns,
      found.map((wait) => cellsOf(wait, now)),
      terminalWidth(),
    ),
  );
  const shown = found.slice(0, hintsMax);
  for (const wait of shown) note(paintNote(`Answer it: ${answerHint(wait, options)}`, "dim"));
  const more = found.length - shown.length;
  if (more > 0) note(paintNote(`And so on for the other ${more}, each with its run and key.`, "dim"));
}

function cellsOf({ run, key, kind, prompt, reason, openedAt, until }: OpenWait, now: number): Cell[] {
  const asked = prompt ?? reason ?? "";
  return [
    { text: run },
    { text: key, style: "bold" },
    { text: kind },
    { text: shorten(asked, promptCharsMax), style: "italic" },
    { text: formatDuration(Math.max(0, now - openedAt)) },
    until === undefined ? { text: "never", style: "dim" } : { text: relativeText(until, now) },
  ];
}

/** What to type for the next page: the same question with the cursor. */
function nextCommand(options: WaitsOptions, cursor: string): string {
  const { run, workflow, tag, kind, name, limit } = options;
  const words = Object.entries({ run, workflow, tag, kind, name }).flatMap(([option, value]) =>
    value === undefined ? [] : [`--${option}`, value],
  );
  const count = limit === limitDefault ? [] : ["--limit", String(limit)];
  return commandText(["waits", ...words, ...count, "--cursor", cursor], options);
}
