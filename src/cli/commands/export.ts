/** `stemma export`: the family of a run as one file. */
import { createWriteStream, existsSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import type { Command } from "commander";
import { StemmaError } from "../../core/error.ts";
import { findRun, runArgument } from "../find-run.ts";
import type { CommonOptions } from "../store-option.ts";
import { openPlace, withPlaceOptions } from "../place.ts";
import { print, printJson, visible } from "../terminal.ts";

export function addExport(program: Command): void {
  const command = program
    .command("export")
    .description("write the family of a run to one file, with everything that belongs to it")
    .addArgument(runArgument())
    .requiredOption("--out <file>", "the file; one that is there already is not written over");
  withPlaceOptions(command).action(exportRun);
}

async function exportRun(given: string, options: CommonOptions & { out: string }): Promise<void> {
  await using place = await openPlace(options);
  const { stemma } = place;
  const { id, state } = await findRun(stemma, given);
  const { out } = options;
  if (existsSync(out))
    throw new StemmaError("usage.invalid", `There is a file at ${out} already. Name another with --out.`);
  // Under its name only when it is whole.
  const part = `${out}.${process.pid}.part`;
  try {
    await pipeline(stemma.export(id), createWriteStream(part, { flags: "wx", flush: true }));
    await rename(part, out);
  } catch (error) {
    await rm(part, { force: true });
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    throw new StemmaError(
      "usage.invalid",
      `The file ${out} cannot be written (${(error as NodeJS.ErrnoException).code}).`,
    );
  }
  if (options.json === true) printJson({ family: state.family, file: out });
  else print(visible(`The family of ${id} is in ${out}.`));
}
