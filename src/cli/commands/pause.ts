/** `stemma pause` and `stemma unpause`: nothing more begins in a run, until it may. */
import type { Command } from "commander";
import { isTerminal } from "../../core/run.ts";
import { commandText } from "../command-text.ts";
import { findRun, runArgument } from "../find-run.ts";
import { wordsOf } from "../look.ts";
import type { ByOptions } from "../request.ts";
import { afterTakenIn, byOf, noteNotTaken, withBy } from "../request.ts";
import type { CommonOptions } from "../store-option.ts";
import { openPlace, withPlaceOptions } from "../place.ts";
import { note, paintNote, print, printJson } from "../terminal.ts";

type Verb = "pause" | "unpause";

const descriptions: Readonly<Record<Verb, string>> = {
  pause: "let what is in flight finish, of a run and of those it called, and begin nothing more",
  unpause: "let a paused run go on",
};

export function addPause(program: Command): void {
  for (const verb of ["pause", "unpause"] as const) {
    const command = program.command(verb).description(descriptions[verb]).addArgument(runArgument());
    withPlaceOptions(withBy(command)).action((given: string, options: CommonOptions & ByOptions) =>
      ask(verb, given, options),
    );
  }
}

async function ask(verb: Verb, given: string, options: CommonOptions & ByOptions): Promise<void> {
  await using place = await openPlace(options);
  const { stemma } = place;
  const { id } = await findRun(stemma, given);
  const { previous } = await stemma[verb](id, byOf(options));
  const { row, taken } = await afterTakenIn(stemma, id);
  const { status } = row.state;
  if (options.json === true) return printJson({ run: id, previous, status, state: taken ? "recorded" : "sent" });
  print(taken ? `${id} is ${wordsOf(status)}` : `${id} is asked to ${verb}; it is ${wordsOf(status)}`);
  if (!taken) noteNotTaken("The request", row);
  else if (verb === "pause" && status !== "paused" && !isTerminal(status))
    note(paintNote("It is on its way to its end; it goes on to it.", "dim"));
  else if (status === "paused") note(paintNote(`Let it go on: ${commandText(["unpause", id], options)}`, "dim"));
}
