/**
 * The list of runs. It shows what their trees add up to, and looks at the trees of those alone that it shows: which they
 * are, and in which order, the rows of the runs say, but for runs that are under way, and orders by what trees add up to.
 */
import { StemmaError } from "../../core/error.ts";
import { limits } from "../../core/limits.ts";
import { callerOf } from "../../engine/children.ts";
import type { RunRow } from "../../store/store.ts";
import type { Answer } from "./answer.ts";
import { ok } from "./answer.ts";
import { belongsTags, belongsTo } from "./lineage.ts";
import type { Asked } from "./mount.ts";
import { standingOfRun, summaryOf, treeFacts } from "./run-summary.ts";
import { canonicalStatus } from "./status.ts";
import type { Wire } from "./wire.ts";

/** How many runs a list looks through; what is older is found by its id. */
const rowsMax = 10_000;
/** How many of them are put in order by what their trees add up to: the newest; the others are behind them. */
const treesMax = 500;
/** How many are looked at at a time. */
const atOnce = 20;

export async function listRuns(wire: Wire, { query }: Asked): Promise<Answer> {
  const page = wholeOf(query, "page", 1, 1, 1_000_000);
  const size = wholeOf(query, "page_size", 20, 1, 200);
  const rows = await sorted(wire, await withStatus(wire, await rootRows(wire, query), query), query);
  const start = (page - 1) * size;
  const runs = await inTurns(rows.slice(start, start + size), (row) => summaryOf(wire, row));
  return ok({
    runs,
    total_count: rows.length,
    page,
    page_size: size,
    has_more: start + size < rows.length,
  });
}

async function rootRows(wire: Wire, query: URLSearchParams): Promise<RunRow[]> {
  const [session, actor] = [query.get("session_id"), query.get("actor_id")];
  const since = Date.parse(query.get("since") ?? "");
  const [tag] = belongsTags({ session: session ?? undefined, actor: actor ?? undefined });
  const search = query.get("search")?.toLowerCase() ?? "";
  const run = query.get("run_id");
  const rows: RunRow[] = [];
  let cursor: string | undefined;
  let looked = 0;
  do {
    const page = await wire.stemma.list({
      limit: limits.pageRunsMax,
      ...(tag === undefined ? {} : { tag }),
      ...(Number.isFinite(since) ? { since } : {}),
      ...(run === null || run === "" ? {} : { idPart: run }),
      ...(cursor === undefined ? {} : { cursor }),
    });
    looked += page.runs.length;
    for (const row of page.runs) {
      const { session: ofSession, actor: ofActor } = belongsTo(row.state.tags);
      if (callerOf(row.state.origin) !== undefined) continue;
      if ((session !== null && session !== ofSession) || (actor !== null && actor !== ofActor)) continue;
      if (search !== "" && !`${row.id} ${row.state.workflow}`.toLowerCase().includes(search)) continue;
      rows.push(row);
    }
    ({ cursor } = page);
  } while (cursor !== undefined && looked < rowsMax);
  return rows;
}

async function withStatus(wire: Wire, rows: RunRow[], query: URLSearchParams): Promise<RunRow[]> {
  const wanted = query.get("status") ?? "";
  if (wanted === "") return rows;
  const status = canonicalStatus(wanted);
  const standing = await inTurns(rows, (row) => standingOfRun(wire, row));
  return rows.filter((_row, i) => standing[i]?.status === status);
}

const sortable = ["updated_at", "started_at", "status", "total_steps", "failed_steps", "active_executions"] as const;
type SortBy = (typeof sortable)[number];

/** As they come they are in the order of their beginnings, newest first. */
async function sorted(wire: Wire, rows: RunRow[], query: URLSearchParams): Promise<RunRow[]> {
  const by = sortable.find((one) => one === query.get("sort_by")) ?? "started_at";
  const isUp = query.get("sort_order") === "asc";
  if (by === "started_at") return isUp ? rows.toReversed() : rows;
  const most = by === "updated_at" || by === "status" ? rows.length : treesMax;
  const keys = await inTurns(rows.slice(0, most), (row) => keyOf(wire, row, by));
  const sign = isUp ? 1 : -1;
  const order = [...keys.keys()].sort((a, b) => {
    const [one = "", other = ""] = [keys[a], keys[b]];
    return one < other ? -sign : one > other ? sign : a - b;
  });
  return [...order.flatMap((i) => rows[i] ?? []), ...rows.slice(most)];
}

async function keyOf(wire: Wire, row: RunRow, by: Exclude<SortBy, "started_at">): Promise<string | number> {
  switch (by) {
    case "updated_at":
      return (await standingOfRun(wire, row)).latestAt;
    case "status":
      return (await standingOfRun(wire, row)).status;
    case "total_steps":
      return (await treeFacts(wire, row)).total;
    case "failed_steps":
      return (await treeFacts(wire, row)).counts["failed"] ?? 0;
    case "active_executions":
      return row.state.endedAt === undefined ? (await treeFacts(wire, row)).active : 0;
  }
}

async function inTurns<T, R>(all: readonly T[], look: (one: T) => Promise<R>): Promise<R[]> {
  const found: R[] = [];
  for (let i = 0; i < all.length; i += atOnce) found.push(...(await Promise.all(all.slice(i, i + atOnce).map(look))));
  return found;
}

function wholeOf(query: URLSearchParams, name: string, otherwise: number, min: number, max: number): number {
  const given = query.get(name);
  if (given === null || given === "") return otherwise;
  if (!/^\d{1,9}$/.test(given)) throw new StemmaError("usage.invalid", `Expected ${name} to be a whole number.`);
  return Math.min(Math.max(Number(given), min), max);
}
