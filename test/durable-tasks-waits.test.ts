/** A person's answer between tasks: a workflow that asks, with durable graphs before and behind its question. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { Stemma, workflow } from "../src/index.ts";
import type { Store } from "../src/index.ts";
import { sqlite } from "../src/sqlite.ts";
import type { TaskStep } from "../src/tasks.ts";
import { taskWorkflow } from "../src/tasks.ts";
import { step } from "./behaviours/tasks.ts";

type Context = { offer?: number; paid?: number };

let store: Store;
beforeEach(() => {
  store = sqlite(":memory:");
});
afterEach(async () => {
  await store.close();
});

test("a question stands between two durable graphs: no process holds it, and another one goes on with the answer", async () => {
  const entered: string[] = [];
  const made = () => {
    const offer = taskWorkflow<Context, TaskStep<Context>[]>(
      [
        step<Context>("offer", [], (context) => {
          entered.push("offer");
          context.offer = 40;
        }),
      ],
      { name: "offer" },
    );
    const pay = taskWorkflow<Context, TaskStep<Context>[]>(
      [
        step<Context>("pay", [], (context) => {
          entered.push("pay");
          context.paid = context.offer ?? 0;
        }),
      ],
      { name: "pay" },
    );
    const order = workflow({ name: "order" }, async (ctx, input: Context) => {
      const offered = await ctx.call(offer, input);
      const { approve } = await ctx.wait<{ approve: boolean }>("approval", { input: offered });
      return approve ? ctx.call(pay, offered) : offered;
    });
    return { order, workflows: [offer, pay, order] };
  };
  const { order, workflows } = made();
  const first = await new Stemma({ store, workflows }).start();
  const run = await first.run(order, {}, { idempotencyKey: "k" });
  while ((await run.status()) !== "suspended" || (await first.waits({ name: "approval" })).waits.length === 0) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await first.stop();
  expect((await first.waits()).waits).toMatchObject([{ run: run.id, input: { offer: 40 } }]);
  expect(entered).toEqual(["offer"]);
  await new Stemma({ store }).resume(run.id, "approval", { approve: true });
  const anew = made();
  await using second = await new Stemma({ store, workflows: anew.workflows }).start();
  const again = await second.run(anew.order, {}, { idempotencyKey: "k" });
  expect(again.id).toBe(run.id);
  expect(await again.result()).toEqual({ offer: 40, paid: 40 });
  expect(entered).toEqual(["offer", "pay"]);
});
