/** `stemma webhooks`: what it makes, shows and removes on a server, and what it refuses. */
import { afterEach, expect, test, vi } from "vitest";
import { workflow } from "../../src/index.ts";
import { answered, typed } from "../command-line.ts";
import { serve } from "../server/place.ts";
import { until } from "../stage.ts";
import { receiver } from "./receiver.ts";

const done = workflow({ name: "done" }, () => 1);

afterEach(() => void vi.unstubAllEnvs());

test("a webhook is made, tried, looked at, used again and removed from the command line", async () => {
  await using at = await receiver();
  await using served = await serve([done], { webhooks: { allow: ["127.0.0.1"], retries: [] } });
  const there = ["--server", served.url];
  expect((await typed("webhooks", ...there)).err).toContain("stemma webhooks --add");
  const { value } = await answered("webhooks", "--add", `${at.url}/secret-path`, "--event", "run.*", ...there);
  const { id, secret } = value as { id: string; secret: string };
  expect(secret).toMatch(/^whsec_/);
  const listed = await typed("webhooks", ...there);
  expect(listed.out).toContain(id);
  expect(listed.out + listed.err).not.toMatch(/secret-path|whsec_/);
  at.answer = () => ({ status: 500 });
  const ping = await answered("webhooks", "--ping", id, ...there);
  expect(ping.value).toMatchObject({ deliveries: [{ type: "webhook.ping" }] });
  await until(async () => (await typed("webhooks", "--deliveries", id, ...there)).out.includes("1: 500"));
  at.answer = () => ({ status: 200 });
  const [{ id: delivery } = { id: "" }] = (ping.value as { deliveries: { id: string }[] }).deliveries;
  expect((await typed("webhooks", "--redeliver", delivery, ...there)).status).toBe(0);
  await until(async () => (await typed("webhooks", "--deliveries", id, ...there)).out.includes("1: 200"));
  expect((await typed("webhooks", "--remove", id, ...there)).out).toContain(`removed ${id}`);
  expect((await typed("webhooks", "--remove", id, ...there)).status).toBe(3);
  vi.stubEnv("STEMMA_WEBHOOK_SECRET", "a secret of the environment");
  const own = await answered("webhooks", "--add", at.url, ...there);
  expect(own.value).toMatchObject({ secret: "a secret of the environment", signed: true });
});

test("what makes no sense is refused with what to do", async () => {
  await using served = await serve([done]);
  const there = ["--server", served.url];
  expect(await typed("webhooks")).toMatchObject({ status: 2, err: expect.stringContaining("--server") });
  expect(await typed("webhooks", "--ping", "a", "--remove", "b", ...there)).toMatchObject({ status: 2 });
  expect(await typed("webhooks", "--add", "http://10.0.0.1/", ...there)).toMatchObject({ status: 2 });
  expect(await typed("webhooks", "--add", "https://a:b@c.example/", ...there)).toMatchObject({ status: 2 });
});
