/** `stemma resume`: answers an open wait of a run. */
import type { Command } from "commander";
import { milliseconds } from "../../core/duration.ts";
import { StemmaError } from "../../core/error.ts";
import type { Answered } from "../../engine/requests.ts";
import type { AgainOptions, AnswerOptions } from "../../engine/stemma.ts";
import type { RunRow } from "../../store/store.ts";
import { findRun, runArgument } from "../find-run.ts";
import { readInput } from "../input-option.ts";
import { afterTakenIn, noteNotTaken } from "../request.ts";
import type { CommonOptions } from "../store-option.ts";
import type { Asked } from "../place.ts";
import { openPlace, withPlaceOptions } from "../place.ts";
import { jsonText, note, paintNote, print, printJson, shorten, visible } from "../terminal.ts";

type ResumeOptions = CommonOptions & {
  value?: string;
  fail?: string;
  again?: boolean;
  prompt?: string;
  reason?: string;
  expires?: string;
  by?: string;
  key?: string;
};

const shownCharsMax = 200;

export function addResume(program: Command): void {
  const command = program
    .command("resume")
    .description("answer an open wait of a run")
    .addArgument(runArgument())
    .argument("<wait>", "key of the wait, as stemma waits shows it")
    .option("--value <json>", "the answer: JSON, @file, or - for standard input")
    .option("--fail <message>", "answer with an error, which the run can catch")
    .option("--again", "say that it has to wait on; --value is then what was said")
    .option("--prompt <text>", "with --again: the prompt from here on")
    .option("--reason <text>", "with --again: the reason from here on")
    .option("--expires <duration>", "with --again: when it expires from now on: 1h, 3d …")
    .option("--by <name>", "who answers; kept on record")
    .option("--key <key>", "idempotency key: a second answer with it is the same answer");
  withPlaceOptions(command).action(resume);
}

async function resume(given: string, wait: string, options: ResumeOptions): Promise<void> {
  checkOptions(options);
  const value = await readInput(options.value, "--value");
  await using place = await openPlace(options);
  const { stemma } = place;
  const row = await findRun(stemma, given);
  const answered = await send(stemma, row.id, wait, value, options);
  // Answers are told apart by their place: what was on record before this command began is not its own.
  const before = answered.state === "recorded" && answered.seq <= row.state.seq;
  if (options.json === true) return printJson({ run: row.id, wait, ...answered, ...(before ? { before } : {}) });
  if (answered.state === "sent") {
    print(`answered ${visible(wait)}`);
    return noteNotTaken("The answer", (await afterTakenIn(stemma, row.id)).row);
  }
  if (before) {
    print(`answered before, at ${answered.seq}${byText(answered)}: ${recordText(answered)}`);
    return note(paintNote("Nothing has changed: a wait has one answer, the first.", "yellow"));
  }
  print(options.again === true ? `${visible(wait)} waits on` : `answered ${visible(wait)}: ${recordText(answered)}`);
  await noteState(stemma, row);
}

async function send(
  stemma: Asked,
  run: string,
  wait: string,
  value: unknown,
  options: ResumeOptions,
): Promise<Answered> {
  const { by, key, fail } = options;
  const answer: AnswerOptions = {
    ...(by === undefined ? {} : { by }),
    ...(key === undefined ? {} : { idempotencyKey: key }),
  };
  if (fail !== undefined) return stemma.fail(run, wait, new Error(fail), answer);
  if (options.again === true) return stemma.resuspend(run, wait, { ...answer, ...againOf(value, options) });
  return stemma.resume(run, wait, value, answer);
}

function againOf(value: unknown, { prompt, reason, expires }: ResumeOptions): AgainOptions {
  return {
    ...(value === undefined ? {} : { value }),
    ...(prompt === undefined ? {} : { prompt }),
    ...(reason === undefined ? {} : { reason }),
    ...(expires === undefined ? {} : { expires: milliseconds(expires, "--expires") }),
  };
}

/** An answer is one of three things, and is never guessed. */
function checkOptions({ value, fail, again = false, prompt, reason, expires }: ResumeOptions): void {
  const refuse = (found: string, todo: string): never => {
    throw new StemmaError(
      "usage.invalid",
      `Expected --value <json>, --fail <message> or --again, got ${found}. ${todo}`,
    );
  };
  if (fail !== undefined && again) refuse("--fail and --again", "Give one of them.");
  if (fail !== undefined && value !== undefined) refuse("--fail and --value", "Give one of them.");
  if (value === undefined && fail === undefined && !again)
    refuse("none", "For an answer that says nothing: --value null.");
  const only = Object.entries({ prompt, reason, expires }).find(([, text]) => text !== undefined);
  if (only !== undefined && !again) refuse(`--${only[0]} without --again`, "It says how the wait goes on.");
}

/** How the run stands: an answer may not be the last thing it needs. */
async function noteState(stemma: Asked, { id }: RunRow): Promise<void> {
  const { state } = await stemma.row(id);
  if (state.status !== "paused") return;
  const { pausedWith } = state;
  const what = pausedWith === undefined ? "The run is paused" : "The run is paused with the one that called it";
  note(paintNote(`${what}: it goes on after stemma unpause ${pausedWith ?? id}`, "yellow"));
}

function byText({ by }: { by?: string }): string {
  return by === undefined ? "" : ` by ${visible(by)}`;
}

function recordText(answered: Answered): string {
  if (answered.state === "sent") return "";
  const { value, error } = answered;
  if (error !== undefined) return visible(shorten(`${error.name}: ${error.message}`, shownCharsMax));
  return value === undefined ? "nothing" : shorten(jsonText(value), shownCharsMax);
}
