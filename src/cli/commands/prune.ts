/** `stemma prune`: removes runs that ended long ago and that nothing leads to any more. */
import { Option } from "commander";
import type { Command } from "commander";
import type { Status } from "../../core/run.ts";
import { terminal } from "../../core/run.ts";
import type { CommonOptions } from "../store-option.ts";
import { openPlace, withPlaceOptions } from "../place.ts";
import { print, printJson } from "../terminal.ts";

type PruneOptions = CommonOptions & {
  olderThan: string;
  status?: Status[];
  workflow?: string;
  tag?: string;
  dryRun?: boolean;
  compact?: boolean;
};

export function addPrune(program: Command): void {
  const command = program
    .command("prune")
    .description("remove runs that ended long ago; what a run that stays comes from, or called, stays too")
    .requiredOption("--older-than <duration>", "how long ago they ended: 30d, 12h")
    .addOption(new Option("--status <status...>", "only runs that ended so").choices([...terminal]))
    .option("--workflow <name>", "only runs of this workflow")
    .option("--tag <tag>", "only runs with this tag")
    .option("--dry-run", "say what would be removed, and remove nothing")
    .option("--compact", "make the file smaller afterwards; nobody can write meanwhile, and no worker may be at work");
  withPlaceOptions(command).action(prune);
}

async function prune(options: PruneOptions): Promise<void> {
  const { olderThan, status, workflow, tag, dryRun = false, compact = false } = options;
  await using place = await openPlace(options);
  const { stemma } = place;
  const pruned = await stemma.prune({
    olderThan,
    dryRun,
    compact,
    ...(status === undefined ? {} : { status }),
    ...(workflow === undefined ? {} : { workflow }),
    ...(tag === undefined ? {} : { tag }),
  });
  if (options.json === true) return printJson({ ...pruned, dryRun });
  const { runs, events, payloadBytes, kept, file } = pruned;
  const number = (n: number): string => n.toLocaleString("en-US");
  const what = `${number(runs)} runs, ${number(events)} events, ${number(payloadBytes)} bytes of payloads`;
  const stay = kept === 0 ? "" : `; ${number(kept)} that are old enough stay, for something leads to them`;
  print(`${dryRun ? "would remove" : "removed"} ${what}${stay}`);
  if (file !== undefined) print(`the file had ${number(file.before)} bytes, and has ${number(file.after)}`);
}
