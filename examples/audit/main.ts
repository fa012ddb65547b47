/**
 * The program behind `npm start`: reads its options, tells the story of `demonstrate.ts`, and prints what came of it.
 * Its exit code is 1 if the run failed or if the figures are not what they should be.
 */
import { mkdir, mkdtemp, readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { concurrency } from "./audit.ts";
import { demonstrate } from "./demonstrate.ts";
import type { Story } from "./demonstrate.ts";
import { broken } from "./figures.ts";
import { Progress } from "./progress.ts";
import { figureLines, heading, nextCommands, summaryLines } from "./show.ts";

const repository = fileURLToPath(new URL("../..", import.meta.url));

const usage = `usage: npm start -- [--once] [--json] [--dir FOLDER] [--keep FOLDER]

  --once         run once and exit
  --json         print one JSON object on stdout, everything else on stderr
  --dir FOLDER   what to audit (default: node_modules of this repository)
  --keep FOLDER  a new or empty folder for stores and report (default: a new one under .stemma/)
`;

type Options = { json: boolean; dir: string; keep: string | undefined; help: boolean };

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      once: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      dir: { type: "string", default: join(repository, "node_modules") },
      keep: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  return { json: values.json, dir: resolve(values.dir), keep: values.keep, help: values.help };
}

/** A folder with nothing in it: an old ledger would be counted with the new one. */
async function freshFolder(keep: string | undefined): Promise<string> {
  if (keep === undefined) {
    const parent = join(repository, ".stemma");
    await mkdir(parent, { recursive: true });
    return mkdtemp(join(parent, "audit-"));
  }
  const folder = resolve(keep);
  await mkdir(folder, { recursive: true });
  const found = await readdir(folder);
  if (found.length > 0)
    throw new Error(`--keep: expected a new or empty folder, found ${found.length} files in ${folder}`);
  return folder;
}

async function tell(options: Options, open: AsyncDisposableStack): Promise<void> {
  const folder = await freshFolder(options.keep);
  const store = join(folder, "stemma.db");
  const out = new Progress(options.json ? process.stderr : process.stdout);
  const story = await demonstrate({ dir: options.dir, folder, store, out, open });
  show(story, store, out);
  const complaints = broken(story.figures, concurrency);
  if (options.json) process.stdout.write(`${JSON.stringify(story.figures)}\n`);
  if (complaints.length > 0) throw new Error(complaints.join("; "));
}

function show({ figures, output, tree }: Story, store: string, out: Progress): void {
  const parts: [string, string[]][] = [
    ["Licences", summaryLines(output)],
    ["Trace", tree.map((line) => `  ${line}`)],
    ["Figures, from the ledger of the paid service and from the store", figureLines(figures)],
    ["Look at the run", nextCommands(figures.run, store, [output.files.markdown])],
  ];
  for (const [title, lines] of parts) for (const line of [heading(title), ...lines]) out.line(line);
}

async function main(): Promise<void> {
  const options = readOptions();
  if (options.help) {
    process.stdout.write(usage);
    return;
  }
  await using open = new AsyncDisposableStack();
  let interrupted = false;
  const interrupt = (signal: NodeJS.Signals, code: number): void => {
    if (interrupted) return;
    interrupted = true;
    console.error(`\n${signal}: stopping the processes that were started`);
    void open.disposeAsync().finally(() => process.exit(code));
  };
  process.on("SIGINT", () => interrupt("SIGINT", 130));
  process.on("SIGTERM", () => interrupt("SIGTERM", 143));
  try {
    await tell(options, open);
  } catch (error) {
    // What breaks while everything is being stopped is no news.
    if (interrupted) return;
    console.error(`\nthe audit failed: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}

await main();
