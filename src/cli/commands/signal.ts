/** `stemma signal`: sends a signal to a run: the answer of whoever waits for its name, or kept for the next who does. */
import type { Command } from "commander";
import { findRun, runArgument } from "../find-run.ts";
import { readInput } from "../input-option.ts";
import { afterTakenIn, noteNotTaken } from "../request.ts";
import type { CommonOptions } from "../store-option.ts";
import { openPlace, withPlaceOptions } from "../place.ts";
import { print, printJson, visible } from "../terminal.ts";

type SignalOptions = CommonOptions & { value?: string; key?: string; by?: string };

export function addSignal(program: Command): void {
  const command = program
    .command("signal")
    .description("send a signal to a run; one that comes early is kept")
    .addArgument(runArgument())
    .argument("<name>", "name of the signal")
    .option("--value <json>", "what it says: JSON, @file, or - for standard input")
    .option("--by <name>", "who sends it; kept on record")
    .option("--key <key>", "idempotency key: a second signal with it is the same signal");
  withPlaceOptions(command).action(signal);
}

async function signal(given: string, name: string, options: SignalOptions): Promise<void> {
  const value = await readInput(options.value, "--value");
  await using place = await openPlace(options);
  const { stemma } = place;
  const { id } = await findRun(stemma, given);
  const { by, key } = options;
  await stemma.signal(id, name, value, {
    ...(by === undefined ? {} : { by }),
    ...(key === undefined ? {} : { idempotencyKey: key }),
  });
  const { row, taken } = await afterTakenIn(stemma, id);
  if (options.json === true) return printJson({ run: id, signal: name, state: taken ? "recorded" : "sent" });
  print(`sent ${visible(name)} to ${id}`);
  if (!taken) noteNotTaken("The signal", row);
}
