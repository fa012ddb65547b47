/** Measurements of Stemma under the short workflow. Each runs in a process of its own and gives figures back. */
import { join } from "node:path";

import { countStatements } from "../connections.ts";
import { watchEventLoop } from "../event-loop.ts";
import { fileBytes } from "../file-bytes.ts";
import { openFloor } from "../floor.ts";
import type { Where } from "../place.ts";
import { placeOf } from "../place.ts";
import { quantile } from "../spread.ts";
import { stopwatch } from "../stopwatch.ts";
import { drive, open, shortSteps, work } from "../work.ts";

type Load = Where & { concurrency: number; runs: number; warmUp: number };

/** Steps per second with `concurrency` runs going on at any time, each from its start to its result. */
export async function load({ concurrency, runs, warmUp, ...where }: Load): Promise<Record<string, number>> {
  await using engine = await open(placeOf(where));
  await engine.start();
  await drive(engine.stemma, warmUp, concurrency);
  const read = stopwatch();
  await drive(engine.stemma, runs, concurrency);
  const { ms, cpuMs } = read();
  await engine.expectDurable();
  const steps = runs * shortSteps;
  return { stepsPerSecond: (steps / ms) * 1000, cpuMsPerStep: cpuMs / steps };
}

/** How long the event loop is blocked under the same load. */
export async function blocked({ concurrency, runs, warmUp, ...where }: Load): Promise<Record<string, number>> {
  await using engine = await open(placeOf(where));
  await engine.start();
  await drive(engine.stemma, warmUp, concurrency);
  const stop = watchEventLoop();
  await drive(engine.stemma, runs, concurrency);
  const found = stop();
  await engine.expectDurable();
  return found;
}

/** How long one run takes, from its start to its result, while there is no other. */
export async function alone(args: Where & { runs: number; warmUp: number }): Promise<Record<string, number>> {
  await using engine = await open(placeOf(args));
  await engine.start();
  await drive(engine.stemma, args.warmUp, 1);
  const times: number[] = [];
  for (let i = 0; i < args.runs; i++) {
    const start = performance.now();
    const run = await engine.stemma.run(work, { steps: shortSteps });
    await run.result();
    times.push(performance.now() - start);
  }
  await engine.expectDurable();
  return { p50: quantile(times, 0.5), p99: quantile(times, 0.99) };
}

/** What is asked of SQLite, and how large the file becomes. */
export async function cost({ folder, concurrency, runs, warmUp }: Load): Promise<Record<string, number>> {
  const file = join(folder, "stemma.db");
  const counts = countStatements();
  let counted;
  {
    await using engine = await open(file);
    await engine.start();
    await drive(engine.stemma, warmUp, concurrency);
    const before = { ...counts, byText: new Map(counts.byText) };
    await drive(engine.stemma, runs, concurrency);
    counted = {
      statementsPerRun: (counts.statements - before.statements) / runs,
      writesPerRun: (counts.writes - before.writes) / runs,
      readsPerRun: (counts.reads - before.reads) / runs,
      writesPerStep: (counts.writes - before.writes) / runs / shortSteps,
    };
    if (process.env["BENCH_STATEMENTS"] !== undefined) {
      const rows = [...counts.byText].map(([text, n]) => [text, (n - (before.byText.get(text) ?? 0)) / runs] as const);
      for (const [text, n] of rows.toSorted((a, b) => b[1] - a[1])) {
        if (n > 0) console.error(`${n.toFixed(2).padStart(9)}  ${text.slice(0, 110)}`);
      }
    }
    await engine.expectDurable();
  }
  return { ...counted, bytesPerRun: bytesAdded(folder, file) / (warmUp + runs) };
}

/** What the runs take of the file, without what an empty one takes. */
function bytesAdded(folder: string, file: string): number {
  const found = openFloor(file);
  const bytes = fileBytes(found);
  const empty = openFloor(join(folder, "empty.db"));
  const rows = found.prepare("select sql from sqlite_schema where sql is not null and name not like 'sqlite_%'").all();
  for (const row of rows) empty.exec(String(row["sql"]));
  const none = fileBytes(empty);
  found.close();
  empty.close();
  return bytes - none;
}
