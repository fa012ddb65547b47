/** `stemma why`: the steps and runs that a value comes from. */
import type { Command } from "commander";
import { findRun, runArgument } from "../find-run.ts";
import type { CommonOptions } from "../store-option.ts";
import { openPlace, withPlaceOptions } from "../place.ts";
import { print, printJson, terminalWidth } from "../terminal.ts";
import { whyLines } from "../why-lines.ts";

type WhyOptions = CommonOptions & { path?: string };

export function addWhy(program: Command): void {
  const command = program
    .command("why")
    .description("show which steps, answers, inputs and runs a value comes from")
    .addArgument(runArgument())
    .argument("[key]", "key of the step; without it, the output of the run")
    .option("--path <path>", "only a part of the value: $.items[3].licence");
  withPlaceOptions(command).action(why);
}

async function why(given: string, key: string | undefined, options: WhyOptions): Promise<void> {
  await using place = await openPlace(options);
  const { stemma } = place;
  const { id } = await findRun(stemma, given);
  const found = await stemma.why(id, key, options.path === undefined ? {} : { path: options.path });
  if (options.json === true) return printJson(found);
  print(...whyLines(found, { width: terminalWidth(), now: Date.now() }));
}
