/** `stemma start`: creates a run of a workflow, and with `--wait` follows it to its end. */
import type { Command } from "commander";
import { milliseconds } from "../../core/duration.ts";
import { StemmaError } from "../../core/error.ts";
import type { RunOptions } from "../../engine/stemma.ts";
import { Stemma } from "../../engine/stemma.ts";
import { commandText } from "../command-text.ts";
import { readInput } from "../input-option.ts";
import { clientOf, serverOf, withPlaceOptions } from "../place.ts";
import type { CommonOptions } from "../store-option.ts";
import { openStore } from "../store-option.ts";
import { note, paintNote, print, printJson, shellWord } from "../terminal.ts";
import type { Followed } from "../wait-for-end.ts";
import { waitForEnd } from "../wait-for-end.ts";
import { keepOutputClean, loadWorkflows } from "../workflow-files.ts";

type StartOptions = CommonOptions & {
  input?: string;
  id?: string;
  key?: string;
  tag?: string[];
  delay?: string;
  wait?: boolean;
};

export function addStart(program: Command): void {
  const command = program
    .command("start")
    .description("create a run of a workflow")
    .argument("<workflow>", "name of the workflow")
    .argument("[files...]", "TypeScript or JavaScript modules; what they export is searched for it")
    .option("--input <json>", "input: JSON, @file, or - for standard input")
    .option("--id <run>", "id of the run: starting it again gives the run that is there")
    .option("--key <key>", "idempotency key: the same workflow and key give the run that is there")
    .option("--tag <tag>", "tag of the run; may be repeated", (tag: string, tags: string[] | undefined) => [
      ...(tags ?? []),
      tag,
    ])
    .option("--delay <duration>", "when it may first be worked on: 10s, 2h …")
    .option("--wait", "follow it to its end; exit code 1 when it fails (a worker must be running)");
  withPlaceOptions(command).action(start);
}

async function start(name: string, files: readonly string[], options: StartOptions): Promise<void> {
  keepOutputClean();
  const url = serverOf(options);
  if (url !== undefined) return startOnServer(url, name, files, options);
  if (files.length === 0) {
    const message = `Expected the file that exports workflow ${name}. Give it: stemma start ${shellWord(name)} workflows.ts`;
    throw new StemmaError("workflow.not_found", message, { data: { workflow: name } });
  }
  const workflows = await loadWorkflows(files);
  const input = await readInput(options.input);
  await using store = await openStore(options, "work");
  await using stemma = new Stemma({ store, workflows });
  const run = await stemma.run(stemma.workflow(name), input, runOptions(options));
  // Awaited here: the store is closed when this function is left.
  await tell(run, options);
}

/** A server has the code itself. */
async function startOnServer(
  url: string,
  name: string,
  files: readonly string[],
  options: StartOptions,
): Promise<void> {
  if (files.length > 0) {
    throw new StemmaError("usage.invalid", `Expected no files with --server: it starts the workflows that it has.`);
  }
  await tell(await clientOf(url).run(name, await readInput(options.input), runOptions(options)), options);
}

async function tell(run: Followed, options: StartOptions): Promise<void> {
  if (options.wait === true) await waitForEnd(run, options, delayMs(options));
  else if (options.json === true) printJson({ run: run.id, status: await run.status() });
  else {
    print(run.id);
    note(paintNote(`Look at it: ${commandText(["show", run.id], options)}`, "dim"));
  }
}

function delayMs({ delay }: StartOptions): number {
  return delay === undefined ? 0 : milliseconds(delay, "delay");
}

function runOptions({ id, key, tag, delay }: StartOptions): RunOptions {
  return {
    ...(id === undefined ? {} : { id }),
    ...(key === undefined ? {} : { idempotencyKey: key }),
    ...(tag === undefined ? {} : { tags: tag }),
    ...(delay === undefined ? {} : { delay }),
  };
}
