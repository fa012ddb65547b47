import { afterAll, expect, test } from "vitest";

import { dropSchema, newSchema, postgresUrl } from "../../../test/postgres/database.ts";
import { claim, offer, openBench, started } from "../../testing/conformance/fixture.ts";
import type { Bench } from "../../testing/conformance/fixture.ts";
import type { Store } from "../store.ts";
import { Database } from "./database.ts";
import { placeOf } from "./place.ts";
import { claimRuns } from "./sql-claim.ts";
import { postgresWith } from "./store.ts";

const url = await postgresUrl();
const schemas: string[] = [];
afterAll(() => dropSchema(url, schemas));

/** What becomes of a write: it is done and the answer is lost; nothing is done and that is lost; or no word comes for long. */
type Fault = "answer lost" | "never arrived" | "silence";

type Flaky = { bench: Bench; place: { url: string; schema: string }; next(...faults: Fault[]): void };

async function flaky(): Promise<Flaky> {
  const schema = newSchema();
  schemas.push(schema);
  let coming: Fault[] = [];
  const { bench } = await openBench(async ({ now }) => {
    const store = postgresWith(
      { url, schema, now },
      {
        async write(write) {
          const fault = coming.shift();
          if (fault === undefined) return write();
          const silence = Object.assign(new Error("Connection terminated unexpectedly"), { code: "ECONNRESET" });
          if (fault === "answer lost") await write();
          throw silence;
        },
      },
    );
    return { store, cleanup: () => store.close() };
  });
  return { bench, place: { url, schema }, next: (...given) => void (coming = given) };
}

const faults: Fault[] = ["answer lost", "never arrived"];

test.each(faults)("a create whose outcome is unknown (%s) is answered with what is true", async (fault) => {
  const { bench, next } = await flaky();
  const old = await bench.created({ idempotencyKey: "k" });
  const [run, again] = [bench.newRun(), bench.newRun({ idempotencyKey: "k" })];
  next(fault);
  expect(await bench.store.create([run, again])).toEqual([
    { id: run.id, created: true },
    { id: old.id, created: false },
  ]);
  expect((await bench.store.list({})).runs).toHaveLength(2);
  await bench.store.close();
});

test.each(faults)("so is a commit (%s), alone or with all that it can bring", async (fault) => {
  const { bench, next } = await flaky();
  const { store } = bench;
  const target = await bench.created({ workflow: "other" });
  const child = bench.newRun({ workflow: "child" });
  for (const extras of [
    {},
    {
      send: [{ run: target.id, key: "k", kind: "signal", body: "1" }],
      create: [child],
      emit: [{ stream: "s", step: "", attempt: 1, text: "1" }],
      release: { dueAt: null },
    },
  ]) {
    const row = await bench.held();
    const part = bench.part(row, [started], extras);
    next(fault);
    expect(await store.commit([part])).toEqual([{ run: row.id, ok: true, inbox: 0 }]);
    expect(await eventsOf(store, row.id)).toHaveLength(2);
    // Once it is known, the same again is what it always is: a holder that is behind.
    expect((await store.commit([part]))[0]).toMatchObject({ ok: false, reason: "seq" });
    if (extras.emit !== undefined) {
      expect((await store.feed({ run: row.id, stream: "s", after: 0, limit: 9 })).values).toHaveLength(1);
    }
  }
  expect((await store.history(target.id, { after: -1, limit: 9 }))?.inbox).toHaveLength(1);
  expect(await eventsOf(store, child.id)).toHaveLength(1);
  await store.close();
});

test.each(faults)(
  "another commit at a place that is in doubt (%s) is refused if the first one went through",
  async (fault) => {
    const { bench, next } = await flaky();
    const row = await bench.held();
    next(fault, "silence", "silence", "silence", "silence");
    await expect(bench.store.commit([bench.part(row, [started])])).rejects.toMatchObject({
      code: "store.unavailable",
      retryable: true,
      data: { outcome: "unknown" },
    });
    const other = bench.part(row, [{ type: "run.set", data: { tags: ["other"] } }]);
    expect((await bench.store.commit([other]))[0]).toMatchObject({ ok: fault === "never arrived" });
    await bench.store.close();
  },
);

test.each(faults)(
  "where nobody can tell for long (%s), the same commit is answered with what is true when it can",
  async (fault) => {
    const { bench, next } = await flaky();
    const row = await bench.held();
    const part = bench.part(row, [started], { release: { dueAt: null, force: true } });
    next(fault, "silence", "silence", "silence", "silence");
    await expect(bench.store.commit([part])).rejects.toMatchObject({ data: { outcome: "unknown" } });
    // Meanwhile another has claimed the run and moved it on, if it was given back.
    if (fault === "answer lost") {
      await bench.store.send([{ run: row.id, key: "k", kind: "signal", body: "1" }]);
      const [taken] = (await claim(bench.store, "worker-b")).runs;
      expect(taken?.epoch).toBe(2);
    }
    expect(await bench.store.commit([part])).toMatchObject([{ run: row.id, ok: true }]);
    expect(await eventsOf(bench.store, row.id)).toHaveLength(2);
    await bench.store.close();
  },
);

test.each(faults)("messages whose outcome is unknown (%s) are accepted once", async (fault) => {
  const { bench, next } = await flaky();
  const run = await bench.created();
  const message = { run: run.id, key: "k", kind: "signal", body: "1" };
  await bench.store.send([{ ...message, key: "before", body: "0" }]);
  next(fault);
  expect(await bench.store.send([message, { ...message, key: "before" }])).toEqual([
    { run: run.id, key: "k", accepted: true },
    { run: run.id, key: "before", accepted: false, reason: "repeated" },
  ]);
  expect((await bench.store.history(run.id, { after: -1, limit: 9 }))?.inbox).toHaveLength(2);
  await bench.store.close();
});

test.each(faults)(
  "runs of a claim whose answer is unknown (%s) are given with the next, and no run is dropped",
  async (fault) => {
    const { bench, next } = await flaky();
    const { store } = bench;
    const known = await bench.held();
    const lost = [await bench.created(), await bench.created()];
    next(fault);
    await expect(claim(store, "worker-a")).rejects.toMatchObject({ data: { outcome: "unknown" } });
    const fresh = await bench.created({ priority: -1 });
    const given = [...(await claim(store, "worker-a")).runs, ...(await claim(store, "worker-a")).runs];
    expect(given.map(({ id }) => id).sort()).toEqual([...lost, fresh].map(({ id }) => id).sort());
    expect(given.every(({ epoch, worker }) => epoch === 1 && worker === "worker-a")).toBe(true);
    expect((await store.heartbeat({ worker: "worker-a", leaseMs: 15_000 })).expired).toBe(false);
    for (const row of [known, ...given])
      expect((await store.commit([bench.part(row, [started])]))[0]).toMatchObject({ ok: true });
    await store.close();
  },
);

test("a claim that the server carries out after its worker has begun anew gives nothing", async () => {
  const { bench, place, next } = await flaky();
  const { store } = bench;
  await claim(store, "worker-a");
  next("never arrived");
  await expect(claim(store, "worker-a")).rejects.toMatchObject({ data: { outcome: "unknown" } });
  // It begins anew, and finds nothing. Now the lost claim arrives, as it was sent.
  expect((await claim(store, "worker-a")).runs).toEqual([]);
  const run = await bench.created();
  const db = new Database(placeOf(place));
  const asked = [bench.clock.now(), "worker-a", 15_000, 0, 100, [offer.workflow], [1], [offer.fingerprint], false];
  expect((await db.aside<{ row: string | null }>(claimRuns, asked)).map(({ row }) => row)).toEqual([null]);
  await db.close();
  const row = (await store.history(run.id, { after: -1, limit: 1 }))?.row;
  expect(row).toMatchObject({ epoch: 0 });
  expect(row?.worker).toBeUndefined();
  expect((await claim(store, "worker-a")).runs.map(({ id }) => id)).toEqual([run.id]);
  await store.close();
});

test.each(faults)("heartbeats and prunes may be made again (%s)", async (fault) => {
  const { bench, next } = await flaky();
  const { store, clock } = bench;
  const row = await bench.held();
  next(fault);
  expect((await store.heartbeat({ worker: "worker-a", leaseMs: 15_000 })).expired).toBe(false);
  const end = [started, { type: "run.cancelled", data: {} }] as const;
  await store.commit([bench.part(row, end, { release: { dueAt: null, force: true } })]);
  clock.advance(1);
  next(fault);
  await store.prune({ endedBefore: clock.now(), limit: 9 }).catch(() => undefined);
  await store.prune({ endedBefore: clock.now(), limit: 9 });
  expect((await store.list({})).runs).toEqual([]);
  await store.close();
});

test.each(faults)(
  "that its runs were taken from it is told to a worker although the first word of it is lost (%s)",
  async (fault) => {
    const { bench, next } = await flaky();
    const { store, clock } = bench;
    await bench.held();
    clock.advance(100_000);
    expect((await claim(store, "worker-b")).runs).toHaveLength(1);
    next(fault, "silence", "silence", "silence", "silence");
    await expect(store.heartbeat({ worker: "worker-a", leaseMs: 15_000 })).rejects.toMatchObject({
      code: "store.unavailable",
    });
    expect((await store.heartbeat({ worker: "worker-a", leaseMs: 15_000 })).expired).toBe(true);
    expect((await store.heartbeat({ worker: "worker-a", leaseMs: 15_000 })).expired).toBe(false);
    await store.close();
  },
);

async function eventsOf(store: Store, run: string): Promise<readonly unknown[]> {
  return (await store.history(run, { after: -1, limit: 100 }))?.events ?? [];
}
