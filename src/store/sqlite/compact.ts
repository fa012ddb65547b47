/**
 * Writes the file anew without its free pages (https://sqlite.org/lang_vacuum.html): in one transaction, so a crash leaves
 * it as it was. It takes as much room again while it goes on, and holds all others up, so it is done only when nobody works.
 */
import { statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { formatDuration } from "../../core/duration.ts";
import { StemmaError } from "../../core/error.ts";
import type { Timestamp } from "../../core/event.ts";
import type { Driver } from "./driver.ts";
import { workersHeld } from "./sql.ts";

/** The new text of the file stands beside the old one, in the log and in a temporary file. */
const copies = 2;

export function compact(db: Driver, now: Timestamp, dryRun: boolean): { before: number; after: number } {
  expectNobody(db, now);
  const isFile = db.path !== ":memory:";
  const bytes = (): number => (isFile ? sizeOf(db.path) + sizeOf(`${db.path}-wal`) : pagesOf(db));
  const before = bytes();
  if (isFile) expectRoom(db);
  if (dryRun) return { before, after: pagesOf(db) };
  db.compact();
  return { before, after: bytes() };
}

function expectNobody(db: Driver, now: Timestamp): void {
  const held = db.read(() => db.prepare(workersHeld).all()) as { id: string; lease_until: number }[];
  const working = held.filter(({ lease_until: until }) => until > now);
  if (working.length === 0) return;
  const ids = working.slice(0, 5).map(({ id }) => id);
  const last = formatDuration(Math.max(...working.map(({ lease_until: until }) => until)) - now);
  throw new StemmaError(
    "store.busy",
    `Expected no worker on ${db.path} while its file is made smaller: it would stand still as long as that takes. At work: ${ids.join(", ")}. Stop them, and do it again when the last lease has ended (in ${last}, unless it is renewed).`,
    { data: { workers: working.length } },
  );
}

function expectRoom(db: Driver): void {
  const needed = copies * pagesOf(db);
  let free: number;
  try {
    const { bavail, bsize } = statfsSync(dirname(db.path));
    free = bavail * bsize;
  } catch {
    // Not every file system tells; SQLite does when it comes to that, and leaves the file as it was.
    return;
  }
  if (free >= needed) return;
  throw new StemmaError(
    "store.full",
    `Expected ${needed} bytes to be free on the disk of ${db.path} to make its file smaller, found ${free}. Nothing was changed.`,
    { data: { needed, free } },
  );
}

/** Bytes of the pages that are in use. */
function pagesOf(db: Driver): number {
  const number = (name: string): number =>
    Number(Object.values(db.read(() => db.prepare(`pragma ${name}`).get()) ?? {})[0]);
  return (number("page_count") - number("freelist_count")) * number("page_size");
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
