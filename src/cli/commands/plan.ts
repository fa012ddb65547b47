/** `stemma plan`: what a restart or fork would reuse and what would run, before anything does. */
import type { Command } from "commander";
import { Stemma } from "../../engine/stemma.ts";
import type { ChangeOptions } from "../change-options.ts";
import { changeOf, withChange } from "../change-options.ts";
import { findRun, runArgument } from "../find-run.ts";
import { planLines } from "../plan-lines.ts";
import type { CommonOptions } from "../store-option.ts";
import { openStore, withCommonOptions } from "../store-option.ts";
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
  withCommonOptions(withChange(command)).action(plan);
}

async function plan(given: string, files: readonly string[], options: PlanOptions): Promise<void> {
  const { dryRun = false, all = false } = options;
  if (files.length > 0) keepOutputClean();
  const workflows = files.length > 0 ? await loadWorkflows(files) : [];
  await using store = await openStore(options, "look");
  await using stemma = new Stemma({ store, workflows });
  const { id } = await findRun(stemma, given);
  const found = await stemma.plan(id, await changeOf(options, stemma, id), { dryRun });
  if (options.json === true) return printJson(found);
  print(...planLines(found, { width: terminalWidth(), all }));
}
