/** Measurements of one long run: to its end, killed in its midst, and resumed. Each in a process of its own. */
import { join } from "node:path";

import { expectDurable } from "../connections.ts";
import { watchEventLoop } from "../event-loop.ts";
import { openFloor } from "../floor.ts";
import type { Stemma } from "../../src/index.ts";
import { open, whenEntered, work } from "../work.ts";

/** The run that is killed; its lease is short, so that what takes it over need not wait. */
const lease = "1s";

/** What the copy of its file is called. */
const killed = "killed.db";

const peakMb = (): number => process.resourceUsage().maxRSS / 1024;

/** A run before the one that is measured, so that the compiler is not. */
export const warmUpSteps = 1000;

async function runOnce(stemma: Stemma, steps: number): Promise<void> {
  const run = await stemma.run(work, { steps });
  await run.result();
}

/** Milliseconds per step of a run of so many steps, the memory of the process, and how it blocks the event loop. */
export async function long({ folder, steps }: { folder: string; steps: number }): Promise<Record<string, number>> {
  await using engine = await open(join(folder, "stemma.db"));
  await engine.start();
  await runOnce(engine.stemma, warmUpSteps);
  const stop = watchEventLoop();
  const start = performance.now();
  await runOnce(engine.stemma, steps);
  const ms = performance.now() - start;
  const blocked = stop();
  expectDurable();
  return { msPerStep: ms / steps, peakMb: peakMb(), ...blocked };
}

/** Runs up to a step that never ends, says so in one line, and waits for its end. */
export async function dying({ file, steps, at }: { file: string; steps: number; at: number }): Promise<never> {
  const engine = await open(file, { lease });
  await engine.start();
  const here = Promise.withResolvers<undefined>();
  whenEntered((step) => {
    if (step !== at) return undefined;
    here.resolve(undefined);
    return new Promise(() => {});
  });
  await engine.stemma.run(work, { steps });
  await here.promise;
  expectDurable();
  console.log(JSON.stringify({ dying: at }));
  // A timer keeps the process alive until it is killed.
  return new Promise(() => setInterval(() => {}, 1000));
}

/** Milliseconds from `start()` to the first step that is entered anew. */
export async function resume({ folder, at }: { folder: string; at: number }): Promise<Record<string, number>> {
  const engine = await open(join(folder, killed), { lease });
  const first = Promise.withResolvers<number>();
  whenEntered((step) => {
    first.resolve(step);
    return new Promise(() => {});
  });
  const stop = watchEventLoop();
  const start = performance.now();
  await engine.start();
  const step = await first.promise;
  const ms = performance.now() - start;
  const { max } = stop();
  expectDurable();
  if (step !== at) throw new Error(`Expected step ${at} to be the first that is entered, it was step ${step}.`);
  return { ms, peakMb: peakMb(), max };
}

/** Milliseconds to read the rows that a resume has to read, page by page. */
export async function readRows({ folder }: { folder: string }): Promise<Record<string, number>> {
  const start = performance.now();
  const database = openFloor(join(folder, killed));
  const page = database.prepare(
    "select seq, at, type, causes, data, hash from events where run = 1 and seq > ? order by seq limit 1000",
  );
  let rows = 0;
  for (let after = -1; ;) {
    const found = page.all(after);
    rows += found.length;
    const last = found.at(-1);
    if (last === undefined) break;
    after = Number(last["seq"]);
  }
  const ms = performance.now() - start;
  database.close();
  return { ms, rows, peakMb: peakMb() };
}
