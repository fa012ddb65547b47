/** Measurements of how soon another process takes a run that this one made. Each in a process of its own. */
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import pg from "pg";

import type { Database, Where } from "../place.ts";
import { placeOf, sql } from "../place.ts";
import { quantile } from "../spread.ts";
import { open, whenEntered, work } from "../work.ts";

/** Nanoseconds on a clock that all processes of a machine share, as they are sent between them. */
const clock = (): string => String(process.hrtime.bigint());

const warmUp = 20;

type Given = Where & { count: number };

/** Milliseconds from `stemma.run()` here to the first step entered in a worker process, one run after the other. */
export async function claim({ count, ...where }: Given): Promise<Record<string, number>> {
  await using engine = await open(placeOf(where));
  const found = await timed("claimWorker", where, count, async () => {
    await engine.stemma.run(work, { steps: 1 });
  });
  await engine.expectDurable();
  return found;
}

/** Works on what others make, and says when a step is entered. */
export async function claimWorker(where: Where): Promise<never> {
  const engine = await open(placeOf(where));
  whenEntered(() => void process.send?.(clock()));
  await engine.start();
  return working();
}

/** The same by hand: a row and a notification in one commit here, and a guarded update in another process. */
export async function claimFloor({ count, folder, postgres }: Given): Promise<Record<string, number>> {
  const { url, schema } = postgres as Database;
  await sql(
    url,
    `create schema ${schema}`,
    `create table ${schema}.made (id bigint primary key, taken boolean not null)`,
  );
  const client = new pg.Client(url);
  await client.connect();
  const text = `with made as (insert into ${schema}.made (id, taken) values ($1, false)) select pg_notify('${schema}', '')`;
  let id = 0;
  return timed("claimFloorWorker", { folder, ...(postgres === undefined ? {} : { postgres }) }, count, async () => {
    await client.query({ name: "make", text, values: [(id += 1)] });
  });
}

export async function claimFloorWorker({ postgres }: Where): Promise<never> {
  const { url, schema } = postgres as Database;
  const [listener, client] = [new pg.Client(url), new pg.Client(url)];
  await Promise.all([listener.connect(), client.connect()]);
  const text = `update ${schema}.made set taken = true where id = (
    select id from ${schema}.made where not taken order by id limit 1 for update skip locked) returning id`;
  listener.on("notification", () => {
    void client.query({ name: "take", text }).then(({ rows }) => {
      if (rows.length > 0) process.send?.(clock());
    });
  });
  await listener.query(`listen "${schema}"`);
  return working();
}

async function working(): Promise<never> {
  process.send?.("ready");
  return new Promise(() => setInterval(() => {}, 1000));
}

/** Has a worker process take what `make` makes, one after the other. */
async function timed(
  program: string,
  where: Where,
  count: number,
  make: () => Promise<void>,
): Promise<Record<string, number>> {
  const { folder } = where;
  const worker: ChildProcess = fork(process.argv[1] ?? "", [program, JSON.stringify({ folder })]);
  try {
    await once(worker, "message");
    const times: number[] = [];
    for (let i = 0; i < warmUp + count; i++) {
      // Whatever the last one set off is over, and the next one comes at no particular moment.
      await new Promise((resolve) => setTimeout(resolve, 30 + Math.random() * 30));
      const taken = once(worker, "message") as Promise<[string]>;
      const start = process.hrtime.bigint();
      await make();
      times.push(Number(BigInt((await taken)[0]) - start) / 1e6);
    }
    const measured = times.slice(warmUp);
    return { p50: quantile(measured, 0.5), p99: quantile(measured, 0.99) };
  } finally {
    worker.kill("SIGKILL");
    await once(worker, "exit");
  }
}
