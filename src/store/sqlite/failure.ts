/**
 * From errors of SQLite to codes of ours. Messages name the file and SQLite's own generic text (`disk I/O error`),
 * never a statement or a value; the original error is the cause.
 */
import type { ErrorCode } from "../../core/error.ts";
import { isStemmaError, StemmaError } from "../../core/error.ts";

/** Primary result codes, from https://sqlite.org/rescode.html. */
const result = {
  error: 1,
  perm: 3,
  busy: 5,
  locked: 6,
  noMemory: 7,
  readOnly: 8,
  ioError: 10,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  protocol: 15,
  tooBig: 18,
  constraint: 19,
  misuse: 21,
  notADatabase: 26,
} as const;

type Meaning = { code: ErrorCode; advice: string };

const busy: Meaning = {
  code: "store.busy",
  advice: "Another process kept the file locked for too long; try again, or raise busyMs.",
};
const notWritable: Meaning = {
  code: "store.not_writable",
  advice: "Its folder must exist, and this process must be allowed to write the file and to make files beside it.",
};
const corrupt: Meaning = {
  code: "store.corrupt",
  advice: "Keep a copy of it with its -wal file, then restore a backup.",
};
const unavailable: Meaning = {
  code: "store.unavailable",
  advice: "The file is opened anew with the next call; look at the disk if this goes on.",
};
const bug: Meaning = { code: "engine.bug", advice: "Please report it." };

const meanings: Record<number, Meaning> = {
  [result.error]: bug,
  [result.perm]: notWritable,
  [result.busy]: busy,
  [result.locked]: busy,
  [result.noMemory]: unavailable,
  [result.readOnly]: notWritable,
  [result.ioError]: unavailable,
  [result.corrupt]: corrupt,
  [result.full]: { code: "store.full", advice: "Free some space on its disk; nothing of this call was kept." },
  [result.cannotOpen]: notWritable,
  [result.protocol]: busy,
  [result.tooBig]: { code: "payload.too_large", advice: "Store large files elsewhere and record where they are." },
  [result.constraint]: bug,
  [result.misuse]: bug,
  [result.notADatabase]: corrupt,
};

/** After these a connection may hold a wrong picture of the file, so it is not used again. */
const fatal: ReadonlySet<number> = new Set([
  result.perm,
  result.noMemory,
  result.readOnly,
  result.ioError,
  result.corrupt,
  result.cannotOpen,
  result.notADatabase,
]);

/** The primary result code of an error that SQLite raised; undefined for every other error. */
export function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("errcode" in error) || typeof error.errcode !== "number") return undefined;
  return error.errcode & 0xff;
}

/** Whether the connection that raised `error` must be closed. */
export function isFatal(error: unknown): boolean {
  const code = resultCode(error);
  return code !== undefined && fatal.has(code);
}

/**
 * Whether the disk was full. Then the log could not be written, which comes before it is synced: the commit was not
 * made, and the connection is good.
 */
export function isFull(error: unknown): boolean {
  return resultCode(error) === result.full;
}

/** Whether another connection was in the way. */
export function isBusy(error: unknown): boolean {
  return resultCode(error) === result.busy;
}

/**
 * The error to throw for `error`, which happened while the file at `path` was used. Errors not of SQLite pass. A file
 * that could be opened or written before (`known`) and now cannot is expected to come back, as disks do, so it may be
 * tried again.
 */
export function failureOf(error: unknown, path: string, known: boolean = false): unknown {
  const code = resultCode(error);
  if (code === undefined) return error;
  const { errcode, errstr } = error as Error & { errcode: number; errstr?: string };
  const passing = code === result.cannotOpen || code === result.readOnly;
  const meaning = known && passing ? unavailable : (meanings[code] ?? unavailable);
  return new StemmaError(
    meaning.code,
    `SQLite could not use ${path}: ${errstr ?? "unknown error"} (${errcode}). ${meaning.advice}`,
    { data: { path, errcode }, cause: error },
  );
}

/** Whether nobody can tell if what failed with this error was done. */
export function isUnknown(error: unknown): boolean {
  return isStemmaError(error) && error.data["outcome"] === "unknown";
}
