#!/usr/bin/env node
/**
 * The command line. Each command is a file in `commands/` and a line in the list below. Standard output carries the
 * answer and nothing else; exit codes: 0 done, 1 the run failed, 2 usage, 3 not found, 4 refused.
 */
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { addCompletion } from "./commands/completion.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addRuns } from "./commands/runs.ts";
import { addShow } from "./commands/show.ts";
import { addStart } from "./commands/start.ts";
import { addTrace } from "./commands/trace.ts";
import { addWatch } from "./commands/watch.ts";
import { addWorker } from "./commands/worker.ts";
import { report } from "./report.ts";
import { survivePipes } from "./terminal.ts";

const commands = [addStart, addWorker, addRuns, addShow, addWatch, addTrace, addDoctor, addCompletion];

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

async function main(words: readonly string[]): Promise<number> {
  const json = wantsJson(words);
  const program = programOf();
  const help = helpFor(program, words);
  const fail = (error: unknown): void => process.exit(report(error, json, help));
  process.on("uncaughtException", fail);
  process.on("unhandledRejection", fail);
  survivePipes();
  try {
    await program.parseAsync([...words], { from: "user" });
    // A command whose answer is that something is wrong says so here, and reports no error.
    return Number(process.exitCode ?? 0);
  } catch (error) {
    // Commander ends `--help` and `--version` this way too; they are answers. So it ends no command at all: usage.
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    if (error instanceof CommanderError && error.code === "commander.help") return 2;
    return report(error, json, help);
  }
}

const code = await main(process.argv.slice(2));
process.exitCode = code;
// What workflows' modules left open (connections, timers) must not keep a command from ending that is done.
process.stdout.write("", () => process.exit(code));
