/** `stemma import`: takes in a family that was exported. */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import type { Command } from "commander";
import { StemmaError } from "../../core/error.ts";
import type { CommonOptions } from "../store-option.ts";
import { openPlace, withPlaceOptions } from "../place.ts";
import { print, printJson, visible } from "../terminal.ts";

export function addImport(program: Command): void {
  const command = program
    .command("import")
    .description("take in a family that was exported; all of it is checked before anything is written")
    .argument("<file>", "what stemma export wrote")
    .option("--take-over", "work on its open runs here from now on; nobody else may go on working on them");
  withPlaceOptions(command).action(importFile);
}

async function importFile(file: string, options: CommonOptions & { takeOver?: boolean }): Promise<void> {
  const found = await stat(file).catch(() => undefined);
  if (found?.isFile() !== true)
    throw new StemmaError("usage.invalid", `Expected the path of a file, found none at ${file}.`);
  await using place = await openPlace(options, [], "work");
  const { stemma } = place;
  const taken = await stemma.import(() => createReadStream(file), { takeOver: options.takeOver === true });
  if (options.json === true) return printJson(taken);
  const { family, runs, completed, there, events } = taken;
  const begun = completed.length === 0 ? "" : `, ${completed.length} of which an import that was broken off had begun`;
  const known = there.length === 0 ? "" : `; ${there.length} were there already`;
  print(visible(`Family ${family}: ${runs.length} runs with ${events} events were taken in${begun}${known}.`));
}
