/**
 * From rows of SQLite to what the store promises. What the state of a run says and a column says too is kept in the
 * column only, so that a list can be searched by it and no two places can disagree.
 */
import type { StoredEvent } from "../../core/chain.ts";
import type { RunState } from "../../core/reduce.ts";
import type { Status } from "../../core/run.ts";
import type { RunRow } from "../store.ts";
import { digestOf } from "./digest.ts";
import { typeFromFile } from "./event-type.ts";

/** A row as node:sqlite gives it. */
export type Row = Record<string, unknown>;

/** The columns that `runColumns` in sql.ts names. */
export type RunColumns = {
  id: string;
  family: string | null;
  workflow: string;
  version: number;
  status: Status;
  created_at: number;
  tags: string;
  seq: number;
  state: string;
  epoch: number;
  worker: string | null;
  hash: Uint8Array;
  due_at: number | null;
  queue: string;
  priority: number;
  inbox_seq: number;
  inbox_done: number;
  claims: number;
  idempotency_key: string | null;
};

export type EventColumns = {
  seq: number;
  at: number;
  type: number | string;
  causes: string;
  data: string;
  hash: Uint8Array;
};

export function runRowOf(row: Row, offered: boolean): RunRow {
  const columns = row as RunColumns;
  return {
    id: columns.id,
    state: stateOf(columns),
    epoch: columns.epoch,
    ...(columns.worker === null ? {} : { worker: columns.worker }),
    hash: digestOf(columns.hash),
    dueAt: columns.due_at,
    queue: columns.queue,
    priority: columns.priority,
    inbox: columns.inbox_seq,
    inboxDone: columns.inbox_done,
    ...(columns.idempotency_key === null ? {} : { idempotencyKey: columns.idempotency_key }),
    claims: columns.claims,
    offered,
  };
}

export function eventOf(row: Row): StoredEvent {
  const { seq, at, type, causes, data, hash } = row as EventColumns;
  return { seq, at, type: typeFromFile(type), causes, data, hash: digestOf(hash) };
}

/** What no column says of a state, as JSON. */
export function stateText(state: RunState): string {
  const { workflow: _w, version: _v, family: _f, status: _s, createdAt: _c, tags: _t, seq: _q, ...rest } = state;
  return JSON.stringify(rest);
}

function stateOf(columns: RunColumns): RunState {
  const rest = JSON.parse(columns.state) as Omit<
    RunState,
    "workflow" | "version" | "family" | "status" | "createdAt" | "tags" | "seq"
  >;
  return {
    ...rest,
    workflow: columns.workflow,
    version: columns.version,
    family: columns.family ?? columns.id,
    status: columns.status,
    createdAt: columns.created_at,
    tags: JSON.parse(columns.tags) as string[],
    seq: columns.seq,
  };
}
