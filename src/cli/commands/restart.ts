/** `stemma restart` and `stemma fork`: a new run that reuses what another one has done. */
import type { Command } from "commander";
import { Stemma } from "../../engine/stemma.ts";
import type { ChangeOptions } from "../change-options.ts";
import { changeOf, withChange } from "../change-options.ts";
import { commandText } from "../command-text.ts";
import { findRun, runArgument } from "../find-run.ts";
import { planLines } from "../plan-lines.ts";
import type { CommonOptions } from "../store-option.ts";
import { openStore, withCommonOptions } from "../store-option.ts";
import { note, paintNote, print, printJson, terminalWidth } from "../terminal.ts";

type RestartOptions = CommonOptions & ChangeOptions & { dryRun?: boolean };

export function addRestart(program: Command): void {
  const command = program
    .command("restart")
    .description("repair a run that has ended: a new run that reuses every success")
    .addArgument(runArgument());
  addOptions(command, "restart");
}

export function addFork(program: Command): void {
  const command = program
    .command("fork")
    .description("try something else: a new run that goes its own way from a run, and reuses what is the same")
    .addArgument(runArgument());
  addOptions(command, "fork");
}

function addOptions(command: Command, kind: "restart" | "fork"): void {
  command.option("--dry-run", "only say what would be reused and what would run, as stemma plan does");
  withCommonOptions(withChange(command)).action((given: string, options: RestartOptions) => make(kind, given, options));
}

async function make(kind: "restart" | "fork", given: string, options: RestartOptions): Promise<void> {
  await using store = await openStore(options, "look");
  const stemma = new Stemma({ store });
  const { id } = await findRun(stemma, given);
  const change = await changeOf(options, stemma, id);
  if (options.dryRun === true) {
    const plan = await stemma.plan(id, change, { kind });
    if (options.json === true) return printJson(plan);
    return print(...planLines(plan, { width: terminalWidth(), all: false }));
  }
  const run = kind === "restart" ? await stemma.restart(id, change) : await stemma.fork(id, change);
  if (options.json === true) return printJson({ run: run.id, source: id, kind, status: await run.status() });
  print(run.id);
  const { store: named } = options;
  note(paintNote(`A worker takes it up. Look at it: ${commandText(["show", run.id], { store: named })}`, "dim"));
  note(paintNote(`Side by side: ${commandText(["compare", id, run.id], { store: named })}`, "dim"));
}
