/**
 * The program behind `npm run bench`: measures Stemma against bare loops over the same database on the same machine in
 * the same run, and prints the figures as tables in Markdown. What is to be compared with other machines are the ratios.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { benchFolder, measure, say } from "./harness.ts";
import type { Measurement } from "./harness.ts";
import { claim } from "./measure/claim.ts";
import { cost } from "./measure/cost.ts";
import { durableTasks } from "./measure/durable-tasks.ts";
import { eventLoop } from "./measure/event-loop.ts";
import { graph } from "./measure/graph.ts";
import { growth } from "./measure/growth.ts";
import { latency } from "./measure/latency.ts";
import { postgresLatency } from "./measure/postgres-latency.ts";
import { postgresThroughput } from "./measure/postgres-throughput.ts";
import { resume } from "./measure/resume.ts";
import { reuse } from "./measure/reuse.ts";
import { serverLoad } from "./measure/server.ts";
import { tasks } from "./measure/tasks.ts";
import { throughput } from "./measure/throughput.ts";
import { verify } from "./measure/verify.ts";
import { postgresWaits, waits } from "./measure/waits.ts";
import { BenchServer } from "./server.ts";
import { markdown, surroundings } from "./table.ts";
import type { Section } from "./table.ts";

const onSqlite: readonly Measurement[] = [
  throughput,
  latency,
  growth,
  resume,
  cost,
  eventLoop,
  waits,
  serverLoad,
  tasks,
  durableTasks,
  graph,
  reuse,
  verify,
];
const onPostgres: readonly Measurement[] = [postgresThroughput, postgresLatency, postgresWaits, claim];
const measurements = [...onSqlite, ...onPostgres];

const names = measurements.map(({ name }) => name).join(", ");

const usage = `usage: npm run bench -- [--quick] [--only NAME]... [--rounds N] [--json] [--dir FOLDER]

  --quick        about a minute: fewer rounds, shorter runs
  --only NAME    one measurement of: ${names}
  --rounds N     so many rounds of each, instead of its own number
  --json         print one JSON object instead of tables
  --dir FOLDER   where the databases are made; it must be on a disk (default: .stemma/ in this repository)
`;

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string", multiple: true, default: [] },
    rounds: { type: "string" },
    json: { type: "boolean", default: false },
    dir: { type: "string", default: fileURLToPath(new URL("../.stemma", import.meta.url)) },
    help: { type: "boolean", default: false },
  },
});

function chosen(): readonly Measurement[] {
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
  if (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0)) {
    throw new Error(`--rounds: expected a whole number from 1, got ${values.rounds}`);
  }
  for (const name of values.only) {
    if (!measurements.some((one) => one.name === name))
      throw new Error(`--only: expected one of ${names}, got ${name}`);
  }
  return measurements
    .filter(({ name }) => values.only.length === 0 || values.only.includes(name))
    .map((one) => (rounds === undefined ? one : { ...one, rounds: { full: rounds, quick: rounds } }));
}

async function main(): Promise<void> {
  if (values.help) {
    process.stdout.write(usage);
    return;
  }
  const { quick } = values;
  const wanted = chosen();
  const folder = benchFolder(values.dir);
  await using server = new BenchServer(folder);
  const bench = { quick, folder, server };
  const sections: Section[] = [];
  for (const measurement of wanted) {
    const start = performance.now();
    const lines = await measure(measurement, bench);
    const seconds = (performance.now() - start) / 1000;
    say(`${measurement.name} took ${seconds.toFixed(0)} s`);
    const { name, title, rounds } = measurement;
    sections.push({ name, title, rounds: rounds[quick ? "quick" : "full"], seconds, lines });
  }
  const on = surroundings(await server.version());
  if (values.json) process.stdout.write(`${JSON.stringify({ on, quick, sections })}\n`);
  else process.stdout.write(`${on}${quick ? " (--quick)" : ""}\n\n${markdown(sections)}\n`);
}

// What is removed at the end of the process, a server among it, is removed then too.
process.once("SIGINT", () => process.exit(130));
process.once("SIGTERM", () => process.exit(143));

try {
  await main();
} catch (error) {
  console.error(`\nthe bench failed: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
