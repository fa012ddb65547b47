import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";

import { StemmaError } from "../../core/error.ts";
import { openBench, started } from "../../testing/conformance/fixture.ts";
import type { Bench } from "../../testing/conformance/fixture.ts";
import { sqliteWith } from "./store.ts";

const folder = mkdtempSync(join(tmpdir(), "stemma-group-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;

type Counted = { bench: Bench; commits(): number; failNext(during: "before" | "after"): void };

/** A store that counts its COMMITs, and whose next one can be made to report a failure before or after it is made. */
async function counted(): Promise<Counted> {
  let commits = 0;
  let fault: "before" | "after" | undefined;
  const commit = (real: () => void): void => {
    const failing = fault;
    fault = undefined;
    if (failing !== "before") real();
    commits += 1;
    if (failing !== undefined) throw new StemmaError("store.unavailable", "no answer from the disk");
  };
  const { bench } = await openBench(async ({ now }) => {
    const store = sqliteWith({ path: join(folder, `${files++}.db`), now }, { commit });
    return { store, cleanup: () => store.close() };
  });
  return { bench, commits: () => commits, failNext: (during) => (fault = during) };
}

test("runs that are created in one turn are created in one transaction, and all are there", async () => {
  const { bench, commits } = await counted();
  const runs = Array.from({ length: 20 }, () => bench.newRun());
  const answers = await Promise.all(runs.map((run) => bench.store.create([run])));
  expect(answers).toEqual(runs.map(({ id }) => [{ id, created: true }]));
  expect(commits()).toBe(1);
  expect((await bench.store.list({})).runs).toHaveLength(20);
  await bench.store.close();
});

test("so are they in the transaction of a commit that comes first", async () => {
  const { bench, commits } = await counted();
  const row = await bench.held();
  const before = commits();
  const run = bench.newRun();
  const [created, committed] = await Promise.all([
    bench.store.create([run]),
    bench.store.commit([bench.part(row, [started])]),
  ]);
  expect(created).toEqual([{ id: run.id, created: true }]);
  expect(committed).toEqual([{ run: row.id, ok: true, inbox: 0 }]);
  expect(commits() - before).toBe(1);
  await bench.store.close();
});

test("what cannot be created is its caller's error and nobody else's", async () => {
  const { bench } = await counted();
  const row = await bench.held();
  const [good, bad] = [bench.newRun(), { ...bench.newRun(), events: [] }];
  const all = await Promise.allSettled([
    bench.store.create([good]),
    bench.store.create([bad]),
    bench.store.commit([bench.part(row, [started])]),
  ]);
  expect(all.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  expect((await bench.store.list({})).runs.map(({ id }) => id).toSorted()).toEqual([row.id, good.id].toSorted());
  await bench.store.close();
});

test("a refused commit does not keep runs from being created", async () => {
  const { bench } = await counted();
  const row = await bench.held();
  const stale = { ...bench.part(row, [started]), epoch: row.epoch - 1 };
  const run = bench.newRun();
  const [created, [refused]] = await Promise.all([bench.store.create([run]), bench.store.commit([stale])]);
  expect(created).toEqual([{ id: run.id, created: true }]);
  expect(refused).toMatchObject({ ok: false, reason: "epoch" });
  await bench.store.close();
});

test.each(["before", "after"] as const)(
  "when the COMMIT reports a failure %s it is made, all are told what is true",
  async (during) => {
    const { bench, failNext } = await counted();
    const row = await bench.held();
    const run = bench.newRun();
    // Releases without events leave nothing to look for: what they are told comes from the others.
    const release = { ...bench.part(row, []), release: { dueAt: 1 } };
    failNext(during);
    const all = await Promise.allSettled([bench.store.create([run]), bench.store.commit([release])]);
    const expected = during === "after" ? "fulfilled" : "rejected";
    expect(all.map(({ status }) => status)).toEqual([expected, expected]);
    expect((await bench.store.list({ ids: [run.id] })).runs).toHaveLength(during === "after" ? 1 : 0);
    await bench.store.close();
  },
);

test("what was asked for before the store is closed is carried out", async () => {
  const { bench } = await counted();
  const run = bench.newRun();
  const [created] = await Promise.all([bench.store.create([run]), bench.store.close()]);
  expect(created).toEqual([{ id: run.id, created: true }]);
});
