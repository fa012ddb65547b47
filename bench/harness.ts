/**
 * Runs measurements. Each case is measured in a fresh process on a fresh folder; the cases of a measurement take turns,
 * round after round and every other round backwards, so that whatever the machine does besides meets all of them alike.
 * Ratios are taken within a round.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { expectOnDisk } from "./disk.ts";
import type { Figures, Found, Line } from "./found.ts";
import type { Database } from "./place.ts";
import type { BenchServer } from "./server.ts";

export type Case = {
  /** What the lines call it. */
  id: string;
  /** What is carried out, of the table in child.ts. */
  program: string;
  /** What it is given besides a fresh folder. */
  args: object;
  /** A folder that was made before the rounds, in place of a fresh one. */
  folder?: string;
  /** Puts files into the fresh folder. */
  before?: (folder: string) => void;
  /** On PostgreSQL, in a fresh schema, or in one that was made before the rounds. */
  postgres?: "fresh" | Database;
};

export type Measurement = {
  name: string;
  title: string;
  rounds: { full: number; quick: number };
  /** Once, before the rounds; makes what the cases need. */
  cases(bench: Bench): Promise<readonly Case[]>;
  lines(found: Found, bench: Bench): readonly Line[];
};

export type Bench = { quick: boolean; folder: string; server: BenchServer };

const child = fileURLToPath(new URL("child.ts", import.meta.url));

/** A folder for all files of one run of the bench, on a disk; removed at the end of this process. */
export function benchFolder(parent: string): string {
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, "bench-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  expectOnDisk(folder);
  // A server that is started here may run as another user.
  chmodSync(folder, 0o755);
  return folder;
}

/** Measures all cases in turns. */
export async function measure(measurement: Measurement, bench: Bench): Promise<readonly Line[]> {
  const cases = await measurement.cases(bench);
  const rounds = measurement.rounds[bench.quick ? "quick" : "full"];
  const found = new Map<string, Figures[]>(cases.map(({ id }) => [id, []]));
  for (let round = 0; round < rounds; round++) {
    for (const one of round % 2 === 0 ? cases : cases.toReversed()) {
      say(`${measurement.name} ${round + 1}/${rounds}: ${one.id}`);
      const figures = await measureCase(one, bench);
      found.get(one.id)?.push(figures);
    }
  }
  return measurement.lines(found, bench);
}

async function measureCase(
  { program, args, before, ...where }: Case,
  { folder: parent, server }: Bench,
): Promise<Figures> {
  const { folder = mkdtempSync(join(parent, `${program}-`)), postgres } = where;
  const fresh = postgres === "fresh" ? await server.fresh() : undefined;
  const database = postgres === "fresh" ? fresh : postgres;
  try {
    before?.(folder);
    return await runChild(program, { ...args, folder }, { database });
  } finally {
    if (where.folder === undefined) rmSync(folder, { recursive: true, force: true });
    if (fresh !== undefined) await server.drop(fresh);
  }
}

/** Runs one program to its first line, and to its end, or kills it there. */
export async function runChild(
  program: string,
  args: object,
  { database, kill = false }: { database?: Database | undefined; kill?: boolean } = {},
): Promise<Figures> {
  const one = spawn(process.execPath, ["--expose-gc", child, program, JSON.stringify(args)], {
    stdio: ["ignore", "pipe", "inherit", "ipc"],
    // Every user of a machine sees the arguments of all processes, and a URL holds a password.
    env: { ...process.env, ...(database === undefined ? {} : { BENCH_DATABASE: JSON.stringify(database) }) },
  });
  if (one.stdout === null) throw new Error("Expected a pipe from the child.");
  const lines = createInterface({ input: one.stdout });
  let first: string | undefined;
  lines.on("line", (line) => {
    first ??= line;
    if (kill) one.kill("SIGKILL");
  });
  const [code, signal] = (await once(one, "close")) as [number | null, NodeJS.Signals | null];
  if (first === undefined || (kill ? signal !== "SIGKILL" : code !== 0)) {
    throw new Error(`${program} ${JSON.stringify(args)} ended with ${signal ?? code}.`);
  }
  return JSON.parse(first) as Figures;
}

export function say(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}
