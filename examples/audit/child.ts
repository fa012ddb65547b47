/**
 * A child process that says in one line of JSON when it is ready, and that is ended by its id. It is given a channel:
 * if this process dies without a word, the channel closes and the child ends by itself.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export type Exit = { code: number | null; signal: NodeJS.Signals | null };

export type Child = {
  readonly pid: number;
  /** The line that it printed when it was ready. */
  readonly ready: Record<string, unknown>;
  /** Settles when the process has ended, however. */
  readonly exit: Promise<Exit>;
  /** What it last wrote to its standard error. */
  complaints(): string;
  /** SIGKILL: the process ends in the middle of whatever it does. */
  kill(): Promise<Exit>;
  /** SIGTERM, and SIGKILL if it has not ended after `stopMsMax`. Does nothing if it has ended. */
  stop(): Promise<Exit>;
};

const complaintCharsMax = 4_000;
const readyMsMax = 30_000;
const stopMsMax = 10_000;

/** Starts a TypeScript program with the Node that runs this one, and waits until it is ready. `env` is added to ours. */
export async function startChild(
  program: URL,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Child> {
  const name = fileURLToPath(program);
  const process_ = spawn(process.execPath, [name, ...args], {
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    env: { ...process.env, ...env },
  });
  const exit = exitOf(process_);
  let complaints = "";
  process_.stderr?.setEncoding("utf8").on("data", (text: string) => {
    complaints = (complaints + text).slice(-complaintCharsMax);
  });

  const line = await firstLine(process_, exit);
  if (line === undefined) {
    process_.kill("SIGKILL");
    const { code, signal } = await exit;
    throw new Error(`${name} was not ready; it ended with ${signal ?? code}:\n${complaints}`);
  }
  process_.stdout?.resume();
  return {
    pid: process_.pid ?? 0,
    ready: JSON.parse(line) as Record<string, unknown>,
    exit,
    complaints: () => complaints,
    kill: async () => {
      process_.kill("SIGKILL");
      return exit;
    },
    stop: async () => {
      process_.kill("SIGTERM");
      const last = setTimeout(() => process_.kill("SIGKILL"), stopMsMax);
      const end = await exit;
      clearTimeout(last);
      return end;
    },
  };
}

async function exitOf(child: ChildProcess): Promise<Exit> {
  // Not "exit": only at "close" everything that it wrote has been read.
  const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  return { code, signal };
}

/** The first line of its output, or undefined if it ends, or takes too long, before there is one. */
async function firstLine(child: ChildProcess, exit: Promise<Exit>): Promise<string | undefined> {
  if (child.stdout === null) return undefined;
  const lines = createInterface({ input: child.stdout });
  const late = new AbortController();
  try {
    return await Promise.race([
      once(lines, "line", { signal: AbortSignal.any([late.signal, AbortSignal.timeout(readyMsMax)]) }).then(
        ([line]) => String(line),
        () => undefined,
      ),
      exit.then(() => undefined),
    ]);
  } finally {
    late.abort();
    lines.close();
  }
}
