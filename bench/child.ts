/**
 * One measurement in a process of its own:
 *
 *     node bench/child.ts PROGRAM 'JSON of its arguments'
 *
 * BENCH_DATABASE is the argument `postgres`, as JSON, where it is measured on PostgreSQL.
 * It prints its figures as one line of JSON. Whatever else it has to say goes to stderr.
 */
import { rememberConnections } from "./connections.ts";
import { claim, claimFloor, claimFloorWorker, claimWorker } from "./program/claim.ts";
import { floor, floorAlone, floorLong } from "./program/floor.ts";
import { durableTasks, dyingTasks, resumeTasks } from "./program/durable-tasks.ts";
import { dying, long, readRows, resume } from "./program/long.ts";
import { pingPongDurable, pingPongMemory, twentySupersteps } from "./program/graph.ts";
import { postgresFloor, postgresFloorAlone } from "./program/postgres-floor.ts";
import { chain, forkCheckpoint, restart } from "./program/reuse.ts";
import { followers, requests, served } from "./program/served.ts";
import { idle, signals, suspend } from "./program/waits.ts";
import { million, tasks, tasksAlone } from "./program/tasks.ts";
import { verify } from "./program/verify.ts";
import { alone, blocked, cost, load } from "./program/stemma.ts";

const programs: Readonly<Record<string, (args: never) => Promise<Record<string, number>>>> = {
  alone,
  blocked,
  chain,
  forkCheckpoint,
  restart,
  claim,
  claimFloor,
  claimFloorWorker,
  claimWorker,
  cost,
  durableTasks,
  dying,
  dyingTasks,
  floor,
  floorAlone,
  floorLong,
  idle,
  load,
  long,
  postgresFloor,
  postgresFloorAlone,
  readRows,
  resume,
  resumeTasks,
  served,
  requests,
  followers,
  signals,
  suspend,
  million,
  pingPongDurable,
  pingPongMemory,
  tasks,
  tasksAlone,
  verify,
  twentySupersteps,
};

async function main(name = "", args = "{}"): Promise<void> {
  const program = Object.hasOwn(programs, name) ? programs[name] : undefined;
  if (program === undefined) throw new Error(`Expected one of ${Object.keys(programs).join(", ")}, got ${name}.`);
  // Whoever started this is gone: nobody else would ever end it.
  process.once("disconnect", () => process.exit());
  process.channel?.unref();
  rememberConnections();
  const database = process.env["BENCH_DATABASE"];
  const postgres = database === undefined ? {} : { postgres: JSON.parse(database) as unknown };
  const figures = await program({ ...(JSON.parse(args) as object), ...postgres } as never);
  console.log(JSON.stringify(figures));
  process.exit();
}

await main(process.argv[2], process.argv[3]);
