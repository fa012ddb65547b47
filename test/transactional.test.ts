/** Runs that are started in a transaction of the user's own: they are there exactly if what they belong to is there. */
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Stemma, workflow } from "../src/index.ts";
import type { PostgresStore } from "../src/postgres.ts";
import { postgres } from "../src/postgres.ts";
import { sqlite } from "../src/sqlite.ts";
import { dropSchema, newSchema, postgresUrl } from "./postgres/database.ts";
import { errorOf, silent, until } from "./stage.ts";

const url = await postgresUrl();
const schema = newSchema();
const pool = new pg.Pool({ connectionString: url });
const ship = workflow({ name: "ship" }, (ctx, id: number) => ctx.step("ship", () => `shipped ${id}`));
let store: PostgresStore;
let stemma: Stemma;

beforeAll(async () => {
  store = postgres({ url, schema });
  await store.list({});
  await pool.query(`create table ${schema}.orders (id int primary key)`);
  stemma = new Stemma({ store, workflows: [ship], log: silent });
  await stemma.start();
});

afterAll(async () => {
  await stemma.stop();
  await store.close();
  await pool.end();
  await dropSchema(url, [schema]);
});

/** Orders and starts to ship in one transaction, which ends as `end` says. */
async function order(
  id: number,
  end: "commit" | "rollback",
  between?: (run: string) => Promise<void>,
): Promise<string> {
  const client = await pool.connect();
  try {
    await client.query("begin");
    await client.query(`insert into ${schema}.orders values ($1)`, [id]);
    const run = await stemma.run(ship, id, { client });
    await between?.(run.id);
    await client.query(end);
    return run.id;
  } finally {
    client.release();
  }
}

test("a run is there from COMMIT on, not before, and is worked on", async () => {
  const id = await order(1, "commit", async (run) => {
    expect((await store.list({ ids: [run] })).runs).toEqual([]);
    expect(await store.claim({ worker: "eager", offers: [], limit: 9, leaseMs: 1000 })).toMatchObject({ runs: [] });
  });
  expect(await (await stemma.get<string>(id)).result()).toBe("shipped 1");
  await until(async () => (await store.feed({ after: 0, limit: 9, run: id })).events.length === 4);
});

test("after a ROLLBACK there is neither the order nor the run, nor anything of it in the feed", async () => {
  const id = await order(2, "rollback");
  expect((await pool.query(`select id from ${schema}.orders where id = 2`)).rows).toEqual([]);
  expect((await store.list({ ids: [id] })).runs).toEqual([]);
  expect((await store.feed({ after: 0, limit: 100, run: id })).events).toEqual([]);
});

test("the same key in two transactions is one run; with another input it is a conflict", async () => {
  const start = async (input: number): Promise<string> => {
    const client = await pool.connect();
    try {
      await client.query("begin");
      const first = await stemma.run(ship, input, { client, idempotencyKey: "k" });
      // Within its own transaction too, where nobody else can see it yet.
      expect((await stemma.run(ship, input, { client, idempotencyKey: "k" })).id).toBe(first.id);
      await client.query("commit");
      return first.id;
    } finally {
      client.release();
    }
  };
  const id = await start(3);
  expect(await start(3)).toBe(id);
  const client = await pool.connect();
  await client.query("begin");
  await stemma.run(ship, 7, { client, idempotencyKey: "unseen" });
  // The first of them is seen by nobody else yet, and no reason to believe that they are the same.
  expect(await errorOf(stemma.run(ship, 8, { client, idempotencyKey: "unseen" }))).toMatchObject({
    code: "run.conflict",
  });
  await client.query("rollback");
  client.release();
  expect(await errorOf(start(4))).toMatchObject({ code: "run.conflict" });
});

test("what cannot be recorded leaves the transaction as it was", async () => {
  const client = await pool.connect();
  await client.query("begin");
  await client.query(`insert into ${schema}.orders values (5)`);
  expect(await errorOf(stemma.run(ship, Number.NaN, { client }))).toMatchObject({ code: "json.not_serializable" });
  await client.query("commit");
  client.release();
  expect((await pool.query(`select id from ${schema}.orders where id = 5`)).rows).toHaveLength(1);
});

test("a lost connection in the midst of it is an error, and the run is not there", async () => {
  const client = new pg.Client(url);
  client.on("error", () => {});
  await client.connect();
  await client.query("begin");
  const { rows } = await client.query<{ pid: number }>("select pg_backend_pid() as pid");
  await pool.query("select pg_terminate_backend($1)", [rows[0]?.pid]);
  const id = "run_01m7ymay2esv29w1m5f1wfxqzr";
  expect(await errorOf(stemma.run(ship, 6, { client, id }))).toMatchObject({ code: "store.unavailable" });
  expect((await store.list({ ids: [id] })).runs).toEqual([]);
  await client.end().catch(() => undefined);
});

test("a store that has no transactions of the user's says so, and makes no run", async () => {
  const file = sqlite(":memory:");
  const other = new Stemma({ store: file, workflows: [ship], log: silent });
  const error = await errorOf(other.run(ship, 1, { client: pool }));
  expect(error).toMatchObject({ code: "usage.invalid", message: expect.stringContaining("{ client }") as string });
  expect((await file.list({})).runs).toEqual([]);
  await file.close();
});
