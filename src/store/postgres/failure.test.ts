import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import pg from "pg";
import { afterAll, describe, expect, test } from "vitest";

import { dropSchema, newSchema, postgresUrl, sql } from "../../../test/postgres/database.ts";
import type { PostgresStore } from "../../postgres.ts";
import { postgres } from "../../postgres.ts";
import { after, claim, offer, openBench, started } from "../../testing/conformance/fixture.ts";
import type { Bench } from "../../testing/conformance/fixture.ts";
import { errorCodes } from "../../core/error.ts";
import { failureOf, isPassing } from "./failure.ts";

const url = await postgresUrl();
const schemas: string[] = [];
afterAll(() => dropSchema(url, schemas));

async function open(): Promise<{ bench: Bench; store: PostgresStore; schema: string }> {
  const schema = newSchema();
  schemas.push(schema);
  const at = new URL(url);
  at.searchParams.set("application_name", schema);
  const store = postgres({ url: at.href, schema });
  const { bench } = await openBench(async () => ({ store, cleanup: () => store.close() }));
  return { bench, store, schema };
}

/** Ends all connections of a store, as a server does that is shut down. */
const cut = (schema: string): Promise<unknown> =>
  sql(url, `select pg_terminate_backend(pid) from pg_stat_activity where application_name = '${schema}'`);

test.each([
  ["nothing listens there", () => "postgres://x@127.0.0.1:1/x", "store.unavailable"],
  ["there is no such host", () => "postgres://x@no-such-host.invalid/x", "store.unavailable"],
  ["there is no such database", () => url.replace(/\w+$/, "no_such_database"), "store.not_found"],
  ["the user is not let in", () => url.replace(/\/\/\w+:/, "//nobody:"), "store.not_writable"],
])("%s", async (_, at, code) => {
  const store = postgres(at());
  await expect(store.list({})).rejects.toMatchObject({ code });
  await expect(store.create([])).resolves.toEqual([]);
  await store.close();
});

test("a server that closes the connection in the midst of a greeting is unavailable", async () => {
  const server = createServer((socket) => socket.end("x")).listen(0, "127.0.0.1");
  await once(server, "listening");
  const store = postgres(`postgres://x@127.0.0.1:${(server.address() as AddressInfo).port}/x`);
  await expect(store.list({})).rejects.toMatchObject({ code: "store.unavailable", retryable: true });
  await store.close();
  server.close();
});

test("a server that goes down in the very moment of its greeting is unavailable, and ends no process", async () => {
  const fatal = "SFATAL\0VFATAL\0C57P01\0Mgoing down\0\0";
  const size = Buffer.alloc(4);
  size.writeInt32BE(fatal.length + 4);
  // AuthenticationOk, ReadyForQuery and an error, in one piece (https://www.postgresql.org/docs/current/protocol.html).
  const greeting = ["R\0\0\0\u0008\0\0\0\0", "Z\0\0\0\u0005I", "E", size.toString("latin1"), fatal].join("");
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => socket.end(Buffer.from(greeting, "latin1")));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const store = postgres(`postgres://x@127.0.0.1:${(server.address() as AddressInfo).port}/x`);
  await expect(store.list({})).rejects.toMatchObject({ code: "store.unavailable", retryable: true });
  await store.close();
  server.close();
});

test("after all connections were cut the next call goes on as if nothing had been", async () => {
  const { bench, store, schema } = await open();
  const row = await bench.held();
  await Promise.all([store.list({}), store.list({}), store.list({})]);
  await cut(schema);
  expect((await store.history(row.id, { after: -1, limit: 9 }))?.row.id).toBe(row.id);
  await cut(schema);
  expect((await store.commit([bench.part(row, [started])]))[0]).toMatchObject({ ok: true });
  await cut(schema);
  expect((await store.heartbeat({ worker: "worker-a", leaseMs: 1000 })).expired).toBe(false);
  await store.close();
});

test("calls whose connections are cut in their midst are answered with what is true, or may be made again", async () => {
  const { bench, store, schema } = await open();
  const other = postgres({ url, schema });
  let row = await bench.held();
  let again = 0;
  for (let i = 0; i < 40; i += 1) {
    const part = bench.part(row, [started]);
    const cutting = new Promise((resolve) => setTimeout(resolve, Math.random() * 3)).then(() => cut(schema));
    for (;;) {
      try {
        const [result] = await store.commit([part]);
        expect(result).toMatchObject({ ok: true });
        break;
      } catch (error) {
        expect(error).toMatchObject({ code: "store.unavailable" });
        again += 1;
      }
    }
    await cutting;
    row = after(row, part);
  }
  const page = await other.history(row.id, { after: -1, limit: 100 });
  expect(page?.events.map(({ seq }) => seq)).toEqual(Array.from({ length: 41 }, (_, seq) => seq));
  expect(again).toBeLessThan(80);
  await other.close();
  await store.close();
});

test("a role that may have no more connections is told that the server is busy", async () => {
  const role = newSchema();
  const schema = newSchema();
  await sql(
    url,
    `create role ${role} login password 'x' connection limit 1`,
    `create schema ${schema} authorization ${role}`,
  );
  const at = new URL(url);
  at.username = role;
  at.password = "x";
  const first = new pg.Client(at.href);
  await first.connect();
  const store = postgres({ url: at.href, schema });
  await expect(store.list({})).rejects.toMatchObject({ code: "store.busy", retryable: true });
  await first.end();
  // The server counts a connection for a moment longer than its client has it.
  const again = async (): Promise<unknown> =>
    store.list({}).catch((error: { code?: string }) => (error.code === "store.busy" ? again() : Promise.reject(error)));
  expect(await again()).toMatchObject({ runs: [] });
  await store.close();
  await sql(url, `drop owned by ${role} cascade`, `drop role ${role}`);
});

test("a server that becomes read-only after it was written to is expected to come back", async () => {
  const { bench, store, schema } = await open();
  const run = await bench.created();
  await sql(url, `alter role postgres in database postgres set default_transaction_read_only = on`);
  try {
    await cut(schema);
    await expect(store.create([bench.newRun()])).rejects.toMatchObject({ code: "store.unavailable", retryable: true });
  } finally {
    await sql(
      url,
      "set default_transaction_read_only = off",
      `alter role postgres in database postgres reset default_transaction_read_only`,
    );
    await cut(schema);
  }
  expect((await claim(store, "a", { offers: [offer] })).runs.map(({ id }) => id)).toEqual([run.id]);
  await store.close();
});

test("a connection to what is no primary server any more is not used again", async () => {
  const schema = newSchema();
  schemas.push(schema);
  const pool = new pg.Pool({ connectionString: url, max: 1 });
  const store = postgres({ pool, schema });
  const { bench } = await openBench(async () => ({ store, cleanup: () => store.close() }));
  await bench.created();
  // As a server does that another has taken the place of, behind the same name, and that keeps its connections.
  await pool.query("set default_transaction_read_only = on");
  await expect(store.create([bench.newRun()])).rejects.toMatchObject({ code: "store.unavailable", retryable: true });
  await bench.created();

  // Found by the look at a new connection, too.
  let made = 0;
  const second = new pg.Pool({ connectionString: url, max: 1 });
  second.on("connect", (client) => {
    if ((made += 1) === 1) void client.query("set default_transaction_read_only = on");
  });
  const other = postgres({ pool: second, schema });
  await expect(other.list({})).rejects.toMatchObject({ code: "store.not_writable" });
  expect((await other.list({})).runs).toHaveLength(2);
  await other.close();
  await store.close();
  await Promise.all([pool.end(), second.end()]);
});

test("who was let in before is expected to be let in again: what waits to be written is not given up", async () => {
  const role = newSchema();
  const schema = newSchema();
  await sql(url, `create role ${role} login password 'x'`, `create schema ${schema} authorization ${role}`);
  const at = new URL(url);
  at.username = role;
  at.password = "x";
  at.searchParams.set("application_name", schema);
  const store = postgres({ url: at.href, schema });
  const { bench } = await openBench(async () => ({ store, cleanup: () => store.close() }));
  await bench.created();
  // As where a secret is changed, and this process has the new one a while later.
  await sql(url, `alter role ${role} password 'y'`);
  await cut(schema);
  await expect(store.create([bench.newRun()])).rejects.toMatchObject({ code: "store.unavailable", retryable: true });
  await sql(url, `alter role ${role} password 'x'`);
  await bench.created();
  await sql(url, `revoke all on all tables in schema ${schema} from ${role}`);
  await expect(store.create([bench.newRun()])).rejects.toMatchObject({ code: "store.unavailable", retryable: true });
  await store.close();
  await sql(url, `drop owned by ${role} cascade`, `drop role ${role}`);
});

test("a text with NUL is refused as what it is, and keeps nothing from others", async () => {
  const { bench, store } = await open();
  const answers = await Promise.allSettled([
    store.create([bench.newRun({ queue: "a\u0000b" })]),
    store.create([bench.newRun()]),
  ]);
  expect(answers[0]).toMatchObject({ status: "rejected", reason: { code: "usage.invalid" } });
  expect(answers[1]).toMatchObject({ status: "fulfilled" });
  await store.close();
});

test("who waits for a lock in a ring with others goes through in the end", async () => {
  const { bench, store, schema } = await open();
  const [a, b] = [await bench.held(), await bench.held()];
  const rival = new pg.Client(url);
  await rival.connect();
  const ids = [a.id, b.id].sort();
  await rival.query("begin");
  await rival.query(`update ${schema}.runs set queue = 'x' where id = $1`, [ids[1]]);
  const commit = store.commit([bench.part(a, [started]), bench.part(b, [started])]);
  // The flush holds the first and waits for the second; now the rival wants the first.
  await new Promise((resolve) => setTimeout(resolve, 100));
  await rival.query(`update ${schema}.runs set queue = 'y' where id = $1`, [ids[0]]).then(
    () => rival.query("commit"),
    () => rival.query("rollback"),
  );
  expect((await commit).map(({ ok }) => ok)).toEqual([true, true]);
  await rival.end();
  await store.close();
});

describe("every code of PostgreSQL means something to us", () => {
  const of = (state: string): Error =>
    Object.assign(new Error("the value 42 is wrong"), { code: state, severity: "ERROR" });

  test.each([
    ["08006", "store.unavailable"],
    ["25006", "store.not_writable"],
    ["25P02", "usage.invalid"],
    ["25P04", "store.unavailable"],
    ["28000", "store.not_writable"],
    ["40001", "store.busy"],
    ["42501", "store.not_writable"],
    ["42601", "engine.bug"],
    ["42P01", "store.corrupt"],
    ["53100", "store.full"],
    ["53200", "store.busy"],
    ["53300", "store.busy"],
    ["54000", "payload.too_large"],
    ["57014", "store.busy"],
    ["57P01", "store.unavailable"],
    ["57P03", "store.unavailable"],
    ["58030", "store.unavailable"],
    ["XX001", "store.corrupt"],
    ["23505", "engine.bug"],
    ["ZZ999", "engine.bug"],
  ] as const)("%s is %s", (state, code) => {
    const failure = failureOf(of(state), "here") as Error & { code: string; retryable: boolean };
    expect(failure).toMatchObject({ code, retryable: errorCodes[code].retryable, data: { sqlState: state } });
    expect(failure.message).not.toContain("42 is wrong");
  });

  test("what others were in the way of is tried again by itself, nothing else is", () => {
    expect(
      ["40001", "40P01", "55P03", "23503", "23505", "53100", "57P01"].filter((state) => isPassing(of(state))),
    ).toEqual(["40001", "40P01", "55P03", "23503"]);
  });
});
