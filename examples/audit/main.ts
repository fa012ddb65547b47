/**
 * The program behind `npm start`: reads its options, tells the story of `demonstrate.ts`, and prints what came of it.
 * Its exit code is 1 if the run failed or if the figures are not what they should be, 2 for options that make no sense,
 * else what the code of the error stands for.
 */
import { mkdir, mkdtemp, readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { isStemmaError, StemmaError } from "../../src/index.ts";
import { errorCodes } from "../../src/core/error.ts";
import { concurrency } from "./audit.ts";
import { demonstrate } from "./demonstrate.ts";
import type { Story } from "./demonstrate.ts";
import { broken } from "./figures.ts";
import { Progress } from "./progress.ts";
import { figureLines, heading, nextCommands, summaryLines } from "./show.ts";
import { billLines, comparisonLines, familyCommands, planLines } from "./show-repair.ts";
import { stay } from "./stay.ts";
import { storeChoice } from "./store.ts";
import type { StoreChoice } from "./store.ts";

const repository = fileURLToPath(new URL("../..", import.meta.url));

const usage = `usage: npm start -- [--once] [--json] [--dir FOLDER] [--keep FOLDER] [--store STORE] [--port N]

  --once         end when the story is told; without it a server and a worker stay, until Ctrl+C
  --json         print one JSON object on stdout, everything else on stderr
  --dir FOLDER   what to audit (default: node_modules of this repository)
  --keep FOLDER  a new or empty folder for stores and report (default: a new one under .stemma/)
  --store STORE  where the run is kept:
                   sqlite           a file in that folder (default)
                   postgres         a PostgreSQL server that is started for it and removed at the end
                   postgres://…     a database of yours, in a new schema stemma_audit_…, which stays there
  --port N       port of the server that stays (default: 4747, or any that is free if that is taken)
`;

const portDefault = 4747;

type Options = {
  once: boolean;
  json: boolean;
  dir: string;
  keep: string | undefined;
  store: StoreChoice;
  /** Undefined: the usual one, or any. */
  port: number | undefined;
  help: boolean;
};

function readOptions(): Options {
  const { values } = parsed();
  const { once, json, dir, keep, store, help } = values;
  return { once, json, dir: resolve(dir), keep, store: storeChoice(store), port: portOf(values.port), help };
}

function portOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text);
  throw new StemmaError("usage.invalid", `Expected --port to be a port, got ${JSON.stringify(text.slice(0, 40))}.`);
}

type Given = { once: boolean; json: boolean; dir: string; keep?: string; store: string; port?: string; help: boolean };

function parsed(): { values: Given } {
  try {
    return parseArgs({
      options: {
        once: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        dir: { type: "string", default: join(repository, "node_modules") },
        keep: { type: "string" },
        store: { type: "string", default: "sqlite" },
        port: { type: "string" },
        help: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    throw new StemmaError("usage.invalid", `${what.replace(/\.?$/, ".")} npm start -- --help shows what there is.`);
  }
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
  const out = new Progress(options.json ? process.stderr : process.stdout);
  const story = await demonstrate({ dir: options.dir, folder, store: options.store, out, open });
  show(story, out);
  const complaints = broken(story.figures, concurrency);
  if (options.json) process.stdout.write(`${JSON.stringify(story.figures)}\n`);
  if (complaints.length > 0) throw new Error(complaints.join("; "));
  if (!options.once) await remain(story, options.port, out, open);
}

/** Stays until a signal ends it. The usual port may be somebody else's: nobody asked for it by name. */
async function remain(
  { store, figures }: Story,
  port: number | undefined,
  out: Progress,
  open: AsyncDisposableStack,
): Promise<void> {
  const place = { store, run: figures.run, out, open };
  try {
    await stay({ ...place, port: port ?? portDefault });
  } catch (error) {
    if (port !== undefined || !isStemmaError(error, "usage.invalid")) throw error;
    await stay({ ...place, port: 0 });
  }
  // Nothing else to do; the server and the worker keep the process.
  await new Promise<never>(() => {});
}

function show({ figures, output, tree, store, repaired }: Story, out: Progress): void {
  const { family, forkPlan, bill, comparison, failed, forked } = repaired;
  const parts: [string, string[]][] = [
    ["Licences", summaryLines(output)],
    ["Trace of the restart", tree.map((line) => `  ${line}`)],
    [`Plan of the fork with another prompt for ${family}, before anything ran`, planLines(forkPlan)],
    ["Bill, from the ledger of the paid service", billLines(bill)],
    ["The restart and the fork, side by side", comparisonLines(comparison)],
    ["Figures, from the ledger of the paid service and from the store", figureLines(figures)],
    ["Look at the run", nextCommands(figures.run, store, [output.files.markdown])],
    ["Look at its family", familyCommands({ failed: failed.id, restarted: figures.run, forked: forked.id }, store)],
  ];
  for (const [title, lines] of parts.filter(([, text]) => text.length > 0))
    for (const line of [heading(title), ...lines]) out.line(line);
}

/** Says what went wrong, and sets the exit code that it stands for. */
function fail(error: unknown): void {
  const code = isStemmaError(error) ? error.code : undefined;
  const what = error instanceof Error ? error.message : String(error);
  console.error(`\nthe audit failed: ${code === undefined ? "" : `${code}: `}${what}`);
  process.exitCode = code === undefined ? 1 : errorCodes[code].exit;
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
    fail(error);
  }
}

try {
  await main();
} catch (error) {
  fail(error);
}
