/** A delivery is not lost with the process that carries it out: it goes on where the server is started again. */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, describe, expect, test } from "vitest";
import { client } from "../../src/client.ts";
import type { StemmaClient } from "../../src/client.ts";
import { newPlace, until } from "../stage.ts";
import { receiver } from "./receiver.ts";

const folder = mkdtempSync(join(tmpdir(), "stemma-webhooks-"));
const children: ChildProcess[] = [];
afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true });
});

async function host(place: string, delayMs: number): Promise<{ client: StemmaClient; kill(): Promise<void> }> {
  const script = join(import.meta.dirname, "host.ts");
  const child = spawn(process.execPath, [script, place, String(delayMs)], { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  const lines = createInterface({ input: child.stdout });
  const [url] = (await once(lines, "line")) as [string];
  return {
    client: client({ url }),
    async kill() {
      const exit = once(child, "exit");
      child.kill("SIGKILL");
      await exit;
    },
  };
}

describe.skipIf(process.platform === "win32")("a server killed by SIGKILL", () => {
  test("in the midst of retries: the message arrives once the server is back, under the id that it had", async () => {
    await using at = await receiver();
    const place = newPlace(folder);
    at.answer = () => ({ status: 503 });
    const first = await host(place, 50);
    const hook = await first.client.webhooks.create({ url: at.url, secret: "a secret that is long enough" });
    const run = await first.client.run<number, number>("double", 21);
    expect(await run.result()).toBe(42);
    await at.got(2);
    await first.kill();
    const before = at.requests.length;
    // While it is down, the receiver gets well.
    at.answer = () => ({ status: 200 });
    const second = await host(place, 50);
    await at.got(before + 1);
    const { webhooks } = second.client;
    await until(async () => (await webhooks.deliveries(hook.id)).deliveries[0]?.status === "delivered");
    const { deliveries } = await webhooks.deliveries(hook.id);
    expect(deliveries).toMatchObject([{ run: run.id, type: "run.succeeded", status: "delivered" }]);
    const { attempts = [], message } = deliveries[0] ?? {};
    // What was on record when it was killed is there; the attempt that was under way then was made again.
    expect(attempts.slice(0, -1).every(({ status }) => status === 503)).toBe(true);
    expect(attempts.length).toBeGreaterThanOrEqual(before);
    expect(at.requests.length).toBeLessThanOrEqual(attempts.length + 1);
    expect(new Set(at.requests.map(({ headers, body }) => `${String(headers["webhook-id"])} ${body}`)).size).toBe(1);
    expect(at.requests[0]?.headers["webhook-id"]).toBe(message);
    await second.kill();
  });

  test("while a request is under way, or before it read of the event: it is made, or made again", async () => {
    await using at = await receiver();
    const place = newPlace(folder);
    at.answer = (n) => (n === 1 ? "none" : { status: 200 });
    const first = await host(place, 50);
    await first.client.webhooks.create({ url: at.url, events: ["run.created"] });
    const run = await first.client.run("double", 1);
    await at.got(1);
    // Nobody has heard of this one when the process dies.
    const last = await first.client.run("double", 2, { webhook: { url: at.url, events: ["run.created"] } });
    await first.kill();
    const second = await host(place, 50);
    // Of each message how often it came: of the first run one webhook hears, of the last two.
    const counts = (id: string): number[] => {
      const told = new Map<string, number>();
      for (const { message, headers } of at.requests) {
        if (message.data["run"] !== id) continue;
        const webhookId = String(headers["webhook-id"]);
        told.set(webhookId, (told.get(webhookId) ?? 0) + 1);
      }
      return [...told.values()];
    };
    await until(() => counts(run.id).some((times) => times >= 2) && counts(last.id).length >= 2);
    expect([counts(run.id).length, counts(last.id).length]).toEqual([1, 2]);
    await second.kill();
  });
});
