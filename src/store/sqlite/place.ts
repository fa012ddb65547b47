/**
 * Which files a path leads to. A file that is moved, deleted or replaced under a working process goes on to take
 * writes, into a file that nobody will find again; what is committed then is not where the user's data is. So the
 * place is looked at after every commit, and a commit that is not in place is not acknowledged.
 */
import { readdirSync, readlinkSync, realpathSync, statSync } from "node:fs";

import { StemmaError } from "../../core/error.ts";

/**
 * Device and inode of the main file and of its log, each undefined where there is none. `link`: how the kernel names
 * the log that this process has open, where it does.
 */
export type Place = { main: string | undefined; log: string | undefined; link?: Link };

/** A file of /proc that says what an open file is called now, and what it was called when it was opened. */
export type Link = { at: string; name: string };

/** @param before what was seen last: as long as the open log is called what it was, it is where it was */
export function placeOf(path: string, before?: Place): Place {
  const main = identityOf(path);
  const { link, log } = before ?? {};
  if (link !== undefined && nameOf(link.at) === link.name) return { main, log, link };
  return { main, log: identityOf(`${path}-wal`) };
}

function identityOf(file: string): string | undefined {
  const found = statSync(file, { bigint: true, throwIfNoEntry: false });
  return found === undefined ? undefined : `${found.dev}:${found.ino}`;
}

const openFiles = "/proc/self/fd";

/** The files that this process has open; none where the system does not tell. */
export function filesOpen(): ReadonlySet<string> {
  try {
    return new Set(readdirSync(openFiles));
  } catch {
    return new Set();
  }
}

/**
 * The log among the files that were opened since. Where Linux keeps fine timestamps (6.13 and later) a `stat` of a file
 * makes its next sync about half as long again, because the write before it must then set a time of its own; asking for
 * the name of the open file does not. (https://docs.kernel.org/filesystems/multigrain-ts.html)
 */
export function logOpened(path: string, before: ReadonlySet<string>): Link | undefined {
  const name = `${realpathSync(path)}-wal`;
  for (const file of filesOpen()) {
    const at = `${openFiles}/${file}`;
    if (!before.has(file) && nameOf(at) === name) return { at, name };
  }
  return undefined;
}

function nameOf(at: string): string | undefined {
  try {
    return readlinkSync(at);
  } catch {
    return undefined;
  }
}

/** Whether what was there is still there. A log that was not there before may have come. */
export function isInPlace(before: Place, now: Place): boolean {
  return before.main === now.main && (before.log === undefined || before.log === now.log);
}

/** What to throw while the files are not where they were. Their coming back ends it, so the call may be made again. */
export function displaced(path: string): StemmaError {
  return new StemmaError(
    "store.unavailable",
    `The file ${path} or its log ${path}-wal was moved, deleted or replaced while it was in use. Put both back as they were; if they are gone, restore a backup and restart this process.`,
    { data: { path, outcome: "unknown" } },
  );
}
