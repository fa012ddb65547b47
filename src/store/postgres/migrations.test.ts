import pg from "pg";
import { afterAll, expect, test } from "vitest";

import { dropSchema, newSchema, postgresUrl, sql } from "../../../test/postgres/database.ts";
import { postgres } from "../../postgres.ts";
import { openBench } from "../../testing/conformance/fixture.ts";
import { migrations } from "./migrations.ts";

const url = await postgresUrl();
const schemas: string[] = [];
const schemaOf = (): string => {
  const schema = newSchema();
  schemas.push(schema);
  return schema;
};
afterAll(() => dropSchema(url, schemas));

test.each(["read committed", "repeatable read", "serializable"])(
  "of many processes that begin on an empty database at once, all get the same tables: %s",
  async (isolation) => {
    const at = new URL(url);
    at.searchParams.set("options", `-c default_transaction_isolation=${isolation.replaceAll(" ", "\\ ")}`);
    const schema = schemaOf();
    const stores = Array.from({ length: 8 }, () => postgres({ url: at.href, schema, connections: 2 }));
    const { bench } = await openBench(async () => ({ store: stores[0]!, cleanup: async () => {} }));
    const runs = stores.map(() => bench.newRun());
    const created = await Promise.all(stores.map((store, i) => store.create([runs[i]!])));
    expect(created.flat().every((one) => one.created)).toBe(true);
    for (const store of stores) {
      expect((await store.list({})).runs).toHaveLength(8);
      await store.close();
    }
    const rows = await sql(url, `select id from ${schema}.migrations order by id`);
    expect(rows.map(({ id }) => id)).toEqual(migrations.map(({ id }) => id));
  },
);

test("a schema that a newer version has changed for good is refused, one that it only added to is not", async () => {
  const schema = schemaOf();
  const first = postgres({ url, schema });
  await first.list({});
  await first.close();
  await sql(url, `insert into ${schema}.migrations (id, breaking) values (1001, false)`);
  const second = postgres({ url, schema });
  expect((await second.list({})).runs).toEqual([]);
  await second.close();
  await sql(url, `insert into ${schema}.migrations (id, breaking) values (1002, true)`);
  const third = postgres({ url, schema });
  await expect(third.list({})).rejects.toMatchObject({
    code: "store.newer",
    data: { schema, found: 1002, expected: migrations.at(-1)?.id },
  });
  await third.close();
});

test("tables of another program are left as they are", async () => {
  const schema = schemaOf();
  await sql(url, `create schema ${schema}`, `create table ${schema}.runs (theirs int)`);
  const store = postgres({ url, schema });
  await expect(store.list({})).rejects.toMatchObject({ code: "store.corrupt" });
  await store.close();
  const tables = await sql(url, `select table_name from information_schema.tables where table_schema = '${schema}'`);
  expect(tables).toEqual([{ table_name: "runs" }]);
});

test("a user who may use the schema need not be allowed to make one; one who may not is told so", async () => {
  const schema = schemaOf();
  const role = schemaOf();
  await sql(url, `create role ${role} login password 'x'`, `create schema ${schema} authorization ${role}`);
  const at = new URL(url);
  at.username = role;
  at.password = "x";
  const store = postgres({ url: at.href, schema });
  expect((await store.list({})).runs).toEqual([]);
  await store.close();
  const other = postgres({ url: at.href, schema: newSchema() });
  await expect(other.list({})).rejects.toMatchObject({ code: "store.not_writable", data: { sqlState: "42501" } });
  await other.close();
  await sql(url, `drop owned by ${role} cascade`, `drop role ${role}`);
});

test.each([
  ["synchronous_commit", "off", "store.not_durable"],
  ["synchronous_commit", "local", undefined],
  ["default_transaction_read_only", "on", "store.not_writable"],
])("a connection whose %s is %s: %s", async (setting, value, code) => {
  const at = new URL(url);
  at.searchParams.set("options", `-c ${setting}=${value}`);
  const store = postgres({ url: at.href, schema: schemaOf() });
  const answer = store.list({});
  if (code === undefined) expect((await answer).runs).toEqual([]);
  else await expect(answer).rejects.toMatchObject({ code });
  await store.close();
});

test("a database that cannot hold every character is refused, before anything is lost in it", async () => {
  const database = newSchema();
  await sql(url, `create database ${database} encoding 'LATIN1' locale 'C' template template0`);
  const at = new URL(url);
  at.pathname = `/${database}`;
  const store = postgres(at.href);
  await expect(store.list({})).rejects.toMatchObject({
    code: "usage.invalid",
    message: expect.stringContaining("UTF8") as string,
  });
  await store.close();
  await sql(url, `drop database ${database} with (force)`);
});

test("what durability rests on is looked at in each connection, not only in the first", async () => {
  const pool = new pg.Pool({ connectionString: url, max: 2 });
  let made = 0;
  pool.on("connect", (client) => {
    if ((made += 1) > 1) void client.query("set synchronous_commit = off");
  });
  const store = postgres({ pool, schema: schemaOf() });
  await store.list({});
  const answers = await Promise.allSettled([store.list({}), store.list({}), store.list({})]);
  const codes = answers.map((answer) =>
    answer.status === "rejected" ? (answer.reason as { code: string }).code : "ok",
  );
  expect(new Set(codes)).toEqual(new Set(["ok", "store.not_durable"]));
  await store.close();
  await pool.end();
});
