/** `stemma worker`: works on runs until it is told to stop. */
import type { Command } from "commander";
import { milliseconds } from "../../core/duration.ts";
import { StemmaError } from "../../core/error.ts";
import type { Log } from "../../engine/body.ts";
import { Stemma } from "../../engine/stemma.ts";
import { wholeNumber } from "../number-option.ts";
import type { CommonOptions } from "../store-option.ts";
import { openStore, withCommonOptions } from "../store-option.ts";
import type { Style } from "../terminal.ts";
import { jsonText, note, paintNote, printJson, visible } from "../terminal.ts";
import { keepOutputClean, loadWorkflows, offerText } from "../workflow-files.ts";

type WorkerOptions = CommonOptions & { lease: string; concurrency?: number };
type Signal = "SIGINT" | "SIGTERM";

/** Renewed three times in its length: a shorter one would be all heartbeats. */
const leaseMsMin = 500;
const exitBySignal = { SIGINT: 130, SIGTERM: 143 } as const;

export function addWorker(program: Command): void {
  const command = program
    .command("worker")
    .description("work on runs until SIGTERM or SIGINT; a second signal ends at once")
    .argument("[files...]", "TypeScript or JavaScript modules; it works on all workflows that they export")
    .option("--lease <duration>", "how long it may be silent before its runs are given to others", "15s")
    .option("--concurrency <n>", "runs that it works on at a time (default: 1000)", wholeNumber(1, 100_000));
  withCommonOptions(command).action(worker);
}

async function worker(files: readonly string[], options: WorkerOptions): Promise<void> {
  keepOutputClean();
  if (files.length === 0) {
    throw new StemmaError(
      "usage.invalid",
      "Expected files that export workflows. Give them: stemma worker workflows.ts",
    );
  }
  const leaseMs = milliseconds(options.lease, "--lease");
  if (leaseMs < leaseMsMin) {
    throw new StemmaError("usage.invalid", `Expected --lease to be at least ${leaseMsMin}ms, got ${options.lease}.`);
  }
  const workflows = await loadWorkflows(files);
  const offers = workflows.map(offerText).toSorted();
  await using store = await openStore(options, "work");
  const log = stderrLog();
  const { concurrency } = options;
  const stemma = new Stemma({
    store,
    workflows,
    lease: leaseMs,
    log,
    ...(concurrency === undefined ? {} : { concurrency }),
  });
  // Listened for before anything is claimed, so a signal that comes early still drains.
  const stopped = stopSignal();
  await stemma.start();
  log.info(`works on ${offers.join(", ")} in ${store.name}`, { pid: process.pid });
  const signal = await stopped;
  log.info(`${signal}: steps that are running may finish; a second signal ends at once`);
  await stemma.stop();
  log.info("stopped; every run was given back");
  if (options.json === true) printJson({ offers, store: store.name, stoppedBy: signal });
}

/** Resolves at the first signal; the second ends the process, as a crash would: others take over when the lease ends. */
function stopSignal(): Promise<Signal> {
  const { promise, resolve } = Promise.withResolvers<Signal>();
  let asked = false;
  const hear = (signal: Signal): void => {
    if (asked) process.exit(exitBySignal[signal]);
    asked = true;
    resolve(signal);
  };
  process.on("SIGINT", hear);
  process.on("SIGTERM", hear);
  return promise;
}

/** Lines such as `12:03:11 warn  A run was lost to another worker {"run":"run_…"}`. */
function stderrLog(): Log {
  const write =
    (level: string, style: Style): Log["info"] =>
    (message, data) => {
      const time = new Date().toTimeString().slice(0, 8);
      const facts = data === undefined ? "" : ` ${paintNote(factsText(data), "dim")}`;
      note(`${paintNote(time, "dim")} ${paintNote(level.padEnd(5), style)} ${visible(message)}${facts}`);
    };
  const debug = process.env["STEMMA_DEBUG"] ? write("debug", "dim") : (): void => {};
  return { debug, info: write("info", "green"), warn: write("warn", "yellow"), error: write("error", "red") };
}

/** Facts come from the code of workflows too, so they may be no JSON at all; a log line is not worth an error. */
function factsText(data: Record<string, unknown>): string {
  try {
    return jsonText(data);
  } catch {
    return "(facts that are no JSON)";
  }
}
