/** Streams of values that runs emit: kept beside the history, bounded, each with positions of its own. */
import type { RunId } from "../../core/event.ts";
import { limits } from "../../core/limits.ts";
import type { Emitted, FeedPage, FeedQuery } from "../store.ts";
import { addTo, pieces } from "./columns.ts";
import type { Database } from "./database.ts";
import type { Runner } from "./runner.ts";
import { insertEmitted, readEmitted, trimEmitted } from "./sql-beside.ts";

/** In a transaction that has locked the runs, so nobody else numbers values of their streams. */
export async function writeEmitted(tx: Runner, values: readonly (Emitted & { run: RunId })[]): Promise<void> {
  if (values.length === 0) return;
  for (const some of pieces(values, ({ text }) => text.length)) {
    const columns: unknown[][] = [[], [], [], [], []];
    for (const { run, stream, step, attempt, text } of some) addTo(columns, run, stream, step, attempt, text);
    await tx.query(insertEmitted, columns);
    await tx.query(trimEmitted, [columns[0], columns[1], limits.streamValuesMax]);
  }
}

/** Values behind `after`, as many as fit a page. */
export async function readStream(db: Database, query: FeedQuery, stream: string, limit: number): Promise<FeedPage> {
  if (query.run === undefined) return { events: [], values: [], position: query.after };
  const values = await db.read<Emitted & { position: number }>(readEmitted, [query.run, stream, query.after, limit]);
  return { events: [], values, position: values.at(-1)?.position ?? query.after };
}
