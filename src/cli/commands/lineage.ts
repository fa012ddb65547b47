/** `stemma lineage`: the family of a run as a tree. */
import type { Command } from "commander";
import { findRun, runArgument } from "../find-run.ts";
import { lineageLines } from "../lineage-lines.ts";
import type { CommonOptions } from "../store-option.ts";
import { openPlace, withPlaceOptions } from "../place.ts";
import { print, printJson, terminalWidth } from "../terminal.ts";

type LineageOptions = CommonOptions & { all?: boolean };

export function addLineage(program: Command): void {
  const command = program
    .command("lineage")
    .description("show the family of a run: what it comes from, and what came from it")
    .addArgument(runArgument())
    .option("--all", "show every run, however many there are");
  withPlaceOptions(command).action(lineage);
}

async function lineage(given: string, options: LineageOptions): Promise<void> {
  await using place = await openPlace(options);
  const { stemma } = place;
  const { id } = await findRun(stemma, given);
  const found = await stemma.lineage(id);
  if (options.json === true) return printJson(found);
  print(...lineageLines(found, { now: Date.now(), width: terminalWidth(), all: options.all === true }));
}
