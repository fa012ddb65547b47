/** `stemma watch`: what happens to a run, until it ends: a tree in a terminal, a line per event everywhere else. */
import type { Command } from "commander";
import type { StemmaError } from "../../core/error.ts";
import { isStemmaError } from "../../core/error.ts";
import type { Event, RunId } from "../../core/event.ts";
import type { Status } from "../../core/run.ts";
import { isTerminal } from "../../core/run.ts";
import type { KnownCalls } from "../called-runs.ts";
import { lookAtCalled } from "../called-runs.ts";
import { quietNormal } from "../entry-lines.ts";
import { eventLine } from "../event-line.ts";
import { findRun, runArgument } from "../find-run.ts";
import { follow } from "../follow.ts";
import { LiveScreen } from "../live-screen.ts";
import { runLines } from "../run-lines.ts";
import { entriesOf } from "../run-tree.ts";
import type { ShownRun } from "../shown-run.ts";
import { isHeld, learn, namedBy, nothingKnown, shownRun } from "../shown-run.ts";
import type { CommonOptions } from "../store-option.ts";
import type { Looked } from "../place.ts";
import { openPlace, withPlaceOptions } from "../place.ts";
import { jsonText, note, paintNote, print, printed, terminalWidth } from "../terminal.ts";
import { frameLines } from "../watch-frame.ts";

const pollMs = 200;
/** A frame is drawn anew when something happened, and as often as a time in it changes. */
const tickMs = 1000;
const exitBySignal = { SIGINT: 130, SIGTERM: 143 } as const;

export function addWatch(program: Command): void {
  const command = program
    .command("watch")
    .description("follow a run until it ends; exit code 1 when it does not succeed")
    .addArgument(runArgument());
  withPlaceOptions(command, "print one JSON value for each event, a line each").action(watch);
}

async function watch(given: string, options: CommonOptions): Promise<void> {
  await using place = await openPlace(options);
  const { store } = place;
  const { id } = await findRun(place.stemma, given);
  const ended = stopSignal();
  const isScreen = process.stdout.isTTY && process.env["TERM"] !== "dumb" && options.json !== true;
  const status = await (isScreen
    ? watchOnScreen(store, id, ended, options)
    : watchByLine(store, id, ended, options.json === true));
  if (isTerminal(status)) process.exitCode = status === "succeeded" ? 0 : 1;
}

/** Aborted at the first SIGINT or SIGTERM, which is then the exit code. */
function stopSignal(): AbortSignal {
  const controller = new AbortController();
  const hear = (signal: keyof typeof exitBySignal): void => {
    process.exitCode = exitBySignal[signal];
    controller.abort();
  };
  process.once("SIGINT", hear);
  process.once("SIGTERM", hear);
  return controller.signal;
}

async function watchByLine(store: Looked, run: RunId, signal: AbortSignal, json: boolean): Promise<Status> {
  const lineOf = (event: Event): string => (json ? jsonText({ run, ...event }) : eventLine(event));
  let status: Status = "queued";
  for await (const { row, events } of follow(store, run, { pollMs, signal, trouble: noteTrouble() })) {
    await printed(...events.map(lineOf));
    ({ status } = row.state);
  }
  return status;
}

/** Says what is wrong with the store once, not with every question. */
function noteTrouble(): (error: StemmaError) => void {
  let said = "";
  return ({ code, message }) => {
    if (code !== said) note(`${paintNote(`${code}:`, "yellow")} ${paintNote(message, "dim")}`);
    said = code;
  };
}

async function watchOnScreen(store: Looked, run: RunId, signal: AbortSignal, options: CommonOptions): Promise<Status> {
  const screen = new LiveScreen(process.stdout);
  const calls: KnownCalls = new Map();
  const withCalled = async (run_: ShownRun, told: (error: StemmaError) => void): Promise<ShownRun> => {
    const named = { ...run_, place: namedBy(options) };
    try {
      return { ...named, called: await lookAtCalled(store, entriesOf(run_.tree), calls, false) };
    } catch (error) {
      if (!isStemmaError(error) || !error.retryable) throw error;
      told(error);
      return named;
    }
  };
  // Also when the process ends in another way, the terminal is given back as it was.
  process.once("exit", () => screen.close());
  const known = nothingKnown();
  let shown: ShownRun | undefined;
  let drawnAt = -Infinity;
  const trouble = ({ code }: StemmaError): void => {
    const lines = shown === undefined ? [] : frameLines(shown, screen.size, Date.now());
    screen.draw([paintNote(`${code}: the store is asked again`, "yellow"), ...lines].slice(0, screen.size.height));
  };
  try {
    for await (const { row, events, caughtUp } of follow(store, run, { pollMs, signal, trouble })) {
      for (const event of events) learn(known, event);
      const now = Date.now();
      if (!caughtUp || (events.length === 0 && now - drawnAt < tickMs)) continue;
      shown = await withCalled(shownRun(row, known), trouble);
      if (!isTerminal(row.state.status)) screen.draw(frameLines(shown, screen.size, now));
      drawnAt = now;
    }
    if (shown === undefined) return "queued";
    if (!isTerminal(shown.row.state.status)) return shown.row.state.status;
    screen.clear();
    printEnd(shown);
    return shown.row.state.status;
  } finally {
    screen.close();
  }
}

/** A run that is over stays on the screen as `stemma show` shows it. */
function printEnd(run: ShownRun): void {
  const looks = {
    now: Date.now(),
    width: terminalWidth(),
    outputs: false,
    all: false,
    open: false,
    quiet: quietNormal,
  };
  print(...runLines(run, { ...looks, held: isHeld(run.row), texts: new Map() }));
}
