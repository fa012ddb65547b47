/**
 * The witness: a file to which several processes append what they do, one line per write, so that it outlives each of
 * them and its lines have one order. The kernel appends each write whole and one after the other (O_APPEND); a process
 * killed in the midst of a write may leave a piece of a line, so each line begins with a line break of its own and
 * counts only with its end mark.
 */
import { closeSync, openSync, readSync, writeSync } from "node:fs";

/**
 * `up`: a worker has started. `enter`, `leave`: a step's function was entered, was left (run, idempotency key, name). `flush`, `flushed`: a commit
 * was asked for, was answered. `recorded`: it had the outcome of a step (run, step, seq). `saw`: the workflow's code
 * was given it (run, step, value). `claim`: a run was given to this worker. `lock`, `free`: a transaction that writes
 * begins, is over. `stop`, `continue`: the process was frozen, was let go on. `log`: the engine has something to say.
 */
export type Kind =
  | "up"
  | "enter"
  | "leave"
  | "flush"
  | "flushed"
  | "recorded"
  | "saw"
  | "claim"
  | "lock"
  | "free"
  | "stop"
  | "continue"
  | "log";

export type Line = { pid: number; kind: Kind; words: readonly string[] };

export type Pen = { write(kind: Kind, ...words: readonly string[]): void };

/** Writes lines that belong to process `pid`. No word may hold a blank; `text` makes one of anything. */
export function penAt(path: string, pid: number = process.pid): Pen {
  const file = openSync(path, "a");
  return {
    write(kind, ...words) {
      writeSync(file, `\n${[pid, kind, ...words, "."].join(" ")}`);
    },
  };
}

/** Any text as one word. */
export function word(text: string): string {
  return encodeURIComponent(text);
}

export type Reader = { lines(): Line[]; close(): void };

/** Reads the lines that came since the last look. */
export function readerAt(path: string): Reader {
  const file = openSync(path, "r");
  const buffer = Buffer.alloc(1 << 20);
  let rest = "";
  return {
    lines() {
      for (;;) {
        const size = readSync(file, buffer, 0, buffer.length, null);
        rest += buffer.toString("latin1", 0, size);
        if (size < buffer.length) break;
      }
      const pieces = rest.split("\n");
      // The last one may still be on its way, unless its end mark is there.
      rest = pieces.at(-1)?.endsWith(" .") === true ? "" : (pieces.pop() ?? "");
      return pieces.flatMap((piece) => parse(piece) ?? []);
    },
    close: () => closeSync(file),
  };
}

function parse(piece: string): Line | undefined {
  if (!piece.endsWith(" .")) return undefined;
  const [pid, kind, ...words] = piece.split(" ");
  return { pid: Number(pid), kind: kind as Kind, words: words.slice(0, -1) };
}
