/**
 * `stemma/sqlite`: runs in one file, on one machine. Nothing to install: SQLite comes with Node.
 */
export { sqlite } from "./store/sqlite/store.ts";
export type { SqliteOptions, SqliteStore } from "./store/sqlite/store.ts";
