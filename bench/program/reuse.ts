/** Measurements of restarts and forks, each in a process of its own. */
import { join } from "node:path";

import { expectDurable } from "../connections.ts";
import type { Context, RunHandle, Store } from "../../src/index.ts";
import { Stemma, workflow } from "../../src/index.ts";
import { sqlite } from "../../src/sqlite.ts";

const text = "x".repeat(200);

type Shape = "declared" | "undeclared" | "map";

/** Whether the last step fails, and when it was entered. */
const last = { fails: true, at: 0 };

/** Many steps, one behind the other or side by side, and one more that decides whether it was all for nothing. */
const many = workflow({ name: "many" }, async (ctx, { shape, steps }: { shape: Shape; steps: number }) => {
  if (shape === "map") {
    await ctx.map(
      "item",
      Array.from({ length: steps }, (_, i) => i),
      (i) => ({ i, text }),
    );
  } else {
    for (let i = 0; i < steps; i += 1) {
      if (shape === "declared") await ctx.step("item", { input: i }, () => ({ i, text }));
      else await ctx.step("item", () => ({ i, text }));
    }
  }
  return ctx.step("last", () => {
    last.at = performance.now();
    if (last.fails) throw new Error("a bug");
    return "done";
  });
});

/** Steps with a checkpoint behind every hundred. */
const segments = workflow({ name: "segments" }, async (ctx: Context<{ at: number }>, steps: number) => {
  for (let at = ctx.restored?.at ?? 0; at < steps; at += 100) {
    for (let i = at; i < at + 100; i += 1) await ctx.step("item", { input: i }, () => ({ i, text }));
    await ctx.checkpoint({ at: at + 100 });
  }
  return steps;
});

async function eventsOf(run: RunHandle): Promise<number> {
  return (await run.history()).length;
}

/** Milliseconds from the request to the first step that is entered anew, behind so many that are reused. */
export async function restart(args: { folder: string; shape: Shape; steps: number }): Promise<Record<string, number>> {
  const { folder, shape, steps } = args;
  await using store = sqlite(join(folder, "stemma.db"));
  await using stemma = await new Stemma({ store, workflows: [many] }).start();
  last.fails = true;
  // A short one first, so that the compiler is not measured.
  for (const count of [500, steps]) {
    const run = await stemma.run(many, { shape, steps: count });
    await run.result().catch(() => {});
    last.fails = false;
    const start = performance.now();
    const again = await stemma.restart(run.id);
    await again.result();
    if (count === steps) {
      expectDurable();
      return { ms: last.at - start, rowsPerStep: (await eventsOf(again)) / steps };
    }
    last.fails = true;
  }
  return {};
}

/** Milliseconds that a fork takes from the request to its end: the first of a chain of forks, and the last. */
export async function chain({ folder, forks }: { folder: string; forks: number }): Promise<Record<string, number>> {
  await using store = sqlite(join(folder, "stemma.db"));
  const nested = workflow({ name: "nested" }, async (ctx, input: { n: number; fork: number }) => {
    for (let i = 0; i < input.n; i += 1) await ctx.step("item", { input: i }, () => ({ i, text }));
    return ctx.step("own", { input: input.fork }, (fork) => fork);
  });
  await using stemma = await new Stemma({ store, workflows: [nested] }).start();
  let run: RunHandle = await stemma.run(nested, { n: 20, fork: 0 });
  await run.result();
  const took: number[] = [];
  for (let fork = 1; fork <= forks; fork += 1) {
    const start = performance.now();
    run = await stemma.fork(run.id, { patch: { fork } });
    await run.result();
    took.push(performance.now() - start);
  }
  expectDurable();
  expectDurable();
  const around = (from: number): number => took.slice(from, from + 20).toSorted((a, b) => a - b)[10] ?? 0;
  // The very first warm the compiler up.
  return { first: around(20), last: around(took.length - 20) };
}

/** What it takes of the store to fork a long run from a checkpoint in its midst, and how much is written. */
export async function forkCheckpoint(args: { folder: string; steps: number }): Promise<Record<string, number>> {
  const { folder, steps } = args;
  await using store = sqlite(join(folder, "stemma.db"));
  const timed = new Timed(store);
  const stemma = new Stemma({ store: timed.store, workflows: [segments] });
  let made: RunHandle;
  {
    await using worker = await new Stemma({ store, workflows: [segments] }).start();
    made = await worker.run(segments, steps);
    await made.result();
  }
  const checkpoints = (await made.history()).filter(({ type }) => type === "checkpoint");
  const checkpoint = checkpoints[Math.floor(checkpoints.length / 2)]?.seq ?? 0;
  await stemma.fork(made.id, { checkpoint });
  timed.ms = 0;
  const fork = await stemma.fork(made.id, { checkpoint });
  const storeMs = timed.ms;
  expectDurable();
  return { storeMs, rows: await eventsOf(fork) };
}

/** A store that adds up the time spent in its calls. */
class Timed {
  ms = 0;
  readonly store: Store;

  constructor(store: Store) {
    this.store = new Proxy(store, {
      get: (target, name) => {
        const value = Reflect.get(target, name) as unknown;
        if (typeof value !== "function") return value;
        return async (...args: unknown[]) => {
          const start = performance.now();
          try {
            return (await Reflect.apply(value, target, args)) as unknown;
          } finally {
            this.ms += performance.now() - start;
          }
        };
      },
    });
  }
}
