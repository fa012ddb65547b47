/**
 * What is asked of a run from outside (an answer, a signal, to cancel, to pause, a decision) is a message until a worker
 * takes it in. The commands that send one say which of the two it is.
 */
import type { Command } from "commander";
import type { By } from "../engine/requests.ts";
import { noWorkerOffersText } from "../core/offered.ts";
import { isTerminal } from "../core/run.ts";
import type { RunRow } from "../store/store.ts";
import { note, paintNote } from "./terminal.ts";
import { offerOf } from "./shown-run.ts";
import type { Asked } from "./place.ts";

export type ByOptions = { by?: string; reason?: string };

/** Adds who asks, and why: both are kept on record. */
export function withBy(command: Command): Command {
  return command.option("--by <name>", "who asks; kept on record").option("--reason <text>", "why; kept on record");
}

export function byOf({ by, reason }: ByOptions): By {
  return { ...(by === undefined ? {} : { by }), ...(reason === undefined ? {} : { reason }) };
}

/** How long a command waits for a worker to take its message in. */
const takenInMs = 1000;
const lookMs = 20;

/** The run once a worker has taken in all that was sent to it, or as it is when none did within a second. */
export async function afterTakenIn(stemma: Asked, run: string): Promise<{ row: RunRow; taken: boolean }> {
  const until = performance.now() + takenInMs;
  for (;;) {
    const row = await stemma.row(run);
    const taken = row.inboxDone >= row.inbox || isTerminal(row.state.status);
    if (taken || performance.now() >= until) return { row, taken };
    await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
}

/** Says that a message waits, and for what. `what` begins the sentence: "The answer". */
export function noteNotTaken(what: string, row: RunRow): void {
  const why = row.offered || row.worker !== undefined ? "" : ` Now ${noWorkerOffersText(row.state)}.`;
  const how = row.worker === undefined ? "one that offers" : "the one that holds the run with";
  const text = `${what} is kept, but no worker has taken it in yet: ${how} ${offerOf(row)} does.${why}`;
  note(paintNote(text, "yellow"));
}
