/** A process that starts runs and works on them, for `test/feed.test.ts`: node worker.ts <place> <name> <runs> */
import { Stemma, workflow } from "../../src/index.ts";
import { storeAt } from "../place.ts";

const [place = "", name = "", count = "1"] = process.argv.slice(2);

const leaf = workflow({ name: `${name}_leaf` }, (ctx) => ctx.step("leaf", () => "x".repeat(2000)));
const busy = workflow({ name }, async (ctx, n: number) => {
  await ctx.map("item", [1, 2, 3], (item) => item * n);
  await ctx.call(leaf, undefined);
  return ctx.step("last", () => n);
});

await using store = storeAt(place);
await using stemma = await new Stemma({ store, workflows: [busy, leaf] }).start();
const runs = await Promise.all(Array.from({ length: Number(count) }, (_, n) => stemma.run(busy, n)));
await Promise.all(runs.map((run) => run.result()));
