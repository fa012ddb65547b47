/**
 * The race that the fence is for: a holder that was taken for dead appends while another worker takes its runs and reads
 * their histories. What the new holder has read must be all that the old one ever appended, at every level of isolation;
 * otherwise it goes on from a history that changes behind its back. The naive form of an append (read who holds the run,
 * then insert) is the control: it must fail this test, or the test proves nothing.
 */
import pg from "pg";
import { afterAll, expect, test } from "vitest";
import { postgres } from "../src/postgres.ts";
import type { RunRow, Store } from "../src/store/store.ts";
import { openBench, succeeded } from "../src/testing/conformance/fixture.ts";
import type { Bench } from "../src/testing/conformance/fixture.ts";
import { dropSchema, newSchema, postgresUrl } from "./postgres/database.ts";

const url = await postgresUrl();
const schemas: string[] = [];
const pools: pg.Pool[] = [];
afterAll(async () => {
  await Promise.all(pools.map((pool) => pool.end()));
  await dropSchema(url, schemas);
});

/** Runs that are fought for at once, each a race of its own. */
const together = 10;
const rounds = Number(process.env["STEMMA_RACES"] ?? 1500) / together;
const leaseMs = 1000;

const at = (isolation: string): string => {
  const place = new URL(url);
  place.searchParams.set("options", `-c default_transaction_isolation=${isolation.replaceAll(" ", "\\ ")}`);
  return place.href;
};

const jitter = (ms: number): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, Math.random() * ms));

type Append = (row: RunRow, bench: Bench) => Promise<unknown>;

/** Counts appended events that the new holder did not see, and appends that came in time. */
async function race(
  isolation: string,
  appendWith: (store: Store, schema: string) => Append,
): Promise<[number, number]> {
  const schema = newSchema();
  schemas.push(schema);
  const { bench, cleanup } = await openBench(async ({ now }) => {
    const store = postgres({ url: at(isolation), schema, now });
    return { store, cleanup: () => store.close() };
  });
  let later = 0;
  const successor = postgres({ url: at(isolation), schema, now: () => bench.clock.now() + later });
  const append = appendWith(bench.store, schema);
  let stale = 0;
  let inTime = 0;
  for (let round = 0; round < rounds; round += 1) {
    const workflow = `race-${round}`;
    await bench.store.create(Array.from({ length: together }, () => bench.newRun({ workflow })));
    const offers = [{ workflow, version: 1, fingerprint: "code" }];
    const claim = { offers, limit: together, leaseMs };
    const { runs } = await bench.store.claim({ ...claim, worker: `old-${round}` });
    expect(runs).toHaveLength(together);
    // For the successor the lease has just ended; nobody else's is looked at.
    later = leaseMs + 1;
    const take = async (): Promise<(readonly [string, number])[]> => {
      await jitter(2);
      const seen: (readonly [string, number])[] = [];
      // A claim goes past runs that somebody has locked at this very moment.
      while (seen.length < together) {
        const taken = await successor.claim({ ...claim, worker: `new-${round}` });
        const reads = taken.runs.map(async ({ id }) => {
          const page = await successor.history(id, { after: -1, limit: 9 });
          return [id, page?.events.length ?? 0] as const;
        });
        seen.push(...(await Promise.all(reads)));
      }
      return seen;
    };
    const [seen] = await Promise.all([take(), ...runs.map((row) => jitter(16).then(() => append(row, bench)))]);
    expect(seen).toHaveLength(together);
    for (const [id, events] of seen) {
      const found = (await bench.store.history(id, { after: -1, limit: 9 }))?.events.length ?? 0;
      if (found > events) stale += 1;
      if (events > 1) inTime += 1;
    }
    later = 0;
    bench.clock.advance(10 * leaseMs);
  }
  await successor.close();
  await cleanup();
  return [stale, inTime];
}

const fenced = (store: Store): Append => {
  return (row, bench) => store.commit([bench.part(row, [succeeded("late")])]);
};

/** Looks whether it still holds the runs, and then appends. */
const naive =
  (isolation: string) =>
  (_: Store, schema: string): Append => {
    const pool = new pg.Pool({ connectionString: at(isolation) });
    pools.push(pool);
    return async (row, bench) => {
      const client = await pool.connect();
      try {
        await client.query("begin");
        const found = await client.query(`select epoch from ${schema}.runs where id = $1`, [row.id]);
        if (Number((found.rows[0] as { epoch: string }).epoch) !== row.epoch) return;
        const [event] = bench.part(row, [succeeded("late")]).events;
        // What a pause of the garbage collector does, or a slow network.
        await jitter(6);
        await client.query(
          `insert into ${schema}.events (run, seq, at, type, causes, data, hash) values ($1, 1, 0, 'step.succeeded', '[]', $2, '')`,
          [row.id, event?.data],
        );
      } finally {
        await client.query("commit");
        client.release();
      }
    };
  };

test.each(["read committed", "repeatable read", "serializable"])(
  "at %s nothing is appended behind the back of a new holder",
  { timeout: 300_000 },
  async (isolation) => {
    const [stale, inTime] = await race(isolation, fenced);
    console.log(`${isolation}: ${rounds * together} races, ${inTime} appends in time, ${stale} stale`);
    expect(stale).toBe(0);
    // Both outcomes came up, or there was no race.
    expect(inTime).toBeGreaterThan(0);
    expect(inTime).toBeLessThan(rounds * together);
  },
);

test("the control, which looks first and then appends, is caught", { timeout: 300_000 }, async () => {
  const [stale, inTime] = await race("read committed", naive("read committed"));
  console.log(`control: ${rounds * together} races, ${inTime} appends in time, ${stale} stale`);
  expect(stale).toBeGreaterThan(0);
});
