/**
 * A process that works on runs whose steps publish something once each, and that is killed at random instants:
 *
 *     node worker.ts --store stemma.db
 */
import { parseArgs } from "node:util";
import { lookUp, publish } from "../../examples/audit/publish.ts";
import { Stemma, workflow } from "../../src/index.ts";
import type { Workflow } from "../../src/index.ts";
import { sqlite } from "../../src/sqlite.ts";
import { silent } from "../stage.ts";

export type Publishing = {
  /** Address of the service whose ledger counts. */
  service: string;
  steps: number;
  /** Whether the steps find out themselves what became of them; else somebody has to decide. */
  reconciles: boolean;
};

export const publishing: Workflow<Publishing, number[]> = workflow(
  { name: "publishing" },
  async (ctx, { service, steps, reconciles }) => {
    const numbers: number[] = [];
    for (let n = 0; n < steps; n += 1) {
      const name = `publish ${n}`;
      const key = ledgerKey(ctx.runId, name);
      const reconcile = (_: unknown, { abort }: { abort: AbortSignal }): ReturnType<typeof lookUp> =>
        lookUp(service, { key, abort });
      const { number } = await ctx.step(
        name,
        { effect: "once", ...(reconciles ? { reconcile } : {}) },
        (_, { abort }) => publish(service, name, { key, abort }),
      );
      numbers.push(number);
    }
    return numbers;
  },
);

/** What a step is called in the books of the service. */
export function ledgerKey(run: string, step: string): string {
  return `${run} ${step}`;
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { store: { type: "string" } } });
  if (values.store === undefined) throw new Error("expected --store FILE");
  const store = sqlite(values.store);
  await new Stemma({ store, workflows: [publishing], lease: 300, concurrency: 8, log: silent }).start();
  process.once("disconnect", () => process.exit(0));
  console.log(JSON.stringify({ ready: true, pid: process.pid }));
}
