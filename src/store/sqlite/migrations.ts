/**
 * The schema, as an append-only list of changes. A change that has been released is never edited: files out there have
 * it. `breaking` says that code which does not know the change must not use the file any more; all others can. The
 * file records both, so that older code can tell. What they add up to can be read in `schema.sql`.
 */
import type { DatabaseSync } from "node:sqlite";

import { StemmaError } from "../../core/error.ts";

export type Migration = { readonly id: number; readonly breaking: boolean; readonly sql: string };

export const migrations: readonly Migration[] = [
  {
    id: 1,
    breaking: true,
    sql: /* sql */ `
create table migrations (
  id       integer primary key,
  breaking integer not null
);

create table runs (
  n               integer primary key, -- what other tables call it; never leaves this file
  id              text    not null unique,
  family          text,                -- run at the root of the family; null: this one is it
  origin          text,                -- run that it comes from; null: from none
  workflow        text    not null,
  version         integer not null,
  status          text    not null,
  created_at      integer not null,
  ended_at        integer,
  state           text    not null,    -- JSON, what no other column says of the state
  tags            text    not null,    -- JSON
  refused         text,                -- fingerprint of the code that could not recall it
  seq             integer not null,    -- position of its last event
  hash            blob    not null,    -- of its last event
  epoch           integer not null default 0,
  worker          text,                -- who holds it
  claims          integer not null default 0,
  due_at          integer,             -- null: not due by itself; a run that is held stays due
  ready           integer not null,    -- 1: nobody holds it and it was seen to be due
  queue           text    not null,
  priority        integer not null,
  inbox_seq       integer not null default 0,
  inbox_done      integer not null default 0,
  idempotency_key text
);

create unique index runs_idempotency on runs (workflow, idempotency_key) where idempotency_key is not null;
create index runs_ready on runs (workflow, version, priority, due_at, refused) where ready = 1;
create index runs_later on runs (workflow, version, due_at) where worker is null and ready = 0 and due_at is not null;
create index runs_held on runs (worker) where worker is not null;
create index runs_news on runs (worker) where inbox_seq > inbox_done;
create index runs_workflow on runs (workflow);
create index runs_status on runs (status);
create index runs_family on runs (family) where family is not null;
create index runs_origin on runs (origin) where origin is not null;
create index runs_ended on runs (ended_at) where ended_at is not null;

create table events (
  position integer primary key autoincrement, -- in the feed; never given twice, also after a prune
  run      integer not null references runs (n),
  seq      integer not null,
  at       integer not null,
  type     integer not null,                  -- number of a known type; ":" and name of any other
  causes   text    not null,
  data     text    not null,
  hash     blob    not null,
  reuse    integer,                           -- first 63 bits of sha256(family, reuse key)
  unique (run, seq)
);

create index events_reuse on events (reuse) where reuse is not null;

create table payloads (
  n      integer primary key,
  digest blob    not null unique,
  text   text    not null
);

create table payload_uses (
  run     integer not null,
  payload integer not null,
  primary key (run, payload)
) without rowid;

create index payload_uses_payload on payload_uses (payload);

create table tags (
  tag text    not null,
  run integer not null,
  primary key (tag, run)
) without rowid;

create table inbox (
  n      integer primary key,
  run    integer not null references runs (n),
  number integer not null,
  key    text    not null,
  kind   text    not null,
  body   text,                -- null once it has become an event
  at     integer not null,
  unique (run, number),
  unique (run, key)
);

create table emitted (
  run     integer not null references runs (n),
  stream  text    not null,
  n       integer not null, -- position in the stream: 1, 2, 3 ...
  step    text    not null, -- key of the step that it comes from; empty: the body
  attempt integer not null,
  text    text    not null,
  unique (run, stream, n)
);

create table workers (
  id          text    primary key,
  lease_until integer not null
);
`,
  },
  {
    id: 2,
    breaking: false,
    // What the worker offered with its last claim, as `Claims` writes it.
    sql: /* sql */ `alter table workers add column offers text not null default '[]'`,
  },
  {
    id: 3,
    // Code that does not look here before it has an effect could have one a second time.
    breaking: true,
    sql: /* sql */ `
create table effects (
  line  text not null, -- first run of a restart / fork line
  place text not null, -- digest of which step it is
  input text not null, -- digest of what with
  run   text not null, -- who has it
  primary key (line, place, input)
) without rowid`,
  },
  {
    id: 4,
    // Code that does not know of them writes none, and takes them away with their run.
    breaking: false,
    sql: /* sql */ `
create table packs (
  run   integer not null references runs (n) on delete cascade,
  first integer not null, -- seq of the first event in it
  body  blob    not null,
  unique (run, first)
)`,
  },
];

/**
 * Brings the file up to date. Several processes may do so at once: who comes second waits for the write lock, looks
 * again, and finds nothing to do.
 */
export function migrate(
  database: DatabaseSync,
  path: string,
  applicationId: number,
  known: readonly Migration[] = migrations,
): void {
  const newest = known.at(-1)?.id ?? 0;
  if (versionOf(database) < newest) {
    database.exec("begin immediate");
    try {
      const found = versionOf(database);
      for (const migration of known) if (migration.id > found) apply(database, migration);
      database.exec(`pragma application_id = ${applicationId}`);
      database.exec("commit");
    } catch (error) {
      if (database.isTransaction) database.exec("rollback");
      throw error;
    }
  }
  refuseNewer(database, path, newest);
}

function apply(database: DatabaseSync, { id, breaking, sql }: Migration): void {
  database.exec(sql);
  database.prepare("insert into migrations (id, breaking) values (?, ?)").run(id, breaking ? 1 : 0);
  database.exec(`pragma user_version = ${id}`);
}

function versionOf(database: DatabaseSync): number {
  return database.prepare("pragma user_version").get()?.["user_version"] as number;
}

/** Changes that this code does not know are fine if the file has a record of each that says it breaks nothing. */
function refuseNewer(database: DatabaseSync, path: string, newest: number): void {
  const found = versionOf(database);
  if (found <= newest) return;
  const harmless = "select count(*) as n from migrations where id > ? and id <= ? and breaking = 0";
  const row = database.prepare(harmless).get(newest, found);
  if (row?.["n"] === found - newest) return;
  throw new StemmaError(
    "store.newer",
    `Expected ${path} to have schema ${newest} or older, found ${found}. A newer version of stemma wrote it: upgrade this one.`,
    { data: { path, expected: newest, found } },
  );
}
