import { afterAll, expect, test } from "vitest";

import { dropSchema, newSchema, postgresUrl, sql } from "../../../test/postgres/database.ts";
import { until } from "../../../test/stage.ts";
import { wireTo } from "../../../test/postgres/wire.ts";
import { postgres } from "../../postgres.ts";
import { claim, claimedIds, openBench, started, suspended } from "../../testing/conformance/fixture.ts";
import type { Bench } from "../../testing/conformance/fixture.ts";
import { Database } from "./database.ts";
import { placeOf } from "./place.ts";
import type { PostgresStore } from "./store.ts";
import { postgresWith } from "./store.ts";
import { Wake } from "./wake.ts";

const url = await postgresUrl();
const schemas: string[] = [];
afterAll(() => dropSchema(url, schemas));

type Two = { bench: Bench; store: PostgresStore; other: PostgresStore; schema: string; writes(): number };

async function two(): Promise<Two> {
  const schema = newSchema();
  schemas.push(schema);
  const at = new URL(url);
  at.searchParams.set("application_name", schema);
  let count = 0;
  const store = postgresWith(
    { url: at.href, schema, idleMs: 60_000 },
    {
      write: async (write) => {
        count += 1;
        return write();
      },
    },
  );
  const { bench } = await openBench(async () => ({ store, cleanup: () => store.close() }));
  return { bench, store, other: postgres({ url, schema }), schema, writes: () => count };
}

/** Claims until nothing is asked of the database any more; gives the runs that came due meanwhile. */
async function rest({ store, writes }: Two): Promise<string[]> {
  const claimed: string[] = [];
  await until(async () => {
    const before = writes();
    for (let i = 0; i < 20; i += 1) claimed.push(...(await claimedIds(store, "worker-a")));
    return writes() === before;
  });
  return claimed;
}

test("what another process brings wakes the one that listens, whichever way it comes", async () => {
  const pair = await two();
  const { bench, store, other } = pair;
  let calls = 0;
  const stop = store.onWake(() => (calls += 1));
  await until(() => calls > 0);
  const wakes = async (work: () => Promise<unknown>): Promise<void> => {
    const before = calls;
    await work();
    await until(() => calls > before);
    expect(calls).toBeGreaterThan(before);
  };
  const run = bench.newRun();
  await wakes(() => other.create([run]));
  const [row] = (await claim(other, "worker-b")).runs;
  await wakes(() => other.send([{ run: run.id, key: "k", kind: "signal", body: "1" }]));
  const { inbox } = (await other.list({ ids: [run.id] })).runs[0]!;
  const part = bench.part(row!, [started, suspended], { inbox, release: { dueAt: Date.now() + 60_000 } });
  await wakes(() => other.commit([part]));
  expect((await other.list({ ids: [run.id] })).runs[0]?.state.status).toBe("suspended");
  stop();
  await store.close();
  await other.close();
});

test("a store does not wake itself, and one that is not listened to any more calls nobody", async () => {
  const { bench, store, other } = await two();
  let calls = 0;
  const stop = store.onWake(() => (calls += 1));
  await until(() => calls > 0);
  const before = calls;
  await bench.created();
  let heard = 0;
  const listening = other.onWake(() => (heard += 1));
  await until(() => heard > 0);
  await bench.created();
  await until(() => heard > 1);
  expect(calls).toBe(before);
  stop();
  listening();
  await store.close();
  await other.close();
});

test("a worker that found nothing leaves the database alone, and sees at once what comes", async () => {
  const pair = await two();
  const { bench, store, other, writes } = pair;
  let calls = 0;
  store.onWake(() => (calls += 1));
  await until(() => calls > 0);

  await rest(pair);
  const theirs = bench.newRun();
  await other.create([theirs]);
  await until(async () => (await claimedIds(store, "worker-a")).includes(theirs.id));

  await rest(pair);
  const own = await bench.created();
  expect(await claimedIds(store, "worker-a")).toEqual([own.id]);

  const later = await bench.created({ dueAt: Date.now() + 300 });
  const claimed = await rest(pair);
  await until(async () => {
    claimed.push(...(await claimedIds(store, "worker-a")));
    return claimed.includes(later.id);
  });

  await rest(pair);
  const before = writes();
  await claim(store, "worker-a", { offers: [] });
  expect(writes(), "another question is another one").toBeGreaterThan(before);
  await store.close();
  await other.close();
});

test("where nobody listens each claim asks", async () => {
  const { store, other, writes } = await two();
  for (let i = 0; i < 10; i += 1) {
    const before = writes();
    await claim(store, "worker-a");
    expect(writes()).toBeGreaterThan(before);
  }
  await store.close();
  await other.close();
});

test("after its connection was cut a store listens again, and has its worker look at what it missed", async () => {
  const pair = await two();
  const { bench, store, other, schema } = pair;
  let calls = 0;
  store.onWake(() => (calls += 1));
  await until(() => calls > 0);
  await rest(pair);
  const before = calls;
  await sql(
    url,
    `select pg_terminate_backend(pid) from pg_stat_activity where application_name = '${schema}' and (query ilike 'select pg_notify%' or query ilike 'listen%')`,
  );
  const run = bench.newRun();
  await other.create([run]);
  await until(() => calls > before);
  await until(async () => (await claimedIds(store, "worker-a")).includes(run.id));
  expect((await store.list({ ids: [run.id] })).runs[0]?.worker).toBe("worker-a");
  await store.close();
  await other.close();
});

test("a store that is closed while it begins to listen leaves no connection behind", async () => {
  const { store, other, schema } = await two();
  store.onWake(() => {});
  await store.close();
  const connections = (): Promise<unknown[]> =>
    sql(url, `select pid from pg_stat_activity where application_name = '${schema}'`);
  // The server takes a moment to see that a client has gone.
  await until(async () => (await connections()).length === 0);
  expect(await connections()).toEqual([]);
  await other.close();
});

test("that notifications arrive no more is noticed although the connection says nothing, and that they do again", async () => {
  const wire = await wireTo(url);
  const schema = newSchema();
  schemas.push(schema);
  const db = new Database(placeOf({ url: wire.url, schema }));
  let calls = 0;
  const wake = new Wake(db, "self", () => (calls += 1), 20);
  wake.on(() => {});
  await until(() => wake.healthy);
  const before = calls;
  const { connections } = wire;
  await until(() => wire.notifications > 5);
  expect(wire.connections, "one that works is kept").toBe(connections);
  wire.deaf = true;
  await until(() => !wake.healthy);
  expect(calls).toBe(before);
  wire.deaf = false;
  await until(() => wake.healthy);
  // What it may have missed meanwhile is looked for.
  expect(calls).toBe(before + 1);
  await wake.stop();
  await db.close();
  await wire.end();
});

test("a store whose server fell off the network without a word can be closed", async () => {
  const wire = await wireTo(url);
  const schema = newSchema();
  schemas.push(schema);
  const store = postgres({ url: wire.url, schema });
  let calls = 0;
  store.onWake(() => (calls += 1));
  await until(() => calls > 0);
  wire.dead = true;
  await store.close();
  await expect(store.list({})).rejects.toMatchObject({ code: "store.closed" });
  await wire.end();
});
