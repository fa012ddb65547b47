/**
 * `stemma/postgres`: runs in a PostgreSQL database, for workers on any number of machines. Needs the package `pg`.
 */
export { postgres } from "./store/postgres/store.ts";
export type { PostgresStore } from "./store/postgres/store.ts";
export type { PostgresOptions, PostgresPool } from "./store/postgres/place.ts";
export type { Queryable } from "./store/store.ts";
