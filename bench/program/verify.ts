/** Measurements of verification, in a process of its own: runs are made first, and what is measured only reads them. */
import { join } from "node:path";
import { watchEventLoop } from "../event-loop.ts";
import { Stemma, workflow } from "../../src/index.ts";
import { sqlite } from "../../src/sqlite.ts";

const text = "x".repeat(200);

const many = workflow({ name: "many" }, async (ctx, steps: number) => {
  for (let i = 0; i < steps; i += 1) await ctx.step("item", { input: i }, () => ({ i, text }));
  return steps;
});

/** Milliseconds to verify so many events in so many runs. */
export async function verify(args: { folder: string; runs: number; events: number }): Promise<Record<string, number>> {
  const { folder, runs, events } = args;
  // What is measured only reads; making it need not survive a power cut.
  await using store = sqlite({ path: join(folder, "stemma.db"), synchronous: "normal" });
  {
    await using stemma = await new Stemma({ store, workflows: [many] }).start();
    const made = [];
    // A run has three events besides its steps.
    for (let i = 0; i < runs; i += 1) made.push(await stemma.run(many, events / runs - 3));
    for (const run of made) await run.result();
  }
  const stemma = new Stemma({ store });
  const before = process.memoryUsage().rss;
  const stop = watchEventLoop();
  const start = performance.now();
  const found = await stemma.verify();
  const ms = performance.now() - start;
  const { max } = stop();
  if (!found.ok || found.events !== events) throw new Error(`verified ${found.events} events, ok: ${found.ok}`);
  return { ms, max: max ?? 0, mb: (process.memoryUsage().rss - before) / 1_048_576 };
}
