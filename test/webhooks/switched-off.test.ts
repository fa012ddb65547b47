/** A webhook at which nothing arrives any more is switched off, and says so; what arrives again switches it on. */
import { expect, test } from "vitest";
import { workflow } from "../../src/index.ts";
import type { WebhookOptions } from "../../src/server.ts";
import type { Served } from "../server/place.ts";
import { serve } from "../server/place.ts";
import { until } from "../stage.ts";
import { receiver } from "./receiver.ts";

const one = workflow({ name: "one" }, (_ctx, n: number) => n);

const serving = (options: WebhookOptions): Promise<Served> =>
  serve([one], { webhooks: { allow: ["127.0.0.1"], retries: [], ...options } });

/** Runs one, and gives what its delivery came to. */
async function sent({ client }: Served, hook: string, n: number): Promise<unknown> {
  const run = await client.run(one, n);
  await run.result();
  for (;;) {
    const { deliveries } = await client.webhooks.deliveries(hook);
    const found = deliveries.find((delivery) => delivery.run === run.id);
    if (found !== undefined && found.status !== "pending") return found.status;
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
}

/** Whether one was heard of: a webhook that hears the same, of another receiver, has it. */
async function heard(served: Served, other: Awaited<ReturnType<typeof receiver>>, n: number): Promise<void> {
  const run = await served.client.run(one, n);
  await until(() => other.requests.some(({ message }) => message.data["run"] === run.id));
}

test("what nothing arrives at for long is off, with since when and why; a ping that arrives switches it on", async () => {
  await using at = await receiver();
  await using other = await receiver();
  await using served = await serving({ offAfter: 1 });
  const { webhooks } = served.client;
  const { id } = await webhooks.create({ url: at.url });
  const off = async (): Promise<unknown> => (await webhooks.list()).find((hook) => hook.id === id)?.off;
  at.answer = () => ({ status: 500 });
  // The first alone says nothing of how long it has been so.
  expect(await sent(served, id, 1)).toBe("failed");
  expect(await off()).toBeUndefined();
  await new Promise((resolve) => setTimeout(resolve, 5));
  expect(await sent(served, id, 2)).toBe("failed");
  const { deliveries } = await webhooks.deliveries(id);
  expect(await off()).toMatchObject({ why: "failing", since: deliveries.at(-1)?.at });
  await webhooks.create({ url: other.url });
  await heard(served, other, 3);
  const before = at.requests.length;
  await heard(served, other, 4);
  expect(at.requests).toHaveLength(before);
  // A trial that does not arrive leaves it as it is.
  await webhooks.ping(id);
  await at.got(before + 1);
  expect(await off()).toBeDefined();
  at.answer = () => ({ status: 200 });
  await webhooks.ping(id);
  await until(async () => (await off()) === undefined);
  expect(await sent(served, id, 5)).toBe("delivered");
});

test("one whose receiver says that it is gone is off at once; one that fails for less than that stays on", async () => {
  await using at = await receiver();
  await using served = await serving({});
  const { webhooks } = served.client;
  const [failing, gone] = [await webhooks.create({ url: at.url }), await webhooks.create({ url: `${at.url}/gone` })];
  at.answer = (_n, { path }) => ({ status: path === "/gone" ? 410 : 500 });
  for (const n of [1, 2]) expect(await sent(served, failing.id, n)).toBe("failed");
  await until(async () => (await webhooks.list()).some(({ off }) => off !== undefined));
  expect((await webhooks.list()).map(({ off }) => off?.why)).toEqual([undefined, "gone"]);
  expect((await webhooks.deliveries(gone.id)).deliveries.every(({ status }) => status === "failed")).toBe(true);
});
