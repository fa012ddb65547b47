/**
 * The store on SQLite: one file (and its -wal and -shm beside it while it is in use) on one machine, for one process or
 * several. Each method does its work in one go, begin to commit, and then answers; only what creates runs waits to
 * the end of the turn, for others to join in.
 */
import { resolve } from "node:path";

import { StemmaError } from "../../core/error.ts";
import type { Digest, RunId, Timestamp } from "../../core/event.ts";
import type { Finding, Inspectable } from "../inspection.ts";
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
  Pack,
  NewRun,
  Producer,
  Pruned,
  PruneRequest,
  RunRow,
  Sent,
  Store,
} from "../store.ts";
import { Claims } from "./claim.ts";
import { commitParts, haveLanded as partsHaveLanded, isThere } from "./commit.ts";
import { compact } from "./compact.ts";
import { createRuns, expectOrigins, haveLanded as runsHaveLanded } from "./create.ts";
import type { DriverOptions } from "./driver.ts";
import { Driver } from "./driver.ts";
import { isUnknown } from "./failure.ts";
import { readFeed } from "./feed.ts";
import { Group } from "./group.ts";
import { readHistory, readPacks, readPayloads, readRowless } from "./history.ts";
import { inspect } from "./inspect.ts";
import { beat, hasLease, leasedWorkers } from "./lease.ts";
import { readList } from "./list.ts";
import { countUnits, haveGone, pruneRuns } from "./prune.ts";
import { readReusable } from "./reuse.ts";
import { haveLanded as messagesHaveLanded, sendMessages } from "./send.ts";

export type SqliteOptions = {
  /** The file; it is made if it is not there (its folder is not). `:memory:` for one that ends with the process. */
  path: string;
  /**
   * `full` (the default): what was committed survives a power cut. `normal`: it survives the death of the process,
   * and a power cut may undo what was committed last; about six times as many commits per second.
   */
  synchronous?: "full" | "normal";
  /** How long a file that another process writes to is waited for, in milliseconds; 5000 by default. */
  busyMs?: number;
  /** The store's clock, in milliseconds since 1970, for tests; by default `Date.now`, or a test's clock of the Stemma. */
  now?: () => number;
};

/** A store that can also end with `await using`, and look at itself. */
export type SqliteStore = Store & Inspectable & AsyncDisposable;

/**
 * A store in one SQLite file. It is opened with the first call, and opened again by itself after an error of the disk.
 * Keep it on a local disk: SQLite's log cannot be shared over a network.
 *
 * @throws StemmaError `usage.invalid` at once for options that make no sense. From the calls of the store:
 * `store.not_writable`, `store.corrupt` (also for a file that is not ours), `store.newer`, `store.not_durable`,
 * `store.busy`, `store.full`, `store.unavailable`, `store.closed`.
 * @example
 * const store = sqlite("./stemma.db");
 * const store = sqlite({ path: "./stemma.db", busyMs: 10_000 });
 */
export function sqlite(options: string | SqliteOptions): SqliteStore {
  return sqliteWith(typeof options === "string" ? { path: options } : options, {});
}

/** As `sqlite`, with a fault point for tests: `commit` may throw, and nobody knows whether the commit was made. */
export function sqliteWith(options: SqliteOptions, faults: Pick<DriverOptions, "commit">): SqliteStore {
  const { path, synchronous = "full", busyMs = 5000, now } = options;
  if (path === "" || path.startsWith("file:")) {
    throw new StemmaError("usage.invalid", `Expected a path of a file or ":memory:", got "${path}".`);
  }
  if (!Number.isInteger(busyMs) || busyMs < 0) {
    throw new StemmaError("usage.invalid", `Expected busyMs to be a whole number of milliseconds, got ${busyMs}.`);
  }
  // Resolved now: it is opened later, and perhaps again, when the working directory may be another.
  const file = path === ":memory:" ? path : resolve(path);
  return new SqliteFile(new Driver({ path: file, synchronous, busyMs, ...faults }), now);
}

class SqliteFile implements SqliteStore {
  readonly name: string;
  readonly #driver: Driver;
  readonly #group: Group;
  #now: () => Timestamp;
  /** Who said where time comes from: nobody, whoever opened the store, or the clock of a test. */
  #timedBy: "nobody" | "options" | "clock";
  readonly #claims: Claims;
  /** Parts of commits of which nobody could tell whether they went through, by run, until they come again. */
  readonly #unsure = new Map<RunId, Commit>();

  constructor(driver: Driver, now: (() => Timestamp) | undefined) {
    this.name = `sqlite ${driver.path}`;
    this.#driver = driver;
    this.#group = new Group(driver);
    this.#now = now ?? Date.now;
    this.#timedBy = now === undefined ? "nobody" : "options";
    this.#claims = new Claims(driver);
  }

  async create(runs: readonly NewRun[]): Promise<readonly Created[]> {
    const db = this.#use();
    return this.#group.join({
      work: () => {
        this.#claims.released();
        const created = createRuns(db, runs, this.#now());
        expectOrigins(db, runs, created);
        return created;
      },
      landed: (result) => runsHaveLanded(db, result),
    });
  }

  async claim(request: ClaimRequest): Promise<Claimed> {
    this.#use();
    return this.#claims.claim(request, this.#now());
  }

  async heartbeat({ worker, leaseMs }: { worker: string; leaseMs: number }): Promise<Heartbeat> {
    const db = this.#use();
    const now = this.#now();
    const until = now + leaseMs;
    let expired = false;
    try {
      const heard = db.write(
        () => {
          const answer = beat(db, worker, this.#claims.isLapsed(worker), now, until);
          ({ expired } = answer);
          return answer;
        },
        () => hasLease(db, worker, until),
      );
      this.#claims.beaten(worker, heard.expired, until);
      return heard;
    } catch (error) {
      // A renewal may be made again without harm; that the worker's runs were taken must not be forgotten.
      if (expired && isUnknown(error)) this.#claims.doubt(worker);
      throw error;
    }
  }

  async commit(parts: readonly Commit[]): Promise<readonly CommitResult[]> {
    const db = this.#use();
    try {
      const results = this.#group.now({
        work: () => commitParts(db, parts, this.#now()),
        landed: (answers) => partsHaveLanded(db, parts, answers),
      });
      if (parts.some(mayBeClaimed)) this.#claims.released();
      return this.#unsure.size === 0 ? results : results.map((result, i) => this.#sure(parts[i] as Commit, result));
    } catch (error) {
      if (isUnknown(error)) for (const part of parts) this.#unsure.set(part.run, part);
      throw error;
    }
  }

  async history(run: RunId, page: { after: number; limit: number }): Promise<HistoryPage | undefined> {
    const db = this.#use();
    return db.read(() => readHistory(db, run, page, this.#now()));
  }

  async packs(run: RunId, page: { from: number; limit: number }): Promise<readonly Pack[]> {
    const db = this.#use();
    return db.readOnce(() => readPacks(db, run, page));
  }

  async payloads(digests: readonly Digest[]): Promise<ReadonlyMap<Digest, string>> {
    const db = this.#use();
    return db.read(() => readPayloads(db, digests));
  }

  async send(messages: readonly Message[]): Promise<readonly Sent[]> {
    const db = this.#use();
    const sent = this.#group.now({
      work: () => sendMessages(db, messages, this.#now()),
      landed: (result) => messagesHaveLanded(db, result),
    });
    this.#claims.released();
    return sent;
  }

  async list(query: ListQuery): Promise<{ runs: readonly RunRow[]; cursor?: string }> {
    const db = this.#use();
    // Several statuses are several statements, which must see the same runs; a single statement needs no transaction.
    if (query.status !== undefined) return db.read(() => readList(db, query, this.#now()));
    return db.readOnce(() => readList(db, query, this.#now()));
  }

  async reusable(family: RunId, keys: readonly Digest[]): Promise<ReadonlyMap<Digest, readonly Producer[]>> {
    const db = this.#use();
    return db.read(() => readReusable(db, family, keys));
  }

  async feed(query: FeedQuery): Promise<FeedPage> {
    const db = this.#use();
    return db.read(() => readFeed(db, query));
  }

  async prune(request: PruneRequest): Promise<Pruned> {
    const db = this.#use();
    const { endedBefore, units, dryRun } = request;
    if (dryRun === true && units !== undefined) return db.read(() => countUnits(db, endedBefore, units));
    // Removing and taking it back cannot disagree with removing, and is for few runs.
    if (dryRun === true) return db.rehearse(() => pruneRuns(db, request));
    return db.write(
      () => pruneRuns(db, request),
      (pruned) => haveGone(db, pruned),
    );
  }

  async compact({ dryRun = false }: { dryRun?: boolean } = {}): Promise<{ before: number; after: number }> {
    const db = this.#use();
    this.#group.flush();
    return compact(db, this.#now(), dryRun);
  }

  async workers(): Promise<readonly LeasedWorker[]> {
    const db = this.#use();
    return db.readOnce(() => leasedWorkers(db, this.#now()));
  }

  async rowless(): Promise<readonly string[]> {
    const db = this.#use();
    return db.readOnce(() => readRowless(db));
  }

  keepTime(now: () => Timestamp): void {
    if (this.#timedBy === "options" || this.#now === now) return;
    if (this.#timedBy === "clock") {
      throw new StemmaError(
        "usage.invalid",
        `Expected all that use ${this.name} to be on one clock, got a second one. Give the same to each.`,
      );
    }
    this.#now = now;
    this.#timedBy = "clock";
  }

  async inspect(): Promise<readonly Finding[]> {
    return inspect(this.#use(), this.#now);
  }

  async close(): Promise<void> {
    this.#group.flush();
    this.#driver.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #use(): Driver {
    this.#driver.expectOpen();
    return this.#driver;
  }

  /** A part that is refused because it went through already, in a commit whose outcome could not be read, was not refused. */
  #sure(part: Commit, result: CommitResult): CommitResult {
    const unsure = this.#unsure.get(part.run);
    this.#unsure.delete(part.run);
    if (result.ok || unsure === undefined || unsure.epoch !== part.epoch || unsure.seq !== part.seq) return result;
    const landed = this.#driver.read(() => isThere(this.#driver, part));
    return landed ? { run: part.run, ok: true, inbox: result.inbox } : result;
  }
}

/** Whether there may be something to claim behind this part: the run itself, one that it creates or one that it wakes. */
function mayBeClaimed({ release, state, create = [], send = [] }: Commit): boolean {
  return create.length > 0 || send.length > 0 || (release !== undefined && !isTerminal(state.status));
}
