/**
 * The statements of the feed, of who gives positions in it, and of removing what is old. As in `sql.ts`, `@.` stands
 * for the schema.
 */

/**
 * One page of the feed from a window of it: what it holds behind $1, at most $2 events, where the window ends, and
 * whether events of `unplaced` have no position yet. It is one statement, so what is pending is not in the page.
 */
const pageOf = (window: string, filter: string, unplaced: string): string => /* sql */ `
  ${window},
  m as (
    select w.*, sum(w.rest) over (order by w.position) - w.rest as before
      from w ${filter}
  )
  select exists (${unplaced}) as pending, z.window_end, x.*
    from (select max(position) as window_end from w) z
    left join (
      select m.position - m.n + 1 + e.seq - m.seq as position, e.run, e.seq, e.at, e.type, e.causes, e.data,
             encode(e.hash, 'hex') as hash
        from m
        join @.events e on e.run = m.run and e.seq >= m.seq + m.n - m.rest and e.seq < m.seq + m.n
       where m.before < $2::bigint
       order by 1
       limit $2
    ) x on true
   order by x.position`;

/** How many events of a stretch lie behind $1. */
const rest = "least(f.n, f.position - $1::bigint) as rest";

const anyUnplaced = "select from @.unplaced";

export const feedOfAll: string = pageOf(
  /* sql */ `
  with w as materialized (
    select f.*, ${rest} from @.feed f where f.position > $1::bigint order by f.position limit $2
  )`,
  "",
  anyUnplaced,
);

/** $3: how many stretches one page looks at; $4, $5: family and workflow. Nothing of a family stands before its root. */
export const feedOfSome: string = pageOf(
  /* sql */ `
  with w as materialized (
    select f.*, ${rest}
      from @.feed f
     where f.position > greatest($1::bigint,
             (select g.position - g.n from @.feed g where g.run = $4::text order by g.seq limit 1))
     order by f.position
     limit $3
  )`,
  /* sql */ `
      join @.runs r on r.id = w.run
     where ($4::text is null or coalesce(r.family, r.id) = $4)
       and ($5::text is null or r.workflow = $5)`,
  anyUnplaced,
);

/** $3: the run; $4, $5 as above. The first stretch behind $1 is found by halving, for positions ascend with seq. */
export const feedOfRun: string = pageOf(
  /* sql */ `
  with recursive half (lo, hi) as (
    select 0::bigint, (select f.seq from @.feed f where f.run = $3::text order by f.seq desc limit 1)
    union all
    select case when b.behind then h.lo else h.mid + 1 end, case when b.behind then h.mid else h.hi end
      from (select lo, hi, (lo + hi) >> 1 as mid from half where lo < hi) h
      cross join lateral (
        select f.position > $1::bigint as behind
          from @.feed f where f.run = $3 and f.seq <= h.mid order by f.seq desc limit 1
      ) b
  ),
  w as materialized (
    select f.*, ${rest}
      from @.feed f
     where f.run = $3
       and f.seq >= (select max(lo) from half)
       and f.position > $1::bigint
     order by f.seq
     limit $2
  )`,
  /* sql */ `
      join @.runs r on r.id = w.run
     where ($4::text is null or coalesce(r.family, r.id) = $4)
       and ($5::text is null or r.workflow = $5)`,
  "select from @.unplaced u where u.run = $3",
);

/** The last that was given; events may have been removed since. */
export const lastPosition: string = /* sql */ `select position from @.sequencer where id = 1`;

// Who gives positions: time is the database's own here, for nothing that a test has in its hand depends on it.

/** Takes the sequencer's lease if there is something to do and nobody has it. $1 who, $2 milliseconds. */
export const takeSequencer: string = /* sql */ `
  with took as (
    update @.sequencer s
       set holder = $1, epoch = s.epoch + 1, lease_until = clock_timestamp() + $2 * interval '1 millisecond'
     where s.id = 1
       and (s.lease_until <= clock_timestamp() or s.holder = $1)
       and exists (select from @.unplaced)
    returning s.epoch
  )
  select (select epoch from took) as epoch,
         exists (select from @.unplaced) as waiting,
         greatest(0, ceil(extract(epoch from s.lease_until - clock_timestamp()) * 1000))::bigint as free_in_ms
    from @.sequencer s`;

/**
 * Gives positions to what has none, guarded by the epoch of the lease ($1): a holder that was slow finds it raised, and
 * places nothing. What a run has appended since the last time becomes one stretch. Runs follow each other by the time
 * of their first event, for readers who like causes before effects; only the order within a run is a promise.
 *
 * What a prune has removed meanwhile is left out: only what this statement itself deletes is placed.
 */
export const placeEvents: string = /* sql */ `
  with batch as materialized (select run, seq, n from @.unplaced order by run, seq limit $2),
  total as materialized (select coalesce(sum(n), 0)::bigint as n, count(*) as parts from batch),
  lead as (
    update @.sequencer s
       set position = s.position + total.n, lease_until = clock_timestamp() + $3 * interval '1 millisecond'
      from total
     where s.id = 1
       and s.epoch = $1
    returning s.position - total.n as base
  ),
  gone as (
    delete from @.unplaced u
     using batch b, lead l
     where u.run = b.run
       and u.seq = b.seq
    returning u.run, u.seq, u.n, u.at, l.base
  ),
  stretch as (
    select run, min(seq) as seq, sum(n)::bigint as n, base, min(first_at) as first_at
      from (
        select run, seq, n, base, seq - sum(n) over (partition by run order by seq) + n as island,
               min(at) over (partition by run) as first_at
          from gone
      ) g
     group by run, island, base
  ),
  placed as (
    insert into @.feed (position, run, seq, n)
    select base + sum(n) over (order by first_at, run, seq), run, seq, n from stretch
  )
  select exists (select from lead) as leading, total.parts from total`;

/** Gives the lease ($1: its epoch) back if there is nothing left to do. */
export const leaveSequencer: string = /* sql */ `
  update @.sequencer set lease_until = 'epoch' where id = 1 and epoch = $1 and not exists (select from @.unplaced)
  returning epoch`;

// Prune

/** Keeps positions from being given while runs are removed. */
export const lockSequencer: string = /* sql */ `select id from @.sequencer where id = 1 for update`;

/** Leaves of the tree that ended before a time, the earliest first. */
export const prunableRuns: string = /* sql */ `
  select r.id
    from @.runs r
   where r.ended_at < $1
     and not exists (select from @.runs d where d.origin = r.id)
   order by r.ended_at, r.id
   limit $2
     for update of r skip locked`;

/** Of these runs, now locked, those that still nothing comes from. */
export const bareRuns: string = /* sql */ `
  select g.id
    from unnest($1::text[]) with ordinality as g (id, ord)
   where not exists (select from @.runs d where d.origin = g.id)
   order by g.ord`;

/** Those of some runs that ended before a time. */
export const endedRuns: string = /* sql */ `
  select r.id from @.runs r where r.ended_at < $1 and r.id = any($2::text[]) order by r.id`;

export const lockEndedRuns: string = /* sql */ `${endedRuns} for update of r skip locked`;

export const runsFrom: string = /* sql */ `select id, origin from @.runs where origin = any($1::text[])`;

/** Events of some runs, and bytes of the payloads that no other has. */
export const countRuns: string = /* sql */ `
  with gone as materialized (select unnest($1::text[]) as run)
  select (select count(*) from gone join @.events e on e.run = gone.run) as events,
         (select coalesce(sum(octet_length(p.text)), 0)::bigint
            from @.payloads p
           where p.digest in (select u.digest from gone join @.payload_uses u on u.run = gone.run)
             and not exists (select
                               from @.payload_uses u
                              where u.digest = p.digest
                                and not exists (select from gone g where g.run = u.run))) as bytes`;

export const deleteEvents: string = /* sql */ `
  with gone as (delete from @.events where run = any($1::text[]) returning 1) select count(*) as n from gone`;

export const deleteRest: readonly string[] = [
  /* sql */ `delete from @.unplaced where run = any($1::text[])`,
  /* sql */ `delete from @.feed where run = any($1::text[])`,
  /* sql */ `delete from @.inbox where run = any($1::text[])`,
  /* sql */ `delete from @.emitted where run = any($1::text[])`,
  /* sql */ `delete from @.tags where run = any($1::text[])`,
  /* sql */ `delete from @.effects where line = any($1::text[])`,
  /* sql */ `delete from @.runs where id = any($1::text[])`,
];

export const deletePayloadUses: string = /* sql */ `
  delete from @.payload_uses where run = any($1::text[]) returning encode(digest, 'hex') as digest`;

/** Payloads of these that no run uses any more. */
export const deletePayloads: string = /* sql */ `
  with gone as (
    delete from @.payloads p
     using (select distinct decode(g, 'hex') as digest from unnest($1::text[]) g) g
     where p.digest = g.digest
       and not exists (select from @.payload_uses u where u.digest = p.digest)
    returning octet_length(p.text) as bytes
  )
  select coalesce(sum(bytes), 0)::bigint as bytes from gone`;

// What somebody left behind

/** Runs that have events and no row, found in steps from run to run. */
export const rowlessRuns: string = /* sql */ `
  with recursive each (run) as (
    select min(run) from @.events
    union all
    select (select min(e.run) from @.events e where e.run > each.run) from each where run is not null
  )
  select run from each where run is not null and not exists (select from @.runs r where r.id = each.run) limit 100`;
