/** The guide to webhooks is what it says: its programs run as they stand, and messages have the form that it shows. */
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test, vi } from "vitest";
import { endEvents, webhookEvents } from "../../src/api/webhooks/events.ts";
import { workflow } from "../../src/index.ts";
import { serve } from "../server/place.ts";
import { until } from "../stage.ts";
import { receiver as plainReceiver } from "../webhooks/receiver.ts";

const guide = readFileSync(new URL("../../docs/guide/webhooks.md", import.meta.url), "utf8");

function block(kind: string, marker: string): string {
  const found = [...guide.matchAll(/^```(?<kind>\w+)\n(?<text>.*?)^```$/gmsu)].filter(
    ({ groups }) => groups?.["kind"] === kind && groups["text"]?.includes(marker),
  );
  expect([marker, found.length]).toEqual([marker, 1]);
  return found[0]?.groups?.["text"] ?? "";
}

const source = (name: string): string => pathToFileURL(join(import.meta.dirname, "../../src", name)).href;
const keysOf = (value: object): string[] => Object.keys(value).toSorted();

const audit = workflow({ name: "audit" }, async (ctx) => {
  const { ok } = await ctx.wait<{ ok: boolean }>("approval", { input: { found: 3 }, prompt: "Publish?" });
  if (!ok) throw new Error("refused");
});

test("what the guide says of webhooks happens", async () => {
  await using open = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "stemma-guide-"));
  open.defer(() => rmSync(folder, { recursive: true }));
  const load = async (name: string, code: string): Promise<unknown> => {
    const own = code
      .replace(`"stemma/client"`, JSON.stringify(source("client.ts")))
      .replace(`"stemma/server"`, JSON.stringify(source("server.ts")));
    writeFileSync(join(folder, name), own);
    return import(/* @vite-ignore */ join(folder, name));
  };

  const { receiver } = (await load("receiver.ts", block("ts", "// receiver.ts"))) as { receiver: Server };
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  open.defer(() => new Promise<void>((resolve) => void receiver.close(() => resolve())));
  const { port } = receiver.address() as AddressInfo;

  const served = open.use(await serve([audit], { webhooks: { allow: ["127.0.0.1"] } }));
  const subscribe = block("ts", "// subscribe.ts")
    .replace("http://127.0.0.1:4747", served.url)
    .replace("https://ops.example/hooks/stemma", `http://127.0.0.1:${port}/`);
  const { id, secret } = (await load("subscribe.ts", subscribe)) as { id: string; secret: string };

  const lines: unknown[] = [];
  const log = vi.spyOn(console, "log").mockImplementation((line) => void lines.push(line));
  open.defer(() => log.mockRestore());
  vi.stubEnv("WEBHOOK_SECRET", secret);
  open.defer(() => void vi.unstubAllEnvs());
  const { client } = served;
  const plain = open.use(await plainReceiver());
  const wish = { url: plain.url, events: ["wait.opened", "run.failed"] };
  const run = await client.run(audit, undefined, { webhook: wish });
  await until(() => lines.includes("wait.opened"));
  await client.resume(run.id, "approval", { ok: false });
  await until(() => lines.includes("run.failed"));
  await until(async () => (await client.webhooks.deliveries(id)).deliveries.every((one) => one.status === "delivered"));
  const [first] = (await client.webhooks.deliveries(id)).deliveries;
  await client.webhooks.redeliver(first?.id ?? "");
  await until(async () => (await client.webhooks.deliveries(id)).deliveries.every((one) => one.status === "delivered"));
  expect(lines).toEqual(["wait.opened", "run.failed"]);

  const shown = JSON.parse(block("json", '"wait.opened"')) as { data: { wait: object } };
  const [asked] = await plain.got(2);
  expect(keysOf(asked?.message ?? {})).toEqual(keysOf(shown));
  expect(keysOf(asked?.message.data ?? {})).toEqual(keysOf(shown.data));
  expect(keysOf(asked?.message.data["wait"] as object)).toEqual(keysOf(shown.data.wait));
});

test("the guide names every event", () => {
  const named = [...guide.matchAll(/`((?:run|wait)\.[a-z_]+)`/g)].map(([, name]) => name);
  expect(new Set(named)).toEqual(new Set(webhookEvents));
  expect(endEvents.length).toBe(4);
});
