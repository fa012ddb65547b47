/*
 * The whole schema, as the migrations make it. Nothing runs this file: it is here to be read, and a test fails when it
 * is not what an empty database becomes.
 */

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
, offers text not null default '[]');

create table effects (
  line  text not null, -- first run of a restart / fork line
  place text not null, -- digest of which step it is
  input text not null, -- digest of what with
  run   text not null, -- who has it
  primary key (line, place, input)
) without rowid;

create table packs (
  run   integer not null references runs (n) on delete cascade,
  first integer not null, -- seq of the first event in it
  body  blob    not null,
  unique (run, first)
);
