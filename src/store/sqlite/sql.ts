/**
 * Every statement of the store, one per constant. Values are always parameters, in the order in which they stand in
 * the text: binding by position costs a fifth of binding by name, and these statements are the hot path. It is
 * `limit +?` and not `limit ?`, because SQLite looks at a limit that is a bare parameter when it plans, and so prepares
 * the statement anew each time one is bound: that takes longer than finding a run.
 */

const runColumns = `id, family, workflow, version, status, created_at, tags, seq, state, hash,
         epoch, worker, due_at, queue, priority, inbox_seq, inbox_done, claims,
         idempotency_key`;

// Runs

export const insertRun: string = /* sql */ `
  insert into runs (id, family, origin, workflow, version, status, created_at, ended_at, state, tags, refused,
                    seq, hash, due_at, ready, queue, priority, idempotency_key)
  values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
  on conflict do nothing
  returning n`;

export const runThere: string = /* sql */ `
  select id from runs where id = ?
  union all
  select id from runs where workflow = ? and idempotency_key = ?
  limit 1`;

export const runRow: string = /* sql */ `
  select n, ${runColumns}
    from runs
   where id = ?`;

export const runHead: string = /* sql */ `
  select epoch, seq, hash, inbox_seq
    from runs
   where id = ?`;

/** The guard of every append: it changes one row, or nothing of the part happens. Returns what was there before. */
export const advanceRun: string = /* sql */ `
  update runs
     set seq    = ?,
         hash   = ifnull(?, hash),
         state  = ?,
         claims = max(0, claims - ?)
   where id = ?
     and epoch = ?
     and seq = ?
     and inbox_seq <= ?
  returning n, status, refused, tags, inbox_seq, inbox_done`;

export const settleRun: string = /* sql */ `
  update runs
     set status = ?, ended_at = ?, refused = ?
   where n = ?`;

/** At its end a run is never due again, whoever holds it. */
export const restRun: string = /* sql */ `
  update runs
     set due_at = null, ready = 0
   where n = ?`;

export const releaseRun: string = /* sql */ `
  update runs
     set worker = null, due_at = ?, ready = ?
   where n = ?`;

export const setTags: string = /* sql */ `update runs set tags = ? where n = ?`;
export const insertTag: string = /* sql */ `insert or ignore into tags (tag, run) values (?, ?)`;
export const deleteTag: string = /* sql */ `delete from tags where tag = ? and run = ?`;

// Events and payloads

export const insertEvent: string = /* sql */ `
  insert into events (run, seq, at, type, causes, data, hash, reuse)
  values (?, ?, ?, ?, ?, ?, ?, ?)`;

export const insertPayload: string = /* sql */ `insert into payloads (digest, text) values (?, ?) on conflict do nothing`;

export const insertPayloadUse: string = /* sql */ `
  insert or ignore into payload_uses (run, payload)
  select ?, n from payloads where digest = ?`;

export const payloadText: string = /* sql */ `select text from payloads where digest = ?`;

export const eventsAfter: string = /* sql */ `
  select seq, at, type, causes, data, lower(hex(hash))
    from events
   where run = ?
     and seq > ?
   order by seq
   limit +?`;

export const insertPack: string = /* sql */ `insert or replace into packs (run, first, body) values (?, ?, ?)`;

export const packsFrom: string = /* sql */ `
  select p.first, p.body
    from runs r
    join packs p on p.run = r.n
   where r.id = ?
     and p.first >= ?
   order by p.first
   limit +?`;

/** Runs that have events and no row, found in steps from run to run. */
export const rowlessRuns: string = /* sql */ `
  with recursive each (n) as (
    select min(run) from events
    union all
    select (select min(run) from events where run > each.n) from each where n is not null
  )
  select n from each where n is not null and not exists (select 1 from runs r where r.n = each.n) limit 100`;

export const eventHash: string = /* sql */ `
  select e.hash
    from runs r
    join events e on e.run = r.n
   where r.id = ?
     and e.seq = ?`;

export const reusableEvents: string = /* sql */ `
  select r.id, e.seq, e.data
    from events e
    join runs r on r.n = e.run
   where e.reuse = ?
     and ifnull(r.family, r.id) = ?
   order by e.position`;

// Effects

/** If it is there, it stays with who has it, unless it is taken over from that run. */
export const insertEffect: string = /* sql */ `
  insert into effects (line, place, input, run)
  values (?, ?, ?, ?)
  on conflict (line, place, input) do update set run = excluded.run where run = ?`;

export const effectsOf: string = /* sql */ `select input, run from effects where line = ? and place = ? order by input`;
export const deleteEffects: string = /* sql */ `delete from effects where line = ?`;

// Inbox

export const inboxTarget: string = /* sql */ `
  select n, status, worker, inbox_seq, inbox_done, epoch, due_at from runs where id = ?`;
export const messageThere: string = /* sql */ `select 1 from inbox where run = ? and key = ?`;

export const insertMessage: string = /* sql */ `
  insert into inbox (run, number, key, kind, body, at)
  values (?, ?, ?, ?, ?, ?)`;

export const wakeRun: string = /* sql */ `
  update runs
     set inbox_seq = ?,
         due_at    = min(ifnull(due_at, ?), ?),
         ready     = worker is null
   where n = ?`;

/** It has a message, and is due when it was. */
export const noteMessage: string = /* sql */ `update runs set inbox_seq = ? where n = ?`;

export const messageOf: string = /* sql */ `
  select 1
    from runs r
    join inbox i on i.run = r.n
   where r.id = ?
     and i.key = ?`;

export const waitingMessages: string = /* sql */ `
  select number, key, kind, body, at
    from inbox
   where run = ?
     and number > ?
   order by number`;

export const takeMessagesIn: string = /* sql */ `update runs set inbox_done = ? where n = ?`;

/** The key stays, so that a message which comes twice is known. */
export const emptyMessages: string = /* sql */ `
  update inbox
     set body = null
   where run = ?
     and number > ?
     and number <= ?`;

// Workers

export const leasesEnded: string = /* sql */ `select id from workers where lease_until <= ? and id <> ?`;
export const nextLeaseEnd: string = /* sql */ `select min(lease_until) as at from workers where id <> ?`;
export const leaseEnd: string = /* sql */ `select lease_until from workers where id = ?`;
export const renewLease: string = /* sql */ `update workers set lease_until = ? where id = ?`;
export const insertWorker: string = /* sql */ `insert into workers (id, lease_until) values (?, ?)`;
export const offerLease: string = /* sql */ `update workers set lease_until = ?, offers = ? where id = ?`;
export const insertOffering: string = /* sql */ `insert into workers (id, lease_until, offers) values (?, ?, ?)`;
export const offersHeld: string = /* sql */ `select distinct offers from workers where lease_until > ?`;
export const deleteWorker: string = /* sql */ `delete from workers where id = ?`;

export const takeRunsAway: string = /* sql */ `
  update runs
     set worker = null,
         epoch  = epoch + 1,
         ready  = ifnull(due_at <= ?, 0)
   where worker = ?`;

export const news: string = /* sql */ `
  select id, inbox_seq
    from runs
   where worker = ?
     and inbox_seq > inbox_done
   order by n`;

/** Each worker with the number of runs that it holds. */
export const workersHeld: string = /* sql */ `
  select id, lease_until, (select count(*) from runs where worker = workers.id) as runs
    from workers`;

// Claims

export const ripenRuns: string = /* sql */ `
  update runs
     set ready = 1
   where worker is null
     and ready = 0
     and workflow = ?
     and version = ?
     and due_at <= ?`;

export const readyRuns: string = /* sql */ `
  select n, priority, due_at
    from runs
   where ready = 1
     and workflow = ?
     and version = ?
     and (refused is null or refused <> ?)
   order by priority, due_at
   limit +?`;

export const nextDue: string = /* sql */ `
  select min(due_at) as at
    from runs
   where worker is null
     and ready = 0
     and workflow = ?
     and version = ?
     and due_at is not null`;

export const takeRun: string = /* sql */ `
  update runs
     set worker = ?,
         epoch  = epoch + 1,
         claims = claims + 1,
         ready  = 0
   where n = ?
  returning ${runColumns}`;

export const holderOf: string = /* sql */ `select worker, epoch from runs where id = ?`;

// List

/** Conditions of `list`, joined by `and` as the query has them. */
export const listConditions = {
  id: "id = ?",
  ids: "id in (select value from json_each(?))",
  // From the index of ids, which is a small part of the table.
  idPart: "n in (select n from runs where instr(id, ?) > 0)",
  workflow: "workflow = ?",
  idempotencyKey: "idempotency_key = ?",
  status: "status = ?",
  tag: "n in (select run from tags where tag = ?)",
  family: "(family = ? or id = ? and family is null)",
  since: "created_at >= ?",
  noRecords: "workflow <> ? and instr(workflow, ?) <> 1 and instr(workflow, ?) <> 1",
  cursor: "n < ?",
} as const;

export function listRuns(conditions: readonly string[]): string {
  const where = conditions.length === 0 ? "" : `where ${conditions.join(" and ")}`;
  return /* sql */ `select n, ${runColumns} from runs ${where} order by n desc limit +?`;
}

// Feed

const feedColumns = "e.position, r.id as run, e.seq, e.at, e.type, e.causes, e.data, e.hash";

/** The last that was given; events may have been removed since. */
export const lastPosition: string = /* sql */ `
  select ifnull(max(seq), 0) as position from sqlite_sequence where name = 'events'`;

/** The last of the positions that one page looks at, however many of them it is to give. */
export const windowEnd: string = /* sql */ `
  select max(position) as position
    from (select position from events where position > ? order by position limit +?)`;

export const feedOfAll: string = /* sql */ `
  select ${feedColumns}
    from events e
    join runs r on r.n = e.run
   where e.position > ?
   order by e.position
   limit +?`;

export const positionOf: string = /* sql */ `select position from events where run = ? and seq = ?`;

export const feedOfRun: string = /* sql */ `
  select ${feedColumns}
    from events e
    join runs r on r.n = e.run
   where e.run = ?
     and e.seq > ?
   order by e.seq
   limit +?`;

const feedWindow = (condition: string): string => /* sql */ `
  select ${feedColumns}
    from events e
    cross join runs r on r.n = e.run
   where e.position > ?
     and e.position <= ?
     and ${condition}
   order by e.position
   limit +?`;

export const feedOfFamily: string = feedWindow("ifnull(r.family, r.id) = ?");
export const feedOfWorkflow: string = feedWindow("r.workflow = ?");
export const feedOfWorkflowAndFamily: string = feedWindow("r.workflow = ? and ifnull(r.family, r.id) = ?");

export const newestEvent: string = /* sql */ `select at from events where position = (select max(position) from events)`;

// Prune

/** Leaves of the tree that ended before a time, the earliest first. */
export const prunableRuns: string = /* sql */ `
  select r.n, r.id, r.tags
    from runs r
   where r.ended_at < ?
     and not exists (select 1 from runs d where d.origin = r.id)
   order by r.ended_at
   limit +?`;

/** One run, if it ended before a time. */
export const prunableRun: string = /* sql */ `select n, id, tags from runs where id = ? and ended_at < ?`;

export const runsFrom: string = /* sql */ `select id from runs where origin = ?`;

/** Events of some runs, and bytes of the payloads that no other has. */
export const countRuns: string = /* sql */ `
  with gone (run) as materialized (select value from json_each(?))
  select (select count(*) from gone join events e on e.run = gone.run) as events,
         (select ifnull(sum(octet_length(p.text)), 0)
            from payloads p
           where p.n in (select u.payload from gone join payload_uses u on u.run = gone.run)
             and not exists (select 1
                               from payload_uses u
                              where u.payload = p.n
                                and u.run not in (select run from gone))) as bytes`;

export const deleteEvents: string = /* sql */ `delete from events where run = ?`;
export const deleteEmitted: string = /* sql */ `delete from emitted where run = ?`;
export const deleteMessages: string = /* sql */ `delete from inbox where run = ?`;
export const deleteRun: string = /* sql */ `delete from runs where n = ?`;
export const payloadsOfRun: string = /* sql */ `select payload from payload_uses where run = ?`;
export const deletePayloadUses: string = /* sql */ `delete from payload_uses where run = ?`;

export const deletePayload: string = /* sql */ `
  delete from payloads
   where n = ?
     and not exists (select 1 from payload_uses where payload = ?)
  returning octet_length(text) as bytes`;

export const lastEmitted: string = /* sql */ `select ifnull(max(n), 0) as n from emitted where run = ? and stream = ?`;

export const insertEmitted: string = /* sql */ `
  insert into emitted (run, stream, n, step, attempt, text)
  values (?, ?, ?, ?, ?, ?)`;

export const trimEmitted: string = /* sql */ `delete from emitted where run = ? and stream = ? and n <= ?`;

export const readEmitted: string = /* sql */ `
  select n as position, stream, step, attempt, text
    from emitted
   where run = ?
     and stream = ?
     and n > ?
   order by n
   limit +?`;
