/** Graphs of tasks on a file: what a task costs, and how soon a graph goes on of which all but one task had ended. */
import { join } from "node:path";

import { expectDurable } from "../connections.ts";
import { watchEventLoop } from "../event-loop.ts";
import { open } from "../work.ts";
import { shapes } from "./tasks.ts";
import { taskWorkflow } from "../../src/tasks.ts";
import type { Workflow } from "../../src/index.ts";

/** The run that is killed; its lease is short, so that what takes it over need not wait. */
const lease = "1s";

/** What the copy of its file is called. */
const killed = "killed.db";

/** Called by the last task, which is the one that does not end in the run that is killed. */
let entered: (() => Promise<unknown>) | undefined;

/** Tasks that do nothing. */
function graph(count: number, shape: string): Workflow {
  const steps = Array.from({ length: count }, (_, i) => ({
    name: `task${i}`,
    dependencies: (shapes[shape]?.(i) ?? []).map((d) => `task${d}`),
    run: async () => {
      if (i + 1 === count) await entered?.();
      return { status: "success" as const };
    },
  }));
  return taskWorkflow(steps, { name: `${shape}-${count}` });
}

const cpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

/** Microseconds per task, of the clock and of processor time, and how the event loop is blocked. */
export async function durableTasks({
  folder,
  count,
}: {
  folder: string;
  count: number;
}): Promise<Record<string, number>> {
  const [warm, cold] = [graph(500, "wide"), graph(count, "wide")];
  await using engine = await open(join(folder, "stemma.db"), { workflows: [warm, cold] });
  await engine.start();
  await (await engine.stemma.run(warm, {})).result();
  const stop = watchEventLoop();
  const [start, cpu] = [performance.now(), cpuMs()];
  await (await engine.stemma.run(cold, {})).result();
  const found = { us: ((performance.now() - start) * 1000) / count, cpuUs: ((cpuMs() - cpu) * 1000) / count };
  const { max } = stop();
  expectDurable();
  return { ...found, max };
}

type Dying = { file: string; count: number; shape: string };

/** Runs until only the last task has not ended, says so in one line, and waits for its end. */
export async function dyingTasks({ file, count, shape }: Dying): Promise<never> {
  const workflow = graph(count, shape);
  const engine = await open(file, { workflows: [workflow], lease });
  await engine.start();
  entered = () => new Promise(() => {});
  const { id } = await engine.stemma.run(workflow, {});
  for (let ended = 0; ended < count - 1;) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    ended = (await engine.stemma.row(id)).state.steps.succeeded;
  }
  expectDurable();
  console.log(JSON.stringify({ dying: count }));
  // A timer keeps the process alive until it is killed.
  return new Promise(() => setInterval(() => {}, 1000));
}

/** Milliseconds from `start()` to the last task, and of processor time. */
export async function resumeTasks({
  folder,
  count,
  shape,
}: {
  folder: string;
  count: number;
  shape: string;
}): Promise<Record<string, number>> {
  const engine = await open(join(folder, killed), { workflows: [graph(count, shape)], lease });
  const here = Promise.withResolvers<undefined>();
  entered = () => {
    here.resolve(undefined);
    return new Promise(() => {});
  };
  const stop = watchEventLoop();
  const [start, cpu] = [performance.now(), cpuMs()];
  await engine.start();
  await here.promise;
  const ms = performance.now() - start;
  const { max } = stop();
  expectDurable();
  return { ms, cpuMs: cpuMs() - cpu, max };
}
