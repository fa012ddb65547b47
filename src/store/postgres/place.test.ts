import pg from "pg";
import { afterAll, describe, expect, test } from "vitest";

import { dropSchema, newSchema, postgresUrl, sql } from "../../../test/postgres/database.ts";
import { errorOf, until } from "../../../test/stage.ts";
import type { PostgresPool, Queryable } from "../../postgres.ts";
import { postgres } from "../../postgres.ts";
import { openBench } from "../../testing/conformance/fixture.ts";

const url = await postgresUrl();
const schemas: string[] = [];
const schemaOf = (): string => {
  const schema = newSchema();
  schemas.push(schema);
  return schema;
};
afterAll(() => dropSchema(url, schemas));

describe("the name of a schema", () => {
  const starts = [
    "",
    "x",
    'x"',
    "x'",
    "x;",
    "x.",
    "x--",
    "x/*",
    "x\\",
    "x$$",
    "x\u0000",
    "x\n",
    "x ",
    "x%",
    "x_\u0301",
  ];
  const ends = [
    "",
    " ",
    "; drop schema public cascade; --",
    '"; drop table runs; --',
    "'); delete from events; --",
    "' or '1'='1",
    ".runs",
    "\u0000",
    "ẞ",
    "İ",
    "ｓｔｅｍｍａ",
    "A",
    "-1",
    "(select 1)",
    "${x}",
    "`id`",
    "?",
    ":x",
    "@.",
    "x".repeat(63),
  ];
  const corpus = [...starts.flatMap((start) => ends.map((end) => start + end)), "1x", "pg_x", "pg_catalog", "Stemma"];
  const names = corpus.filter((name) => !/^x?(?:x{63})?$|^$/.test(name) || name.length > 63);

  test("is taken for nothing but a name: what could be more is refused before anything is connected to", () => {
    expect(names.length).toBeGreaterThan(270);
    for (const schema of names) {
      expect(() => postgres({ url: "postgres://nobody@127.0.0.1:1/none", schema }), schema).toThrow(
        expect.objectContaining({ code: "usage.invalid" }),
      );
    }
  });

  test("may be as long as PostgreSQL allows, a word of SQL, or begin with a line", async () => {
    for (const schema of [`t${"x".repeat(62)}`, "select", "_", "user"]) {
      schemas.push(`"${schema}"`);
      const store = postgres({ url, schema });
      expect((await store.list({})).runs).toEqual([]);
      await store.close();
    }
  });

  test("is what keeps stores in one database apart, whatever the search path is", async () => {
    const [a, b] = [schemaOf(), schemaOf()];
    const path = new URL(url);
    path.searchParams.set("options", `-c search_path=${b},nowhere`);
    const one = await openBench(async () => {
      const store = postgres({ url: path.href, schema: a });
      return { store, cleanup: () => store.close() };
    });
    const other = postgres({ url, schema: b });
    await other.list({});
    const run = await one.bench.created();
    expect((await one.bench.store.list({})).runs.map(({ id }) => id)).toEqual([run.id]);
    expect((await other.list({})).runs).toEqual([]);
    await one.cleanup();
    await other.close();
  });
});

test.each(["", "stemma.db", "mysql://a/b", "postgres:", "http://127.0.0.1/db", "host=x password=secret"])(
  "what is no URL of PostgreSQL is refused: %s",
  (given) => {
    if (given === "postgres:") return expect(postgres(given).name).toContain("localhost:5432");
    expect(() => postgres(given)).toThrow(expect.objectContaining({ code: "usage.invalid" }));
  },
);

test("options that make no sense are refused at once", () => {
  for (const wrong of [{ connections: 1 }, { connections: 1.5 }, { idleMs: -1 }, { idleMs: Number.NaN }]) {
    expect(() => postgres({ url, ...wrong })).toThrow(expect.objectContaining({ code: "usage.invalid" }));
  }
  expect(() => postgres({} as { url: string })).toThrow(expect.objectContaining({ code: "usage.invalid" }));
  expect(() => postgres(undefined as unknown as string)).toThrow(expect.objectContaining({ code: "usage.invalid" }));
});

test("no password is in a name or an error, wherever the URL comes from", async () => {
  const secret = "s3cr3t-p4ss";
  const at = `postgres://ada:${secret}@127.0.0.1:1/books?password=${secret}`;
  const pool = new pg.Pool({ connectionString: at });
  const texts: string[] = [];
  for (const store of [postgres(at), postgres({ pool }), postgres(pool)]) {
    texts.push(store.name);
    const error = await errorOf(store.list({}));
    texts.push(String(error), JSON.stringify(error));
    await store.close();
  }
  for (const wrong of [`postgres://ada:${secret}@[::/books`, `${secret}://x`]) {
    try {
      postgres(wrong);
    } catch (error) {
      texts.push(String(error), JSON.stringify(error));
    }
  }
  const real = new URL(url);
  real.password = secret;
  const store = postgres(real.href);
  const refused = await errorOf(store.list({}));
  expect(refused).toMatchObject({ code: "store.not_writable", data: { sqlState: "28P01" } });
  texts.push(String(refused), JSON.stringify(refused));
  await store.close();
  expect(texts.filter((text) => text.includes("127.0.0.1")).length).toBeGreaterThan(5);
  for (const text of texts) expect(text).not.toContain(secret);
});

test("a pool of the user's is used, and not closed", async () => {
  const pool = new pg.Pool({ connectionString: url });
  for (const given of [pool, { pool, schema: schemaOf() }]) {
    if (given === pool) schemas.push("stemma");
    const store = postgres(given);
    expect((await store.list({})).runs).toEqual([]);
    await store.close();
    expect((await pool.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
  }
  await pool.end();
});

test("a pool that has nothing but connect is enough, and one that cannot connect for long gathers no listeners", async () => {
  const pool = new pg.Pool({ connectionString: url, max: 2 });
  const bare: PostgresPool = {
    async connect() {
      const client = await pool.connect();
      return { query: client.query.bind(client), release: client.release.bind(client) };
    },
  };
  const { bench, cleanup } = await openBench(async () => {
    const store = postgres({ pool: bare, schema: schemaOf() });
    return { store, cleanup: () => store.close() };
  });
  const run = await bench.created();
  expect((await bench.store.list({})).runs.map(({ id }) => id)).toEqual([run.id]);
  await cleanup();
  await pool.end();

  const nowhere = new pg.Pool({ connectionString: "postgres://x@127.0.0.1:1/x" });
  const store = postgres({ pool: nowhere });
  for (let i = 0; i < 3; i += 1) await expect(store.list({})).rejects.toMatchObject({ code: "store.unavailable" });
  expect(nowhere.listenerCount("connect")).toBe(0);
  await store.close();
  await nowhere.end();
});

test("a pool that nobody listens to ends no process when its connections are cut, and is left as it was", async () => {
  const name = newSchema();
  const at = new URL(url);
  at.searchParams.set("application_name", name);
  const pool = new pg.Pool({ connectionString: at.href });
  const store = postgres({ pool, schema: schemaOf() });
  await Promise.all([store.list({}), store.list({}), store.list({})]);
  await sql(url, `select pg_terminate_backend(pid) from pg_stat_activity where application_name = '${name}'`);
  // The pool drops each as it hears of it.
  await until(() => pool.totalCount === 0);
  expect((await store.list({})).runs).toEqual([]);
  await store.close();
  expect([pool.listenerCount("error"), pool.listenerCount("connect")]).toEqual([0, 0]);
  await pool.end();
});

test("how a program reads types is its own affair", async () => {
  const before = new Map(
    [16, 20, 23, 25].map((oid) => [oid, pg.types.getTypeParser(oid) as (text: string) => unknown]),
  );
  for (const oid of before.keys()) pg.types.setTypeParser(oid, () => "the program's own");
  try {
    const schema = schemaOf();
    const { bench, cleanup } = await openBench(async () => {
      const store = postgres({ pool: new pg.Pool({ connectionString: url, max: 2 }), schema });
      return { store, cleanup: () => store.close() };
    });
    const row = await bench.held({ priority: 2 ** 53 - 1, tags: ["x"] });
    expect(row).toMatchObject({ priority: 2 ** 53 - 1, epoch: 1, claims: 1 });
    expect((await bench.store.list({ tag: "x" })).runs[0]?.state).toEqual(row.state);
    await cleanup();
  } finally {
    for (const [oid, parser] of before) pg.types.setTypeParser(oid, parser);
  }
});

test("a number that JavaScript cannot hold is refused, not rounded", async () => {
  const schema = schemaOf();
  const store = postgres({ url, schema });
  const { bench } = await openBench(async () => ({ store, cleanup: () => store.close() }));
  const run = await bench.created();
  await sql(url, `update ${schema}.events set at = 9007199254740993`);
  await expect(store.history(run.id, { after: -1, limit: 9 })).rejects.toMatchObject({ code: "store.corrupt" });
  for (const column of ["epoch", "inbox_seq", "priority"]) {
    await sql(url, `update ${schema}.runs set ${column} = 9007199254740993`);
    await expect(store.list({}), column).rejects.toMatchObject({ code: "store.corrupt" });
    await sql(url, `update ${schema}.runs set ${column} = 0`);
  }
  await store.close();
});

test("what pg has fits what is asked for", () => {
  const pool: (given: pg.Pool) => PostgresPool = (given) => given;
  const client: (given: pg.Client | pg.PoolClient) => Queryable = (given) => given;
  expect([pool, client]).toHaveLength(2);
});
