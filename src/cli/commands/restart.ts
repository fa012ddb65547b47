/** `stemma restart` and `stemma fork`: a new run that reuses what another one has done. */
import type { Command } from "commander";
import type { RunId } from "../../core/event.ts";
import type { Status } from "../../core/run.ts";
import type { ChangeOptions } from "../change-options.ts";
import { changeOf, withChange } from "../change-options.ts";
import { commandText } from "../command-text.ts";
import { findRun, runArgument } from "../find-run.ts";
import { planLines } from "../plan-lines.ts";
import type { CommonOptions } from "../store-option.ts";
import type { Asked } from "../place.ts";
import { openPlace, withPlaceOptions } from "../place.ts";
import { note, paintNote, print, printJson, terminalWidth } from "../terminal.ts";
import { waitForEnd } from "../wait-for-end.ts";

type RestartOptions = CommonOptions & ChangeOptions & { dryRun?: boolean; wait?: boolean };

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
  command.option("--wait", "follow it to its end; exit code 1 when it fails (a worker must be running)");
  withPlaceOptions(withChange(command)).action((given: string, options: RestartOptions) => make(kind, given, options));
}

async function make(kind: "restart" | "fork", given: string, options: RestartOptions): Promise<void> {
  await using place = await openPlace(options);
  const { stemma } = place;
  const { id } = await findRun(stemma, given);
  const change = await changeOf(options, stemma, id);
  if (options.dryRun === true) {
    const plan = await stemma.plan(id, change, { kind });
    if (options.json === true) return printJson(plan);
    return print(...planLines(plan, { width: terminalWidth(), all: false }));
  }
  const run = kind === "restart" ? await stemma.restart(id, change) : await stemma.fork(id, change);
  if (options.wait === true) return await waitForEnd(run, options);
  if (options.json === true) return printJson({ run: run.id, source: id, ...(await madeAs(stemma, run.id)) });
  print(run.id);
  const { store, server } = options;
  note(paintNote(`A worker takes it up. Look at it: ${commandText(["show", run.id], { store, server })}`, "dim"));
  note(paintNote(`Side by side: ${commandText(["compare", id, run.id], { store, server })}`, "dim"));
}

/** With another input a restart is a fork, and is recorded as one. */
async function madeAs(stemma: Asked, run: RunId): Promise<{ kind: string; status: Status }> {
  const { origin, status } = (await stemma.row(run)).state;
  return { kind: origin.kind, status };
}
