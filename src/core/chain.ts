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

/** The hash of an event that follows `previous`. */
export function chainHash(hash: Hash, previous: Digest, event: Unhashed): Digest {
  const { seq, at, type, causes, data } = event;
  return hash(previous + canonical({ seq, at, type, causes: causes as Json, data: sealed(hash, data as Json) }));
}

/** Gives an event its place behind `previous`, and the form in which it is stored. */
export function seal(hash: Hash, previous: Digest, event: Unhashed): StoredEvent {
  return {
    seq: event.seq,
    at: event.at,
    type: event.type,
    causes: JSON.stringify(event.causes),
    data: canonical(event.data as Json),
    hash: chainHash(hash, previous, event),
  };
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

/** Replaces inline values by their digests, wherever they stand in an event's data. */
function sealed(hash: Hash, data: Json): Json {
  if (typeof data !== "object" || data === null || Array.isArray(data)) return data;
  // Only the named places of an event hold values; a user's own JSON (schema, detail) is never looked into. The copy
  // has every key of the data, also one such as `__proto__` that an assignment would lose: what is not in the hash
  // could be changed unseen.
  const result = { ...data };
  for (const field of valueFields) {
    if (Object.hasOwn(data, field)) result[field] = digested(hash, data[field] as Json);
  }
  return result;
}

export const valueFields = [
  "input",
  "given",
  "output",
  "context",
  "value",
  "default",
  "payload",
  "state",
  "kept",
] as const;

/**
 * Inline or kept apart, a value counts by digest and size alone, so moving it out of its event changes no hash. Whatever
 * is not exactly an inline value counts as it stands.
 */
function digested(hash: Hash, value: Json): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  if (!Object.hasOwn(value, "inline") || Object.keys(value).length !== 1) return value;
  const text = canonical(value["inline"] as Json);
  return { digest: hash(text), bytes: utf8Length(text) };
}
