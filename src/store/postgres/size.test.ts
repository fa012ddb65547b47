import { randomBytes } from "node:crypto";
import pg from "pg";
import { afterAll, expect, test } from "vitest";

import { dropSchema, newSchema, postgresUrl, sql } from "../../../test/postgres/database.ts";
import type { PostgresPool } from "../../postgres.ts";
import { postgres } from "../../postgres.ts";
import { claim, openBench, payloadOf, succeeded } from "../../testing/conformance/fixture.ts";
import type { Payload } from "../store.ts";

const url = await postgresUrl();
const schemas: string[] = [];
afterAll(() => dropSchema(url, schemas));

const MiB = 2 ** 20;
/** PostgreSQL takes no message of a gigabyte, and JavaScript makes no string of half of one. */
const statementBytesMax = 10 * MiB;

/** A pool that keeps the size of the largest statement that was sent through it. */
function measuring(pool: pg.Pool): { pool: PostgresPool; largest(): number } {
  let largest = 0;
  return {
    pool: {
      async connect() {
        const client = await pool.connect();
        const query = client.query.bind(client) as (config: { values?: unknown[] }) => Promise<{ rows: unknown[] }>;
        return {
          query: (config) => {
            const { values = [] } = config as { values?: unknown[] };
            const bytes = values.flat().reduce((sum: number, value) => sum + String(value).length, 0);
            largest = Math.max(largest, bytes);
            return query(config as { values?: unknown[] });
          },
          release: client.release.bind(client),
        };
      },
    },
    largest: () => largest,
  };
}

let fresh = 0;
const large = (): ReturnType<typeof payloadOf> => payloadOf(`${(fresh += 1)} `.padEnd(0.75 * MiB, "x"));

test("however much a flush or a create brings, no statement is larger than a server takes", async () => {
  const schema = newSchema();
  schemas.push(schema);
  const pool = new pg.Pool({ connectionString: url, max: 2 });
  const measured = measuring(pool);
  const { bench, cleanup } = await openBench(async () => {
    const store = postgres({ pool: measured.pool, schema });
    return { store, cleanup: () => store.close() };
  });
  const { store } = bench;
  const count = 24;
  const texts = async (...given: readonly Payload[]): Promise<number> =>
    (await store.payloads(given.map(({ digest }) => digest))).size;
  const many = (): ReturnType<typeof payloadOf>[] => Array.from({ length: count }, large);
  const named = (names: readonly string[]): number[] => names.map((name) => Number(name.slice(1)));
  const inOrder = Array.from({ length: count }, (_, i) => i);

  const inputs = many().map(({ payload }) => payload);
  const runs = inputs.map((payload) => ({ ...bench.newRun(), payloads: [payload] }));
  const half = count / 2;
  await store.create(runs.slice(0, half));
  await Promise.all(runs.slice(half).map((run) => store.create([run])));
  expect(await texts(...inputs)).toBe(count);

  const [first, second, third] = (await claim(store, "worker-a", { limit: count })).runs;
  const outputs = many();
  const payloads = outputs.map(({ payload }) => payload);
  const children = many().map(({ payload }) => ({ ...bench.newRun({ workflow: "child" }), payloads: [payload] }));
  const packs = inOrder.map((seq) => ({ first: seq, body: randomBytes(0.75 * MiB) }));
  const refused = large();
  const results = await store.commit([
    bench.part(
      first!,
      outputs.map(({ value }, i) => succeeded(`s${i}`, value)),
      { payloads, packs },
    ),
    bench.part(second!, [succeeded("s")], {
      create: children,
      emit: many().map(({ payload: { text } }) => ({ stream: "s", step: "", attempt: 1, text })),
      send: many().map(({ payload: { text } }, i) => ({ run: third!.id, key: `k${i}`, kind: "signal", body: text })),
    }),
    // Of a part that is refused nothing is kept, large or small.
    { ...bench.part(third!, [succeeded("s", refused.value)], { payloads: [refused.payload] }), epoch: 0 },
  ]);
  expect(results.map(({ ok }) => ok)).toEqual([true, true, false]);
  expect(await texts(...payloads, refused.payload)).toBe(count);
  expect(await store.packs?.(first!.id, { from: 0, limit: count })).toEqual(packs);
  expect((await store.list({ workflow: "child" })).runs).toHaveLength(count);
  expect(await texts(...children.flatMap((child) => child.payloads))).toBe(count);
  const { values } = await store.feed({ run: second!.id, stream: "s", after: 0, limit: count });
  expect(values?.map(({ position }) => position - 1)).toEqual(inOrder);
  const inbox = (await store.history(third!.id, { after: -1, limit: 9 }))?.inbox ?? [];
  expect(named(inbox.map(({ key }) => key))).toEqual(inOrder);
  // What a run uses goes with it and not before, however it came.
  await sql(url, `update ${schema}.runs set ended_at = 0 where id <> '${first!.id}'`);
  await store.prune({ endedBefore: 1, limit: 1000 });
  expect(await texts(...payloads)).toBe(count);
  await sql(url, `update ${schema}.runs set ended_at = 0`);
  await store.prune({ endedBefore: 1, limit: 1000 });
  expect(await texts(...inputs, ...payloads)).toBe(0);
  expect(measured.largest()).toBeLessThan(statementBytesMax);
  await cleanup();
  await pool.end();
});
