/** `stemma worker`: works on runs until it is told to stop. */
import type { Command } from "commander";
import { milliseconds } from "../../core/duration.ts";
import { StemmaError } from "../../core/error.ts";
import { Stemma } from "../../engine/stemma.ts";
import { stderrLog, stopSignal } from "../long-running.ts";
import { wholeNumber } from "../number-option.ts";
import type { CommonOptions } from "../store-option.ts";
import { openStore, withCommonOptions } from "../store-option.ts";
import { printJson } from "../terminal.ts";
import { keepOutputClean, loadWorkflows, offerText } from "../workflow-files.ts";

type WorkerOptions = CommonOptions & { lease: string; concurrency?: number };

/** Renewed three times in its length: a shorter one would be all heartbeats. */
const leaseMsMin = 500;

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
