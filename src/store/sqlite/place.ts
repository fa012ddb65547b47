/**
 * Which files a path leads to. A file that is moved, deleted or replaced under a working process goes on to take
 * writes, into a file that nobody will find again; what is committed then is not where the user's data is. So the
 * place is looked at after every commit, and a commit that is not in place is not acknowledged.
 */
import { statSync } from "node:fs";

import { StemmaError } from "../../core/error.ts";

/** Device and inode of the main file and of its log, each undefined where there is none. */
export type Place = { main: string | undefined; log: string | undefined };

export function placeOf(path: string): Place {
  return { main: identityOf(path), log: identityOf(`${path}-wal`) };
}

function identityOf(file: string): string | undefined {
  const found = statSync(file, { bigint: true, throwIfNoEntry: false });
  return found === undefined ? undefined : `${found.dev}:${found.ino}`;
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
