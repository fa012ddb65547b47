/** What statements have in common. `@.` stands for the schema, as in `sql.ts`. */
import { limits } from "../../core/limits.ts";

/** The store's clock in milliseconds since 1970; a test may bring its own. */
export const clock: string = "coalesce($1::bigint, floor(extract(epoch from clock_timestamp()) * 1000)::bigint)";

/** A run's row as one JSON text, as `row.ts` reads it. `offered`: whether a worker that has its lease offers code for it. */
export const runJson = (r: string, offered: string): string => /* sql */ `
  json_build_array(${r}.id, ${r}.family, ${r}.workflow, ${r}.version, ${r}.status, ${r}.created_at, ${r}.tags, ${r}.seq,
    ${r}.state, encode(${r}.hash, 'hex'), ${r}.epoch, ${r}.worker, ${r}.due_at, ${r}.queue, ${r}.priority,
    ${r}.inbox_seq, ${r}.inbox_done, ${r}.claims, ${offered}, ${r}.idempotency_key)::text`;

/** $1 is the clock. */
export const isOffered = (r: string): string => /* sql */ `
  exists (select from @.offers o join @.workers w on w.id = o.worker
           where o.workflow = ${r}.workflow and o.version = ${r}.version and w.lease_until > ${clock})`;

/**
 * Arrays for `unnest`, one for each column, from parameter `from` on. They stand in queries of their own: else the
 * planner sees how long they are, believes to know better than the plan that it keeps, and makes one anew each time,
 * which takes longer than carrying it out.
 */
export const arrays = (from: number, ...types: readonly string[]): string =>
  types.map((type, at) => `(select $${from + at}::${type}[])`).join(", ");

/** So many rows whose values are parameters, one row after the other, from parameter `from` on. */
export function rowsOf(rows: number, from: number, ...types: readonly string[]): string {
  const row = (at: number): string => types.map((type, i) => `$${from + at * types.length + i}::${type}`).join(", ");
  return `(values ${Array.from({ length: rows }, (_, at) => `(${row(at)})`).join(", ")})`;
}

/** Which of these runs are not there. */
export const runsGone: string = /* sql */ `
  select o.id from unnest($1::text[]) as o (id) where not exists (select from @.runs r where r.id = o.id) order by o.id`;

/** Whether a run `r` is all there at `t.now`, and not being taken in. */
export const isWhole: string = /* sql */ `(r.epoch > 0 or coalesce(r.due_at, 0) <= t.now + ${limits.takingInMs})`;
