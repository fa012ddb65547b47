/** `stemma compare`: two runs side by side. With `--fail-on` it is a check: exit code 1 where they differ. */
import { Option } from "commander";
import type { Argument, Command } from "commander";
import type { Comparison } from "../../engine/compare.ts";
import { comparisonLines, differs } from "../comparison-lines.ts";
import { comparedRuns } from "../compared-runs.ts";
import { runArgument } from "../find-run.ts";
import type { CommonOptions } from "../store-option.ts";
import { openPlace, withPlaceOptions } from "../place.ts";
import { print, printJson, terminalWidth } from "../terminal.ts";

type CompareOptions = CommonOptions & { failOn?: "output" | "steps"; all?: boolean; workflow?: string };

export function addCompare(program: Command): void {
  const command = program
    .command("compare")
    .description("compare two runs: what was inserted, removed, moved or changed")
    .addArgument(comparedArgument("a"))
    .addArgument(comparedArgument("b").argOptional())
    .addOption(
      new Option(
        "--fail-on <what>",
        "exit code 1 where they end otherwise (output), or where any step differs too (steps)",
      ).choices(["output", "steps"]),
    )
    .option("--workflow <name>", "of which workflow golden and latest are, where nothing else says it")
    .option("--all", "show every step, also those that are the same");
  withPlaceOptions(command).action(compare);
}

/** Besides a run: the golden one of its workflow, and the latest that has ended. */
function comparedArgument(name: string): Argument {
  const argument = runArgument(name);
  argument.description += "; golden or golden:NAME; latest (that has ended)";
  return argument;
}

async function compare(givenA: string, givenB: string | undefined, options: CompareOptions): Promise<void> {
  await using place = await openPlace(options);
  const { stemma } = place;
  const [a, b] = await comparedRuns(
    stemma,
    givenB === undefined ? ["golden", givenA] : [givenA, givenB],
    options.workflow,
  );
  const comparison = await stemma.compare(a, b);
  if (options.json === true) printJson(comparison);
  else print(...comparisonLines(comparison, { width: terminalWidth(), all: options.all === true }));
  if (fails(comparison, options.failOn)) process.exitCode = 1;
}

function fails({ a, b, output, steps }: Comparison, on: CompareOptions["failOn"]): boolean {
  if (on === undefined) return false;
  const ends = a.status === b.status && a.error?.message === b.error?.message && output === undefined;
  return !ends || (on === "steps" && steps.some(differs));
}
