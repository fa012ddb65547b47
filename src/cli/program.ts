/**
 * The program: its commands, and one way to carry out a line of words. It gives the exit code and ends no process, so
 * that it can be tried without starting one; `main.ts` is the process around it.
 */
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { addCancel } from "./commands/cancel.ts";
import { addCompare } from "./commands/compare.ts";
import { addCompletion } from "./commands/completion.ts";
import { addDecide } from "./commands/decide.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addExport } from "./commands/export.ts";
import { addGolden } from "./commands/golden.ts";
import { addImport } from "./commands/import.ts";
import { addLineage } from "./commands/lineage.ts";
import { addPause } from "./commands/pause.ts";
import { addPlan } from "./commands/plan.ts";
import { addProv } from "./commands/prov.ts";
import { addPrune } from "./commands/prune.ts";
import { addFork, addRestart } from "./commands/restart.ts";
import { addResume } from "./commands/resume.ts";
import { addRuns } from "./commands/runs.ts";
import { addServe } from "./commands/serve.ts";
import { addShow } from "./commands/show.ts";
import { addSignal } from "./commands/signal.ts";
import { addStart } from "./commands/start.ts";
import { addTrace } from "./commands/trace.ts";
import { addVerify } from "./commands/verify.ts";
import { addWaits } from "./commands/waits.ts";
import { addWatch } from "./commands/watch.ts";
import { addWebhooks } from "./commands/webhooks.ts";
import { addWhy } from "./commands/why.ts";
import { addWorker } from "./commands/worker.ts";
import { report } from "./report.ts";

/** In the order of the help: to begin, to look, to answer, to steer, and what is left. */
const commands = [
  addStart,
  addWorker,
  addServe,
  addWebhooks,
  addRuns,
  addShow,
  addWatch,
  addTrace,
  addLineage,
  addCompare,
  addGolden,
  addWhy,
  addProv,
  addVerify,
  addWaits,
  addResume,
  addSignal,
  addDecide,
  addPause,
  addCancel,
  addPlan,
  addRestart,
  addFork,
  addExport,
  addImport,
  addPrune,
  addDoctor,
  addCompletion,
];

/** A line of words, ready to be carried out. */
export type Line = {
  /** Carries it out, and gives the exit code. */
  run(): Promise<number>;
  /** Reports an error that came from elsewhere, and gives the exit code. */
  fail(error: unknown): number;
};

export function lineOf(words: readonly string[]): Line {
  const program = programOf();
  const json = wantsJson(words);
  const help = helpFor(program, words);
  const fail = (error: unknown): number => report(error, json, help);
  const run = async (): Promise<number> => {
    try {
      await program.parseAsync([...words], { from: "user" });
      // A command whose answer is that something is wrong says so here, and reports no error.
      return Number(process.exitCode ?? 0);
    } catch (error) {
      // Commander ends `--help` and `--version` this way too; they are answers. So it ends no command at all: usage.
      if (error instanceof CommanderError && error.exitCode === 0) return 0;
      if (error instanceof CommanderError && error.code === "commander.help") return 2;
      return fail(error);
    }
  };
  return { run, fail };
}

function programOf(): Command {
  const program = new Command("stemma")
    .description("Durable workflows whose runs form a family tree")
    .version(versionOf())
    .showSuggestionAfterError()
    .exitOverride()
    // Errors are reported in one place; help that nobody asked for is not an answer.
    .configureOutput({ outputError: () => {} });
  for (const add of commands) add(program);
  return program;
}

function versionOf(): string {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  return version;
}

/** Whether errors are wanted as JSON: also when the arguments could not be read. */
function wantsJson(words: readonly string[]): boolean {
  const end = words.indexOf("--");
  return words.slice(0, end < 0 ? words.length : end).includes("--json");
}

/** What to type to learn how the command is used that somebody tried to use. */
function helpFor(program: Command, words: readonly string[]): string {
  const names = new Set(program.commands.map((command) => command.name()));
  const name = words.find((word) => !word.startsWith("-"));
  return name !== undefined && names.has(name) ? `stemma ${name} --help` : "stemma --help";
}
