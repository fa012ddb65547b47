/**
 * Writes a family as one file, run by run and page by page, each event with the payloads that it names; then what was sent
 * to the run and it has not taken in. Values of streams are left out: they are for whoever watches, and no part of the run.
 */
import { createHash } from "node:crypto";
import { unseal } from "../core/chain.ts";
import { StemmaError } from "../core/error.ts";
import type { Digest, Event, RunId } from "../core/event.ts";
import { limits } from "../core/limits.ts";
import { isTerminal } from "../core/run.ts";
import { payloadRefsOf } from "../core/references.ts";
import { partsOf } from "../core/state.ts";
import type { RunRow, Store } from "../store/store.ts";
import type { Counts, ExportedRun } from "./export-file.ts";
import { endText, headerText } from "./export-file.ts";
import { pagesOf, readTexts } from "./history-pages.ts";
import { secretKind } from "./messages.ts";
import { rowsOfFamily } from "./lineage.ts";

/** Pieces of states that are read at a time; they are a kilobyte or two each. */
const piecesMax = 200;

/** The texts of the file, to be written one behind the other. */
export async function* exportFamily(store: Store, family: RunId): AsyncGenerator<string> {
  const sum = createHash("sha256");
  const counts: Counts = { runs: 0, events: 0, payloads: 0 };
  const written = (text: string): string => {
    sum.update(text);
    return text;
  };
  yield written(headerText(family));
  for (const row of await rowsOfFamily(store, family)) {
    for await (const text of exportRun(store, row, counts)) yield written(text);
  }
  yield endText(counts, sum.digest("hex"));
}

async function* exportRun(store: Store, row: RunRow, counts: Counts): AsyncGenerator<string> {
  const { id, queue, priority, idempotencyKey, dueAt } = row;
  const run: ExportedRun = { id, queue, priority };
  if (idempotencyKey !== undefined) run.idempotencyKey = idempotencyKey;
  // When it is to begin is the row's alone to say.
  if (row.state.status === "queued" && dueAt !== null && dueAt > row.state.createdAt) run.dueAt = dueAt;
  yield `${JSON.stringify({ run })}\n`;
  counts.runs += 1;
  // Each run has its own: a store keeps a payload as long as a run that brought it.
  const seen = new Set<Digest>();
  for await (const page of pagesOf(store, id, -1, limits.pageEventsMax)) {
    for (const { seq, at, type, causes, data, hash } of page.events) {
      const event = data.includes('"digest":') ? unseal({ seq, at, type, causes, data, hash }) : undefined;
      if (event !== undefined) {
        for await (const payload of payloadsOf(store, id, event, seen)) {
          counts.payloads += 1;
          yield `${JSON.stringify({ payload })}\n`;
        }
      }
      counts.events += 1;
      yield `${JSON.stringify({ event: { seq, at, type, causes, data, hash } })}\n`;
    }
    // An ended run takes nothing in.
    if (isTerminal(page.row.state.status)) continue;
    for (const { key, kind, body } of page.inbox) {
      if (kind !== secretKind) yield `${JSON.stringify({ message: { key, kind, body } })}\n`;
    }
  }
}

/** The payloads that an event names, and all pieces of states, that were not written yet. */
async function* payloadsOf(
  store: Store,
  run: RunId,
  event: Event,
  seen: Set<Digest>,
): AsyncGenerator<{ digest: Digest; text: string }> {
  const open = payloadRefsOf(event).map(({ digest, tree }) => ({ digest, node: tree !== undefined }));
  while (open.length > 0) {
    const some = open.splice(0, piecesMax).filter(({ digest }) => !seen.has(digest));
    const texts = await readTexts(store, run, [...new Set(some.map(({ digest }) => digest))]);
    for (const { digest, node } of some) {
      const text = texts.get(digest);
      if (text === undefined) {
        const message = `The payload ${digest} of event ${event.seq} of ${run} is not in the store any more.`;
        throw new StemmaError("payload.missing", message, { data: { run, seq: event.seq, digest } });
      }
      if (seen.has(digest)) continue;
      seen.add(digest);
      yield { digest, text };
      if (!node) continue;
      for (const part of partsOf(text)) if (typeof part !== "string") open.push(part);
    }
  }
}
