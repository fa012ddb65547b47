/** Graphs of tasks in memory, against a bare loop that awaits the same functions in the same process. */
import { TaskRunner } from "../../src/tasks.ts";
import type { TaskStep } from "../../src/tasks.ts";
import { watchEventLoop } from "../event-loop.ts";

const layer = 100;

/** What the task at this place depends on. */
const shapes: Readonly<Record<string, (i: number) => number[]>> = {
  chain: (i) => (i === 0 ? [] : [i - 1]),
  wide: () => [],
  // Three of the layer before.
  layered: (i) => (i < layer ? [] : [0, 7, 14].map((k) => (Math.floor(i / layer) - 1) * layer + ((i + k) % layer))),
};

function graph(shape: string, count: number, timeout?: number): TaskStep[] {
  const dependenciesOf = shapes[shape];
  if (dependenciesOf === undefined) throw new Error(`There is no shape ${shape}.`);
  return Array.from({ length: count }, (_, i) => ({
    name: `task${i}`,
    dependencies: dependenciesOf(i).map((d) => `task${d}`),
    ...(timeout === undefined ? {} : { timeout }),
    run: async () => ({ status: "success" }),
  }));
}

async function bare(steps: readonly TaskStep[]): Promise<void> {
  const context = {};
  for (const step of steps) await step.run(context);
}

async function run(steps: readonly TaskStep[]): Promise<void> {
  const results = await new TaskRunner({}).execute(steps);
  if (results.size !== steps.length) throw new Error(`Expected ${steps.length} results, got ${results.size}.`);
}

/** Nanoseconds per task, half of the rounds. */
async function nsPerTask(rounds: number, count: number, round: () => () => Promise<void>): Promise<number> {
  const found: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const call = round();
    const start = performance.now();
    await call();
    found.push(((performance.now() - start) * 1e6) / count);
  }
  return found.toSorted((a, b) => a - b)[rounds >> 1] ?? Number.NaN;
}

/** A graph that is run again and again, one that is new each time, and one in which every task has a limit of time. */
export async function tasks({ shape, count }: { shape: string; count: number }): Promise<Record<string, number>> {
  const rounds = Math.max(5, Math.round(300_000 / count));
  const steps = graph(shape, count);
  const timed = graph(shape, count, 60_000);
  for (const warmUp of [steps, timed]) await run(warmUp);
  await bare(steps);
  const bareNs = await nsPerTask(rounds, count, () => () => bare(steps));
  const stop = watchEventLoop();
  const againNs = await nsPerTask(rounds, count, () => () => run(steps));
  const { max } = stop();
  const timedNs = await nsPerTask(rounds, count, () => () => run(timed));
  const newNs = await nsPerTask(rounds, count, () => {
    const fresh = graph(shape, count);
    return () => run(fresh);
  });
  return { bareNs, againNs, timedNs, newNs, max };
}

/** A million tasks, once. */
export async function million({ shape }: { shape: string }): Promise<Record<string, number>> {
  const steps = graph(shape, 1_000_000);
  const start = performance.now();
  await run(steps);
  return { ms: performance.now() - start };
}
