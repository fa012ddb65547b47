/**
 * Leases of workers. One row per worker stands for all runs that it holds. A worker whose row was taken away learns it
 * from its next heartbeat, also if it claims in between: this process remembers that the row was made anew. Whatever
 * the worker was given meanwhile is taken from it then, because on hearing `expired` it drops everything.
 */
import type { Timestamp } from "../../core/event.ts";
import type { Heartbeat, LeasedWorker } from "../store.ts";
import type { Statements } from "./driver.ts";
import {
  deleteWorker,
  insertOffering,
  insertWorker,
  leaseEnd,
  leasesEnded,
  news,
  offerLease,
  renewLease,
  takeRunsAway,
  workersHeld,
} from "./sql.ts";

/** Takes the runs of other workers whose lease has run out. Their epoch rises at once, so they cannot append any more. */
export function reap(db: Statements, worker: string, now: Timestamp): readonly string[] {
  const ended = db.prepare(leasesEnded).all(now, worker) as { id: string }[];
  for (const { id } of ended) {
    db.prepare(takeRunsAway).run(now, id);
    db.prepare(deleteWorker).run(id);
  }
  return ended.map(({ id }) => id);
}

/** Renews the lease of a worker that claims, with what it offers, and says whether there was one; if not, it is made. */
export function renewOffering(db: Statements, worker: string, until: Timestamp, offers: string): boolean {
  if (db.prepare(offerLease).run(until, offers, worker).changes === 1) return true;
  db.prepare(insertOffering).run(worker, until, offers);
  return false;
}

/** As above, for a worker that reports. A lease that has run out but was not taken away goes on: nobody got its runs. */
function renew(db: Statements, worker: string, until: Timestamp): boolean {
  if (db.prepare(renewLease).run(until, worker).changes === 1) return true;
  db.prepare(insertWorker).run(worker, until);
  return false;
}

/** Renews the lease of a worker that reports. One whose runs were taken has no row any more, and is told so. */
export function beat(db: Statements, worker: string, lapsed: boolean, now: Timestamp, until: Timestamp): Heartbeat {
  const expired = !renew(db, worker, until) || lapsed;
  if (expired) db.prepare(takeRunsAway).run(now, worker);
  const rows = db.prepare(news).all(worker) as { id: string; inbox_seq: number }[];
  return { now, expired, news: rows.map((row) => ({ run: row.id, inbox: row.inbox_seq })) };
}

export function hasLease(db: Statements, worker: string, until: Timestamp): boolean {
  return db.prepare(leaseEnd).get(worker)?.["lease_until"] === until;
}

export function leasedWorkers(db: Statements, now: Timestamp): LeasedWorker[] {
  const rows = db.prepare(workersHeld).all() as { id: string; lease_until: number; runs: number }[];
  const leased = rows.filter(({ lease_until: until }) => until > now);
  return leased.map(({ id, lease_until: leaseUntil, runs }) => ({ worker: id, runs, leaseUntil }));
}
