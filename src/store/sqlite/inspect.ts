/** What a file says about itself: schema, settings as SQLite reads them back, integrity, clock, workers, room on disk. */
import { statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";

import { isStemmaError } from "../../core/error.ts";
import { formatDuration } from "../../core/duration.ts";
import type { Timestamp } from "../../core/event.ts";
import type { Finding } from "../inspection.ts";
import type { Driver } from "./driver.ts";
import { migrations } from "./migrations.ts";
import { newestEvent, workersHeld } from "./sql.ts";

type Inspected = { readonly db: Driver; readonly now: () => Timestamp };
type Check = (inspected: Inspected) => Finding | readonly Finding[];

const levels = ["off", "normal", "full", "extra"] as const;
/** A log that grew so far is not being copied back: some reader never ends. */
const logBytesMax = 256_000_000;
const freeBytesMin = 200_000_000;
/** Clocks of machines differ by some milliseconds; a second is a clock that is wrong. */
const skewMsMax = 1000;
const damagesShown = 5;

const checks: Readonly<Record<string, Check>> = {
  schema: checkSchema,
  journal: checkJournal,
  synchronous: checkSynchronous,
  integrity: checkIntegrity,
  disk: checkDisk,
  clock: checkClock,
  leases: checkLeases,
};

/** All findings, in the order of the checks. One that cannot be made is a problem of its own. */
export function inspect(db: Driver, now: () => Timestamp): readonly Finding[] {
  // A file that cannot even be opened is one problem, and not one for each check.
  pragma(db, "schema_version");
  return Object.entries(checks).flatMap(([check, look]) => {
    try {
      return look({ db, now });
    } catch (error) {
      // Anything else is a fault of ours, and not of the file.
      if (!isStemmaError(error)) throw error;
      return { check, level: "problem" as const, message: error.message, data: { code: error.code } };
    }
  });
}

function checkSchema({ db }: Inspected): Finding {
  const found = pragma(db, "user_version") as number;
  const known = migrations.at(-1)?.id ?? 0;
  const data = { found, known };
  if (found === known)
    return { check: "schema", level: "ok", message: `version ${found}, as this code knows it`, data };
  const message = `version ${found}, this code knows ${known}; what is new breaks nothing for it`;
  return { check: "schema", level: "warning", message, advice: "Upgrade this stemma when you can.", data };
}

function checkJournal({ db }: Inspected): Finding {
  const mode = String(pragma(db, "journal_mode"));
  const data: Record<string, string | number> = { mode };
  if (db.path === ":memory:") {
    const advice = "Give a path of a file to keep runs.";
    const message = "in memory: everything ends with the process";
    return { check: "journal", level: "warning", message, advice, data };
  }
  if (mode !== "wal") {
    const advice = "Is it on a network file system? Use a local disk.";
    return { check: "journal", level: "problem", message: `mode ${mode}, expected wal`, advice, data };
  }
  const logBytes = sizeOf(`${db.path}-wal`);
  data["logBytes"] = logBytes;
  const message = `write-ahead log, ${sizeText(logBytes)}`;
  if (logBytes < logBytesMax) return { check: "journal", level: "ok", message, data };
  const advice = "A process keeps reading from an old state of the file, so the log cannot be copied back: end it.";
  return { check: "journal", level: "warning", message, advice, data };
}

/** The level belongs to the connection: this is what the options of this store lead to. */
function checkSynchronous({ db }: Inspected): Finding {
  const number = pragma(db, "synchronous") as number;
  const level = levels[number] ?? String(number);
  const data = { level };
  if (number >= levels.indexOf("full")) {
    const message = `${level}: what was committed survives a power cut`;
    return { check: "synchronous", level: "ok", message, data };
  }
  const advice = 'Use synchronous: "full" (the default) unless losing the last moments is no harm.';
  const message = `${level}: a power cut may undo what was committed last`;
  return { check: "synchronous", level: "warning", message, advice, data };
}

/** https://sqlite.org/pragma.html#pragma_quick_check: everything but whether indexes agree with their tables. */
function checkIntegrity({ db }: Inspected): Finding {
  const rows = db.read(() => db.prepare(`pragma quick_check(${damagesShown})`).all());
  const damages = rows.map((row) => String(row["quick_check"])).filter((text) => text !== "ok");
  if (damages.length === 0) return { check: "integrity", level: "ok", message: "quick_check found nothing wrong" };
  const advice = "Stop all workers, keep a copy of the file with its -wal file, then restore a backup.";
  const message = `quick_check found damage: ${damages.join("; ")}`;
  return { check: "integrity", level: "problem", message, advice, data: { damages } };
}

function checkDisk({ db }: Inspected): readonly Finding[] {
  if (db.path === ":memory:") return [];
  const bytes = sizeOf(db.path);
  let freeBytes: number;
  try {
    const { bavail, bsize } = statfsSync(dirname(db.path));
    freeBytes = bavail * bsize;
  } catch {
    // Not every file system tells.
    return [{ check: "disk", level: "ok", message: `the file has ${sizeText(bytes)}`, data: { bytes } }];
  }
  const message = `the file has ${sizeText(bytes)}, ${sizeText(freeBytes)} are free on its disk`;
  const data = { bytes, freeBytes };
  if (freeBytes >= freeBytesMin) return [{ check: "disk", level: "ok", message, data }];
  const advice = "Free some space: runs stand still when it is full. Removing runs that ended long ago helps.";
  return [{ check: "disk", level: freeBytes < freeBytesMin / 10 ? "problem" : "warning", message, advice, data }];
}

/** The store's clock must be that of this process, and must not have gone back behind what is recorded. */
function checkClock({ db, now }: Inspected): Finding {
  const at = now();
  const offsetMs = at - Date.now();
  const newestAt = db.read(() => db.prepare(newestEvent).get()?.["at"] ?? null) as number | null;
  const data = { at, offsetMs, newestAt };
  if (Math.abs(offsetMs) > skewMsMax) {
    const side = offsetMs > 0 ? "ahead of" : "behind";
    const message = `the store's clock is ${formatDuration(Math.abs(offsetMs))} ${side} this process's`;
    const advice = "Timers and leases go by the store's clock: set the clocks of both by NTP.";
    return { check: "clock", level: "warning", message, advice, data };
  }
  if (newestAt !== null && newestAt - at > skewMsMax) {
    const message = `the newest event is ${formatDuration(newestAt - at)} ahead of the clock`;
    const advice = "The clock was set back, or was wrong before: timers come late by as much. Keep it set by NTP.";
    return { check: "clock", level: "warning", message, advice, data };
  }
  return { check: "clock", level: "ok", message: "the store's clock is this process's", data };
}

type Held = { id: string; lease_until: number; runs: number };

function checkLeases({ db, now }: Inspected): readonly Finding[] {
  const rows = db.read(() => db.prepare(workersHeld).all()) as Held[];
  const at = now();
  const check = "leases";
  rows.sort((a, b) => b.lease_until - a.lease_until || (a.id < b.id ? -1 : 1));
  if (rows.length === 0) return [{ check, level: "ok", message: "no worker", data: { workers: 0 } }];
  return rows.map(({ id: worker, lease_until: until, runs }): Finding => {
    const data = { worker, leaseUntil: until, runs };
    const what = `worker ${worker} holds ${runs} ${runs === 1 ? "run" : "runs"}`;
    if (until > at) {
      return { check, level: "ok", message: `${what}; its lease ends in ${formatDuration(until - at)}`, data };
    }
    const message = `${what}; its lease ended ${formatDuration(at - until)} ago`;
    // A worker that was stopped leaves its row behind; the next one to claim takes it away.
    if (runs === 0) return { check, level: "ok", message, data };
    const advice =
      "Start a worker: it takes over the runs. If one is running, it has stopped claiming; look at its log.";
    return { check, level: "warning", message, advice, data };
  });
}

/** Only names from this file come here, so none has to be escaped. */
function pragma(db: Driver, name: string): unknown {
  return Object.values(db.read(() => db.prepare(`pragma ${name}`).get()) ?? {})[0];
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** For people, in powers of 1000. */
function sizeText(bytes: number): string {
  if (bytes < 1_000_000) return `${(bytes / 1000).toFixed(1)} kB`;
  return bytes < 1_000_000_000 ? `${(bytes / 1_000_000).toFixed(1)} MB` : `${(bytes / 1_000_000_000).toFixed(1)} GB`;
}
