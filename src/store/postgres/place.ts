/**
 * Which database, and which schema in it: from what a user gives to a pool of connections. `pg` is loaded when the first
 * connection is needed, so a program that never comes that far need not have it.
 */
import { StemmaError } from "../../core/error.ts";
import type { Queryable } from "../store.ts";

/** A client that was taken out of a pool. */
export type PooledClient = Queryable & { release(destroy?: boolean): void };

/** What is needed of a pool: a `Pool` of `pg` has it. */
export type PostgresPool = { connect(): Promise<PooledClient> };

export type PostgresOptions = (
  | {
      /** Where the database is: `postgres://user:password@host:port/database`. */
      url: string;
      /** Connections that this store keeps at most, besides the one that it listens on; 10 by default. */
      connections?: number;
    }
  | {
      /** Connections of your own. The store does not close them. */
      pool: PostgresPool;
    }
) & {
  /** The schema that holds the tables, made if it is not there; `stemma` by default. */
  schema?: string;
  /** Whether tables are made where there are none; true by default. Without it, that is `store.not_found`. */
  create?: boolean;
  /**
   * How long a worker that finds nothing to do leaves the database alone at most, in milliseconds, while notifications
   * of the database wake it; 1000 by default, 0: never.
   */
  idleMs?: number;
  /** The store's clock, in milliseconds since 1970, for tests; that of the database by default. */
  now?: () => number;
};

type Events = {
  on(event: string, listener: (argument: never) => void): unknown;
  removeListener(event: string, listener: (argument: never) => void): unknown;
};
/** A client as `pg` makes it, or as much of it as a pool of the user's own has to hand out. */
export type Client = { query(config: QueryConfig): Promise<{ rows: unknown[] }> } & Partial<Events>;
export type PoolClient = Client & { release(destroy?: boolean): void };
export type ListenClient = Client & Events & { connect(): Promise<unknown>; end(): Promise<void>; unref?(): void };
export type Pool = Partial<Events> & { connect(): Promise<PoolClient>; end(): Promise<void> };

export type QueryConfig = {
  text: string;
  values?: readonly unknown[] | undefined;
  name?: string;
  types?: { getTypeParser(oid: number): (text: string) => unknown };
  /** How long the answer is waited for, in milliseconds. */
  query_timeout?: number;
};

export type Place = {
  /** For people; without user and password. */
  readonly name: string;
  readonly schema: string;
  readonly create: boolean;
  readonly idleMs: number;
  readonly now: (() => number) | undefined;
  /** Loads `pg` if need be and opens the pool; `own`: it is ours to close. */
  open(): Promise<{ pool: Pool; own: boolean }>;
  /** A connection beside the pool, not connected yet. */
  single(): Promise<ListenClient>;
};

const schemaShape = /^[a-z_][a-z0-9_]{0,62}$/;
const connectMs = 10_000;

/** Throws `usage.invalid` for what cannot be a database. */
export function placeOf(given: string | PostgresPool | PostgresOptions): Place {
  const options =
    typeof given === "string" ? { url: given } : isPool(given) ? { pool: given } : (given ?? { pool: given });
  const { schema = "stemma", create = true, idleMs = 1000, now } = options;
  if (typeof schema !== "string" || !schemaShape.test(schema) || schema.startsWith("pg_")) {
    throw new StemmaError(
      "usage.invalid",
      `Expected schema to be a name of lower-case letters, digits and _ (at most 63, not beginning with a digit or pg_), got ${JSON.stringify(schema).slice(0, 80)}.`,
    );
  }
  if (!Number.isInteger(idleMs) || idleMs < 0) {
    throw new StemmaError("usage.invalid", `Expected idleMs to be a whole number of milliseconds, got ${idleMs}.`);
  }
  const rest = { schema, create, idleMs, now };
  return "url" in options && options.url !== undefined
    ? { ...rest, ...atUrl(options.url, schema, options.connections ?? 10) }
    : { ...rest, ...ofPool((options as { pool?: PostgresPool }).pool, schema) };
}

function isPool(given: PostgresPool | PostgresOptions): given is PostgresPool {
  return typeof (given as Partial<PostgresPool> | undefined)?.connect === "function";
}

function atUrl(url: string, schema: string, connections: number): Pick<Place, "name" | "open" | "single"> {
  const where = whereOf(url);
  if (!Number.isInteger(connections) || connections < 2) {
    throw new StemmaError("usage.invalid", `Expected connections to be a whole number from 2, got ${connections}.`);
  }
  const config = {
    connectionString: url,
    max: connections,
    keepAlive: true,
    connectionTimeoutMillis: connectMs,
    fallback_application_name: "stemma",
  };
  return {
    name: `postgres ${where} schema ${schema}`,
    async open() {
      const { Pool } = await loadPg();
      return { pool: new Pool(config), own: true };
    },
    async single() {
      const { Client } = await loadPg();
      return new Client(config);
    },
  };
}

type KnownPool = {
  options?: { host?: string; port?: number; database?: string; connectionString?: string };
  Client?: new (config: unknown) => ListenClient;
};

function ofPool(pool: PostgresPool | undefined, schema: string): Pick<Place, "name" | "open" | "single"> {
  if (typeof pool?.connect !== "function") {
    throw new StemmaError("usage.invalid", "Expected the URL of a PostgreSQL database, or a Pool of pg, got neither.");
  }
  const { options = {}, Client } = pool as KnownPool;
  const { host = "localhost", port = 5432, database = "", connectionString } = options;
  const where = connectionString === undefined ? `${host}:${port}/${database}` : whereOf(connectionString);
  return {
    name: `postgres ${where} schema ${schema}`,
    open: () => Promise.resolve({ pool: pool as unknown as Pool, own: false }),
    async single() {
      // Not out of the pool: a connection that listens for good would be missing there.
      if (Client === undefined) throw new StemmaError("usage.invalid", "This pool has no Client to listen with.");
      // As it is, for its password cannot be copied.
      return new Client(options);
    },
  };
}

/** Host, port and database of a URL, and nothing else of it. */
function whereOf(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  // The error of a URL that cannot be parsed would show its password.
  if (parsed === undefined || !/^postgres(?:ql)?:$/.test(parsed.protocol)) {
    throw new StemmaError(
      "usage.invalid",
      "Expected a URL such as postgres://user:password@host:5432/database, got something else.",
    );
  }
  const host = parsed.hostname || parsed.searchParams.get("host") || "localhost";
  return `${host}:${parsed.port || "5432"}${parsed.pathname}`;
}

type Pg = { Pool: new (config: object) => Pool; Client: new (config: object) => ListenClient };

async function loadPg(): Promise<Pg> {
  try {
    const { default: pg } = await import("pg");
    return pg as unknown as Pg;
  } catch (error) {
    if ((error as { code?: unknown }).code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new StemmaError("usage.invalid", "stemma/postgres needs the package pg beside it: npm install pg.", {
      cause: error,
    });
  }
}
