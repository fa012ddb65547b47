/**
 * The statements of what is kept beside the histories: streams of values, and packs of events. As in `sql.ts`, `@.`
 * stands for the schema.
 */

// Streams

export const insertEmitted: string = /* sql */ `
  with given as (
    select *
      from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[]) with ordinality
           as g (run, stream, step, attempt, text, ord)
  ),
  last as (
    select s.run, s.stream,
           coalesce((select max(e.n) from @.emitted e where e.run = s.run and e.stream = s.stream), 0) as n
      from (select distinct run, stream from given) s
  )
  insert into @.emitted (run, stream, n, step, attempt, text)
  select g.run, g.stream, l.n + row_number() over (partition by g.run, g.stream order by g.ord), g.step, g.attempt, g.text
    from given g
    join last l using (run, stream)`;

/** $3: how many values a stream keeps. */
export const trimEmitted: string = /* sql */ `
  delete from @.emitted e
   using (select distinct run, stream from unnest($1::text[], $2::text[]) as g (run, stream)) g
   where e.run = g.run
     and e.stream = g.stream
     and e.n <= (select max(m.n) from @.emitted m where m.run = g.run and m.stream = g.stream) - $3::bigint`;

export const readEmitted: string = /* sql */ `
  select n as position, stream, step, attempt, text
    from @.emitted
   where run = $1
     and stream = $2
     and n > $3
   order by n
   limit $4`;

// Packs

/** Bodies are sent and read as base64, which no setting of the server writes in another way. No pack may be given twice. */
export const insertPacks: string = /* sql */ `
  insert into @.packs (run, first, body)
  select g.run, g.first, decode(g.body, 'base64')
    from unnest($1::text[], $2::bigint[], $3::text[]) as g (run, first, body)
  on conflict (run, first) do update set body = excluded.body`;

export const packsFrom: string = /* sql */ `
  select first, encode(body, 'base64') as body from @.packs where run = $1 and first >= $2 order by first limit $3`;
