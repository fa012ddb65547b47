/**
 * Ids of runs: `run_` and a UUIDv7 (RFC 9562) in Crockford's base32, 26 characters that sort by time of creation. Ids
 * made in one millisecond by one process sort in the order in which they were made.
 */
import { randomBytes } from "node:crypto";
import { StemmaError } from "../core/error.ts";
import type { RunId } from "../core/event.ts";

const alphabet = "0123456789abcdefghjkmnpqrstvwxyz";
const shape = /^run_[0-7][0-9a-hjkmnp-tv-z]{25}$/;

let lastMs = 0;
let counter = 0;

/** A new run id at `now` (milliseconds since 1970). */
export function newRunId(now: number): RunId {
  const random = randomBytes(10);
  if (now > lastMs) {
    lastMs = now;
    // The top bit stays free, so that counting up within the millisecond has room.
    counter = random.readUInt16BE(0) & 0x7ff;
  } else if (++counter > 0xfff) {
    lastMs += 1;
    counter = 0;
  }
  const bytes = Buffer.alloc(16);
  bytes.writeUIntBE(lastMs, 0, 6);
  bytes.writeUInt16BE(0x7000 | counter, 6);
  random.copy(bytes, 8, 2);
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f);
  return `run_${base32(bytes)}`;
}

/** Refuses what is not the id of a run, before a store is asked for it. */
export function checkRunId(id: string): RunId {
  if (typeof id !== "string" || !shape.test(id)) {
    const found = typeof id === "string" ? JSON.stringify(id.slice(0, 60)) : `a value of type ${typeof id}`;
    throw new StemmaError("run.invalid_id", `Expected the id of a run (run_ and 26 characters), got ${found}.`);
  }
  return id;
}

function base32(bytes: Buffer): string {
  let value = BigInt(`0x${bytes.toString("hex")}`);
  let text = "";
  for (let i = 0; i < 26; i += 1) {
    text = alphabet[Number(value & 31n)] + text;
    value >>= 5n;
  }
  return text;
}
