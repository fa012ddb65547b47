/**
 * Writes events with what they bring along: the payloads that they name, a note of who uses those (so that a prune
 * knows what belongs to nobody else), and the number by which a family finds its successes.
 */
import type { StoredEvent } from "../../core/chain.ts";
import { StemmaError } from "../../core/error.ts";
import type { RunId } from "../../core/event.ts";
import type { Commit, Payload } from "../store.ts";
import { bytesOf, reuseNumber } from "./digest.ts";
import type { Statements } from "./driver.ts";
import { typeToFile } from "./event-type.ts";
import { insertEvent, insertPayload, insertPayloadUse } from "./sql.ts";

export type Appended = {
  /** Internal number of the run. */
  run: number;
  family: RunId;
  /** The seq that the first event must have. */
  seq: number;
  events: readonly StoredEvent[];
  payloads: readonly Payload[];
  reuse: Commit["reuse"];
};

/** Data is canonical JSON, so a payload that is kept apart reads exactly so; in a string the quotes would be escaped. */
const payloadMark = '"digest":"';
const payloadNamed = /"digest":"([0-9a-f]{64})"/g;

export function append(db: Statements, { run, family, seq, events, payloads, reuse }: Appended): void {
  for (const { digest, text } of payloads) {
    const key = bytesOf(digest);
    db.prepare(insertPayload).run(key, text);
    db.prepare(insertPayloadUse).run(run, key);
  }
  const keys =
    reuse === undefined || reuse.length === 0 ? undefined : new Map(reuse.map((success) => [success.seq, success.key]));
  const insert = db.prepare(insertEvent);
  for (const [i, event] of events.entries()) {
    if (event.seq !== seq + i) {
      throw new StemmaError("engine.bug", `Expected the event with seq ${seq + i}, got seq ${event.seq}.`);
    }
    const key = keys?.get(event.seq);
    const number = key === undefined ? null : reuseNumber(family, key);
    insert.run(run, event.seq, event.at, typeToFile(event.type), event.causes, event.data, bytesOf(event.hash), number);
    if (event.data.includes(payloadMark)) noteUses(db, run, event.data);
  }
}

function noteUses(db: Statements, run: number, data: string): void {
  for (const [, digest] of data.matchAll(payloadNamed))
    db.prepare(insertPayloadUse).run(run, bytesOf(digest as string));
}
