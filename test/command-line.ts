/** The command line without a process of its own: the same program, its output caught, on a file that a test works on. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { lineOf } from "../src/cli/program.ts";
import { Stemma } from "../src/index.ts";
import type { StemmaOptions, Workflow } from "../src/index.ts";
import { sqlite } from "../src/sqlite.ts";
import { silent } from "./stage.ts";

export type Said = { status: number; out: string; err: string };

/** Carries out a command, one at a time, and gives what it said without its colours. */
export async function typed(...words: readonly string[]): Promise<Said> {
  const said = { out: "", err: "" };
  const streams = [
    [process.stdout, "out"],
    [process.stderr, "err"],
  ] as const;
  const writes = streams.map(([stream]) => stream.write.bind(stream));
  for (const [stream, name] of streams) {
    stream.write = (text: string | Uint8Array): boolean => {
      said[name] += text.toString();
      return true;
    };
  }
  const before = process.exitCode;
  process.exitCode = undefined;
  try {
    const status = await lineOf(words).run();
    return { status, out: stripVTControlCharacters(said.out), err: stripVTControlCharacters(said.err) };
  } finally {
    for (const [i, [stream]] of streams.entries()) stream.write = writes[i] as typeof stream.write;
    process.exitCode = before;
  }
}

/** As `typed` with `--json`: the one value, of standard output where it went well, else of standard error. */
export async function answered(
  ...words: readonly string[]
): Promise<{ status: number; value: Record<string, unknown> }> {
  const { status, out, err } = await typed(...words, "--json");
  const text = out === "" ? err : out;
  const value = JSON.parse(text) as Record<string, unknown>;
  return { status, value: out === "" ? (value["error"] as Record<string, unknown>) : value };
}

/** A store in a file, and a working Stemma on it. `stop` ends the work; the file stays until the test is over. */
export async function workshop(
  workflows: readonly Workflow[],
  options: Partial<StemmaOptions> = {},
): Promise<{ stemma: Stemma; path: string; stop(): Promise<void>; [Symbol.asyncDispose](): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), "stemma-cli-"));
  const path = join(folder, "stemma.db");
  const store = sqlite(path);
  const stemma = new Stemma({ store, workflows, log: silent, ...options }, { lingerMs: 10 });
  await stemma.start();
  return {
    stemma,
    path,
    stop: () => stemma.stop({ timeout: 100 }),
    async [Symbol.asyncDispose]() {
      await stemma.stop({ timeout: 100 });
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
