/** `stemma golden`: marks a run as the one that others of its workflow are held against, un-marks it, and lists them. */
import type { Command } from "commander";
import { StemmaError } from "../../core/error.ts";
import type { GoldenMark } from "../../engine/golden.ts";
import { goldenName } from "../../engine/golden.ts";
import { findRun, runArgument } from "../find-run.ts";
import { relativeText } from "../look.ts";
import type { CommonOptions } from "../store-option.ts";
import { openPlace, withPlaceOptions } from "../place.ts";
import { table } from "../table.ts";
import { note, paint, paintNote, print, printJson, terminalWidth, visible } from "../terminal.ts";

type GoldenOptions = CommonOptions & {
  name?: string;
  tag?: string[];
  reason?: string;
  by?: string;
  key?: string;
  remove?: boolean;
};

export function addGolden(program: Command): void {
  const command = program
    .command("golden")
    .description("mark a run that others of its workflow are compared with; without a run, list those that are marked")
    .addArgument(runArgument().argOptional())
    .option("--name <name>", `what it is called; of each name a workflow has one (default: ${goldenName})`)
    .option("--tag <tag...>", "tags of the mark")
    .option("--reason <text>", "why, for the record")
    .option("--by <name>", "who marks it, for the record")
    .option("--key <key>", "idempotency key: a second mark with it is the same mark")
    .option("--remove", "un-mark it");
  withPlaceOptions(command).action(golden);
}

async function golden(given: string | undefined, options: GoldenOptions): Promise<void> {
  await using place = await openPlace(options);
  const { stemma } = place;
  const name = options.name === undefined ? {} : { name: options.name };
  if (given === undefined) {
    if (options.remove === true)
      throw new StemmaError("usage.invalid", "Name the run that is not to be golden any more.");
    return show(await stemma.goldens(name), options);
  }
  const { id } = await findRun(stemma, given);
  if (options.remove === true) {
    const { by, reason } = options;
    const said = { ...(by === undefined ? {} : { by }), ...(reason === undefined ? {} : { reason }) };
    const marks = await stemma.ungolden({ run: id, ...name }, said);
    if (marks.length > 0) return show(marks, options, "not golden any more");
    throw new StemmaError("run.not_found", `Run ${id} is not golden.`, { data: { run: id } });
  }
  const { tag, reason, by, key } = options;
  const mark = await stemma.golden(id, {
    ...name,
    ...(tag === undefined ? {} : { tags: tag }),
    ...(reason === undefined ? {} : { reason }),
    ...(by === undefined ? {} : { by }),
    ...(key === undefined ? {} : { idempotencyKey: key }),
  });
  show([mark], options, "golden");
}

function show(marks: readonly GoldenMark[], options: GoldenOptions, said?: string): void {
  if (options.json === true) return printJson(marks);
  if (said !== undefined)
    return print(...marks.map(({ run, name }) => `${paint(said, "yellow")}  ${visible(run)}  ${visible(name)}`));
  if (marks.length === 0) return note(paintNote("No run is golden. Mark one: stemma golden <run>.", "dim"));
  const now = Date.now();
  const rows = marks.map(({ run, workflow, name, tags, by, reason, at }) =>
    [run, workflow, name, tags.join(" "), relativeText(at, now), by ?? "", reason ?? ""].map((text) => ({ text })),
  );
  const titles = ["run", "workflow", "name", "tags", "marked", "by", "reason"];
  print(
    ...table(
      titles.map((title) => ({ title, cut: title === "reason" })),
      rows,
      terminalWidth(),
    ),
  );
}
