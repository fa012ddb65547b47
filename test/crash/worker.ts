/**
 * A worker process to be killed. It works on the runs in one SQLite file or PostgreSQL schema until somebody ends it.
 *
 *     node worker.ts <JSON of WorkerLife>
 */
import { delivery } from "../../src/engine/delivery.ts";
import { Stemma } from "../../src/index.ts";
import type { Log, Workflow } from "../../src/index.ts";
import { postgres } from "../../src/postgres.ts";
import { sqlite } from "../../src/sqlite.ts";
import { chanceOf } from "./chance.ts";
import { insist } from "./insist.ts";
import type { Bug } from "./store.ts";
import { bugged, distant, forgetful, locking, witnessed } from "./store.ts";
import { penAt, word } from "./witness.ts";
import { workflowsWith } from "./workflows.ts";

export type Database = { url: string; schema: string };

export type WorkerLife = {
  file: string;
  /** Where the runs are, if not in the file. */
  database?: Database | undefined;
  witness: string;
  seed: number;
  bug: Bug;
  /** How far away the store is, one way, in milliseconds at most; 0: it is asked directly. */
  travelMsMax: number;
  /** How likely the answer of a commit is lost. */
  forgets: number;
  leaseMs: number;
  /** Ends at once: run only to have the code compiled and cached. */
  rehearsal?: boolean;
};

const life = JSON.parse(process.argv[2] ?? "null") as WorkerLife;
const pen = penAt(life.witness);
const chance = chanceOf(life.seed);
const quiet = (): void => {};
const tell = (message: string, data?: Record<string, unknown>): void =>
  pen.write("log", word(`${message} ${JSON.stringify(data ?? {})}`));
const log: Log = { debug: quiet, info: quiet, warn: tell, error: tell };

const file = locking(life.database === undefined ? sqlite(life.file) : postgres(life.database), pen);
const faulty = forgetful(bugged(file, life.bug), life.forgets, chance);
const store = witnessed(distant(faulty, life.travelMsMax, chance), pen);
const { started, called } = workflowsWith(pen, life.bug !== "no-intent");
const workflows = [...started, ...called] as readonly unknown[] as readonly Workflow[];
const stemma = new Stemma(
  // Few runs at a time, so that one life does not hold them all when it ends; and nobody is to blame for the killing.
  { store, workflows, log, lease: life.leaseMs, concurrency: 12, abortGrace: 40, poisonAfter: 100_000 },
  { lingerMs: 25, delivery: { ...delivery, afterFlush: life.bug !== "eager" } },
);
if (life.rehearsal === true) process.exit();

// Nobody is left behind when the tests are broken off.
process.stdin.once("close", () => process.exit());
process.stdin.resume();
// Its store may be away just now; a program of somebody's own would end here, and be started again.
await insist(() => stemma.start());
pen.write("up");
