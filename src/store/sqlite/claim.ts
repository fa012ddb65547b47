/**
 * Gives out runs that are due. Workers ask every few milliseconds, so an answer that cannot have changed costs one
 * look at a counter: a claim that found nothing more remembers when the next run falls due and the next lease runs
 * out, and until then only a commit (of this connection, or of another: `pragma data_version`) can bring anything.
 *
 * A run is `ready` from the moment it is seen to be due until somebody takes it. So runs that wait for a far-off time
 * are no burden to a claim, and the most urgent of a long queue is found without sorting the queue.
 */
import type { Timestamp } from "../../core/event.ts";
import type { Claimed, ClaimRequest, Offer, RunRow } from "../store.ts";
import type { Driver, Statements } from "./driver.ts";
import { isUnknown } from "./failure.ts";
import { hasLease, reap, renewOffering } from "./lease.ts";
import { runRowOf } from "./row.ts";
import { holderOf, leasesEnded, nextDue, nextLeaseEnd, readyRuns, ripenRuns, takeRun } from "./sql.ts";

/** What a claim that found nothing more rests on. */
type Quiet = {
  offers: string;
  /** The file as other connections left it, and as this one did. */
  version: number;
  releases: number;
  /** When something happens by itself: a run falls due, or the lease of another worker ends. */
  until: Timestamp;
  nextDueAt: Timestamp | undefined;
};

type Taken = { runs: readonly RunRow[]; reaped: readonly string[]; renewed: boolean };

type Outlook = { work: boolean; nextDueAt: Timestamp | undefined; until: Timestamp };

export class Claims {
  readonly #driver: Driver;
  readonly #quiet = new Map<string, Quiet>();
  /** Until when each worker of this process has its lease, as far as known; 0 once it may have been taken away. */
  readonly #leases = new Map<string, Timestamp>();
  /** What each worker of this process offers, as the file has it as far as known. */
  readonly #offered = new Map<string, string>();
  /** Workers that lost their lease and have not been told. */
  readonly #lapsed = new Set<string>();
  #releases = 0;

  constructor(driver: Driver) {
    this.#driver = driver;
  }

  /** To be called after whatever may have made a run claimable: one created, given back, or woken. */
  released(): void {
    this.#releases++;
  }

  claim(request: ClaimRequest, now: Timestamp): Claimed {
    const { worker, leaseMs, limit } = request;
    const version = this.#driver.dataVersion();
    const offers = textOf(request.offers);
    const quiet = this.#quiet.get(worker);
    // A claim that would only say again what the file has says nothing.
    const known = this.#offered.get(worker) === offers;
    const leased = known && (this.#leases.get(worker) ?? 0) - now > leaseMs / 2;
    const unchanged = quiet?.version === version && quiet.releases === this.#releases && quiet.offers === offers;
    if (leased && unchanged && now < quiet.until) return answer([], now, quiet.nextDueAt);

    const releases = this.#releases;
    const first = this.#driver.read(() => look(this.#driver, request, now));
    const idle = leased && (!first.work || limit <= 0);
    const runs = idle ? [] : this.#take(request, offers, now).runs;
    const { work, until, nextDueAt } = idle ? first : this.#driver.read(() => look(this.#driver, request, now));
    if (work) this.#quiet.delete(worker);
    else this.#quiet.set(worker, { offers, version, releases, until, nextDueAt });
    return answer(runs, now, nextDueAt);
  }

  /** Whether the worker is to be told that its lease ran out, whatever the file says. */
  isLapsed(worker: string): boolean {
    return this.#lapsed.has(worker);
  }

  /** A heartbeat went through. */
  beaten(worker: string, expired: boolean, until: Timestamp): void {
    this.#leases.set(worker, until);
    this.#lapsed.delete(worker);
    if (!expired) return;
    // What was taken from it is there for all, and its new row says nothing of what it offers.
    this.#releases++;
    this.#offered.delete(worker);
  }

  /** Nobody knows whether a claim or heartbeat of this worker went through, so it begins anew with its next heartbeat. */
  doubt(worker: string): void {
    this.#leases.set(worker, 0);
    this.#lapsed.add(worker);
  }

  #take(request: ClaimRequest, offers: string, now: Timestamp): Taken {
    const { worker, leaseMs } = request;
    const until = now + leaseMs;
    let meant: Taken | undefined;
    let taken: Taken;
    try {
      taken = this.#driver.write(
        () => (meant = take(this.#driver, request, offers, now, until)),
        ({ runs }) => holds(this.#driver, worker, runs[0]) && hasLease(this.#driver, worker, until),
      );
    } catch (error) {
      // Runs may have been given out that the worker never heard of. With none, asking again does no harm.
      const unsure = meant !== undefined && (meant.runs.length > 0 || !meant.renewed);
      if (unsure && isUnknown(error)) this.doubt(worker);
      throw error;
    }
    for (const id of taken.reaped) if (this.#leases.has(id)) this.#leases.set(id, 0);
    if (!taken.renewed && this.#leases.has(worker)) this.#lapsed.add(worker);
    this.#leases.set(worker, until);
    this.#offered.set(worker, offers);
    return taken;
  }
}

/** What there is for this worker, without taking it. */
function look(db: Statements, { worker, offers }: ClaimRequest, now: Timestamp): Outlook {
  let work = db.prepare(leasesEnded).get(now, worker) !== undefined;
  let nextDueAt: Timestamp | undefined;
  for (const { workflow, version, fingerprint } of offers) {
    work ||= db.prepare(readyRuns).get(workflow, version, fingerprint, 1) !== undefined;
    const due = db.prepare(nextDue).get(workflow, version)?.["at"] as Timestamp | null;
    if (due !== null && due <= now) work = true;
    else if (due !== null) nextDueAt = Math.min(due, nextDueAt ?? due);
  }
  const leaseEnd = db.prepare(nextLeaseEnd).get(worker)?.["at"] as Timestamp | null;
  return {
    work,
    nextDueAt,
    until: Math.min(nextDueAt ?? Number.POSITIVE_INFINITY, leaseEnd ?? Number.POSITIVE_INFINITY),
  };
}

function take(db: Statements, request: ClaimRequest, offering: string, now: Timestamp, until: Timestamp): Taken {
  const { worker, offers, limit } = request;
  const reaped = reap(db, worker, now);
  const renewed = renewOffering(db, worker, until, offering);
  const found = new Map<number, { n: number; priority: number; due_at: Timestamp }>();
  for (const { workflow, version, fingerprint } of offers) {
    db.prepare(ripenRuns).run(workflow, version, now);
    const rows = db.prepare(readyRuns).all(workflow, version, fingerprint, Math.max(0, limit));
    for (const row of rows as { n: number; priority: number; due_at: Timestamp }[]) found.set(row.n, row);
  }
  const urgent = [...found.values()].sort((a, b) => a.priority - b.priority || a.due_at - b.due_at || a.n - b.n);
  const runs: RunRow[] = [];
  for (const { n } of urgent.slice(0, Math.max(0, limit))) {
    const row = db.prepare(takeRun).get(worker, n);
    if (row !== undefined) runs.push(runRowOf(row, true));
  }
  return { runs, reaped, renewed };
}

function holds(db: Statements, worker: string, run: RunRow | undefined): boolean {
  if (run === undefined) return true;
  const row = db.prepare(holderOf).get(run.id);
  return row?.["worker"] === worker && row["epoch"] === run.epoch;
}

function answer(runs: readonly RunRow[], now: Timestamp, nextDueAt: Timestamp | undefined): Claimed {
  return nextDueAt === undefined ? { runs, now } : { runs, now, nextDueAt };
}

/** Offers as one text, to keep them in and to compare them by. */
function textOf(offers: readonly Offer[]): string {
  return JSON.stringify(offers.map(({ workflow, version, fingerprint }) => [workflow, version, fingerprint]));
}
