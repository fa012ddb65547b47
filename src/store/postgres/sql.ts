/**
 * Every statement of the store, one per constant. `@.` stands for the schema, whose name was checked letter by letter;
 * the search path is never relied upon. Values are always parameters. What concerns many rows comes as arrays, one for
 * each column, so that a flush of any size is one statement.
 *
 * Who may append is decided by an UPDATE of the run's row in the very statement that inserts, never by a read before it:
 * that is true at every level of isolation. Rows are locked in the order of their ids, so that no two statements wait
 * for each other.
 */

import { arrays, clock, isOffered, isWhole, rowsOf, runJson } from "./sql-parts.ts";

// Opening

export const connectionSettings: string = /* sql */ `
  select current_setting('server_version_num')::int as version,
         current_setting('server_encoding') as encoding,
         current_setting('synchronous_commit') as synchronous_commit,
         current_setting('fsync') as fsync,
         current_setting('transaction_read_only') as read_only,
         pg_is_in_recovery() as standby`;

export const lockMigrations: string = /* sql */ `select pg_advisory_xact_lock(hashtextextended($1, 0))::text as locked`;
export const schemaThere: string = /* sql */ `
  select exists (select from pg_catalog.pg_namespace where nspname = $1) as there`;
export const createMigrations: string = /* sql */ `
  create table @.migrations (
    id       integer primary key,
    breaking boolean not null,
    at       timestamptz not null default now()
  )`;
export const versionOf: string = /* sql */ `select coalesce(max(id), 0) as version from @.migrations`;
export const recordMigration: string = /* sql */ `insert into @.migrations (id, breaking) values ($1, $2)`;
export const unknownMigrations: string = /* sql */ `
  select max(id) as version, count(*) filter (where breaking) as breaking from @.migrations where id > $1 having count(*) > 0`;

// Runs

/**
 * What a statement is for that appends to runs. What does not occur is left out of it, for every part of it has its
 * price, whether there is anything to do for it or not.
 */
export type Shape = {
  /** It is for one run, with so many events (at most two): its values are parameters. Else there are arrays of them. */
  readonly alone: number | undefined;
  /** Whether there are payloads and their uses; tags to be set; messages that became events. */
  readonly payloads: boolean;
  readonly tags: boolean;
  readonly inbox?: boolean;
  /** Runs that others come from: locked, so that they stay, or also expected to be there. */
  readonly origins?: "locked" | "expected" | undefined;
};

/** More events than this of one run are sent as arrays too. */
export const aloneMax = 2;

/** Statements by their shapes: there are a few dozen, and each is made once. */
function shaped(make: (shape: Shape) => string): (shape: Shape) => string {
  const made = new Map<string, string>();
  return (shape) => {
    const { alone, payloads, tags, inbox, origins } = shape;
    const key = [alone, payloads, tags, inbox, origins].join();
    const known = made.get(key) ?? make(shape);
    made.set(key, known);
    return known;
  };
}

/**
 * Of what was given for many runs, that of the runs which the guard let through. `is true` keeps the planner from making
 * a join of it, whose cost would grow with the square of a flush: so it looks each up in a table of hashes.
 */
const letThrough = (guard: string): string => `(g.run in (select o.run from ${guard} o)) is true`;

const givenPayloads = (from: number, guard: string): string => /* sql */ `
  payload as (
    insert into @.payloads (digest, text)
    select distinct on (1) decode(g.digest, 'hex'), g.text
      from unnest(${arrays(from, "text", "text", "text")}) as g (run, digest, text)
     where ${letThrough(guard)}
     order by 1
    on conflict do nothing
  ),
  use as (
    insert into @.payload_uses (run, digest)
    select g.run, decode(g.digest, 'hex')
      from unnest(${arrays(from + 3, "text", "text", "boolean")}) as g (run, digest, brought)
     where ${letThrough(guard)}
       and (g.brought or exists (select from @.payloads p where p.digest = decode(g.digest, 'hex')))
     order by 1, 2
    on conflict do nothing
  )`;

/** Payloads of a flush that has too many for one statement, of runs that the guard let through: it holds their locks. */
export const insertPayloads: string = /* sql */ `
  insert into @.payloads (digest, text)
  select distinct on (1) decode(g.digest, 'hex'), g.text from unnest($1::text[], $2::text[]) as g (digest, text) order by 1
  on conflict do nothing`;
export const insertPayloadUses: string = /* sql */ `
  insert into @.payload_uses (run, digest)
  select g.run, decode(g.digest, 'hex')
    from unnest($1::text[], $2::text[], $3::boolean[]) as g (run, digest, brought)
   where g.brought or exists (select from @.payloads p where p.digest = decode(g.digest, 'hex'))
   order by 1, 2
  on conflict do nothing`;

const eventTypes = ["text", "bigint", "bigint", "text", "text", "text", "text", "uuid"] as const;

const givenEvents = (from: number, guard: string, alone: number | undefined): string => /* sql */ `
  written as (
    insert into @.events (run, seq, at, type, causes, data, hash, reuse)
    select g.run, g.seq, g.at, g.type, g.causes, g.data, decode(g.hash, 'hex'), g.reuse
      from ${alone === undefined ? `unnest(${arrays(from, ...eventTypes)})` : rowsOf(alone, from, ...eventTypes)}
           as g (run, seq, at, type, causes, data, hash, reuse)
     where ${letThrough(guard)}
  )`;

/** What follows the columns of runs (18 from $2 on): events, tags, payloads, as far as there are any. */
function followers(
  { alone, payloads, tags }: Shape,
  guard: string,
  tagging: (from: number) => string,
): readonly string[] {
  const tagsAt = 20 + eventTypes.length * (alone ?? 1);
  return [
    ...(alone === 0 ? [] : [givenEvents(20, guard, alone)]),
    ...(tags ? [tagging(tagsAt)] : []),
    ...(payloads ? [givenPayloads(tagsAt + (tags ? 2 : 0), guard)] : []),
  ];
}

const runTypes =
  "text text text text bigint text bigint bigint boolean text text text bigint text bigint text bigint text".split(" ");

/** The runs that those that are given come from, but for those among them. Where they are expected nothing is created unless all are there. */
const sourcesGiven = "select origin from given where origin is not null except select id from given";

/** Creates runs with their events. Gives the ids of those that were not there. */
export const createRuns: (shape: Shape) => string = shaped((shape) => {
  const { alone, origins } = shape;
  const tagging = (from: number): string => /* sql */ `
  tagged as (
    insert into @.tags (tag, run)
    select g.tag, g.run from unnest(${arrays(from, "text", "text")}) as g (run, tag) where ${letThrough("made")}
  )`;
  return /* sql */ `
  with t as materialized (select ${clock} as now),
  given as materialized (
    select *
      from ${alone === undefined ? `unnest(${arrays(2, ...runTypes)}) with ordinality` : rowsOf(1, 2, ...runTypes)}
           as g (id, family, origin, workflow, version, status, created_at, ended_at, ended, state, tags, refused,
                 seq, hash, due_at, queue, priority, key${alone === undefined ? ", ord" : ""})
  ),
  source as materialized (
    ${origins !== undefined ? `select r.id from @.runs r where r.id in (${sourcesGiven}) order by r.id for key share` : "select 1"}
  ),
  made as (
    insert into @.runs (id, family, origin, workflow, version, status, created_at, ended_at, state, tags, refused,
                        seq, hash, due_at, queue, priority, idempotency_key)
    select g.id, g.family, g.origin, g.workflow, g.version, g.status, g.created_at,
           case when g.ended then coalesce(g.ended_at, t.now) end, g.state, g.tags, g.refused,
           g.seq, decode(g.hash, 'hex'), case when not g.ended then coalesce(g.due_at, t.now) end,
           g.queue, g.priority, g.key
      from given g, t
     where (select count(*) from source) ${origins === "expected" ? `= (select count(*) from (${sourcesGiven}) s)` : ">= 0"}
     ${alone === undefined ? "order by g.ord" : ""}
    on conflict do nothing
    returning id as run, seq
  ),
  unplaced as (
    insert into @.unplaced (run, seq, n, at) select m.run, 0, m.seq + 1, t.now from made m, t
  ),
  ${followers(shape, "made", tagging).join(",")}
  select run from made`;
});

/** For each of these ids or (workflow, key) the run that is there, with the hash of its first event. */
export const runsThere: string = /* sql */ `
  select g.ord - 1 as ord, r.id, encode(e.hash, 'hex') as hash
    from unnest($1::text[], $2::text[], $3::text[]) with ordinality as g (id, workflow, key, ord)
    join lateral (
      select r.id, 1 as place from @.runs r where r.id = g.id
      union all
      select r.id, 2 from @.runs r where r.workflow = g.workflow and r.idempotency_key = g.key
      order by place
      limit 1
    ) r on true
    left join @.events e on e.run = r.id and e.seq = 0`;

/** The first events of these runs. */
export const firstEvents: string = /* sql */ `
  select run, seq, at, type, causes, data, encode(hash, 'hex') as hash from @.events where run = any($1::text[]) and seq = 0`;

const partTypes =
  "text bigint bigint bigint text text text bigint boolean text text bigint bigint boolean bigint boolean integer boolean".split(
    " ",
  );

/**
 * The fenced append: many runs in one statement. `there` locks the rows in order and says what they are; `held` is the
 * guard, and everything else is inserted from what it returns. A part whose guard does not hold writes nothing. A run
 * that is not there is not in the answer.
 */
export const commitParts: (shape: Shape) => string = shaped((shape) => {
  const { alone, inbox } = shape;
  const tagging = (from: number): string => /* sql */ `
  untagged as (
    delete from @.tags g
     using held h
     where h.retagged
       and g.run = h.run
       and not exists (
         select from unnest(${arrays(from, "text", "text")}) as n (run, tag) where n.run = g.run and n.tag = g.tag)
  ),
  tagged as (
    insert into @.tags (tag, run)
    select g.tag, g.run from unnest(${arrays(from, "text", "text")}) as g (run, tag) where ${letThrough("held")}
    on conflict do nothing
  )`;
  const takenIn = /* sql */ `
  taken_in as (
    update @.inbox i
       set body = null
      from held h
     where h.inbox > 0
       and i.run = h.run
       and i.number <= h.inbox
       and i.body is not null
  )`;
  const others = [...followers(shape, "held", tagging), ...(inbox === true ? [takenIn] : [])];
  return /* sql */ `
  with t as materialized (select ${clock} as now),
  part as materialized (
    select *
      from ${alone === undefined ? `unnest(${arrays(2, ...partTypes)})` : rowsOf(1, 2, ...partTypes)}
           as g (run, epoch, seq, n, hash, state, status, ended_at, ended, refused, tags, inbox, inbox_max, release,
                 due_at, stopped, forget, retagged)
  ),
  there as materialized (
    select r.id, r.epoch, r.seq, r.inbox_seq
      from @.runs r
     where ${alone === undefined ? `r.id = any(${arrays(2, "text")}::text[]) order by r.id` : "r.id = $2"}
       for no key update
  ),
  held as (
    update @.runs r
       set seq        = p.seq - 1 + p.n,
           hash       = coalesce(decode(p.hash, 'hex'), r.hash),
           state      = p.state,
           status     = p.status,
           ended_at   = case when p.ended then coalesce(p.ended_at, r.ended_at, t.now) end,
           refused    = p.refused,
           tags       = p.tags,
           claims     = greatest(0, r.claims - p.forget),
           inbox_done = greatest(r.inbox_done, p.inbox),
           worker     = case when not p.release then r.worker end,
           due_at     = case when p.ended then null
                             when not p.release then r.due_at
                             when r.inbox_seq > greatest(p.inbox, r.inbox_done) then t.now
                             when p.due_at is null and p.stopped then t.now
                             else p.due_at end
      from part p
      cross join t
     where (select count(*) from there) >= 0
       and r.id = p.run
       and r.epoch = p.epoch
       and r.seq = p.seq - 1
       and r.inbox_seq <= p.inbox_max
    returning r.id as run, p.seq, p.n, p.inbox, p.retagged
  ),
  unplaced as (
    insert into @.unplaced (run, seq, n, at) select h.run, h.seq, h.n, t.now from held h, t where h.n > 0
  )${others.map((part) => `,${part}`).join("")}
  select l.id as run, l.epoch, l.seq, l.inbox_seq as inbox, (l.id in (select h.run from held h)) is true as ok
    from there l`;
});

/** Locks runs in the order of their ids, before a transaction touches them in several statements. */
export const lockRuns: string = /* sql */ `
  select id from @.runs where id = any($1::text[]) order by id for no key update`;

/** Which of these events (run, seq, hash) are there, as they are. */
export const eventsThere: string = /* sql */ `
  select e.run
    from unnest($1::text[], $2::bigint[], $3::text[]) as g (run, seq, hash)
    join @.events e on e.run = g.run and e.seq = g.seq and e.hash = decode(g.hash, 'hex')`;

/**
 * Pages of runs' events ($2 runs, $3 behind which seq, $4 how many at most): of each a first row with the run's own, and
 * the messages that wait if the page is the last one. All of it is one statement, so it is one moment.
 */
export const history: string = /* sql */ `
  with page as materialized (
    select *
      from unnest(${arrays(2, "text", "bigint", "bigint")}) with ordinality
           as g (run, after, most, ord)
  )
  select g.ord - 1 as page, -1 as seq, null::bigint as at, null as type, i.inbox as causes,
         ${runJson("r", isOffered("r"))} as data, null as hash
    from page g
    join @.runs r on r.id = g.run
    left join lateral (
      select json_agg(json_build_array(i.number, i.key, i.kind, i.body, i.at) order by i.number)::text as inbox
        from @.inbox i
       where i.run = r.id
         and i.body is not null
         and r.seq <= (select coalesce(max(e.seq), g.after)
                         from (select seq from @.events where run = g.run and seq > g.after order by seq limit g.most) e)
    ) i on r.inbox_seq > r.inbox_done
  union all
  select g.ord - 1, e.*
    from page g
    cross join lateral (
      select seq, at, type, causes, data, encode(hash, 'hex') as hash
        from @.events where run = g.run and seq > g.after order by seq limit g.most
    ) e
   order by page, seq`;

export const payloadTexts: string = /* sql */ `
  select encode(p.digest, 'hex') as digest, p.text
    from unnest($1::text[]) as g (digest)
    join @.payloads p on p.digest = decode(g.digest, 'hex')`;

/** Successes by reuse number, each number's in the order of the feed. */
export const reusableEvents: string = /* sql */ `
  select g.reuse::text as reuse, e.run, e.seq
    from unnest($1::uuid[]) as g (reuse)
    join @.events e on e.reuse = g.reuse
    left join lateral (
      select f.position - f.n - f.seq + e.seq as position
        from @.feed f where f.run = e.run and f.seq <= e.seq order by f.seq desc limit 1
    ) f on true
   order by f.position nulls last, e.run, e.seq`;

// Effects

/** Takes effects over from the runs that have them, where those still do. */
export const takeEffectsOver: string = /* sql */ `
  with given as (
    select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) as g (line, place, input, run, was)
  ),
  held as materialized (
    select e.line, e.place, e.input, g.run
      from @.effects e
      join given g using (line, place, input)
     where e.run = g.was
     order by e.line, e.place, e.input
       for no key update of e
  )
  update @.effects e
     set run = h.run
    from held h
   where e.line = h.line and e.place = h.place and e.input = h.input`;

/** Gives runs the effects that nobody has. Who else puts one there at this very moment is waited for, and has it. */
export const insertEffects: string = /* sql */ `
  insert into @.effects (line, place, input, run)
  select line, place, input, run
    from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as g (line, place, input, run)
   order by line, place, input
  on conflict do nothing`;

/** Who has the effects of these places. */
export const effectsOf: string = /* sql */ `
  select e.line, e.place, e.input, e.run
    from (select distinct line, place from unnest($1::text[], $2::text[]) as g (line, place)) g
    join @.effects e using (line, place)
   order by e.line, e.place, e.input`;

// Inbox

/**
 * Puts messages (no key twice in a run) into inboxes. A message that another process put there at this very moment is
 * not seen by this statement's snapshot, but by the index; so what was inserted decides what is told.
 */
export const sendMessages: string = /* sql */ `
  with t as materialized (select ${clock} as now),
  given as materialized (
    select *
      from unnest(${arrays(2, "text", "text", "text", "text", "boolean")}) with ordinality as g (run, key, kind, body, wakes, ord)
  ),
  target as materialized (
    select r.id, r.inbox_seq, r.inbox_done, r.status in ('succeeded', 'failed', 'cancelled', 'timed_out') as ended
      from @.runs r
     where r.id = any(${arrays(2, "text")}::text[])
     order by r.id
       for no key update
  ),
  known as materialized (
    select g.ord, r.id is not null as found, r.ended, i.number is not null as repeated, r.inbox_seq, r.inbox_done,
           row_number() over (partition by g.run, i.number is null order by g.ord) as place
      from given g
      left join target r on r.id = g.run
      left join @.inbox i on i.run = g.run and i.key = g.key
  ),
  fresh as materialized (
    select ord, inbox_seq + place as number
      from known
     where found and not ended and not repeated and inbox_seq - inbox_done + place <= $7
  ),
  sent as (
    insert into @.inbox (run, number, key, kind, body, at)
    select g.run, f.number, g.key, g.kind, g.body, t.now from fresh f join given g using (ord), t order by g.run, f.number
    on conflict do nothing
    returning run, key, number
  ),
  woken as (
    update @.runs r set inbox_seq = s.number,
           due_at = case when s.wakes and ${isWhole} then least(coalesce(r.due_at, t.now), t.now) else r.due_at end
      from (select run, max(number) as number, bool_or(wakes) as wakes from sent join given using (run, key) group by 1) s, t
     where r.id = s.run
  )
  select g.ord - 1 as ord,
         case when s.run is not null then 'accepted'
              when not k.found then 'missing'
              when k.repeated then 'repeated'
              when k.ended then 'ended'
              when f.ord is null then 'full'
              else 'repeated' end as answer
    from given g
    join known k using (ord)
    left join fresh f using (ord)
    left join sent s on s.run = g.run and s.key = g.key
   order by g.ord`;

/** Which of these messages (run, key, kind, body) are in their inboxes as they are, or were and have become events. */
export const messagesThere: string = /* sql */ `
  select g.ord - 1 as ord
    from unnest($1::text[], $2::text[], $3::text[], $4::text[]) with ordinality as g (run, key, kind, body, ord)
    join @.inbox i on i.run = g.run and i.key = g.key
   where i.kind = g.kind and coalesce(i.body, g.body) = g.body`;

// List

/** Conditions of `list`, joined by `and` as the query has them; `?` stands for the number of a parameter. */
export const listConditions = {
  ids: "r.id = any((select ?::text[])::text[])", // a query of its own: the same plan whatever their number
  idPart: "position(? in r.id) > 0",
  workflow: "r.workflow = ?",
  idempotencyKey: "r.idempotency_key = ?",
  status: "r.status = any(?::text[])",
  tag: "r.id in (select run from @.tags where tag = ?)",
  family: "(r.family = ? or (r.id = ? and r.family is null))",
  since: "r.created_at >= ?::bigint",
  noRecords: "r.workflow <> ? and position(? in r.workflow) <> 1 and position(? in r.workflow) <> 1",
  cursor: "(r.created_at, r.id) < (?::bigint, ?)",
} as const;

/** The statement of a list: $1 is the clock, the last one the limit. */
export function listRuns(conditions: readonly string[]): string {
  let count = 1;
  const where = conditions.length === 0 ? "" : `where ${conditions.join(" and ")}`;
  const text = /* sql */ `
    select ${runJson("r", isOffered("r"))} as row
      from @.runs r ${where}
     order by r.created_at desc, r.id desc
     limit (select ?::int)`;
  return text.replace(/\?/g, () => `$${(count += 1)}`);
}
