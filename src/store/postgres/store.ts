/**
 * The store on PostgreSQL: one schema of one database, for any number of processes on any number of machines. Each
 * method is one statement; a flush that also creates runs or sends messages, the taking of runs from dead workers, and
 * a prune are transactions of a few.
 */
import { randomUUID } from "node:crypto";

import { StemmaError } from "../../core/error.ts";
import type { Digest, RunId, Timestamp } from "../../core/event.ts";
import { isTerminal } from "../../core/run.ts";
import type {
  Claimed,
  ClaimRequest,
  Commit,
  CommitResult,
  Created,
  FeedPage,
  FeedQuery,
  Heartbeat,
  HistoryPage,
  LeasedWorker,
  ListQuery,
  Message,
  NewRun,
  Pack,
  Producer,
  Pruned,
  PruneRequest,
  Queryable,
  RunRow,
  Sent,
  Store,
} from "../store.ts";
import { Claims } from "./claim.ts";
import { commitParts, landedParts } from "./commit.ts";
import type { Creation } from "./create.ts";
import { createRuns, creationOf, withFirst } from "./create.ts";
import type { Faults } from "./database.ts";
import { Database } from "./database.ts";
import { isUnknown } from "./failure.ts";
import { readFeed } from "./feed.ts";
import { Gather } from "./gather.ts";
import { Histories, readPayloads, readRowless } from "./history.ts";
import { readList } from "./list.ts";
import { readPacks } from "./packs.ts";
import type { PostgresOptions, PostgresPool } from "./place.ts";
import { placeOf } from "./place.ts";
import { pruneRuns } from "./prune.ts";
import { readReusable } from "./reuse.ts";
import type { Runner } from "./runner.ts";
import { sendMessages } from "./send.ts";
import { Sequencer } from "./sequencer.ts";
import { leasedWorkers } from "./sql-claim.ts";
import { Wake } from "./wake.ts";

/** A store that can also end with `await using`. */
export type PostgresStore = Store & AsyncDisposable & Required<Pick<Store, "createIn" | "onWake">>;

/**
 * A store in a PostgreSQL database, version 15 or newer; needs the package `pg`. It connects with the first call, makes
 * its tables if they are not there, and connects again by itself after the server was away.
 *
 * @param options the URL of a database, or a `Pool` of `pg` (which stays yours to close), or `{ url | pool, schema }`
 * @throws StemmaError `usage.invalid` at once for options that make no sense. From the calls of the store:
 * `usage.invalid` (pg is not installed, the server is too old), `store.not_found`, `store.not_writable`,
 * `store.not_durable`, `store.newer`, `store.corrupt`, `store.busy`, `store.full`, `store.unavailable`,
 * `store.closed`.
 * @example
 * const store = postgres("postgres://app:secret@db.example.com/app");
 * const store = postgres({ pool, schema: "workflows" });
 */
export function postgres(options: string | PostgresPool | PostgresOptions): PostgresStore {
  return postgresWith(options, {});
}

/** As `postgres`, with a fault point for tests: a write may throw, and nobody knows whether it was done. */
export function postgresWith(options: string | PostgresPool | PostgresOptions, faults: Faults): PostgresStore {
  const place = placeOf(options);
  return new PostgresSchema(new Database(place, faults));
}

/** Pauses before a write of which nobody knows the outcome is looked into again. */
const doubtPausesMs = [20, 100, 400, 1500];

class PostgresSchema implements PostgresStore {
  readonly name: string;
  readonly #db: Database;
  readonly #claims: Claims;
  readonly #sequencer: Sequencer;
  readonly #gather: Gather;
  readonly #histories: Histories;
  readonly #wake: Wake;
  /** Parts of commits of which nobody could tell whether they went through, by run, until they come again. */
  readonly #unsure = new Map<RunId, Commit>();
  #clock: (() => Timestamp) | undefined;
  #closing: Promise<void> | undefined;

  constructor(db: Database) {
    const { name, idleMs } = db.place;
    const self = randomUUID();
    this.name = name;
    this.#db = db;
    this.#wake = new Wake(db, self, () => this.#claims.changed());
    this.#claims = new Claims(
      db,
      () => this.#now,
      () => (this.#wake.healthy ? idleMs : 0),
    );
    this.#sequencer = new Sequencer(db, self);
    this.#histories = new Histories(db, () => this.#now);
    this.#gather = new Gather((creation) => this.#create(creation));
  }

  async create(runs: readonly NewRun[]): Promise<readonly Created[]> {
    this.#expectOpen();
    return this.#gather.join(runs);
  }

  async createIn(client: Queryable, runs: readonly NewRun[]): Promise<readonly Created[]> {
    this.#expectOpen();
    const creation = creationOf(runs);
    const created = await this.#db.within(client, async (tx) =>
      withFirst(tx, await createRuns(tx, creation, this.#now)),
    );
    // Not there before the caller's COMMIT, of which nobody tells us; who polls finds them, and who reads places them.
    this.#changed();
    this.#sequencer.ask();
    return created;
  }

  claim(request: ClaimRequest): Promise<Claimed> {
    return this.#use(() => this.#claims.claim(request));
  }

  heartbeat(request: { worker: string; leaseMs: number }): Promise<Heartbeat> {
    return this.#use(() => this.#claims.heartbeat(request));
  }

  async commit(parts: readonly Commit[]): Promise<readonly CommitResult[]> {
    const results = await this.#settled(async () => {
      try {
        const answers = await commitParts(this.#db, parts, this.#now);
        return await this.#sure(parts, answers);
      } catch (error) {
        if (isUnknown(error)) for (const part of parts) this.#unsure.set(part.run, part);
        throw error;
      }
    });
    this.#claims.settled(parts, results);
    if (parts.some((part) => part.events.length > 0)) this.#sequencer.ask();
    if (parts.some(mayWake)) this.#changed();
    return results;
  }

  history(run: RunId, page: { after: number; limit: number }): Promise<HistoryPage | undefined> {
    return this.#use(() => this.#histories.read(run, page));
  }

  packs(run: RunId, page: { from: number; limit: number }): Promise<readonly Pack[]> {
    return this.#use(() => readPacks(this.#db, run, page));
  }

  payloads(digests: readonly Digest[]): Promise<ReadonlyMap<Digest, string>> {
    return this.#use(() => readPayloads(this.#db, digests));
  }

  async send(messages: readonly Message[]): Promise<readonly Sent[]> {
    const sent = await this.#settled((again) => sendMessages(this.#writer(), messages, this.#now, again));
    if (sent.some((message) => message.accepted)) this.#changed();
    return sent;
  }

  list(query: ListQuery): Promise<{ runs: readonly RunRow[]; cursor?: string }> {
    return this.#use(() => readList(this.#db, query, this.#now));
  }

  reusable(family: RunId, keys: readonly Digest[]): Promise<ReadonlyMap<Digest, readonly Producer[]>> {
    return this.#use(() => readReusable(this.#db, family, keys));
  }

  async feed(query: FeedQuery): Promise<FeedPage> {
    const page = await this.#use(() => readFeed(this.#db, query));
    // Whoever appended last may be gone, so who comes to the end sees to it that what is there is placed.
    if (page.pending === true) this.#sequencer.ask();
    return page;
  }

  workers(): Promise<readonly LeasedWorker[]> {
    return this.#use(() => this.#db.read<LeasedWorker>(leasedWorkers, [this.#now]));
  }

  rowless(): Promise<readonly string[]> {
    return this.#use(() => readRowless(this.#db));
  }

  async prune(request: PruneRequest): Promise<Pruned> {
    return this.#use(() => pruneRuns(this.#db, request));
  }

  keepTime(now: () => Timestamp): void {
    if (this.#db.place.now !== undefined || this.#clock === now) return;
    if (this.#clock !== undefined) {
      throw new StemmaError(
        "usage.invalid",
        `Expected all that use ${this.name} to be on one clock, got a second one. Give the same to each.`,
      );
    }
    this.#clock = now;
  }

  onWake(call: () => void): () => void {
    return this.#wake.on(call);
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      await this.#wake.stop();
      await this.#sequencer.stop();
      await this.#db.close();
    })();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #create(creation: Creation): Promise<readonly Created[]> {
    const write = (db: Runner, again: boolean): Promise<readonly Created[]> =>
      createRuns(db, creation, this.#now, again);
    const created = await this.#settled((again) =>
      creation.statements.length <= 1 ? write(this.#writer(), again) : this.#db.transaction((tx) => write(tx, again)),
    );
    this.#changed();
    this.#sequencer.ask();
    return created;
  }

  /** What a test's clock shows; null: the database's own. */
  get #now(): Timestamp | null {
    return (this.#db.place.now ?? this.#clock)?.() ?? null;
  }

  #writer(): Runner {
    return { query: (text, values = []) => this.#db.write(text, values) };
  }

  #changed(): void {
    this.#claims.changed();
    this.#wake.notify();
  }

  async #use<T>(work: () => Promise<T>): Promise<T> {
    this.#expectOpen();
    return work();
  }

  #expectOpen(): void {
    if (this.#closing !== undefined) throw this.#db.closed();
  }

  /**
   * Does a write, and again if nobody knows whether it was done: each of these finds out what is there, or does it now.
   * If the database does not come back, the error says that its outcome is unknown.
   */
  async #settled<T>(write: (again: boolean) => Promise<T>): Promise<T> {
    this.#expectOpen();
    let doubted: unknown;
    for (const pauseMs of [...doubtPausesMs, undefined]) {
      try {
        return await write(doubted !== undefined);
      } catch (error) {
        if (doubted === undefined && !isUnknown(error)) throw error;
        doubted ??= error;
        if (pauseMs === undefined) break;
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    }
    throw doubted;
  }

  /** A part that is refused because it went through already, in a commit whose outcome could not be read, was not refused. */
  async #sure(parts: readonly Commit[], results: readonly CommitResult[]): Promise<readonly CommitResult[]> {
    if (this.#unsure.size === 0) return results;
    const doubtful = parts.filter((part, i) => {
      const unsure = this.#unsure.get(part.run);
      return results[i]?.ok === false && unsure?.epoch === part.epoch && unsure.seq === part.seq;
    });
    const landed = doubtful.length === 0 ? new Set() : await landedParts(this.#db, doubtful);
    for (const { run } of parts) this.#unsure.delete(run);
    return results.map((result) => {
      if (result.ok || !landed.has(result.run)) return result;
      return { run: result.run, ok: true, inbox: result.inbox };
    });
  }
}

/** Whether a part may have made a run claimable for others, now or later. */
function mayWake({ state, release, create = [], send = [] }: Commit): boolean {
  const given =
    release !== undefined && !isTerminal(state.status) && (release.dueAt !== null || release.force === true);
  return given || create.length + send.length > 0;
}
