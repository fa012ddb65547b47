/** Streams of values that runs emit: kept beside the history, bounded, each with positions of its own. */
import { limits } from "../../core/limits.ts";
import type { Emitted, FeedPage, FeedQuery } from "../store.ts";
import type { Statements } from "./driver.ts";
import { insertEmitted, lastEmitted, readEmitted, runRow, trimEmitted } from "./sql.ts";

export function writeEmitted(db: Statements, run: number, values: readonly Emitted[]): void {
  const last = new Map<string, number>();
  for (const { stream, step, attempt, text } of values) {
    const before = last.get(stream) ?? (db.prepare(lastEmitted).get(run, stream)?.["n"] as number);
    db.prepare(insertEmitted).run(run, stream, before + 1, step, attempt, text);
    last.set(stream, before + 1);
  }
  for (const [stream, n] of last) db.prepare(trimEmitted).run(run, stream, n - limits.streamValuesMax);
}

/** Values behind `after`, as many as fit a page. */
export function readStream(db: Statements, query: FeedQuery, stream: string, limit: number): FeedPage {
  const n = query.run === undefined ? undefined : db.prepare(runRow).get(query.run)?.["n"];
  if (typeof n !== "number") return { events: [], values: [], position: query.after };
  const values = db.prepare(readEmitted).all(n, stream, query.after, limit) as (Emitted & { position: number })[];
  const copies = values.map((value) => ({ ...value }));
  return { events: [], values: copies, position: copies.at(-1)?.position ?? query.after };
}
