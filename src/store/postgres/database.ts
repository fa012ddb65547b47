/**
 * The way to the database: a pool of connections, opened and checked with the first call, and the rule for when one
 * fails. Every write is one statement, or a few in a transaction that the server ends by itself when this process is
 * stopped in its midst, so nobody ever waits for a process that sleeps.
 *
 * A statement that lost to others (serialization, deadlock) is repeated here. One whose connection was lost after it
 * was sent is not: nobody knows whether it was done, so the error says `outcome: "unknown"`, and the operation that
 * sent it knows how to find out.
 */
import { hash } from "node:crypto";

import { isStemmaError, StemmaError } from "../../core/error.ts";
import { failureOf, isConnectionLost, isNameLost, isPassing, isReadOnly } from "./failure.ts";
import { isThere, isUpToDate, migrate } from "./migrations.ts";
import type { Queryable } from "../store.ts";
import type { Client, Place, Pool, PoolClient } from "./place.ts";
import { expectSafe } from "./row.ts";
import type { Row, Runner } from "./runner.ts";
import { connectionSettings } from "./sql.ts";

/** The oldest major version of PostgreSQL that is tested. */
const versionMin = 15;
const triesMax = 12;
/** Pauses before what does no harm is tried again on another connection. */
const againMs = [0, 10, 50, 200];
/** Longer arrays than this are planned for by their length. */
const arrayMax = 100;
/** How long the answer to one statement is waited for before the connection is given up. */
const answerMs = 60_000;

const oids = { bool: 16, int8: 20, int2: 21, int4: 23 } as const;

/** Our own reading of types, whatever a program has set for the whole of `pg`. */
const types = {
  getTypeParser(oid: number): (text: string) => unknown {
    if (oid === oids.int8 || oid === oids.int4 || oid === oids.int2) return exact;
    return oid === oids.bool ? (text) => text === "t" : String;
  },
};

function exact(text: string): number {
  return expectSafe(Number(text), text);
}

const ignore = (): void => {};
const guard = (client: Client): void => void client.on?.("error", ignore);

/** Hears of lost connections, which would end the process where nobody does. The next call gets another one anyway. */
function listenTo(pool: Pool, is: boolean): void {
  const change = (is ? pool.on : pool.removeListener)?.bind(pool);
  change?.("error", ignore);
  // A pool hands a connection over in the turn after it was made; one may be lost by then.
  change?.("connect", guard);
}

/** Ends a pool of our own, whose last connections may still be cut while they say goodbye; another's is left as it was. */
async function leave(pool: Pool, own: boolean): Promise<void> {
  if (own) await pool.end();
  else listenTo(pool, false);
}

export type Faults = {
  /** Carries out each write. Tests throw from it, before or after: the store cannot know whether it went through. */
  readonly write?: <T>(write: () => Promise<T>) => Promise<T>;
};

export class Database {
  readonly place: Place;
  readonly #faults: Faults;
  readonly #texts = new Map<string, { text: string; name: string }>();
  readonly #checked = new WeakSet<object>();
  #sends = 0;
  #growth = 0;
  /** Whether statements are prepared under names. A pooler that gives each transaction another connection loses them. */
  #named = true;
  #opening: Promise<Pool> | undefined;
  #opened = false;
  #own = false;
  #closed = false;
  #closing: Promise<void> | undefined;
  /** Whether a write went through, so that a server that takes none now is expected to take some again. */
  #written = false;

  constructor(place: Place, faults: Faults = {}) {
    this.place = place;
    this.#faults = faults;
  }

  /** What every call of a closed store ends with. */
  closed(): StemmaError {
    return new StemmaError("store.closed", `The store was closed (${this.place.name}). Open it again to go on.`);
  }

  /** Runs one statement that only reads; a lost connection is no reason to fail, another one is tried. */
  read<R extends object = Row>(text: string, values: readonly unknown[] = []): Promise<R[]> {
    return this.#again(() => this.#attempt((client) => this.#send<R>(client, text, values), false));
  }

  /** As `write`, of what may be done twice without harm. */
  repeat<R extends object = Row>(text: string, values: readonly unknown[]): Promise<R[]> {
    return this.#again(() => this.write<R>(text, values));
  }

  /** Runs one statement that writes, a transaction by itself. */
  write<R extends object = Row>(text: string, values: readonly unknown[]): Promise<R[]> {
    return this.#attempt(async (client) => {
      const write = (): Promise<R[]> => this.#send<R>(client, text, values);
      return this.#faults.write === undefined ? write() : this.#faults.write(write);
    }, true);
  }

  /** As `write`, for what the store does by itself beside the calls of its user. */
  aside<R extends object = Row>(text: string, values: readonly unknown[]): Promise<R[]> {
    return this.#attempt((client) => this.#send<R>(client, text, values), false);
  }

  /**
   * Runs several statements as one transaction. It is begun anew when it lost to others. `undo` takes everything back
   * at its end.
   */
  transaction<T>(work: (tx: Runner) => Promise<T>, { undo = false }: { undo?: boolean } = {}): Promise<T> {
    return this.#attempt(async (client, sent) => {
      sent(false);
      // A process that is stopped between two statements must not hold its locks for good.
      await client.query({
        text: "begin; set local idle_in_transaction_session_timeout = 5000",
        query_timeout: answerMs,
      });
      try {
        const result = await work({ query: (text, values = []) => this.#send(client, text, values) });
        const end = async (): Promise<void> => {
          await client.query({ text: undo ? "rollback" : "commit", query_timeout: answerMs });
        };
        sent(!undo);
        await (this.#faults.write === undefined || undo ? end() : this.#faults.write(end));
        return result;
      } catch (error) {
        if (!isConnectionLost(error)) await client.query({ text: "rollback", query_timeout: answerMs });
        throw error;
      }
    }, true);
  }

  /** Runs statements on a client of the user's own, in the midst of a transaction of the user's own. */
  async within<T>(client: Queryable, work: (tx: Runner) => Promise<T>): Promise<T> {
    if (this.#closed) throw this.closed();
    const tx: Runner = {
      query: (text, values = []) => this.#send(client as unknown as Client, text, values, false),
    };
    try {
      // Not through the pool if it can be helped: all of its connections may be in transactions that wait for this.
      if (!(this.#opened || (await isUpToDate(tx, this.place.schema)))) await this.open();
      return await work(tx);
    } catch (error) {
      throw failureOf(error, this.place.name, { known: this.#written });
    }
  }

  /** Opens the pool and brings the schema up to date, once; an error is tried again with the next call. */
  async open(): Promise<Pool> {
    if (this.#closed) throw this.closed();
    this.#opening ??= this.#open().catch((error: unknown) => {
      this.#opening = undefined;
      throw failureOf(error, this.place.name);
    });
    return this.#opening;
  }

  /** Ends the use of the connections; waits for what is under way. */
  close(): Promise<void> {
    this.#closed = true;
    this.#closing ??= (async () => {
      const pool = await this.#opening?.catch(() => undefined);
      if (pool !== undefined) await leave(pool, this.#own);
    })();
    return this.#closing;
  }

  async #open(): Promise<Pool> {
    const { pool, own } = await this.place.open();
    this.#own = own;
    listenTo(pool, true);
    try {
      const once = <R extends object>(text: string, values: readonly unknown[] = []): Promise<R[]> =>
        this.#on(pool, (client) => this.#send<R>(client, text, values, false));
      const transaction = <T>(work: (tx: Runner) => Promise<T>): Promise<T> =>
        this.#on(pool, async (client) => {
          // Who waits for the lock must see what was done meanwhile, whatever transactions usually see here.
          await client.query({ text: "begin isolation level read committed" });
          try {
            const result = await work({ query: (text, values = []) => this.#send(client, text, values, false) });
            await client.query({ text: "commit" });
            return result;
          } catch (error) {
            if (!isConnectionLost(error)) await client.query({ text: "rollback" });
            throw error;
          }
        });
      if (!this.place.create && !(await isThere({ query: once }))) throw this.#missing();
      await this.#repeat(() => migrate(transaction, { query: once }, this.place.schema));
      this.#opened = true;
      return pool;
    } catch (error) {
      await leave(pool, own);
      throw error;
    }
  }

  #missing(): StemmaError {
    const { name, schema } = this.place;
    const message = `There is no store at ${name}. Name the database, or another schema of it, that runs are kept in.`;
    return new StemmaError("store.not_found", message, { data: { store: name, schema } });
  }

  /** Tries again at once, for each connection of the pool may have been lost, and then a few times with a pause. */
  async #again<T>(work: () => Promise<T>): Promise<T> {
    for (const pauseMs of againMs) {
      try {
        return await work();
      } catch (error) {
        if (!isStemmaError(error, "store.unavailable")) throw error;
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    }
    return work();
  }

  async #attempt<T>(work: (client: Client, sent: (is: boolean) => void) => Promise<T>, writes: boolean): Promise<T> {
    const pool = await this.open();
    let sent = false;
    try {
      const result = await this.#repeat(() => {
        sent = false;
        return this.#on(pool, (client) => {
          sent = writes;
          return work(client, (is) => (sent = is));
        });
      });
      this.#written ||= writes;
      return result;
    } catch (error) {
      throw failureOf(error, this.place.name, { known: this.#written, sent });
    }
  }

  /** Repeats what lost to others, after a random pause that grows. */
  async #repeat<T>(work: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await work();
      } catch (error) {
        if (!isPassing(error) || tries === triesMax) throw error;
        const pauseMs = Math.random() * Math.min(2 ** tries, 500);
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    }
  }

  /** Lends a connection, and throws it away if it was lost meanwhile, or is no good for us any more. */
  async #on<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await pool.connect();
    let broken = false;
    const fail = (): void => void (broken = true);
    // Without a listener, an error between two statements would end the process.
    client.on?.("error", fail);
    try {
      if (!this.#checked.has(client)) await this.#check(client);
      return await work(client);
    } catch (error) {
      // It may lead to a server that is no primary any more, and the next one to the server that is.
      broken ||= isConnectionLost(error) || isReadOnly(error) || !this.#checked.has(client);
      throw error;
    } finally {
      client.removeListener?.("error", fail);
      client.release(broken);
    }
  }

  /** What durability rests on is read back of every connection, for each may have settings of its own. */
  async #check(client: Client): Promise<void> {
    type Settings = {
      version: number;
      encoding: string;
      synchronous_commit: string;
      fsync: string;
      read_only: string;
      standby: boolean;
    };
    const [found] = await this.#send<Settings>(client, connectionSettings, [], false);
    const { name } = this.place;
    if (found === undefined) throw new StemmaError("engine.bug", "PostgreSQL did not tell its settings.");
    if (found.version < versionMin * 10_000) {
      const version = Math.floor(found.version / 10_000);
      throw new StemmaError("usage.invalid", `Expected PostgreSQL ${versionMin} or newer, found ${version} (${name}).`);
    }
    if (!["UTF8", "SQL_ASCII"].includes(found.encoding)) {
      throw new StemmaError(
        "usage.invalid",
        `Expected a database whose encoding is UTF8, found ${found.encoding}, which cannot hold every character (${name}). Make one: create database … encoding 'UTF8' template template0.`,
      );
    }
    for (const [setting, value] of Object.entries({
      synchronous_commit: found.synchronous_commit,
      fsync: found.fsync,
    })) {
      if (value !== "off") continue;
      throw new StemmaError(
        "store.not_durable",
        `Expected ${setting} to be on (${name}), found off: what was committed would not survive a power cut. Turn it on for this user or database.`,
        { data: { setting, found: value } },
      );
    }
    if (found.standby || found.read_only === "on") {
      throw new StemmaError(
        this.#written ? "store.unavailable" : "store.not_writable",
        `PostgreSQL is read-only (${name}). Give the address of the primary server.`,
      );
    }
    this.#checked.add(client);
  }

  async #send<R extends object>(
    client: Client,
    text: string,
    values: readonly unknown[],
    prepared: boolean = true,
  ): Promise<R[]> {
    const { name, text: full } = this.#prepare(text);
    const config = { text: full, values, types, query_timeout: answerMs };
    // A plan that was made once for all takes every array for a short one, so a long one gets a plan of its own.
    const short = values.every((value) => !Array.isArray(value) || value.length <= arrayMax);
    const named = prepared && short && this.#named;
    try {
      const { rows } = await client.query(named ? { ...config, name } : config);
      return rows as R[];
    } catch (error) {
      if (named && isNameLost(error)) this.#named = false;
      throw error;
    }
  }

  /**
   * The statement with its schema, and a name that no other text has: a pool may serve several stores. The name changes
   * whenever four times as much has been sent as when it last did. A plan is made for tables as large as they are then and kept, and one
   * that reads the whole of a new, empty table would be kept until the server next looks at how large it has become.
   */
  #prepare(text: string): { text: string; name: string } {
    const growth = (33 - Math.clz32((this.#sends += 1) >> 8)) >> 1;
    if (growth !== this.#growth) this.#texts.clear();
    this.#growth = growth;
    let known = this.#texts.get(text);
    if (known === undefined) {
      const { schema } = this.place;
      const full = text.replaceAll("@.", `"${schema}".`).replaceAll("@@", `"${schema}"`);
      known = { text: full, name: `stemma_${hash("sha256", full, "hex").slice(0, 24)}_${growth}` };
      this.#texts.set(text, known);
    }
    return known;
  }
}
