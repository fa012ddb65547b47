/**
 * What goes to the database for many runs at once, as one array for each column: events, the payloads that came with
 * them, and a note of who uses which payload, so that a prune knows what belongs to nobody else.
 */
import { hash } from "node:crypto";

import type { StoredEvent } from "../../core/chain.ts";
import { StemmaError } from "../../core/error.ts";
import type { Digest, RunId } from "../../core/event.ts";
import type { Commit, Payload } from "../store.ts";
import type { Shape } from "./sql.ts";
import { aloneMax } from "./sql.ts";

/** What a run appends. */
export type Appended = {
  run: RunId;
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

/**
 * How much text one statement carries, about; a value that is larger goes alone. PostgreSQL takes no message of a
 * gigabyte, and JavaScript makes no string of half of one.
 */
export const statementCharsMax: number = 8 * 2 ** 20;

/** Cuts a list into pieces that one statement can carry each. */
export function pieces<T>(items: readonly T[], charsOf: (item: T) => number): T[][] {
  const cut: T[][] = [];
  let left = 0;
  for (const item of items) {
    const chars = charsOf(item);
    if (chars > left || cut.length === 0) {
      cut.push([]);
      left = statementCharsMax;
    }
    cut.at(-1)?.push(item);
    left -= chars;
  }
  return cut;
}

/** The arrays for `givenEvents` in sql.ts, and those for `givenPayloads`: payloads (run, digest, text), and their uses. */
export type AppendColumns = { events: unknown[][]; payloads: unknown[][]; uses: unknown[][] };

export function appendColumns(all: readonly Appended[]): AppendColumns {
  const events: unknown[][] = [[], [], [], [], [], [], [], []];
  const payloads: unknown[][] = [[], [], []];
  const uses: unknown[][] = [[], [], []];
  for (const { run, family, seq, events: appended, payloads: brought, reuse } of all) {
    const used = new Map<Digest, boolean>();
    for (const { digest, text } of brought) {
      if (used.has(expectDigest(digest))) continue;
      used.set(digest, true);
      addTo(payloads, run, digest, text);
    }
    const keys =
      reuse === undefined || reuse.length === 0 ? undefined : new Map(reuse.map((hit) => [hit.seq, hit.key]));
    for (const [i, event] of appended.entries()) {
      expectSeq(event, seq + i);
      const key = keys?.get(event.seq);
      const number = key === undefined ? null : reuseNumber(family, key);
      addTo(events, run, event.seq, event.at, event.type, event.causes, event.data, expectDigest(event.hash), number);
      if (!event.data.includes(payloadMark)) continue;
      for (const [, digest] of event.data.matchAll(payloadNamed))
        if (!used.has(digest as Digest)) used.set(digest as Digest, false);
    }
    for (const [digest, isBrought] of used) addTo(uses, run, digest, isBrought);
  }
  return { events, payloads, uses };
}

/** What a statement that appends is given: columns of runs, of events and of tags; and of payloads and uses, or none. */
export type Given = {
  readonly runs: readonly unknown[][];
  readonly events: readonly unknown[][];
  readonly tags: readonly unknown[][];
  readonly rest: readonly unknown[][];
};

/** Which form of the statement is for that. */
export function shapeOf({ runs, events, tags, rest }: Given): Shape {
  const count = events[0]?.length ?? 0;
  const alone = runs[0]?.length === 1 && count <= aloneMax ? count : undefined;
  return { alone, payloads: rest.length > 0, tags: (tags[0]?.length ?? 0) > 0 };
}

/** Its parameters behind the clock: of one run its values, of many an array for each column. */
export function valuesOf({ runs, events, tags, rest }: Given, shape: Shape): readonly unknown[] {
  const behind = shape.tags ? [...tags, ...rest] : rest;
  if (shape.alone === undefined) return [...runs, ...events, ...behind];
  const rowsOf = (columns: readonly unknown[][], rows: number): unknown[] =>
    Array.from({ length: rows }, (_, at) => columns.map((column) => column[at])).flat();
  return [...rowsOf(runs, 1), ...rowsOf(events, shape.alone), ...behind];
}

export function expectSeq(event: StoredEvent | undefined, seq: number): void {
  if (event === undefined || event.seq === seq) return;
  throw new StemmaError("engine.bug", `Expected the event with seq ${seq}, got seq ${event.seq}.`);
}

/** Adds a row to columns. */
export function addTo(columns: readonly unknown[][], ...row: readonly unknown[]): void {
  for (const [i, value] of row.entries()) columns[i]?.push(value);
}

export function isDigest(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

export function expectDigest(digest: Digest): Digest {
  if (isDigest(digest)) return digest;
  throw new StemmaError("engine.bug", `Expected a digest of 64 hexadecimal digits, got ${digest.length} characters.`);
}

/** The first 128 bits of SHA-256 over family and key, as PostgreSQL writes a uuid. No two keys will ever share them. */
export function reuseNumber(family: RunId, key: Digest): string {
  const digits = hash("sha256", `${family} ${key}`, "hex");
  return [
    digits.slice(0, 8),
    digits.slice(8, 12),
    digits.slice(12, 16),
    digits.slice(16, 20),
    digits.slice(20, 32),
  ].join("-");
}
