import { mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";

import { offer, openBench, started } from "../../testing/conformance/fixture.ts";
import type { Bench } from "../../testing/conformance/fixture.ts";
import type { RunRow, Store } from "../store.ts";
import { sqlite } from "../../sqlite.ts";
import { sqliteWith } from "./store.ts";

const folder = mkdtempSync(join(tmpdir(), "stemma-ambiguity-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let places = 0;

type Flaky = { bench: Bench; place: string; failNext(during?: () => void): void; loseNext(): void };

/** A store whose next COMMIT is carried out (or, if `lost`, is not) and reported as failed. */
async function flaky(): Promise<Flaky> {
  const place = join(folder, String(places++));
  mkdirSync(place);
  let fault: { during: () => void; lost: boolean } | undefined;
  const commit = (real: () => void): void => {
    if (fault === undefined) return real();
    const { during, lost } = fault;
    fault = undefined;
    if (!lost) real();
    during();
    throw new Error("no answer from the disk");
  };
  const { bench } = await openBench(async ({ now }) => {
    const store = sqliteWith({ path: join(place, "stemma.db"), now }, { commit });
    return { store, cleanup: () => store.close() };
  });
  return {
    bench,
    place,
    failNext: (during = () => undefined) => void (fault = { during, lost: false }),
    loseNext: () => void (fault = { during: () => undefined, lost: true }),
  };
}

test("a create whose COMMIT went through and reported an error is answered as created", async () => {
  const { bench, failNext } = await flaky();
  const run = bench.newRun();
  failNext();
  expect(await bench.store.create([run])).toEqual([{ id: run.id, created: true }]);
  expect((await bench.store.list({})).runs).toHaveLength(1);
  await bench.store.close();
});

test("so is a commit, and its holder goes on behind it", async () => {
  const { bench, failNext } = await flaky();
  const row = await bench.held();
  const part = bench.part(row, [started]);
  failNext();
  expect(await bench.store.commit([part])).toEqual([{ run: row.id, ok: true, inbox: 0 }]);
  expect(await eventsOf(bench.store, row.id)).toHaveLength(2);
  const next = bench.part({ ...row, state: part.state, hash: part.events[0]?.hash ?? "" }, [
    { type: "run.set", data: { tags: ["x"] } },
  ]);
  expect(await bench.store.commit([next])).toEqual([{ run: row.id, ok: true, inbox: 0 }]);
  await bench.store.close();
});

test("so are messages, claims, heartbeats and prunes", async () => {
  const { bench, failNext } = await flaky();
  const { store, clock } = bench;
  const run = await bench.created();
  failNext();
  expect((await store.send([{ run: run.id, key: "k", kind: "signal", body: "1" }]))[0]?.accepted).toBe(true);
  failNext();
  const { runs } = await store.claim({ worker: "a", offers: [offer], limit: 9, leaseMs: 1000 });
  expect(runs.map(({ id, epoch, worker }) => ({ id, epoch, worker }))).toEqual([{ id: run.id, epoch: 1, worker: "a" }]);
  failNext();
  expect(await store.heartbeat({ worker: "a", leaseMs: 1000 })).toMatchObject({ expired: false, news: [{ inbox: 1 }] });
  const row = runs[0] as RunRow;
  const release = { dueAt: null, force: true };
  await store.commit([bench.part(row, [started, { type: "run.cancelled", data: {} }], { release })]);
  failNext();
  expect((await store.prune({ endedBefore: clock.now() + 1, limit: 9 })).runs).toEqual([run.id]);
  expect((await store.list({})).runs).toEqual([]);
  await store.close();
});

test("a COMMIT that did not go through is an error each time, and what it was to do can be done again", async () => {
  const { bench, loseNext } = await flaky();
  const { store, clock } = bench;
  const claim = { worker: "worker-a", offers: [offer], limit: 9, leaseMs: 15_000 };
  const run = bench.newRun();
  loseNext();
  await expect(store.create([run])).rejects.toThrow("no answer");
  expect(await store.create([run])).toEqual([{ id: run.id, created: true }]);
  loseNext();
  await expect(store.claim(claim)).rejects.toThrow("no answer");
  const row = (await store.claim(claim)).runs[0] as RunRow;
  expect(row).toMatchObject({ id: run.id, epoch: 1, claims: 1 });
  const message = { run: run.id, key: "k", kind: "signal", body: "1" };
  loseNext();
  await expect(store.send([message])).rejects.toThrow("no answer");
  expect(await store.send([message])).toEqual([{ run: run.id, key: "k", accepted: true }]);
  const cancelled = { type: "run.cancelled", data: {} } as const;
  const part = bench.part(row, [started, cancelled], { release: { dueAt: null, force: true } });
  loseNext();
  await expect(store.commit([part])).rejects.toThrow("no answer");
  expect(await store.commit([part])).toEqual([{ run: row.id, ok: true, inbox: 1 }]);
  loseNext();
  await expect(store.heartbeat({ worker: "worker-a", leaseMs: 20_000 })).rejects.toThrow("no answer");
  loseNext();
  await expect(store.prune({ endedBefore: clock.now() + 1, limit: 9 })).rejects.toThrow("no answer");
  expect(await eventsOf(store, run.id)).toHaveLength(3);
  await store.close();
});

test("a transaction that fails in its midst leaves nothing behind", async () => {
  const { bench, place } = await flaky();
  const run = bench.newRun();
  await bench.store.list({});
  const other = sqlite(join(place, "stemma.db"));
  const twice = { ...run, events: [...run.events, ...run.events] };
  await expect(bench.store.create([bench.newRun(), twice])).rejects.toMatchObject({ code: "engine.bug" });
  expect((await other.list({})).runs).toEqual([]);
  expect(await bench.store.create([run])).toEqual([{ id: run.id, created: true }]);
  await bench.store.close();
  await other.close();
});

test("where nobody can tell, the error says so; the same commit again is answered with what is true", async () => {
  const { bench, place, failNext } = await flaky();
  const row = await bench.held();
  const part = bench.part(row, [started]);
  // The file cannot be opened again: its folder is elsewhere for a while.
  failNext(() => renameSync(place, `${place}-away`));
  await expect(bench.store.commit([part])).rejects.toMatchObject({
    code: "store.unavailable",
    data: { outcome: "unknown" },
  });
  await expect(bench.store.commit([part])).rejects.toMatchObject({ code: "store.unavailable" });
  renameSync(`${place}-away`, place);
  expect(await bench.store.commit([part])).toEqual([{ run: row.id, ok: true, inbox: 0 }]);
  expect(await eventsOf(bench.store, row.id)).toHaveLength(2);
  // Once it is known, the same again is what it always is: a holder that is behind.
  expect((await bench.store.commit([part]))[0]).toMatchObject({ ok: false, reason: "seq" });
  await bench.store.close();
});

test("where nobody can tell, another commit at the same place is still refused", async () => {
  const { bench, place, failNext } = await flaky();
  const row = await bench.held();
  failNext(() => renameSync(place, `${place}-away`));
  await expect(bench.store.commit([bench.part(row, [started])])).rejects.toMatchObject({ code: "store.unavailable" });
  renameSync(`${place}-away`, place);
  const other = bench.part(row, [{ type: "run.set", data: { tags: ["other"] } }]);
  expect((await bench.store.commit([other]))[0]).toMatchObject({ ok: false, reason: "seq" });
  await bench.store.close();
});

test("a worker whose claim or heartbeat is in doubt begins anew: what it may hold is free", async () => {
  const { bench, place, failNext } = await flaky();
  const run = await bench.created();
  failNext(() => renameSync(place, `${place}-away`));
  const claim = { worker: "a", offers: [offer], limit: 9, leaseMs: 1000 };
  await expect(bench.store.claim(claim)).rejects.toMatchObject({ data: { outcome: "unknown" } });
  renameSync(`${place}-away`, place);
  expect((await bench.store.heartbeat({ worker: "a", leaseMs: 1000 })).expired).toBe(true);
  const { runs } = await bench.store.claim(claim);
  expect(runs.map(({ id, epoch }) => ({ id, late: epoch > 1 }))).toEqual([{ id: run.id, late: true }]);
  await bench.store.close();
});

test("a database in memory survives a COMMIT that reported an error", async () => {
  let fail = false;
  const store = sqliteWith(
    { path: ":memory:" },
    {
      commit: (real) => {
        real();
        if (fail) throw new Error("no answer");
      },
    },
  );
  const { bench } = await openBench(async () => ({ store, cleanup: () => store.close() }));
  await bench.created();
  fail = true;
  const run = bench.newRun();
  expect(await store.create([run])).toEqual([{ id: run.id, created: true }]);
  expect((await store.list({})).runs).toHaveLength(2);
  await store.close();
});

async function eventsOf(store: Store, run: string): Promise<readonly unknown[]> {
  return (await store.history(run, { after: -1, limit: 100 }))?.events ?? [];
}
