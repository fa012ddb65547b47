import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";

import { ended, offer, openBench, started, succeeded } from "../../testing/conformance/fixture.ts";
import type { Bench, Step } from "../../testing/conformance/fixture.ts";
import { sqlite } from "../../sqlite.ts";

const folder = mkdtempSync(join(tmpdir(), "stemma-cost-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function open(name: string): Promise<{ bench: Bench; path: string }> {
  const path = join(folder, name);
  const { bench } = await openBench(async ({ now }) => {
    const store = sqlite({ path, now });
    return { store, cleanup: () => store.close() };
  });
  return { bench, path };
}

const claim = { worker: "a", offers: [offer], limit: 10, leaseMs: 1000 };

test("a run of ten steps with outputs of 200 bytes takes at most 4.4 KB of the file", async () => {
  const { bench, path } = await open("bytes.db");
  // What a file takes before there is anything in it counts for nobody.
  const empty = sqlite(join(folder, "empty.db"));
  await empty.list({});
  await empty.close();
  const steps: Step[] = Array.from({ length: 10 }, (_, i) => succeeded(`step-${i}`, { inline: "y".repeat(198) }));
  const runs = 300;
  for (let i = 0; i < runs; i++) {
    const row = await bench.held({ worker: `worker-${i % 4}` });
    const release = { dueAt: null, force: true };
    await bench.store.commit([bench.part(row, [started, ...steps, ended], { release })]);
  }
  await bench.store.close();
  const bytes = statSync(path).size - statSync(join(folder, "empty.db")).size;
  expect(bytes / runs).toBeLessThan(4500);
});

test("a claim that finds nothing writes nothing", async () => {
  const { bench, path } = await open("idle.db");
  await bench.created({ dueAt: bench.clock.now() + 60_000 });
  await bench.store.claim(claim);
  const before = statSync(`${path}-wal`);
  for (let i = 0; i < 100; i++) expect((await bench.store.claim(claim)).runs).toEqual([]);
  expect(statSync(`${path}-wal`)).toMatchObject({ size: before.size, mtimeMs: before.mtimeMs });
  await bench.store.close();
});

test("a worker that only claims keeps its lease", async () => {
  const { bench, path } = await open("lease.db");
  await bench.held({ worker: "a" });
  const other = sqlite({ path, now: bench.clock.now });
  for (let i = 0; i < 50; i++) {
    bench.clock.advance(100);
    await bench.store.claim(claim);
    expect((await other.claim({ ...claim, worker: "b" })).runs).toEqual([]);
  }
  await other.close();
  await bench.store.close();
});

test("an idle worker sees at once what it, time, or another process brings", async () => {
  const { bench, path } = await open("news.db");
  const { store, clock } = bench;
  const other = sqlite({ path, now: clock.now });
  const claimed = async (): Promise<string[]> => (await store.claim(claim)).runs.map(({ id }) => id);
  const idle = async (): Promise<void> => {
    for (let i = 0; i < 3; i++) expect(await claimed()).toEqual([]);
  };
  await idle();

  const own = await bench.created();
  expect(await claimed()).toEqual([own.id]);
  await idle();

  const theirs = bench.newRun();
  await other.create([theirs]);
  expect(await claimed()).toEqual([theirs.id]);
  await idle();

  const later = await bench.created({ dueAt: clock.now() + 200 });
  await idle();
  clock.advance(200);
  expect(await claimed()).toEqual([later.id]);
  await idle();

  const held = bench.newRun();
  await other.create([held]);
  await other.claim({ ...claim, worker: "b", leaseMs: 300 });
  await idle();
  clock.advance(300);
  expect(await claimed()).toEqual([held.id]);
  await idle();

  await other.close();
  await store.close();
});
