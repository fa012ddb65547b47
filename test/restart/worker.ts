/**
 * Processes for `test/restart-crashes.test.ts`, to be killed:
 *
 *     node worker.ts work <place> <books>                 works on runs of `paid`
 *     node worker.ts ask <place> <source> <key> <times>   asks for so many restarts, each under a key of its own
 */
import { appendFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Stemma, workflow } from "../../src/index.ts";
import type { Workflow } from "../../src/index.ts";
import { storeAt } from "../place.ts";
import { silent } from "../stage.ts";

export type Paid = { books: string; items: number; pause: number };

/**
 * A list, a map over it, and a summary. What is entered is written down in the books, and what is in the file `mode`
 * beside them says how it goes: "breaks" fails the summary, "hangs" never ends it.
 */
export const paid: Workflow<Paid, number> = workflow({ name: "paid" }, async (ctx, { books, items, pause }) => {
  const enter = async (name: string, run = ""): Promise<string> => {
    appendFileSync(join(books, "entered"), `${run}${name}\n`);
    if (pause > 0) await sleep(pause);
    return readFileSync(join(books, "mode"), "utf8");
  };
  const list = await ctx.step("list", { input: items }, async (count) => {
    await enter("list");
    return Array.from({ length: count }, (_, i) => i);
  });
  const prices = await ctx.map("pay", list, { concurrency: 4 }, async (n) => {
    await enter(`pay ${n}`);
    return n * 2;
  });
  return ctx.step("sum", { input: prices }, async (all) => {
    const mode = await enter("sum", `${ctx.runId} `);
    if (mode === "breaks") throw new Error("the sum is broken");
    if (mode === "hangs") await new Promise(() => {});
    return all.reduce((sum, price) => sum + price, 0);
  });
});

if (import.meta.main) {
  const [what, place = "", ...rest] = process.argv.slice(2);
  const store = storeAt(place);
  const stemma = new Stemma({ store, workflows: [paid], lease: 1000, log: silent });
  process.once("disconnect", () => process.exit(0));
  console.log(JSON.stringify({ ready: true, pid: process.pid }));
  if (what === "work") await stemma.start();
  else {
    const [source = "", key = "", times = "1", said = ""] = rest;
    for (let i = 0; i < Number(times); i += 1) {
      const run = await stemma.restart(source, { idempotencyKey: `${key} ${i}`, reason: `asked by ${process.pid}` });
      appendFileSync(said, `${key} ${i} ${run.id}\n`);
    }
    await store.close();
    process.exit(0);
  }
}
