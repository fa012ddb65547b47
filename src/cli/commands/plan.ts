/** `stemma plan`: what a restart or fork would reuse and what would run, before anything does. */
import type { Command } from "commander";
import { StemmaError } from "../../core/error.ts";
import type { ChangeOptions } from "../change-options.ts";
import { changeOf, withChange } from "../change-options.ts";
import { findRun, runArgument } from "../find-run.ts";
import { planLines } from "../plan-lines.ts";
import type { CommonOptions } from "../store-option.ts";
import { openPlace, serverOf, withPlaceOptions } from "../place.ts";
import { print, printJson, terminalWidth } from "../terminal.ts";
import { keepOutputClean, loadWorkflows } from "../workflow-files.ts";

type PlanOptions = CommonOptions & ChangeOptions & { dryRun?: boolean; all?: boolean };

export function addPlan(program: Command): void {
  const command = program
    .command("plan")
    .description("say what a restart or fork would reuse and what would run, and why")
    .addArgument(runArgument())
    .argument("[files...]", "modules that export its workflow, for --dry-run")
    .option("--dry-run", "ask the workflow's code too: exact up to the first step that is not reused")
    .option("--all", "show every step, however many there are");
  withPlaceOptions(withChange(command)).action(plan);
}

async function plan(given: string, files: readonly string[], options: PlanOptions): Promise<void> {
  const { dryRun = false, all = false } = options;
  expectFiles(dryRun, files, serverOf(options) !== undefined);
  if (files.length > 0) keepOutputClean();
  const workflows = files.length > 0 ? await loadWorkflows(files) : [];
  await using place = await openPlace(options, workflows);
  const { stemma } = place;
  const { id } = await findRun(stemma, given);
  const found = await stemma.plan(id, await changeOf(options, stemma, id), { dryRun });
  if (options.json === true) return printJson(found);
  print(...planLines(found, { width: terminalWidth(), all }));
}

/** Code is for a dry run, and a dry run is for code; a server has its own. */
function expectFiles(dryRun: boolean, files: readonly string[], onServer: boolean): void {
  if (onServer && files.length > 0) {
    throw new StemmaError("usage.invalid", "Expected no modules with a server: it asks the code that it has itself.");
  }
  if (onServer || dryRun === files.length > 0) return;
  const [wanted, why] = dryRun
    ? ["a module that exports the run's workflow, behind the run", "A dry run asks its code"]
    : ["--dry-run with a module", "Without it the code is not asked"];
  throw new StemmaError("usage.invalid", `Expected ${wanted}. ${why}.`);
}
