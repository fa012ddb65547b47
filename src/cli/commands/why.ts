/** `stemma why`: the steps and runs that a value comes from. */
import type { Command } from "commander";
import { Stemma } from "../../engine/stemma.ts";
import { findRun, runArgument } from "../find-run.ts";
import type { CommonOptions } from "../store-option.ts";
import { openStore, withCommonOptions } from "../store-option.ts";
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
  withCommonOptions(command).action(why);
}

async function why(given: string, key: string | undefined, options: WhyOptions): Promise<void> {
  await using store = await openStore(options, "look");
  const stemma = new Stemma({ store });
  const { id } = await findRun(stemma, given);
  const found = await stemma.why(id, key, options.path === undefined ? {} : { path: options.path });
  if (options.json === true) return printJson(found);
  print(...whyLines(found, { width: terminalWidth(), now: Date.now() }));
}
