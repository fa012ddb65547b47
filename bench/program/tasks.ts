/** Graphs of tasks in memory, against a bare loop that awaits the same functions in the same process. */
import { TaskRunner } from "../../src/tasks.ts";
import type { TaskStep } from "../../src/tasks.ts";
import { watchEventLoop } from "../event-loop.ts";

const layer = 100;

/** What the task at this place depends on. */
export const shapes: Readonly<Record<string, (i: number) => number[]>> = {
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

type Call = () => Promise<void>;

/** Tasks of one sample, at least: processor time is counted in microseconds. */
const sample = 20_000;

/**
 * Nanoseconds of processor time per task of each, half of the rounds: in turns, so that what disturbs one disturbs the
 * others too, and not on the clock, because a round is short and another program's turn is long.
 */
async function nsPerTask(rounds: number, count: number, prepare: readonly (() => Call)[]): Promise<number[]> {
  const found: number[][] = prepare.map(() => []);
  const times = Math.max(1, Math.round(sample / count));
  for (let round = 0; round < rounds; round++) {
    for (const [i, one] of prepare.entries()) {
      const calls = Array.from({ length: times }, one);
      const start = process.cpuUsage();
      for (const call of calls) await call();
      const { user, system } = process.cpuUsage(start);
      found[i]?.push(((user + system) * 1000) / (count * times));
    }
  }
  return found.map((ns) => ns.toSorted((x, y) => x - y)[rounds >> 1] ?? Number.NaN);
}

const roundsOf = (count: number): number => Math.max(9, Math.min(30, Math.round(600_000 / count)));

/** A graph that is run again and again, one in which every task has a limit of time, and one that is new each time. */
export async function tasks({ shape, count }: { shape: string; count: number }): Promise<Record<string, number>> {
  const rounds = roundsOf(count);
  const steps = graph(shape, count);
  await nsPerTask(2, count, [() => () => bare(steps), () => () => run(steps)]);
  const [bareNs = 0, againNs = 0] = await nsPerTask(rounds, count, [() => () => bare(steps), () => () => run(steps)]);
  const stop = watchEventLoop();
  await nsPerTask(rounds, count, [() => () => run(steps)]);
  const { max } = stop();
  const timed = graph(shape, count, 60_000);
  const [withoutNs = 0, timedNs = 0] = await nsPerTask(rounds, count, [() => () => run(steps), () => () => run(timed)]);
  const fresh = (): Call => {
    const made = graph(shape, count);
    return () => run(made);
  };
  const [bareThenNs = 0, newNs = 0] = await nsPerTask(rounds, count, [() => () => bare(steps), fresh]);
  return { bareNs, againNs, withoutNs, timedNs, bareThenNs, newNs, max };
}

/** One of the two, in a process in which the other has never been. */
export async function tasksAlone(of: { shape: string; count: number; what: string }): Promise<Record<string, number>> {
  const { shape, count, what } = of;
  const steps = graph(shape, count);
  const call = what === "bare" ? () => bare(steps) : () => run(steps);
  await nsPerTask(2, count, [() => call]);
  const [ns = 0] = await nsPerTask(roundsOf(count), count, [() => call]);
  return { ns };
}

/** A million tasks, once. */
export async function million({ shape }: { shape: string }): Promise<Record<string, number>> {
  const steps = graph(shape, 1_000_000);
  const start = performance.now();
  await run(steps);
  return { ms: performance.now() - start };
}
