/**
 * The hash chain: each event's hash covers the hash before it, so nobody can change, remove, add or reorder an event
 * without every later hash giving it away. Values enter by their digests, so taking a value out of the store later
 * (retention) leaves the chain valid.
 */
import type { Causes, Digest, Event, EventType, RunId, Seq, Timestamp } from "./event.ts";
import { isEventType } from "./event.ts";
import type { Hash } from "./identity.ts";
import { StemmaError } from "./error.ts";
import type { Json } from "./json.ts";
import { canonical, decode, utf8Length } from "./json.ts";
import { sorted } from "./json-write.ts";

/** An event as a store keeps it: texts that the database never looks into and never writes anew. */
export type StoredEvent = {
  seq: Seq;
  at: Timestamp;
  type: string;
  /** JSON of `Causes`. */
  causes: string;
  /** JSON of the event's data. */
  data: string;
  hash: Digest;
};

/** What stands before seq 0 of a run. It binds the history to its run, so two histories cannot be exchanged unseen. */
export function genesis(hash: Hash, run: RunId): Digest {
  return hash(`stemma ${run}`);
}

type Unhashed = { seq: Seq; at: Timestamp; type: EventType; causes: Causes; data: unknown };

/**
 * Gives an event its place behind `previous`, and the form in which it is stored.
 *
 * @param valueHash the same as `hash`, for texts of values, many of which were hashed a short while ago
 */
export function seal(hash: Hash, previous: Digest, event: Unhashed, valueHash: Hash = hash): StoredEvent {
  const { seq, at, type } = event;
  const causes = JSON.stringify(event.causes);
  const { stored: data, hashed } = textsOf(valueHash, event.data as Json);
  return { seq, at, type, causes, data, hash: hashOf(hash, previous, event, causes, hashed) };
}

/** What is hashed is the canonical text of the event, whose keys are these in this order. */
function hashOf(hash: Hash, previous: Digest, { seq, at, type }: Unhashed, causes: string, data: string): Digest {
  const [head, tail] = [`{"at":${canonical(at)},"causes":${causes}`, `"seq":${canonical(seq)},"type":"${type}"}`];
  return hash(`${previous}${head},"data":${data},${tail}`);
}

/** Reads a stored event back. An event of an unknown type is an error: skipping it would falsify everything derived. */
export function unseal(stored: StoredEvent): Event {
  if (!isEventType(stored.type)) {
    throw new StemmaError(
      "store.newer",
      `Expected an event of a known type at seq ${stored.seq}, found "${stored.type}". A newer version of stemma wrote it: upgrade this one.`,
      { data: { seq: stored.seq, type: stored.type } },
    );
  }
  const { seq, at, type, hash } = stored;
  return {
    seq,
    at,
    type,
    hash,
    causes: decode(stored.causes) as Causes,
    data: decode(stored.data),
  } as unknown as Event;
}

/**
 * The canonical text of an event's data, as it is stored, and as it is hashed: with inline values replaced by their
 * digests, wherever they stand. Each part is written once for both.
 */
function textsOf(hash: Hash, data: Json): { stored: string; hashed: string } {
  if (typeof data !== "object" || data === null || Array.isArray(data)) {
    const text = canonical(data);
    return { stored: text, hashed: text };
  }
  let [stored, hashed, comma] = ["", "", ""];
  // Who made a value is mostly who it is from: one object in two places.
  let [written, writtenText]: [Json | undefined, string] = [undefined, ""];
  // Every key of the data counts, also one such as `__proto__`: what is not in the hash could be changed unseen.
  for (const key of sorted(Object.keys(data))) {
    const value = data[key];
    if (value === undefined) continue;
    const name = comma + nameText(key);
    // Only the named places of an event hold values; a user's own JSON (schema, detail) is never looked into.
    const inline = valueFields.has(key) ? inlineText(value) : undefined;
    let text: string;
    if (inline !== undefined) text = `{"inline":${inline}}`;
    else if (typeof value !== "object") text = canonical(value);
    else {
      if (value !== written) [written, writtenText] = [value, canonical(value)];
      text = writtenText;
    }
    stored += name + text;
    hashed += name + (inline === undefined ? text : `{"bytes":${utf8Length(inline)},"digest":"${hash(inline)}"}`);
    comma = ",";
  }
  return { stored: `{${stored}}`, hashed: `{${hashed}}` };
}

/** Names of properties, as they are written: there are few, and each is in thousands of events. */
const nameTexts = new Map<string, string>();
const nameTextsMax = 1000;

function nameText(name: string): string {
  let text = nameTexts.get(name);
  if (text === undefined) {
    text = `${canonical(name)}:`;
    if (nameTexts.size < nameTextsMax) nameTexts.set(name, text);
  }
  return text;
}

export const valueFields: ReadonlySet<string> = new Set([
  "input",
  "given",
  "output",
  "context",
  "value",
  "default",
  "payload",
  "state",
  "kept",
]);

/**
 * The canonical text of an inline value, or undefined. Inline or kept apart, a value counts by digest and size alone, so
 * moving it out of its event changes no hash. Whatever is not exactly an inline value counts as it stands.
 */
function inlineText(value: Json): string | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  if (!Object.hasOwn(value, "inline") || Object.keys(value).length !== 1) return undefined;
  return canonical(value["inline"] as Json);
}
