/**
 * Gives out runs that are due, and keeps the leases of the workers of this process.
 *
 * Workers ask every few milliseconds. While notifications of the database are known to arrive, a worker that found
 * nothing several times in a row is answered from memory, for longer and longer, up to `idleMs`: a notification, a run
 * that falls due or a lease that ends brings it back to asking. Where notifications do not arrive, each claim asks.
 *
 * A worker has a _generation_, which rises when its runs are taken from it. It is given nothing under a generation that
 * it does not know of, and its next heartbeat tells it; so an answer that was lost on the way is given again. When the
 * answer to a claim was lost, the generation is raised too: what that claim gave is found, and given, and if the server
 * carries it out only then, it gives nothing.
 */
import type { RunId, Timestamp } from "../../core/event.ts";
import type { Claimed, ClaimRequest, Commit, CommitResult, Heartbeat, Offer, RunRow } from "../store.ts";
import { addTo } from "./columns.ts";
import type { Database } from "./database.ts";
import { isUnknown } from "./failure.ts";
import { runRowOf } from "./row.ts";
import {
  beat,
  claimRuns,
  dropOffers,
  forgetWorkers,
  markDead,
  raiseGeneration,
  runsHeld,
  takeRunsAway,
} from "./sql-claim.ts";

/** What a claim that found nothing rests on. */
type Quiet = {
  offers: string;
  changes: number;
  /** Until when, on this process's own clock, the database is left alone. */
  until: number;
  nextDueAt: Timestamp | undefined;
  /** When something happens by itself, by the store's clock. */
  eventAt: Timestamp;
  /** Claims in a row that found nothing. */
  times: number;
};

type ClaimColumns = {
  now: number;
  work: boolean | null;
  next_due_at: number | null;
  lease_end: number | null;
  generation: number | null;
  row: string | null;
};

/** `reaped`: whether its runs had been taken from it; null if it had no lease. */
type BeatColumns = { now: number; generation: number; reaped: boolean | null; news: string | null };

/** So often nothing must be found before an answer is given from memory. */
const quietAfter = 3;
const quietMsFirst = 25;
/** So often dead workers are looked for in one claim; more of them than that are left to the next. */
const reapsMax = 3;

export class Claims {
  readonly #db: Database;
  readonly #now: () => number | null;
  readonly #idleMs: () => number;
  readonly #quiet = new Map<string, Quiet>();
  /** The generation that each worker of this process knows of. */
  readonly #generations = new Map<string, number>();
  /** Until when each has its lease, by the store's clock. */
  readonly #leases = new Map<string, Timestamp>();
  /** What each worker offers, as the database has it as far as known. */
  readonly #offered = new Map<string, string>();
  /** What each was given and has not given back, with its epoch. */
  readonly #held = new Map<string, Map<RunId, number>>();
  /** Workers that may have been given what they never heard of, because the answer to a claim was lost. */
  readonly #doubted = new Set<string>();
  /** Counts what may have made a run claimable. */
  #changes = 0;
  /** The store's clock, as it was when this process's own showed `at`. */
  #clock = { now: 0, at: 0 };

  /** `idleMs` says how long quiet workers may leave the database alone, now. */
  constructor(db: Database, now: () => number | null, idleMs: () => number) {
    this.#db = db;
    this.#now = now;
    this.#idleMs = idleMs;
  }

  /** To be called after whatever may have made a run claimable: one created, given back, or woken. */
  changed(): void {
    this.#changes += 1;
  }

  async claim(request: ClaimRequest): Promise<Claimed> {
    const { worker, leaseMs } = request;
    const offers = textOf(request.offers);
    const quiet = this.#quiet.get(worker);
    const now = this.#estimate();
    const leased = ((this.#leases.get(worker) ?? 0) - now) * 2 > leaseMs;
    const unchanged = quiet?.changes === this.#changes && quiet.offers === offers;
    if (leased && unchanged && performance.now() < quiet.until && now < quiet.eventAt) {
      return answer([], now, quiet.nextDueAt ?? null);
    }
    const changes = this.#changes;
    const unheard = this.#doubted.has(worker) ? await this.#recover(request) : [];
    if (unheard.length > 0) return answer(unheard, this.#estimate(), null);
    let found = await this.#ask(request);
    for (let tries = 0; tries < reapsMax && found.leaseEnd !== null && found.leaseEnd <= found.now; tries += 1) {
      await this.#reap(worker);
      found = await this.#ask(request);
    }
    const idle = found.runs.length === 0 && !found.work;
    if (idle) this.#rest(worker, offers, changes, found);
    else this.#quiet.delete(worker);
    return answer(found.runs, found.now, found.nextDueAt);
  }

  async heartbeat({ worker, leaseMs }: { worker: string; leaseMs: number }): Promise<Heartbeat> {
    const known = this.#generations.get(worker) ?? null;
    const [row] = await this.#db.repeat<BeatColumns>(beat, [this.#now(), worker, leaseMs, known]);
    const { now, generation, reaped, news } = row as BeatColumns;
    // A store that was opened since then knows of no generation, so it goes by whether somebody has had its runs since.
    const expired = reaped === null || (known === null ? reaped : generation !== known);
    if (expired) {
      // A statement of its own: it sees what a claim has given at the last moment under the old generation.
      await this.#db.repeat(takeRunsAway, [[worker]]);
      this.#offered.delete(worker);
      this.#held.delete(worker);
      this.#doubted.delete(worker);
      this.changed();
    }
    this.#generations.set(worker, generation);
    this.#learn(now, worker, leaseMs);
    const list = expired ? [] : ((JSON.parse(news ?? "[]") as [string, number][]) ?? []);
    return { now, expired, news: list.map(([run, inbox]) => ({ run, inbox })) };
  }

  /** To be called with what became of parts: some runs are held no more. */
  settled(parts: readonly Commit[], results: readonly CommitResult[]): void {
    for (const [i, { run, epoch, release }] of parts.entries()) {
      const result = results[i];
      const over =
        result?.ok === true ? release !== undefined : result?.reason === "epoch" || result?.reason === "missing";
      if (!over) continue;
      for (const held of this.#held.values()) if (held.get(run) === epoch) held.delete(run);
    }
  }

  /**
   * Finds what a claim has given whose answer was lost. Raising the generation first makes sure that the server does not
   * carry that claim out later still. If the runs were taken away meanwhile, the next heartbeat says so.
   */
  async #recover({ worker, leaseMs }: ClaimRequest): Promise<readonly RunRow[]> {
    const known = this.#generations.get(worker) ?? null;
    const raised = await this.#db.repeat<{ generation: number }>(raiseGeneration, [
      this.#now(),
      worker,
      leaseMs,
      known,
    ]);
    const [row] = raised;
    if (row === undefined) return [];
    this.#generations.set(worker, row.generation);
    const held = this.#held.get(worker);
    const rows = (await this.#db.read<{ row: string }>(runsHeld, [worker])).map(({ row: json }) => runRowOf(json));
    const unheard = rows.filter(({ id, epoch }) => held?.get(id) !== epoch);
    this.#give(worker, unheard);
    this.#doubted.delete(worker);
    return unheard;
  }

  #give(worker: string, runs: readonly RunRow[]): void {
    const held = this.#held.get(worker) ?? new Map<RunId, number>();
    for (const { id, epoch } of runs) held.set(id, epoch);
    this.#held.set(worker, held);
  }

  async #ask(request: ClaimRequest): Promise<Found> {
    const { worker, leaseMs, limit } = request;
    const offers: unknown[][] = [[], [], []];
    for (const { workflow, version, fingerprint } of request.offers) addTo(offers, workflow, version, fingerprint);
    const known = this.#generations.get(worker) ?? null;
    const text = textOf(request.offers);
    const told = this.#offered.get(worker) === text;
    const values = [this.#now(), worker, leaseMs, known, Math.max(0, limit), ...offers, !told];
    let rows: ClaimColumns[];
    try {
      rows = await this.#db.write<ClaimColumns>(claimRuns, values);
    } catch (error) {
      if (isUnknown(error)) this.#doubted.add(worker);
      throw error;
    }
    this.#offered.set(worker, text);
    const [first] = rows;
    const { now, generation, work, next_due_at: nextDueAt, lease_end: leaseEnd } = first as ClaimColumns;
    if (known === null && generation !== null) this.#generations.set(worker, generation);
    if (generation !== null && generation === (known ?? generation)) this.#learn(now, worker, leaseMs);
    else this.#clock = { now, at: performance.now() };
    const runs = rows.flatMap(({ row }) => (row === null ? [] : [runRowOf(row)]));
    runs.sort((a, b) => a.priority - b.priority || (a.dueAt ?? 0) - (b.dueAt ?? 0) || (a.id < b.id ? -1 : 1));
    this.#give(worker, runs);
    return { runs, now, work: work === true, nextDueAt, leaseEnd };
  }

  /** Takes the runs of other workers whose lease has run out. */
  async #reap(worker: string): Promise<void> {
    await this.#db.transaction(async (tx) => {
      const dead = await tx.query<{ id: string }>(markDead, [this.#now(), worker]);
      const ids = dead.map(({ id }) => id);
      if (ids.length > 0) await tx.query(takeRunsAway, [ids]);
      if (ids.length > 0) await tx.query(dropOffers, [ids]);
      await tx.query(forgetWorkers, [this.#now()]);
    });
  }

  #learn(now: Timestamp, worker: string, leaseMs: number): void {
    this.#clock = { now, at: performance.now() };
    // A claim renews nothing while more than half of the lease is left, so no more than that is known.
    this.#leases.set(worker, now + leaseMs);
  }

  #rest(worker: string, offers: string, changes: number, { nextDueAt, leaseEnd }: Found): void {
    const before = this.#quiet.get(worker);
    const times = before?.changes === changes && before.offers === offers ? before.times + 1 : 1;
    const ms = times < quietAfter ? 0 : Math.min(quietMsFirst * 2 ** (times - quietAfter), this.#idleMs());
    const eventAt = Math.min(nextDueAt ?? Infinity, leaseEnd ?? Infinity);
    const rest = { until: performance.now() + ms, nextDueAt: nextDueAt ?? undefined, eventAt, times };
    this.#quiet.set(worker, { offers, changes, ...rest });
  }

  /** The store's clock by what it showed last, and how long ago that was. */
  #estimate(): Timestamp {
    return this.#now() ?? Math.floor(this.#clock.now + performance.now() - this.#clock.at);
  }
}

type Found = {
  runs: readonly RunRow[];
  now: Timestamp;
  work: boolean;
  nextDueAt: Timestamp | null;
  leaseEnd: Timestamp | null;
};

function answer(runs: readonly RunRow[], now: Timestamp, nextDueAt: Timestamp | null): Claimed {
  return nextDueAt === null ? { runs, now } : { runs, now, nextDueAt };
}

/** Offers as one text, to compare them by. */
function textOf(offers: readonly Offer[]): string {
  return JSON.stringify(offers.map(({ workflow, version, fingerprint }) => [workflow, version, fingerprint]));
}
