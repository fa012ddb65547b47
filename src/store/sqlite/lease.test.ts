import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";

import { sqlite } from "../../sqlite.ts";
import type { Bench } from "../../testing/conformance/fixture.ts";
import { offer, openBench, started } from "../../testing/conformance/fixture.ts";
import type { Store } from "../store.ts";

const folder = mkdtempSync(join(tmpdir(), "stemma-lease-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;

async function open(): Promise<{ bench: Bench; other: Store }> {
  const path = join(folder, `${files++}.db`);
  const { bench } = await openBench(async ({ now }) => {
    const store = sqlite({ path, now });
    return { store, cleanup: () => store.close() };
  });
  return { bench, other: sqlite({ path, now: bench.clock.now }) };
}

const leaseMs = 1000;

test("a worker that reports too late goes on with its runs if nobody took them", async () => {
  const { bench, other } = await open();
  const row = await bench.held({ worker: "a" });
  bench.clock.advance(100_000);
  expect((await bench.store.heartbeat({ worker: "a", leaseMs })).expired).toBe(false);
  expect((await bench.store.commit([bench.part(row, [started])]))[0]).toMatchObject({ ok: true });
  await other.close();
  await bench.store.close();
});

test("a worker that was taken for dead hears it, also when it claims before it reports; what it got is free", async () => {
  const { bench, other } = await open();
  const { store, clock } = bench;
  for (const reaper of [other, store]) {
    await bench.held({ worker: "a" });
    clock.advance(100_000);
    await reaper.claim({ worker: "b", offers: [offer], limit: 9, leaseMs });
    const run = await bench.created();
    const { runs } = await store.claim({ worker: "a", offers: [offer], limit: 9, leaseMs });
    expect(runs.map(({ id }) => id)).toEqual([run.id]);
    expect((await store.heartbeat({ worker: "a", leaseMs })).expired).toBe(true);
    expect((await store.heartbeat({ worker: "a", leaseMs })).expired).toBe(false);
    const again = await other.claim({ worker: "c", offers: [offer], limit: 9, leaseMs });
    expect(again.runs.map(({ id }) => id)).toEqual([run.id]);
  }
  await other.close();
  await store.close();
});

test("a worker that claims too late goes on with its runs if nobody took them", async () => {
  const { bench, other } = await open();
  const row = await bench.held({ worker: "a" });
  bench.clock.advance(100_000);
  await bench.store.claim({ worker: "a", offers: [offer], limit: 9, leaseMs });
  expect((await other.claim({ worker: "b", offers: [offer], limit: 9, leaseMs })).runs).toEqual([]);
  expect((await bench.store.heartbeat({ worker: "a", leaseMs })).expired).toBe(false);
  expect((await bench.store.commit([bench.part(row, [started])]))[0]).toMatchObject({ ok: true });
  await other.close();
  await bench.store.close();
});
