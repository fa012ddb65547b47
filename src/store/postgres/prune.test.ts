import pg from "pg";
import { afterAll, expect, test } from "vitest";

import { dropSchema, newSchema, postgresUrl, sql } from "../../../test/postgres/database.ts";
import { postgres } from "../../postgres.ts";
import { after, accept, ended, openBench, payloadOf, started, succeeded } from "../../testing/conformance/fixture.ts";
import type { Bench } from "../../testing/conformance/fixture.ts";
import type { NewRun } from "../store.ts";

const url = await postgresUrl();
const schemas: string[] = [];
afterAll(() => dropSchema(url, schemas));

async function open(): Promise<{ bench: Bench; schema: string; done(): Promise<void> }> {
  const schema = newSchema();
  schemas.push(schema);
  const { bench, cleanup } = await openBench(async ({ now }) => {
    const store = postgres({ url, schema, now });
    return { store, cleanup: () => store.close() };
  });
  return { bench, schema, done: cleanup };
}

async function endedRun(bench: Bench, options: Parameters<Bench["newRun"]>[0]): Promise<NewRun> {
  const run = bench.newRun({ ...options, steps: [started, ended] });
  await bench.store.create([run]);
  bench.clock.advance(1000);
  return run;
}

const soon = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, Math.random() * 3));

test("a payload that a new run brings or names while its last user is removed is there for as long as the run", async () => {
  const { bench, done } = await open();
  const { store, clock } = bench;
  const holder = await bench.held({ workflow: "holder" });
  let row = holder;
  for (let i = 0; i < 60; i += 1) {
    const { payload, value } = payloadOf({ shared: i });
    await endedRun(bench, { input: value, payloads: [payload] });
    const part = bench.part(row, [succeeded(`s${i}`, value)], { payloads: [payload] });
    const commit = soon().then(() => store.commit([part]));
    const [[result]] = await Promise.all([
      commit,
      soon().then(() => store.prune({ endedBefore: clock.now(), limit: 9 })),
    ]);
    expect(result).toMatchObject({ ok: true });
    row = after(row, part);
    expect((await store.payloads([payload.digest])).get(payload.digest)).toBe(payload.text);
  }
  await done();
});

test("a payload that a transaction which is still open gives a new user is not removed with its last one", async () => {
  const { bench, schema, done } = await open();
  const { store, clock } = bench;
  const { payload, value } = payloadOf("shared");
  const source = await endedRun(bench, { input: value, payloads: [payload] });
  const client = new pg.Client(url);
  await client.connect();
  await client.query("begin");
  const other = postgres({ url, schema, now: clock.now });
  await other.createIn(client, [bench.newRun({ workflow: "new", input: value, payloads: [payload] })]);
  const pruning = store.prune({ endedBefore: clock.now(), limit: 9 });
  // It waits for the open transaction, or is through with it by now.
  await Promise.race([pruning, new Promise((resolve) => setTimeout(resolve, 200))]);
  await client.query("commit");
  expect((await pruning).runs).toEqual([source.id]);
  expect((await store.payloads([payload.digest])).get(payload.digest)).toBe(payload.text);
  await client.end();
  await other.close();
  await done();
});

test("a run is not removed while another that comes from it is being created, nor afterwards", async () => {
  const { bench, schema, done } = await open();
  const { clock } = bench;
  const store = postgres({ url, schema, now: clock.now });
  const source = await endedRun(bench, {});
  const origin = { kind: "restart", run: source.id, seq: 0, hash: source.events[0]?.hash ?? "" } as const;
  const client = new pg.Client(url);
  await client.connect();
  await client.query("begin");
  await store.createIn(client, [bench.newRun({ workflow: "restart", family: source.id, origin })]);
  const request = { endedBefore: clock.now(), limit: 99 };
  expect((await store.prune(request)).runs).toEqual([]);
  await client.query("commit");
  expect((await store.prune(request)).runs).toEqual([]);
  await client.end();
  await store.close();
  await done();
});

test("two that prune at once remove each run once", async () => {
  const { bench, schema, done } = await open();
  const other = postgres({ url, schema });
  const runs: string[] = [];
  for (let i = 0; i < 40; i += 1) runs.push((await endedRun(bench, {})).id);
  const request = { endedBefore: bench.clock.now(), limit: 100 };
  const pruned = await Promise.all([bench.store.prune(request), other.prune(request)]);
  const rest = await bench.store.prune(request);
  expect([...pruned, rest].flatMap(({ runs: removed }) => removed).sort()).toEqual(runs.sort());
  expect((await bench.store.list({})).runs).toEqual([]);
  await other.close();
  await done();
});

test("nothing is left of a run that was removed, in any table", async () => {
  const { bench, schema, done } = await open();
  const { store, clock } = bench;
  const { payload, value } = payloadOf("large");
  const row = await bench.held({ tags: ["x"], input: value, payloads: [payload] });
  await store.send([{ run: row.id, key: "k", kind: "signal", body: "1" }]);
  const emit = [{ stream: "s", step: "", attempt: 1, text: "1" }];
  const packs = [{ first: 0, body: Buffer.from("packed") }];
  await accept(store, row, bench.part(row, [started, ended], { emit, packs, release: { dueAt: null, force: true } }));
  expect(await sql(url, `select first from ${schema}.packs`)).toEqual([{ first: "0" }]);
  clock.advance(1000);
  expect((await store.prune({ endedBefore: clock.now(), limit: 9 })).runs).toEqual([row.id]);
  const of = ["runs", "events", "unplaced", "feed", "payloads", "payload_uses", "tags", "inbox", "emitted", "packs"];
  for (const table of of) {
    expect(await sql(url, `select * from ${schema}.${table}`), table).toEqual([]);
  }
  await done();
});
