/**
 * Runs measurements. Each case is measured in a fresh process on a fresh folder; the cases of a measurement take turns,
 * round after round and every other round backwards, so that whatever the machine does besides meets all of them alike.
 * Ratios are taken within a round.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import type { Figures, Found, Line } from "./found.ts";

export type Case = {
  /** What the lines call it. */
  id: string;
  /** What is carried out, of the table in child.ts. */
  program: string;
  /** What it is given besides a fresh folder. */
  args: object;
  /** Puts files into the fresh folder. */
  before?: (folder: string) => void;
};

export type Measurement = {
  name: string;
  title: string;
  rounds: { full: number; quick: number };
  /** Once, before the rounds; makes what the cases need. */
  cases(bench: Bench): Promise<readonly Case[]>;
  lines(found: Found, bench: Bench): readonly Line[];
};

export type Bench = { quick: boolean; folder: string };

const child = fileURLToPath(new URL("child.ts", import.meta.url));

/** Types of `statfs` that are memory: what is synced there is not synced to anything. */
const memoryTypes: ReadonlySet<number> = new Set([0x01021994, 0x858458f6]);

/** A folder for all files of one run of the bench, on a disk; removed at the end of this process. */
export function benchFolder(parent: string): string {
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, "bench-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  if (memoryTypes.has(statfsSync(folder).type)) {
    throw new Error(`Expected a folder on a disk, ${parent} is in memory. Choose another with --dir.`);
  }
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

async function measureCase({ program, args, before }: Case, bench: Bench): Promise<Figures> {
  const folder = mkdtempSync(join(bench.folder, `${program}-`));
  try {
    before?.(folder);
    return await runChild(program, { ...args, folder });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs one program to its first line, and to its end, or kills it there. */
export async function runChild(program: string, args: object, kill = false): Promise<Figures> {
  const one = spawn(process.execPath, [child, program, JSON.stringify(args)], {
    stdio: ["ignore", "pipe", "inherit", "ipc"],
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
