/**
 * The schema, as an append-only list of changes. A change that has been released is never edited: databases out there
 * have it. `breaking` says that code which does not know the change must not use the schema any more; all others can.
 * The database records both, so that older code can tell.
 *
 * Texts are `collate "C"`: they are compared byte by byte, and no upgrade of the system's locales can break an index.
 * There are no sequences and no jsonb: ids come from their makers, and jsonb refuses texts that JSON allows.
 */
import { StemmaError } from "../../core/error.ts";
import type { Runner } from "./runner.ts";
import { createMigrations, lockMigrations, recordMigration, schemaThere, versionOf, unknownMigrations } from "./sql.ts";

export type Migration = { readonly id: number; readonly breaking: boolean; readonly sql: readonly string[] };

export const migrations: readonly Migration[] = [
  {
    id: 1,
    breaking: true,
    sql: [
      /* sql */ `
create table @.runs (
  id              text collate "C" primary key,
  family          text collate "C",             -- run at the root of the family; null: this one is it
  origin          text collate "C",             -- run that it comes from; null: from none
  workflow        text collate "C" not null,
  version         bigint  not null,
  status          text collate "C" not null,
  created_at      bigint  not null,
  ended_at        bigint,
  state           text    not null,             -- JSON, what no other column says of the state
  tags            text    not null,             -- JSON
  refused         text collate "C" not null,    -- fingerprint of the code that could not recall it; empty: none
  seq             bigint  not null,             -- position of its last event
  hash            bytea   not null,             -- of its last event
  epoch           bigint  not null default 0,
  worker          text collate "C",             -- who holds it
  claims          integer not null default 0,
  due_at          bigint,                       -- null: not due by itself; a run that is held stays due
  queue           text    not null,
  priority        bigint  not null,
  inbox_seq       bigint  not null default 0,
  inbox_done      bigint  not null default 0,
  idempotency_key text collate "C"
) with (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02)`,
      `create unique index runs_idempotency on @.runs (workflow, idempotency_key) where idempotency_key is not null`,
      // In this order the most urgent due runs of a workflow are found without looking at those that are due later.
      `create index runs_due on @.runs (workflow, version, refused, priority, due_at)
        where worker is null and due_at is not null`,
      `create index runs_held on @.runs (worker) where worker is not null`,
      `create index runs_newest on @.runs (created_at, id)`,
      `create index runs_workflow on @.runs (workflow, created_at, id)`,
      `create index runs_status on @.runs (status, created_at, id)`,
      `create index runs_family on @.runs (family) where family is not null`,
      `create index runs_origin on @.runs (origin) where origin is not null`,
      `create index runs_ended on @.runs (ended_at) where ended_at is not null`,

      /* sql */ `
create table @.events (
  run    text collate "C" not null,
  seq    bigint not null,
  at     bigint not null,
  type   text   not null,
  causes text   not null,
  data   text   not null,
  hash   bytea  not null,
  reuse  uuid,                    -- first 128 bits of sha256(family, reuse key)
  primary key (run, seq)
)`,
      `create index events_reuse on @.events (reuse) where reuse is not null`,

      // Events that have no position yet, a row for each append: seq and the n - 1 behind it.
      /* sql */ `
create table @.unplaced (
  run text collate "C" not null,
  seq bigint not null,
  n   bigint not null,
  at  bigint not null,
  primary key (run, seq)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0)`,
      // Events by position, a row for each stretch of a run: the n events from seq on, of which the last has position.
      /* sql */ `
create table @.feed (
  position bigint primary key,
  run      text collate "C" not null,
  seq      bigint not null,
  n        bigint not null
)`,
      `create unique index feed_run on @.feed (run, seq)`,
      /* sql */ `
create table @.sequencer (
  id          integer primary key check (id = 1),
  holder      text    not null,
  epoch       bigint  not null,
  lease_until timestamptz not null,
  position    bigint  not null      -- the last that was given
)`,
      `insert into @.sequencer (id, holder, epoch, lease_until, position) values (1, '', 0, 'epoch', 0)`,

      `create table @.payloads (digest bytea primary key, text text not null)`,
      /* sql */ `
create table @.payload_uses (
  run    text collate "C" not null,
  digest bytea not null references @.payloads (digest),
  primary key (run, digest)
)`,
      `create index payload_uses_digest on @.payload_uses (digest)`,
      `create table @.tags (
        tag text collate "C" not null, run text collate "C" not null, primary key (tag, run))`,
      `create index tags_run on @.tags (run)`,

      /* sql */ `
create table @.inbox (
  run    text collate "C" not null,
  number bigint not null,
  key    text collate "C" not null,
  kind   text   not null,
  body   text,                      -- null once it has become an event; the key stays
  at     bigint not null,
  primary key (run, number),
  unique (run, key)
)`,
      `create index inbox_waiting on @.inbox (run, number) where body is not null`,
      /* sql */ `
create table @.emitted (
  run     text collate "C" not null,
  stream  text collate "C" not null,
  n       bigint not null,          -- position in the stream: 1, 2, 3 ...
  step    text   not null,          -- key of the step that it comes from; empty: the body
  attempt bigint not null,
  text    text   not null,
  primary key (run, stream, n)
)`,
      /* sql */ `
create table @.workers (
  id          text collate "C" primary key,
  lease_until bigint  not null,
  generation  bigint  not null,     -- rises when its runs are taken from it
  reaped      boolean not null default false
) with (fillfactor = 50)`,
      `create table @.offers (
        workflow text collate "C" not null, version bigint not null, worker text collate "C" not null,
        primary key (workflow, version, worker))`,
      `create index offers_worker on @.offers (worker)`,
    ],
  },
  {
    id: 2,
    // Code that does not look here before it has an effect could have one a second time.
    breaking: true,
    sql: [
      /* sql */ `
create table @.effects (
  line  text collate "C" not null, -- first run of a restart / fork line
  place text collate "C" not null, -- digest of which step it is
  input text collate "C" not null, -- digest of what with
  run   text collate "C" not null, -- who has it
  primary key (line, place, input)
)`,
    ],
  },
  {
    id: 3,
    // Code that does not know of them writes none, and takes them away with their run.
    breaking: false,
    sql: [
      /* sql */ `
create table @.packs (
  run   text collate "C" not null references @.runs (id) on delete cascade,
  first bigint not null,           -- seq of the first event in it
  body  bytea  not null,
  primary key (run, first)
)`,
    ],
  },
];

/**
 * Brings the schema up to date, in one transaction. Many processes may do so at once: who comes second waits for the
 * lock, looks again, and finds nothing to do.
 *
 * @throws StemmaError `store.newer` if a newer version of this package changed it so that this one must not use it,
 * `store.corrupt` if the schema holds tables of another program
 */
export async function migrate(
  transaction: <T>(work: (tx: Runner) => Promise<T>) => Promise<T>,
  plain: Runner,
  schema: string,
  known: readonly Migration[] = migrations,
): Promise<void> {
  const newest = known.at(-1)?.id ?? 0;
  if ((await found(plain)) < newest) {
    await transaction(async (tx) => {
      await tx.query(lockMigrations, [`stemma ${schema}`]);
      const [there] = await tx.query<{ there: boolean }>(schemaThere, [schema]);
      // Only then: `if not exists` would ask for the right to make schemas also where there is nothing to make.
      if (there?.there !== true) await tx.query("create schema @@");
      const version = await found(tx);
      if (version === -1) await tx.query(createMigrations);
      for (const { id, breaking, sql } of known) {
        if (id <= version) continue;
        // All of a change goes at once: a schema is made in one question, however far away the server is.
        await tx.query(sql.join(";\n"));
        await tx.query(recordMigration, [id, breaking]);
      }
    });
  }
  await refuseNewer(plain, schema, newest);
}

/** Whether there is nothing to bring up to date. Throws as `migrate` does. */
export async function isUpToDate(db: Runner, schema: string): Promise<boolean> {
  const newest = migrations.at(-1)?.id ?? 0;
  if ((await found(db)) < newest) return false;
  await refuseNewer(db, schema, newest);
  return true;
}

/** Whether the schema has tables of a store. */
export async function isThere(db: Runner): Promise<boolean> {
  return (await found(db)) >= 0;
}

/** The last change that the schema has; 0: none; -1: there is not even the table that says so. */
async function found(db: Runner): Promise<number> {
  const [there] = await db.query<{ there: boolean }>(`select to_regclass('@.migrations') is not null as there`);
  if (there?.there !== true) return -1;
  const [row] = await db.query<{ version: number }>(versionOf);
  return row?.version ?? 0;
}

/** Changes that this code does not know are fine if the database has a record of each that says it breaks nothing. */
async function refuseNewer(db: Runner, schema: string, newest: number): Promise<void> {
  const [row] = await db.query<{ version: number; breaking: number }>(unknownMigrations, [newest]);
  if (row === undefined || row.breaking === 0) return;
  throw new StemmaError(
    "store.newer",
    `Expected schema ${schema} to have version ${newest} or older, found ${row.version}. A newer version of stemma changed it: upgrade this one.`,
    { data: { schema, expected: newest, found: row.version } },
  );
}
