import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Classification, Subject } from "./classify.ts";
import type { LedgerFigures } from "./ledger.ts";
import { fateOf } from "./paid-service.ts";

let folder: string;
let service: { child: ChildProcess; url: string };
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "stemma-paid-"));
  service = await start();
});
afterEach(async () => {
  await end("SIGKILL");
  rmSync(folder, { recursive: true });
});

async function start(): Promise<typeof service> {
  const program = fileURLToPath(new URL("paid-service.ts", import.meta.url));
  const stdio = ["ignore", "pipe", "inherit"] as const;
  const child = spawn(process.execPath, [program, "--database", join(folder, "ledger.db")], { stdio: [...stdio] });
  const lines = createInterface({ input: child.stdout });
  const [line] = (await once(lines, "line")) as [string];
  const { url } = JSON.parse(line) as { url: string };
  return { child, url };
}

async function end(signal: NodeJS.Signals): Promise<number | null> {
  const { child } = service;
  if (child.exitCode === null && child.signalCode === null) {
    child.kill(signal);
    await once(child, "exit");
  }
  return child.exitCode;
}

const subject: Subject = { name: "p", version: "1.0.0", licenceField: "MIT", licenceText: "", readme: "# p" };

function post(key: string | null, body: string = JSON.stringify(subject)): Promise<Response> {
  const headers: Record<string, string> = key === null ? {} : { "idempotency-key": key };
  return fetch(`${service.url}/classify`, { method: "POST", headers, body });
}

async function ledger(): Promise<LedgerFigures> {
  return (await (await fetch(`${service.url}/ledger`)).json()) as LedgerFigures;
}

/** The first of the keys `k0`, `k1` … whose first request has the given fate. */
function keyWith(first: 200 | 429 | 500): string {
  for (let n = 0; n < 10_000; n++) if (fateOf(`k${n}`).first === first) return `k${n}`;
  throw new Error(`no key has the fate ${first}`);
}

describe("the paid service", () => {
  test("one key is charged once and gets the same answer every time, also at the same time", async () => {
    const key = keyWith(200);
    const first = (await (await post(key)).json()) as Classification;
    expect(first).toMatchObject({ licence: "MIT", confidence: 0.5, facts: { hasReadme: true } });
    const others = await Promise.all([post(key), post(key), post(key)]);
    for (const other of others) {
      expect(other.headers.get("idempotent-replayed")).toBe("true");
      expect(await other.json()).toEqual(first);
    }
    expect(await ledger()).toMatchObject({ requests: 4, charges: 1, charged: 1, chargedTwice: 0, repeated: 3 });
  });

  test("requests of one key that come together are charged once", async () => {
    const key = keyWith(200);
    const answers = await Promise.all(Array.from({ length: 8 }, () => post(key)));
    expect(answers.map((answer) => answer.status)).toEqual(Array(8).fill(200));
    expect(await ledger()).toMatchObject({ requests: 8, charges: 1, repeated: 7 });
  });

  test("a key whose first request meets a 429 is told when to come back, then served and charged once", async () => {
    const key = keyWith(429);
    const refused = await post(key);
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "1"]);
    expect(await ledger()).toMatchObject({ requests: 1, charges: 0 });
    expect((await post(key)).status).toBe(200);
    expect(await ledger()).toMatchObject({ requests: 2, charges: 1, repeated: 0, byStatus: { "200": 1, "429": 1 } });
  });

  test("a key whose first request fails with 500 is not charged for it", async () => {
    const key = keyWith(500);
    expect([(await post(key)).status, (await ledger()).charges]).toEqual([500, 0]);
    expect([(await post(key)).status, (await ledger()).charges]).toEqual([200, 1]);
  });

  test("what was answered is charged and stored, also after a kill", async () => {
    const key = keyWith(200);
    const answer: unknown = await (await post(key)).json();
    await end("SIGKILL");
    service = await start();
    expect(await ledger()).toMatchObject({ requests: 1, charges: 1 });
    expect(await (await post(key)).json()).toEqual(answer);
    expect(await ledger()).toMatchObject({ requests: 2, charges: 1, chargedTwice: 0, repeated: 1 });
  });

  test("SIGTERM lets a request in flight finish, then ends with 0", async () => {
    const answer = post(keyWith(200));
    await expect.poll(async () => (await ledger()).requests).toBe(1);
    const [exit, { status }] = await Promise.all([end("SIGTERM"), answer]);
    expect([exit, status]).toEqual([0, 200]);
  });

  test("what cannot be served is refused, recorded and not charged", async () => {
    const key = keyWith(200);
    expect((await post(null)).status).toBe(400);
    expect((await post("x".repeat(300))).status).toBe(400);
    expect((await post(key, "{ not json")).status).toBe(400);
    expect((await post(key, JSON.stringify({ ...subject, readme: 7 }))).status).toBe(400);
    expect((await post(key, JSON.stringify({ ...subject, readme: "x".repeat(1024 * 1024) }))).status).toBe(413);
    expect((await post(key)).status).toBe(200);
    expect((await post(key, JSON.stringify({ ...subject, name: "q" }))).status).toBe(422);
    expect(await ledger()).toMatchObject({
      requests: 7,
      charges: 1,
      byStatus: { "400": 4, "413": 1, "200": 1, "422": 1 },
    });
  });

  test("an unknown path or method is 404 and no request of the ledger", async () => {
    expect((await fetch(`${service.url}/prices`)).status).toBe(404);
    expect((await fetch(`${service.url}/classify`)).status).toBe(404);
    expect((await ledger()).requests).toBe(0);
  });
});

test("about 4 % of keys meet a 429, 3 % a 500, and every latency lies between 15 and 60 ms", () => {
  const fates = Array.from({ length: 20_000 }, (_, n) => fateOf(`key ${n}`));
  const share = (first: number): number => fates.filter((fate) => fate.first === first).length / fates.length;
  expect(share(429)).toBeCloseTo(0.04, 2);
  expect(share(500)).toBeCloseTo(0.03, 2);
  expect(fates.every(({ latency }) => latency >= 15 && latency <= 60)).toBe(true);
});
