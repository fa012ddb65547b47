/**
 * Power cuts for tests. A child process runs with the shim of `platter.c` before libc, and a cut leaves only what a disk
 * would hold: bytes that were synced, and a seeded share of the others. The child's script and the judgement of what
 * survived are the test's own; this module starts, cuts at a random instant, and hands over the surviving files.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** One life of a process on a disk that can lose its power. */
export interface Life {
  /** The script that the child runs, with this process's Node, which strips types. */
  readonly script: string;
  readonly args?: readonly string[];
  /** Where the child keeps its files. What is in it at the start is durable; the folder is created when missing. */
  readonly folder: string;
  /** An integer. Decides what lands early and torn; the instant of the cut is the caller's. */
  readonly seed: number;
  /** Share of the unsynced changes that land at once, before their predecessors. Default 0.3. */
  readonly early?: number;
  /** Share of these that land torn, by sectors of 512 bytes. Default 0.25. */
  readonly torn?: number;
  /** A sync pauses between 0 and this many microseconds, so that cuts fall into it. Default 300. */
  readonly pauseUs?: number;
}

/** How often the child came through the shim. Zeros mean that nothing was simulated. */
export interface Calls {
  readonly opens: number;
  readonly writes: number;
  readonly truncations: number;
  readonly syncs: number;
  readonly entries: number;
  readonly directorySyncs: number;
  readonly early: number;
  readonly torn: number;
}

/** What a cut left. */
export interface Cut {
  readonly seed: number;
  /** Exactly the surviving files, without `-shm`. May be the folder of a next life. */
  readonly folder: string;
  /** Every whole line that the child had printed: what it had acknowledged, when it prints after each commit. */
  readonly lines: readonly string[];
  readonly calls: Calls;
}

/** A child on the platter. Disposing kills it when it still runs and removes the surviving files. */
export interface Living extends AsyncDisposable {
  readonly child: ChildProcess;
  /** Grows while the child prints. */
  readonly lines: readonly string[];
  /** Resolves once the child has printed this many lines; rejects when it ends before. */
  readonly printed: (count: number) => Promise<void>;
  /** SIGKILL, then the files that survive. Throws when the child had failed by itself. */
  readonly cut: () => Promise<Cut>;
}

const callNames = ["opens", "writes", "truncations", "syncs", "entries", "directorySyncs", "early", "torn"] as const;

/**
 * Starts a child whose files below `folder` are kept on a platter.
 *
 * @example
 * await using living = startOnPlatter({ script, args: [join(folder, "a.db")], folder, seed: 7 });
 * await living.printed(20);
 * const { folder: survivors, lines } = await living.cut();
 */
export function startOnPlatter(life: Life): Living {
  const disk = prepareDisk(life.folder);
  const { NODE_OPTIONS: _, ...inherited } = process.env; // a test runner's own loaders are no business of the child
  const child = spawn(process.execPath, [life.script, ...(life.args ?? [])], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...inherited,
      LD_PRELOAD: join(disk, "platter.so"),
      PLATTER_FOLDER: life.folder,
      PLATTER_DISK: disk,
      PLATTER_SEED: String(life.seed),
      PLATTER_EARLY: String(life.early ?? 0.3),
      PLATTER_TORN: String(life.torn ?? 0.25),
      PLATTER_PAUSE_US: String(life.pauseUs ?? 300),
    },
  });
  // "close" and not "exit": lines that were printed before the cut may still be on their way through the pipe.
  const closed = once(child, "close");
  const { lines, printed } = readLines(child, closed);
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));

  async function cut(): Promise<Cut> {
    child.kill("SIGKILL");
    await closed;
    if (child.signalCode !== "SIGKILL" && child.exitCode !== 0) {
      const end = child.signalCode ?? `code ${child.exitCode}`;
      throw new Error(`${life.script} (seed ${life.seed}) should run until the cut, but ended with ${end}:\n${errors}`);
    }
    return { seed: life.seed, folder: join(disk, "files"), lines, calls: readCalls(disk) };
  }
  async function dispose(): Promise<void> {
    child.kill("SIGKILL");
    await closed;
    rmSync(disk, { recursive: true, force: true });
  }
  return { child, lines, printed, cut, [Symbol.asyncDispose]: dispose };
}

function prepareDisk(folder: string): string {
  shim ??= compileShim();
  mkdirSync(folder, { recursive: true });
  const disk = mkdtempSync(join(tmpdir(), "platter-"));
  mkdirSync(join(disk, "store"));
  cpSync(folder, join(disk, "files"), { recursive: true, filter: (source) => !source.endsWith("-shm") });
  writeFileSync(join(disk, "calls"), new Uint8Array(callNames.length * 8));
  writeFileSync(join(disk, "platter.so"), shim);
  return disk;
}

function readCalls(disk: string): Calls {
  const bytes = readFileSync(join(disk, "calls"));
  const pairs = callNames.map((name, n) => [name, Number(bytes.readBigUInt64LE(n * 8))] as const);
  return Object.fromEntries(pairs) as Record<(typeof callNames)[number], number>;
}

function readLines(child: ChildProcess, closed: Promise<unknown>): Pick<Living, "lines" | "printed"> {
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  let rest = "";
  let ended = false;
  const wake = (): void => waiting.forEach((look) => look());
  // The last piece without a line feed is not a line: the cut may have come within a number.
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    const pieces = (rest + text).split("\n");
    rest = pieces.pop() ?? "";
    lines.push(...pieces);
    wake();
  });
  void closed.then(() => {
    ended = true;
    wake();
  });
  const printed = (count: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (lines.length < count && !ended) return;
        waiting.delete(look);
        if (lines.length >= count) resolve();
        else reject(new Error(`expected ${count} lines, but the child ended after ${lines.length}`));
      };
      waiting.add(look);
      look();
    });
  return { lines, printed };
}

/** Many cuts of one script, each from an empty folder, and what is asked of every one. */
export interface Plan<Verdict> {
  readonly cuts: number;
  /** The first cut's seed; each further cut takes the next integer. */
  readonly seed: number;
  readonly script: string;
  readonly args: (folder: string) => readonly string[];
  /** A cut falls after a random number of printed lines from 0 to this. */
  readonly linesMax: number;
  /** … and then after a random time from 0 to this. Default 20 ms. */
  readonly delayMsMax?: number;
  /** Children at the same time. Default 2. */
  readonly parallel?: number;
  /** The oracle: looks at the surviving files and the acknowledged lines. What it throws is reported with the seed. */
  readonly judge: (cut: Cut) => Verdict | Promise<Verdict>;
}

/**
 * Cuts the power many times and returns the verdicts in the order of their seeds.
 *
 * @example
 * await powerCuts({ cuts: 100, seed: 1, script, args: (folder) => [folder], linesMax: 50, judge: lostRows });
 */
export async function powerCuts<Verdict>(plan: Plan<Verdict>): Promise<Verdict[]> {
  const verdicts: Verdict[] = [];
  let next = 0;
  async function lane(): Promise<void> {
    while (next < plan.cuts) {
      const n = next++;
      verdicts[n] = await cutOnce(plan, plan.seed + n).catch((cause: unknown) => {
        next = plan.cuts;
        throw new Error(`power cut ${n} with seed ${plan.seed + n}: ${String(cause)}`, { cause });
      });
    }
  }
  await Promise.all(Array.from({ length: plan.parallel ?? 2 }, lane));
  return verdicts;
}

async function cutOnce<Verdict>(plan: Plan<Verdict>, seed: number): Promise<Verdict> {
  const folder = mkdtempSync(join(tmpdir(), "power-cut-"));
  try {
    const random = seededRandom(seed);
    await using living = startOnPlatter({ script: plan.script, args: plan.args(folder), folder, seed });
    await living.printed(Math.floor(random() * (plan.linesMax + 1)));
    await sleep(random() * (plan.delayMsMax ?? 20));
    return await plan.judge(await living.cut());
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Numbers in [0, 1), the same for the same seed: mulberry32 (T. Ettinger, 2017, public domain). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

let shim: Uint8Array | undefined;

/** The compiled shim, kept as bytes: a file would outlive a test runner that ends its workers without their exit. */
function compileShim(): Uint8Array {
  if (process.platform !== "linux") throw new Error(`power cuts need Linux with glibc, this is ${process.platform}`);
  if (Number.parseInt(process.versions.node, 10) < 24) {
    throw new Error(
      `power cuts run their child with this process's Node, expected 24 or later, got ${process.version}`,
    );
  }
  const compiler = findCompiler() ?? installCompiler();
  const folder = mkdtempSync(join(tmpdir(), "platter-shim-"));
  try {
    const library = join(folder, "platter.so");
    const source = join(import.meta.dirname, "platter.c");
    run(compiler, ["-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", library, source, "-ldl", "-lpthread"]);
    return readFileSync(library);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function findCompiler(): string | undefined {
  return ["cc", "gcc", "clang"].find((name) => spawnSync(name, ["--version"]).status === 0);
}

function installCompiler(): string {
  const remedy = "install a C compiler and the headers of libc, on Debian: apt-get install gcc libc6-dev";
  if (process.getuid?.() !== 0) throw new Error(`power cuts need cc, gcc or clang, and none is there; ${remedy}`);
  run("apt-get", ["update"], remedy);
  run("apt-get", ["install", "-y", "--no-install-recommends", "gcc", "libc6-dev"], remedy);
  const compiler = findCompiler();
  if (compiler === undefined) throw new Error(`no C compiler after its installation; ${remedy}`);
  return compiler;
}

function run(command: string, args: readonly string[], remedy = "is libc6-dev installed?"): void {
  const { status, error, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${[command, ...args].join(" ")} failed; ${remedy}\n${error?.message ?? stderr}`);
}
