/** `stemma start`: creates a run of a workflow, and with `--wait` follows it to its end. */
import type { Command } from "commander";
import { formatDuration, milliseconds } from "../../core/duration.ts";
import { StemmaError } from "../../core/error.ts";
import type { RunHandle } from "../../engine/run-handle.ts";
import type { RunOptions } from "../../engine/stemma.ts";
import { Stemma } from "../../engine/stemma.ts";
import { commandText } from "../command-text.ts";
import { readInput } from "../input-option.ts";
import { relativeText, wordsOf } from "../look.ts";
import { clientOf, serverOf, withPlaceOptions } from "../place.ts";
import type { CommonOptions } from "../store-option.ts";
import { openStore } from "../store-option.ts";
import { jsonText, note, paintNote, print, printJson, shellWord, visible } from "../terminal.ts";
import { keepOutputClean, loadWorkflows } from "../workflow-files.ts";

type StartOptions = CommonOptions & {
  input?: string;
  id?: string;
  key?: string;
  tag?: string[];
  delay?: string;
  wait?: boolean;
};

/** A run, here or on a server. */
type Started = Pick<RunHandle, "id" | "status" | "result" | "events">;

/** How long a run may lie there before it is worth saying that nobody has taken it. */
const untakenMs = 3000;

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
  await using store = openStore(options, "work");
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

async function tell(run: Started, options: StartOptions): Promise<void> {
  if (options.wait === true) await follow(run, options);
  else if (options.json === true) printJson({ run: run.id, status: await run.status() });
  else {
    print(run.id);
    note(paintNote(`Look at it: ${showCommand(run.id, options)}`, "dim"));
  }
}

function runOptions({ id, key, tag, delay }: StartOptions): RunOptions {
  return {
    ...(id === undefined ? {} : { id }),
    ...(key === undefined ? {} : { idempotencyKey: key }),
    ...(tag === undefined ? {} : { tags: tag }),
    ...(delay === undefined ? {} : { delay }),
  };
}

function showCommand(run: string, options: CommonOptions): string {
  return commandText(["show", run], options);
}

/** The answer is the output; a run that ends otherwise is an error, and with `--json` the answer says so too. */
async function follow(run: Started, options: StartOptions): Promise<void> {
  if (options.json !== true) print(run.id);
  const delayMs = options.delay === undefined ? 0 : milliseconds(options.delay, "delay");
  const untaken = setTimeout(
    () => note(paintNote("No worker has taken it yet: stemma worker works on runs.", "yellow")),
    delayMs + untakenMs,
  );
  try {
    await narrate(run, () => clearTimeout(untaken));
    const output = await run.result();
    if (options.json === true)
      printJson({ run: run.id, status: "succeeded", ...(output === undefined ? {} : { output }) });
    else if (output !== undefined) print(jsonText(output, 2));
  } catch (error) {
    if (options.json === true) printJson({ run: run.id, status: await run.status() });
    else note(paintNote(`Look at it: ${showCommand(run.id, options)}`, "dim"));
    throw error;
  } finally {
    clearTimeout(untaken);
  }
}

/** Says on standard error what happens to the run as a whole, until it ends. */
async function narrate(run: Started, taken: () => void): Promise<void> {
  let createdAt: number | undefined;
  for await (const event of run.events()) {
    createdAt ??= event.at;
    if (event.seq > 0) taken();
    if (event.type === "run.suspended") {
      const { reason, until } = event.data;
      const when = until === undefined ? "" : `, goes on ${relativeText(until, Date.now())}`;
      note(paintNote(`suspended: ${wordsOf(reason)}${when}`, "yellow"));
    } else if (event.type === "step.failed") {
      note(`${paintNote("failed:", "red")} ${visible(event.data.key)}: ${visible(event.data.error.message)}`);
    } else if (event.type === "run.succeeded") {
      note(paintNote(`succeeded after ${formatDuration(event.at - createdAt)}`, "green"));
    }
  }
}
