import { afterAll, expect, test } from "vitest";

import { dropSchema, newSchema, postgresUrl, sql } from "../../../test/postgres/database.ts";
import { until } from "../../../test/stage.ts";
import { postgres } from "../../postgres.ts";
import { accept, ended, openBench, started, succeeded } from "../../testing/conformance/fixture.ts";
import type { Bench } from "../../testing/conformance/fixture.ts";
import type { FeedItem } from "../../testing/conformance/read.ts";
import { wholeFeed } from "../../testing/conformance/read.ts";
import { placeOf } from "./place.ts";
import { Database } from "./database.ts";
import { placeEvents } from "./sql-feed.ts";
import type { PostgresStore } from "./store.ts";

const url = await postgresUrl();
const schemas: string[] = [];
afterAll(() => dropSchema(url, schemas));

async function open(): Promise<{ bench: Bench; store: PostgresStore; schema: string }> {
  const schema = newSchema();
  schemas.push(schema);
  const store = postgres({ url, schema });
  const { bench } = await openBench(async () => ({ store, cleanup: () => store.close() }));
  await store.list({});
  return { bench, store, schema };
}

const unplaced = async (schema: string): Promise<number> =>
  (await sql(url, `select run from ${schema}.unplaced`)).length;

test("events get their positions by themselves, without anybody who reads", async () => {
  const { bench, store, schema } = await open();
  const row = await bench.held();
  await accept(store, row, bench.part(row, [started, succeeded("a")]));
  await until(async () => (await unplaced(schema)) === 0);
  expect((await store.feed({ after: 0, limit: 9 })).events.map(({ position }) => position)).toEqual([1, 2, 3]);
  await store.close();
});

test("the work of a holder that is gone is taken over when its lease has ended", async () => {
  const { bench, store, schema } = await open();
  await bench.created();
  await until(async () => (await unplaced(schema)) === 0);
  await sql(
    url,
    `update ${schema}.sequencer set holder = 'dead', epoch = epoch + 1, lease_until = clock_timestamp() + interval '700 ms'`,
  );
  await bench.created();
  await until(async () => (await unplaced(schema)) === 0);
  expect((await sql(url, `select holder from ${schema}.sequencer`))[0]?.["holder"]).not.toBe("dead");
  await store.close();
});

test("a holder whose lease another has taken places nothing, however slow it was", async () => {
  const { bench, store, schema } = await open();
  await sql(url, `update ${schema}.sequencer set holder = 'a', epoch = 41, lease_until = 'infinity'`);
  await bench.created();
  const db = new Database(placeOf({ url, schema }));
  expect(await db.aside(placeEvents, [40, 100, 1000])).toMatchObject([{ leading: false }]);
  expect(await unplaced(schema)).toBe(1);
  expect(await db.aside(placeEvents, [41, 100, 1000])).toMatchObject([{ leading: true, parts: 1 }]);
  expect((await store.feed({ after: 0, limit: 9 })).events).toHaveLength(1);
  await db.close();
  await store.close();
});

test("a store that is closed has placed what it appended, and left the lease to others", async () => {
  const { bench, store, schema } = await open();
  await bench.created();
  await store.close();
  expect(await unplaced(schema)).toBe(0);
  const [row] = await sql(url, `select lease_until <= clock_timestamp() as free from ${schema}.sequencer`);
  expect(row).toEqual({ free: true });
});

test("who reads has what a process left behind that died before it was placed", async () => {
  const { bench, store, schema } = await open();
  await sql(url, `update ${schema}.sequencer set holder = 'x', lease_until = 'infinity'`);
  const run = await bench.created();
  await store.close();
  expect(await unplaced(schema)).toBe(1);
  await sql(url, `update ${schema}.sequencer set lease_until = 'epoch'`);
  const reader = postgres({ url, schema });
  const { events } = await wholeFeed(reader, 1);
  expect(events[0]?.run).toBe(run.id);
  await reader.close();
});

test("with many who append, read, prune and place at once, every event comes once, in order, and none late", async () => {
  const { bench, schema } = await open();
  const stores = Array.from({ length: 3 }, () => postgres({ url, schema }));
  const state = { writing: true };
  const removed = new Set<string>();
  const written = new Map<string, number>();
  const write = async (store: PostgresStore, worker: string): Promise<void> => {
    for (let i = 0; i < 12; i += 1) {
      const workflow = `${worker}-${i}`;
      let row = await bench.held({ workflow, worker });
      for (let s = 0; s < 8; s += 1) row = await accept(store, row, bench.part(row, [succeeded(`s${s}`)]));
      written.set(row.id, row.state.seq + 1);
      if (i % 3 === 0) {
        written.set(row.id, row.state.seq + 3);
        await accept(store, row, bench.part(row, [started, ended], { release: { dueAt: null, force: true } }));
      }
    }
  };
  const read = async (store: PostgresStore): Promise<FeedItem[]> => {
    const seen: FeedItem[] = [];
    let position = 0;
    const all = (): boolean =>
      [...written].every(([run, count]) => removed.has(run) || seen.filter((item) => item.run === run).length >= count);
    // The last events have their places when whoever gives them gets to it; what comes behind them is too much.
    for (let quiet = 0; quiet < 20 || !all();) {
      const page = await store.feed({ after: position, limit: 7 });
      seen.push(...page.events);
      quiet = page.position > position || state.writing ? 0 : quiet + 1;
      position = page.position;
      if (page.events.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return seen;
  };
  const prune = async (store: PostgresStore): Promise<void> => {
    while (state.writing) {
      const { runs } = await store.prune({ endedBefore: bench.clock.now() + 1, limit: 2 });
      for (const run of runs) removed.add(run);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const readers = stores.map(read);
  const pruning = prune(stores[0]!);
  await Promise.all(stores.map((store, i) => write(store, `worker-${i}`)));
  state.writing = false;
  await pruning;
  const all = await Promise.all(readers);
  for (const seen of all) {
    const positions = seen.map(({ position }) => position);
    expect(positions).toEqual([...new Set(positions)].sort((a, b) => a - b));
    for (const [run, count] of written) {
      const seqs = seen.filter((item) => item.run === run).map(({ event }) => event.seq);
      const expected = Array.from({ length: count }, (_, seq) => seq);
      if (removed.has(run)) expect(expected.slice(0, seqs.length)).toEqual(seqs);
      else expect(seqs).toEqual(expected);
    }
  }
  expect(removed.size).toBeGreaterThan(3);
  await until(async () => (await unplaced(schema)) === 0);
  const left = await sql(
    url,
    `select f.run from ${schema}.feed f left join ${schema}.runs r on r.id = f.run where r.id is null`,
  );
  expect(left, "nothing is left of runs that were removed").toEqual([]);
  for (const store of [bench.store, ...stores]) await store.close();
});
