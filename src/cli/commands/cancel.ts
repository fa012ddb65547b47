/** `stemma cancel`: ends a run and the runs that it called. */
import type { Command } from "commander";
import { StemmaError } from "../../core/error.ts";
import { isTerminal } from "../../core/run.ts";
import { findRun, runArgument } from "../find-run.ts";
import { wordsOf } from "../look.ts";
import type { ByOptions } from "../request.ts";
import { afterTakenIn, byOf, noteNotTaken, withBy } from "../request.ts";
import type { CommonOptions } from "../store-option.ts";
import { openPlace, withPlaceOptions } from "../place.ts";
import { note, paintNote, print, printJson } from "../terminal.ts";

export function addCancel(program: Command): void {
  const command = program
    .command("cancel")
    .description("end a run and the runs that it called, the called ones first")
    .addArgument(runArgument());
  withPlaceOptions(withBy(command)).action(cancel);
}

async function cancel(given: string, options: CommonOptions & ByOptions): Promise<void> {
  await using place = await openPlace(options);
  const { stemma } = place;
  const { id, state } = await findRun(stemma, given);
  const { accepted, status } = await stemma.cancel(id, byOf(options));
  // A run that is cancelled already is as it was wanted; one that ended in another way is not.
  if (isTerminal(status) && !accepted && status !== "cancelled") {
    throw new StemmaError("run.ended", `Run ${id} has ended (${wordsOf(status)}); there is nothing left to cancel.`, {
      data: { run: id, status },
    });
  }
  const { row, taken } = await afterTakenIn(stemma, id);
  const now = row.state.status;
  if (options.json === true) return printJson({ run: id, accepted, status: now });
  if (now === "cancelled") print(`${id} ${isTerminal(state.status) ? "was cancelled before" : "is cancelled"}`);
  else print(`${id} ${accepted ? "is asked" : "was asked before"} to end; it is ${wordsOf(now)}`);
  if (!taken) noteNotTaken("The request", row);
  else if (!isTerminal(now))
    note(paintNote("It ends when what is in flight has stopped and what it called has ended.", "dim"));
}
