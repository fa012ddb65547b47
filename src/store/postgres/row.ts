/**
 * From rows of PostgreSQL to what the store promises. What the state of a run says and a column says too is kept in the
 * column only, so that a list can be searched by it and no two places can disagree.
 */
import type { StoredEvent } from "../../core/chain.ts";
import { StemmaError } from "../../core/error.ts";
import type { RunState } from "../../core/reduce.ts";
import type { Status } from "../../core/run.ts";
import type { RunRow } from "../store.ts";

/** What `runJson` in sql.ts puts into one JSON text, in that order. */
type RunColumns = [
  id: string,
  family: string | null,
  workflow: string,
  version: number,
  status: Status,
  createdAt: number,
  tags: string,
  seq: number,
  state: string,
  hash: string,
  epoch: number,
  worker: string | null,
  dueAt: number | null,
  queue: string,
  priority: number,
  inbox: number,
  inboxDone: number,
  claims: number,
  offered: boolean,
  idempotencyKey: string | null,
];

type RestOfState = Omit<RunState, "workflow" | "version" | "family" | "status" | "createdAt" | "tags" | "seq">;

export type EventColumns = { seq: number; at: number; type: string; causes: string; data: string; hash: string };

/** A number of the database as it is; one that JavaScript would round is an error. */
export function expectSafe(number: number, text: string = String(number)): number {
  if (Number.isSafeInteger(number)) return number;
  throw new StemmaError("store.corrupt", `Expected a whole number up to 2^53 in the database, found ${text}.`);
}

export function runRowOf(json: string): RunRow {
  const columns = JSON.parse(json) as RunColumns;
  for (const value of columns) if (typeof value === "number") expectSafe(value);
  const [id, family, workflow, version, status, createdAt, tags, seq, state, hash, epoch, worker, ...place] = columns;
  const [dueAt, queue, priority, inbox, inboxDone, claims, offered, idempotencyKey] = place;
  return {
    id,
    state: {
      ...(JSON.parse(state) as RestOfState),
      workflow,
      version,
      family: family ?? id,
      status,
      createdAt,
      tags: JSON.parse(tags) as string[],
      seq,
    },
    epoch,
    ...(worker === null ? {} : { worker }),
    hash,
    dueAt,
    queue,
    priority,
    inbox,
    inboxDone,
    ...(idempotencyKey === null ? {} : { idempotencyKey }),
    claims,
    offered,
  };
}

export function eventOf({ seq, at, type, causes, data, hash }: EventColumns): StoredEvent {
  return { seq, at, type, causes, data, hash };
}

/** What no column says of a state, as JSON. */
export function stateText(state: RunState): string {
  const { workflow: _w, version: _v, family: _f, status: _s, createdAt: _c, tags: _t, seq: _q, ...rest } = state;
  return JSON.stringify(rest);
}
