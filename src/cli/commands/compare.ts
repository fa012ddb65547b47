/** `stemma compare`: two runs side by side. With `--fail-on` it is a check: exit code 1 where they differ. */
import { Option } from "commander";
import type { Command } from "commander";
import type { Comparison } from "../../engine/compare.ts";
import { Stemma } from "../../engine/stemma.ts";
import { comparisonLines, differs } from "../comparison-lines.ts";
import { findRun, runArgument } from "../find-run.ts";
import type { CommonOptions } from "../store-option.ts";
import { openStore, withCommonOptions } from "../store-option.ts";
import { print, printJson, terminalWidth } from "../terminal.ts";

type CompareOptions = CommonOptions & { failOn?: "output" | "steps"; all?: boolean };

export function addCompare(program: Command): void {
  const command = program
    .command("compare")
    .description("compare two runs: what was inserted, removed, moved or changed")
    .addArgument(runArgument("a"))
    .addArgument(runArgument("b"))
    .addOption(
      new Option(
        "--fail-on <what>",
        "exit code 1 where they end otherwise (output), or where any step differs too (steps)",
      ).choices(["output", "steps"]),
    )
    .option("--all", "show every step, also those that are the same");
  withCommonOptions(command).action(compare);
}

async function compare(givenA: string, givenB: string, options: CompareOptions): Promise<void> {
  await using store = await openStore(options, "look");
  const stemma = new Stemma({ store });
  const [a, b] = [await findRun(stemma, givenA), await findRun(stemma, givenB)];
  const comparison = await stemma.compare(a.id, b.id);
  if (options.json === true) printJson(comparison);
  else print(...comparisonLines(comparison, { width: terminalWidth(), all: options.all === true }));
  if (fails(comparison, options.failOn)) process.exitCode = 1;
}

function fails({ a, b, output, steps }: Comparison, on: CompareOptions["failOn"]): boolean {
  if (on === undefined) return false;
  const ends = a.status === b.status && a.error?.message === b.error?.message && output === undefined;
  return !ends || (on === "steps" && steps.some(differs));
}
