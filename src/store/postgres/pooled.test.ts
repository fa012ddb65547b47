import pg from "pg";
import { afterAll, expect, test } from "vitest";

import { dropSchema, newSchema, postgresUrl } from "../../../test/postgres/database.ts";
import { poolerTo } from "../../../test/postgres/pooler.ts";
import { silent } from "../../../test/stage.ts";
import { Stemma, workflow } from "../../index.ts";
import { postgres } from "../../postgres.ts";

const url = await postgresUrl();
const schemas: string[] = [];
const schemaOf = (): string => {
  const schema = newSchema();
  schemas.push(schema);
  return schema;
};
afterAll(() => dropSchema(url, schemas));

const double = workflow({ name: "double" }, async (ctx, n: number) => {
  const twice = await ctx.step("double", () => 2 * n);
  ctx.emit("progress", twice);
  await ctx.sleep("nap", 5);
  return ctx.step("large", () => "x".repeat(5000) + twice);
});

test("through a pooler that pools by transaction everything goes on as without it", async () => {
  const pooler = await poolerTo(url, 3);
  const schema = schemaOf();
  const stores = [postgres({ url: pooler.url, schema }), postgres({ url: pooler.url, schema })];
  const both = stores.map((store) => new Stemma({ store, workflows: [double], log: silent }, { lingerMs: 1 }));
  await Promise.all(both.map((stemma) => stemma.start()));
  const runs = await Promise.all(Array.from({ length: 60 }, (_, n) => both[n % 2]!.run(double, n)));
  const results = await Promise.all(runs.map((run) => run.result()));
  expect(results.map((text) => text.slice(5000))).toEqual(runs.map((_, n) => String(2 * n)));
  await Promise.all(both.map((stemma) => stemma.stop()));
  await Promise.all(stores.map((store) => store.close()));
  await pooler.end();
});

test("one connection is enough, also while it is in a transaction of the user's own", async () => {
  const pool = new pg.Pool({ connectionString: url, max: 1 });
  const schema = schemaOf();
  const store = postgres({ pool, schema });
  const stemma = new Stemma({ store, workflows: [double], log: silent }, { lingerMs: 1 });
  await stemma.start();
  const runs = await Promise.all(Array.from({ length: 10 }, (_, n) => stemma.run(double, n)));
  expect((await Promise.all(runs.map((run) => run.result()))).map((text) => text.slice(5000))).toHaveLength(10);
  await stemma.stop();
  await store.close();

  // As in a program that has only just started: the first that it does is in a transaction.
  const second = postgres({ pool, schema });
  const other = new Stemma({ store: second, log: silent });
  const ids: string[] = [];
  for (let again = 0; again < 2; again += 1) {
    const client = await pool.connect();
    await client.query("begin");
    ids.push((await other.run(double, 21, { client, idempotencyKey: "k" })).id);
    ids.push((await other.run(double, 21, { client, idempotencyKey: "k" })).id);
    await client.query("commit");
    client.release();
  }
  expect(new Set(ids).size).toBe(1);
  await second.close();
  await pool.end();
});
