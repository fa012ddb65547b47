/**
 * Who holds a run paused. A run is paused together with the run that called it, and it may be paused by itself; what its
 * caller did, its caller may undo, and no more than that. Whoever unpauses the run itself lets it go on in any case.
 */
import type { RunId } from "../core/event.ts";
import type { RunState } from "../core/reduce.ts";
import type { Received } from "../store/store.ts";
import { decode } from "../core/json.ts";
import type { Log } from "./body.ts";
import type { Children } from "./children.ts";
import type { Journal } from "./journal.ts";
import type { PauseMessage } from "./messages.ts";

export type PauseKind = "pause" | "unpause";

/** `own`: somebody paused this very run. `caller`: it is paused because the run that called it is. */
type Hold = "own" | "caller" | undefined;

function holdOf({ status, pausedWith }: RunState): Hold {
  if (status !== "paused") return undefined;
  return pausedWith === undefined ? "own" : "caller";
}

function holdAfter(hold: Hold, kind: PauseKind, caller: RunId | undefined): Hold {
  if (caller === undefined) return kind === "pause" ? "own" : undefined;
  if (hold === "own") return "own";
  return kind === "pause" ? "caller" : undefined;
}

/**
 * Takes in that a run is to be paused, or to go on, and tells the runs that it called.
 *
 * @returns whether it is paused from now on
 */
export function takePause(
  kind: PauseKind,
  request: PauseMessage,
  { journal, children }: { journal: Journal; children: Children },
): boolean {
  const before = holdOf(journal.state);
  const after = holdAfter(before, kind, request.caller);
  if (after === before) return after !== undefined;
  const type = after === undefined ? "run.unpaused" : "run.paused";
  const { seq } = journal.append({ type, data: request, causes: [journal.head] });
  // Those that it called are paused already where only somebody more wants it to be.
  if (before === undefined || after === undefined) children.pauseAll(kind, seq, request);
  return after !== undefined;
}

/** Whether what came while nobody held the run keeps it from beginning anything: it is to be paused, or cancelled. */
export function holdsBack(state: RunState, messages: readonly Received[]): boolean {
  let hold = holdOf(state);
  for (const { kind, body } of messages) {
    if (kind === "cancel") return true;
    if (kind === "pause" || kind === "unpause") hold = holdAfter(hold, kind, (decode(body) as PauseMessage).caller);
  }
  return hold !== undefined;
}

/** A run on its way to its end takes no pause: what it still does is to end, and to make up for what it did. */
export function saidTooLate(kind: PauseKind, run: RunId, log: Log): void {
  log.warn(`A run was asked to ${kind} when it was on its way to its end; it goes on to it`, { run });
}
