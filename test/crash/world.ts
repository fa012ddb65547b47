/**
 * A world: one database, its witness, the runs made in it, and two places for worker processes that share them.
 * It follows the witness as it grows, so it knows of each process what it is doing, and ends or freezes it by its id.
 */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { isTerminal } from "../../src/core/run.ts";
import { newRunId } from "../../src/engine/id.ts";
import { Stemma } from "../../src/index.ts";
import type { RunId, Store } from "../../src/index.ts";
import { postgres } from "../../src/postgres.ts";
import { sqlite } from "../../src/sqlite.ts";
import type { Chance } from "./chance.ts";
import { insist, pause } from "./insist.ts";
import type { Line, Pen, Reader } from "./witness.ts";
import { penAt, readerAt } from "./witness.ts";
import type { Database, WorkerLife } from "./worker.ts";
import { awaited, workflowsWith } from "./workflows.ts";

/** One process, from its start to its end. */
export type Life = {
  pid: number;
  child: ChildProcess;
  /** How many steps it is in. */
  inside: number;
  flushing: boolean;
  /** Whether it is in a transaction that writes; frozen there, it would keep everybody out. */
  locking: boolean;
  entered: number;
  gone: boolean;
  /** How it ended, if nobody here ended it. */
  failed: string | undefined;
};

export class World {
  readonly store: Store;
  /** Undefined: the file of this world. */
  readonly database: Database | undefined;
  readonly folder: string;
  readonly runs: RunId[] = [];
  readonly lines: Line[] = [];
  readonly lives: Life[] = [];
  readonly pen: Pen;
  /** Held while a process is frozen: meanwhile nobody else is, and nothing here writes to the file. */
  frozen = false;
  readonly #stemma: Stemma;
  readonly #reader: Reader;
  readonly #chance: Chance;
  readonly #byPid = new Map<number, Life>();
  /** Which process was given each run last. */
  readonly holders: Map<RunId, number> = new Map();
  #made = 0;

  constructor(chance: Chance, database?: Database) {
    this.#chance = chance;
    this.database = database;
    this.folder = mkdtempSync(join(tmpdir(), "stemma-crash-"));
    // Workers are stopped in their midst, and whoever only looks on has the patience for it.
    this.store = database === undefined ? sqlite({ path: this.file, busyMs: 60_000 }) : postgres(database);
    this.#stemma = new Stemma({ store: this.store });
    this.pen = penAt(this.witness, 0);
    this.#reader = readerAt(this.witness);
  }

  get file(): string {
    return join(this.folder, "runs.db");
  }

  get witness(): string {
    return join(this.folder, "witness");
  }

  /** Starts a worker process. */
  start(life: Omit<WorkerLife, "file" | "database" | "witness" | "seed">): Life {
    const seed = this.#chance.below(2 ** 31);
    const given: WorkerLife = { ...life, file: this.file, database: this.database, witness: this.witness, seed };
    const child = startWorker(given);
    if (child.pid === undefined) throw new Error("A worker process could not be started.");
    const alive: Life = {
      pid: child.pid,
      child,
      inside: 0,
      flushing: false,
      locking: false,
      entered: 0,
      gone: false,
      failed: undefined,
    };
    child.once("exit", (code, signal) => {
      alive.gone = true;
      if (signal !== "SIGKILL") alive.failed = `code ${code}, signal ${signal}`;
    });
    this.lives.push(alive);
    // The system may use the id of a process that is gone again.
    this.#byPid.set(child.pid, alive);
    return alive;
  }

  /** Makes `count` runs of workflows taken in turn, and sends those that wait for a signal theirs, which may come early. */
  async feed(count: number): Promise<void> {
    const { started } = workflowsWith({ write() {} });
    for (let i = 0; i < count && !this.frozen; i += 1) {
      const workflow = started[(this.#made += 1) % started.length];
      if (workflow === undefined) continue;
      const [id, input] = [newRunId(Date.now()), { pace: this.#chance.below(1000) }];
      await insist(() => this.#stemma.run(workflow, input, { id }));
      this.runs.push(id);
      if (workflow.name !== awaited.workflow) continue;
      await insist(() => this.#stemma.signal(id, awaited.signal, null, { idempotencyKey: awaited.signal }));
    }
  }

  /** Takes in what the witness has got since. */
  look(): void {
    for (const line of this.#reader.lines()) {
      this.lines.push(line);
      const life = this.#byPid.get(line.pid);
      if (life !== undefined) take(life, line);
      if (line.kind === "claim") this.holders.set(line.words[0] ?? "", line.pid);
    }
  }

  /** Looks again and again until `seen` gives true; false when it does not within `msMax`. */
  async until(seen: () => boolean, msMax: number): Promise<boolean> {
    const end = performance.now() + msMax;
    for (;;) {
      this.look();
      if (seen()) return true;
      if (performance.now() > end) return false;
      await pause(1);
    }
  }

  /** Ends a process the hard way, and waits until it is gone. What it last did is then known. */
  async kill(life: Life): Promise<void> {
    const gone = new Promise<void>((resolve) => {
      if (life.gone) resolve();
      else life.child.once("exit", () => resolve());
    });
    life.child.kill("SIGKILL");
    await gone;
    this.look();
  }

  /** Runs that are not at their end, with what the store says of them. */
  async open(): Promise<string[]> {
    const open: string[] = [];
    for (let at = 0; at < this.runs.length; at += 200) {
      const ids = this.runs.slice(at, at + 200);
      const { runs } = await insist(() => this.store.list({ ids, limit: 200 }));
      for (const { id, state, worker } of runs) {
        if (isTerminal(state.status)) continue;
        open.push(
          `${id} (${state.workflow}) ${state.status} ${state.reason ?? ""} seq ${state.seq} held by ${worker ?? "nobody"}`,
        );
      }
    }
    return open;
  }

  /** Ends what still lives. The files stay when they are wanted for a look. */
  async end(keep: boolean): Promise<void> {
    for (const life of this.lives) if (!life.gone) await this.kill(life);
    this.#reader.close();
    await this.store.close();
    if (!keep) rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Starts the process of a worker. Compiled code is cached, so that a process is up within a blink. */
function startWorker(life: WorkerLife): ChildProcess {
  return spawn(process.execPath, [join(import.meta.dirname, "worker.ts"), JSON.stringify(life)], {
    stdio: ["pipe", "ignore", "inherit"],
    env: { ...process.env, NODE_COMPILE_CACHE: join(dirname(life.file), "cache") },
  });
}

/** Has the code of a worker compiled and kept for the others: a process that is killed keeps nothing. */
export async function rehearse(world: World): Promise<void> {
  const child = startWorker({
    file: world.file,
    database: world.database,
    witness: world.witness,
    seed: 0,
    bug: "none",
    travelMsMax: 0,
    forgets: 0,
    leaseMs: 1000,
    rehearsal: true,
  });
  const code = await new Promise<number | null>((resolve) => void child.once("exit", resolve));
  if (code !== 0) throw new Error(`A worker process could not be started: it ended with code ${code}.`);
}

function take(life: Life, { kind }: Line): void {
  if (kind === "enter") {
    life.inside += 1;
    life.entered += 1;
  } else if (kind === "leave") life.inside -= 1;
  else if (kind === "flush") life.flushing = true;
  else if (kind === "flushed") life.flushing = false;
  else if (kind === "lock") life.locking = true;
  else if (kind === "free") life.locking = false;
}
