/** `stemma prov`: what happened, as a W3C PROV-JSON document. */
import type { Command } from "commander";
import { findRun, runArgument } from "../find-run.ts";
import type { CommonOptions } from "../store-option.ts";
import { openPlace, withPlaceOptions } from "../place.ts";
import { printJson } from "../terminal.ts";

export function addProv(program: Command): void {
  const command = program
    .command("prov")
    .description("print the family of a run as W3C PROV-JSON; values are named by their digests")
    .addArgument(runArgument())
    .option("--alone", "this run without its family");
  withPlaceOptions(command).action(prov);
}

async function prov(given: string, options: CommonOptions & { alone?: boolean }): Promise<void> {
  await using place = await openPlace(options);
  const { stemma } = place;
  const { id } = await findRun(stemma, given);
  printJson(await stemma.prov(id, { family: options.alone !== true }));
}
