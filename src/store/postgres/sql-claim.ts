/** The statements of workers: their leases, what they offer, and what they are given. As in `sql.ts`, $1 is the clock. */
import { clock, runJson } from "./sql-parts.ts";

/**
 * Gives a worker runs that are due. `grp` walks from one (refused, priority) to the next by the index, so it costs as
 * many steps as there are of them, however many runs wait; of each the first due ones are locked, past those that
 * others have locked. While runs of a dead worker are still to be taken away, which may be more urgent than all others,
 * nothing is given. Nothing is taken unless the lease of the worker, at the generation that it knows of, is renewed in
 * the same statement.
 *
 * $2 worker, $3 lease, $4 generation it knows of, $5 limit, $6..$8 offers, $9 whether they are to be kept because
 * they are not those of its last claim. Parameters stand in queries of their own, so that the planner sees nothing in
 * them and keeps the plan that it has: making one is most of what a claim costs.
 */
export const claimRuns: string = /* sql */ `
  with recursive t as materialized (select ${clock} as now),
  asked as materialized (select $4::bigint as generation, $5::bigint as most, $9::boolean as told),
  offer as materialized (
    select distinct workflow, version, fingerprint
      from unnest((select $6::text[]), (select $7::bigint[]), (select $8::text[])) as o (workflow, version, fingerprint)
  ),
  grp as (
    select o.workflow, o.version, o.fingerprint, n.refused, n.priority
      from offer o
      cross join lateral (
        select r.refused, r.priority from @.runs r
         where r.workflow = o.workflow and r.version = o.version and r.worker is null and r.due_at is not null
         order by r.refused, r.priority limit 1
      ) n
    union all
    select g.workflow, g.version, g.fingerprint, n.refused, n.priority
      from grp g
      cross join lateral (
        select r.refused, r.priority from @.runs r
         where r.workflow = g.workflow and r.version = g.version and r.worker is null and r.due_at is not null
           and (r.refused, r.priority) > (g.refused, g.priority)
         order by r.refused, r.priority limit 1
      ) n
  ),
  fits as materialized (select * from grp where refused <> fingerprint),
  due as materialized (
    select d.id, d.priority, d.due_at
      from t, fits g
      cross join lateral (
        select r.id, r.priority, r.due_at from @.runs r
         where r.workflow = g.workflow and r.version = g.version and r.refused = g.refused and r.priority = g.priority
           and r.worker is null and r.due_at <= t.now
         order by r.due_at limit (select most from asked) for no key update skip locked
      ) d
     where not exists (select from @.workers w where w.lease_until <= (select now from t) and not w.reaped and w.id <> $2)
  ),
  best as materialized (
    select distinct id, priority, due_at from due order by priority, due_at, id limit (select most from asked)
  ),
  lease as (
    insert into @.workers as w (id, lease_until, generation)
    select $2::text, t.now + $3::bigint, coalesce((select generation from asked) + 1, 0)
      from t
     where exists (select from best)
        or not exists (select from @.workers w where w.id = $2 and not w.reaped and (w.lease_until - t.now) * 2 > $3::bigint)
    on conflict (id) do update
       set lease_until = excluded.lease_until, reaped = false
     where coalesce((select generation from asked), w.generation) = w.generation
    returning generation
  ),
  dropped as (
    delete from @.offers o
     where (select told from asked)
       and o.worker = $2
       and not exists (select from offer g where g.workflow = o.workflow and g.version = o.version)
  ),
  kept as (
    insert into @.offers (workflow, version, worker)
    select distinct workflow, version, $2 from offer where (select told from asked)
    on conflict do nothing
  ),
  taken as (
    update @.runs r
       set worker = $2::text,
           epoch  = r.epoch + 1,
           claims = r.claims + 1
      from best b, lease l
     where r.id = b.id
       and l.generation = coalesce((select generation from asked), l.generation)
    returning ${runJson("r", "true")} as row
  ),
  outlook as materialized (
    select min(n.due_at) as first, min(n.later) as later
      from fits g
      cross join lateral (
        select (select min(r.due_at) from @.runs r
                 where r.workflow = g.workflow and r.version = g.version and r.refused = g.refused
                   and r.priority = g.priority and r.worker is null) as due_at,
               (select min(r.due_at) from @.runs r
                 where r.workflow = g.workflow and r.version = g.version and r.refused = g.refused
                   and r.priority = g.priority and r.worker is null and r.due_at > (select now from t)) as later
      ) n
  )
  select t.now, o.first <= t.now as work, o.later as next_due_at,
         (select min(lease_until) from @.workers where id <> $2 and not reaped) as lease_end,
         (select generation from lease) as generation,
         k.row
    from t cross join outlook o left join taken k on true`;

/** Marks workers whose lease has run out, and locks their rows: none of them is given anything until they are freed. */
export const markDead: string = /* sql */ `
  with t as materialized (select ${clock} as now),
  dead as materialized (
    select w.id from @.workers w, t where w.lease_until <= t.now and not w.reaped and w.id <> $2 order by w.id for update of w
  )
  update @.workers w
     set generation = w.generation + 1, reaped = true
    from dead d, t
   where w.id = d.id
     and w.lease_until <= t.now
  returning w.id`;

/** Takes all runs from these workers. Their epoch rises at once, so they cannot append any more. */
export const takeRunsAway: string = /* sql */ `
  with held as materialized (
    select r.id from @.runs r where r.worker = any($1::text[]) order by r.id for no key update
  )
  update @.runs r
     set worker = null, epoch = r.epoch + 1
    from held h
   where r.id = h.id
     and r.worker = any($1::text[])`;

export const dropOffers: string = /* sql */ `delete from @.offers where worker = any($1::text[])`;

/** Workers that are gone for long are forgotten; one that comes back all the same learns that it was taken for dead. */
export const forgetWorkers: string = /* sql */ `
  delete from @.workers w where w.reaped and w.lease_until < ${clock} - 86400000`;

/**
 * Raises the generation of a worker, so that a claim which is still under way gives it nothing any more. $2 worker, $3
 * lease, $4 the generation that it knows of; gives nothing if it has another one by now.
 */
export const raiseGeneration: string = /* sql */ `
  with t as materialized (select ${clock} as now)
  update @.workers w
     set generation = w.generation + 1, lease_until = t.now + $3::bigint, reaped = false
    from t
   where w.id = $2
     and ($4::bigint is null or w.generation = $4)
  returning w.generation`;

/** All that a worker holds. */
export const runsHeld: string = /* sql */ `select ${runJson("r", "true")} as row from @.runs r where r.worker = $1`;

/** $2 worker, $3 lease, $4 generation it knows of. */
export const beat: string = /* sql */ `
  with t as materialized (select ${clock} as now),
  before as materialized (select reaped from @.workers where id = $2),
  renewed as (
    insert into @.workers as w (id, lease_until, generation)
    select $2::text, t.now + $3::bigint, coalesce($4::bigint + 1, 0) from t
    on conflict (id) do update
       set lease_until = excluded.lease_until, reaped = false
    returning generation
  )
  select t.now, n.generation, (select reaped from before) as reaped,
         (select json_agg(json_build_array(r.id, r.inbox_seq) order by r.id)::text
            from @.runs r where r.worker = $2 and r.inbox_seq > r.inbox_done) as news
    from t, renewed n`;

/** Workers that have their lease, in the order of their ids. */
export const leasedWorkers: string = /* sql */ `
  select w.id as worker, w.lease_until as "leaseUntil", (select count(*) from @.runs r where r.worker = w.id) as runs
    from @.workers w
   where w.lease_until > ${clock}
     and not w.reaped
   order by w.id`;
