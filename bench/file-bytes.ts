/** How large a database is once its log has been copied into it: pages times their size, as SQLite says. */
import type { DatabaseSync } from "node:sqlite";

export function fileBytes(database: DatabaseSync): number {
  const state = database.prepare("pragma wal_checkpoint(truncate)").get() as { busy: number };
  if (state.busy !== 0) throw new Error("Expected nobody else to use the file at a checkpoint.");
  const pages = Number(database.prepare("pragma page_count").get()?.["page_count"]);
  return pages * Number(database.prepare("pragma page_size").get()?.["page_size"]);
}
