/** Measurements of the floors. Each runs in a process of its own and gives figures back. */
import { join } from "node:path";

import { expectDurable } from "../connections.ts";
import { openFloor, writeRuns, writerOf } from "../floor.ts";
import type { Kind } from "../floor.ts";
import { fileBytes } from "../file-bytes.ts";
import { quantile } from "../spread.ts";
import { templateIn } from "../template.ts";
import { stopwatch } from "../stopwatch.ts";
import { shortSteps } from "../work.ts";
import { warmUpSteps } from "./long.ts";

/** Steps per second of a bare loop with `together` runs in each transaction. */
export async function floor(args: {
  folder: string;
  kind: Kind;
  together: number;
  runs: number;
  warmUp: number;
}): Promise<Record<string, number>> {
  const template = await templateIn(args.folder);
  const database = openFloor(join(args.folder, "floor.db"));
  const writer = writerOf(database, args.kind, template, shortSteps);
  const empty = fileBytes(database);
  writeRuns(database, writer, { from: 1, to: args.warmUp, together: args.together });
  const read = stopwatch();
  writeRuns(database, writer, { from: args.warmUp + 1, to: args.warmUp + args.runs, together: args.together });
  const { ms, cpuMs } = read();
  expectDurable();
  const bytes = (fileBytes(database) - empty) / (args.warmUp + args.runs);
  database.close();
  const steps = args.runs * shortSteps;
  return { stepsPerSecond: (steps / ms) * 1000, cpuMsPerStep: cpuMs / steps, bytesPerRun: bytes };
}

/** How long one run takes that nobody else's commits are mixed with. */
export async function floorAlone(args: {
  folder: string;
  runs: number;
  warmUp: number;
}): Promise<Record<string, number>> {
  const template = await templateIn(args.folder);
  const database = openFloor(join(args.folder, "floor.db"));
  const writer = writerOf(database, "rows", template, shortSteps);
  writeRuns(database, writer, { from: 1, to: args.warmUp, together: 1 });
  const times: number[] = [];
  for (let run = args.warmUp + 1; run <= args.warmUp + args.runs; run++) {
    const start = performance.now();
    writeRuns(database, writer, { from: run, to: run, together: 1 });
    times.push(performance.now() - start);
  }
  expectDurable();
  database.close();
  return { p50: quantile(times, 0.5), p99: quantile(times, 0.99) };
}

/** One long run, written event by event. */
export async function floorLong(args: { folder: string; steps: number }): Promise<Record<string, number>> {
  const template = await templateIn(args.folder);
  const database = openFloor(join(args.folder, "floor.db"));
  const writer = writerOf(database, "rows", template, args.steps);
  const warm = { commits: warmUpSteps, write: writer.write };
  writeRuns(database, warm, { from: 1, to: 1, together: 1 });
  const read = stopwatch();
  writeRuns(database, writer, { from: 2, to: 2, together: 1 });
  const { ms } = read();
  expectDurable();
  database.close();
  return { msPerStep: ms / args.steps, peakMb: process.resourceUsage().maxRSS / 1024 };
}
