import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import type { Subject } from "./classify.ts";
import { Stemma, workflow } from "../../src/index.ts";
import { sqlite } from "../../src/sqlite.ts";
import { Ledger } from "./ledger.ts";
import { askService, patience } from "./paid-client.ts";
import { fateOf, paidService } from "./paid-service.ts";

const subject: Subject = { name: "p", version: "1.0.0", licenceField: "MIT", licenceText: "", readme: "# p" };
const answer = {
  licence: "MIT",
  confidence: 0.5,
  conflict: false,
  bundled: [],
  facts: { hasReadme: true, readmeWords: 1, hasInstallSection: false, hasExample: false, copyrightHolders: [] },
};
/** Asks as the audit does: in a step that is tried again. */
async function ask(service: string, key: string): Promise<unknown> {
  const asking = workflow({ name: "ask" }, (ctx) =>
    ctx.step("classify", patience, (_, step) => askService(service, subject, { key, abort: step.abort })),
  );
  await using store = sqlite(":memory:");
  await using stemma = new Stemma({ store, workflows: [asking] });
  await stemma.start();
  return await (await stemma.run(asking, undefined)).result();
}

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

async function listen(made: Server): Promise<string> {
  server = made.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A server that gives one scripted response after the other, the last one for ever, and keeps the keys it saw. */
async function scripted(
  ...script: { status: number; body?: string; retryAfter?: string }[]
): Promise<{ url: string; keys: string[] }> {
  const keys: string[] = [];
  const url = await listen(
    createServer((request, response) => {
      const { status, body, retryAfter } = script[Math.min(keys.length, script.length - 1)]!;
      keys.push(String(request.headers["idempotency-key"]));
      response.writeHead(status, retryAfter === undefined ? {} : { "retry-after": retryAfter });
      response.end(body ?? "{}");
    }),
  );
  return { url, keys };
}

describe("asking the real service", () => {
  test.each([200, 429, 500] as const)(
    "a key whose first request ends with %i is answered, and charged once",
    async (first) => {
      const folder = mkdtempSync(join(tmpdir(), "stemma-client-"));
      const ledger = new Ledger(join(folder, "ledger.db"));
      try {
        const url = await listen(paidService(ledger));
        const key = Array.from({ length: 1000 }, (_, n) => `k${n}`).find((one) => fateOf(one).first === first) ?? "";
        expect(await ask(url, key)).toEqual(answer);
        expect(ledger.figures()).toMatchObject({ charges: 1, requests: first === 200 ? 1 : 2, repeated: 0 });
      } finally {
        ledger.close();
        rmSync(folder, { recursive: true });
      }
    },
  );
});

describe("trouble", () => {
  test("every attempt sends the same key", async () => {
    const { url, keys } = await scripted(
      { status: 503 },
      { status: 429, retryAfter: "0" },
      { status: 200, body: JSON.stringify(answer) },
    );
    expect(await ask(url, "k")).toEqual(answer);
    expect(keys).toEqual(["k", "k", "k"]);
  });

  test("after six attempts the step fails with what the last one met", async () => {
    const { url, keys } = await scripted({ status: 429, retryAfter: "0", body: "busy" });
    await expect(ask(url, "k")).rejects.toThrow(/p@1\.0\.0: 429 busy/);
    expect(keys).toHaveLength(6);
  });

  test("a refusal is not tried again", async () => {
    const { url, keys } = await scripted({ status: 422, body: "another body" });
    await expect(ask(url, "k")).rejects.toThrow(/p@1\.0\.0: 422 another body/);
    expect(keys).toHaveLength(1);
  });

  test("an answer of another shape is an error, not a finding, and is not asked for again", async () => {
    const { url, keys } = await scripted({ status: 200, body: '{"licence":7}' });
    await expect(ask(url, "k")).rejects.toThrow(/licence/);
    expect(keys).toHaveLength(1);
  });

  test("an abort ends the request", async () => {
    const controller = new AbortController();
    let asked = 0;
    const url = await listen(createServer(() => void (asked += 1)));
    const ended = askService(url, subject, { key: "k", abort: controller.signal }).then(() => "answered", String);
    await expect.poll(() => asked).toBe(1);
    controller.abort();
    expect(await ended).toMatch(/abort/i);
  });
});
