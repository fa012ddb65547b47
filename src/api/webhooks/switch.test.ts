import { expect, test } from "vitest";
import { workflow } from "../../authoring/workflow/workflow.ts";
import { newRunId } from "../../engine/id.ts";
import { ownWorkflow } from "../../engine/options.ts";
import { Stemma } from "../../engine/stemma.ts";
import { sqlite } from "../../sqlite.ts";
import { toTag } from "./delivery-log.ts";
import { webhookRecords } from "./records.ts";
import { switchIn } from "./switch.ts";

test("what was given up long ago is seen behind however many that are still on their way", async () => {
  const store = sqlite(":memory:");
  const hook = newRunId(Date.now());
  const tags = [toTag(hook)];
  const delivery = ownWorkflow(
    workflow({ name: webhookRecords.delivery }, () => {
      throw new Error("it did not arrive");
    }),
  );
  const silent = { debug() {}, info() {}, warn() {}, error() {} };
  const working = await new Stemma({ store, workflows: [delivery], log: silent }).start();
  const first = await working.run(delivery, undefined, { tags });
  await expect(first.result()).rejects.toThrow("it did not arrive");
  await working.stop();
  const resting = new Stemma({ store, workflows: [delivery], log: silent });
  for (let made = 0; made < 700; made += 100)
    await Promise.all(Array.from({ length: 100 }, () => resting.run(delivery, undefined, { tags })));
  const switches = switchIn(store, 0);
  await switches.gaveUp(hook, "failing");
  const { createdAt } = (await working.row(first.id)).state;
  expect(await switches.of(hook)).toMatchObject({ why: "failing", since: createdAt });
  await switches.arrived(hook);
  expect(await switches.of(hook)).toBeUndefined();
  await resting.stop();
  await store.close();
});
