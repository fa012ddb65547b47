/** Measurements of the floors on PostgreSQL. Each runs in a process of its own and gives figures back. */
import pg from "pg";

import type { Kind } from "../floor.ts";
import { expectDurableServer, sql } from "../place.ts";
import type { Database } from "../place.ts";
import { bareTables, postgresWriter, writePostgresRuns } from "../postgres-floor.ts";
import type { PostgresWriter } from "../postgres-floor.ts";
import { postgresTemplate } from "../postgres-template.ts";
import { quantile } from "../spread.ts";
import { stopwatch } from "../stopwatch.ts";
import { shortSteps } from "../work.ts";

type Given = { postgres: Database; runs: number; warmUp: number };

async function writerIn({ url, schema }: Database, kind: Kind): Promise<PostgresWriter> {
  const template = await postgresTemplate({ url, schema });
  if (kind === "bare") await sql(url, ...bareTables(schema));
  return postgresWriter(schema, kind, template, shortSteps);
}

async function connect({ url }: Database, count: number): Promise<pg.Client[]> {
  const clients = Array.from({ length: count }, () => new pg.Client(url));
  await Promise.all(clients.map((client) => client.connect()));
  return clients;
}

/** Steps per second of bare loops, one on each connection, with `together` runs in each transaction. */
export async function postgresFloor({
  postgres,
  kind,
  together,
  connections,
  runs,
  warmUp,
}: Given & { kind: Kind; together: number; connections: number }): Promise<Record<string, number>> {
  const writer = await writerIn(postgres, kind);
  const clients = await connect(postgres, connections);
  const writeAll = async (from: number, count: number): Promise<void> => {
    const each = Math.ceil(count / connections);
    const shares = clients.map((client, at) =>
      writePostgresRuns(client, writer, { from: from + at * each, to: from + (at + 1) * each - 1, together }),
    );
    await Promise.all(shares);
  };
  const each = Math.ceil(runs / connections);
  await writeAll(1, warmUp);
  const read = stopwatch();
  await writeAll(10_000_000, runs);
  const { ms, cpuMs } = read();
  await expectDurableServer(postgres.url);
  await Promise.all(clients.map((client) => client.end()));
  const steps = each * connections * shortSteps;
  return { stepsPerSecond: (steps / ms) * 1000, cpuMsPerStep: cpuMs / steps };
}

/** How long one run takes on one connection that nobody else's commits are mixed with. */
export async function postgresFloorAlone({ postgres, runs, warmUp }: Given): Promise<Record<string, number>> {
  const writer = await writerIn(postgres, "rows");
  const [client] = (await connect(postgres, 1)) as [pg.Client];
  await writePostgresRuns(client, writer, { from: 1, to: warmUp, together: 1 });
  const times: number[] = [];
  for (let run = warmUp + 1; run <= warmUp + runs; run++) {
    const start = performance.now();
    await writePostgresRuns(client, writer, { from: run, to: run, together: 1 });
    times.push(performance.now() - start);
  }
  await expectDurableServer(postgres.url);
  await client.end();
  return { p50: quantile(times, 0.5), p99: quantile(times, 0.99) };
}
