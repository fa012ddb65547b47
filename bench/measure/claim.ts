/** How soon a run is taken by another process than the one that made it, when nothing else is going on. */
import type { Line } from "../found.ts";
import { against, plain } from "../found.ts";
import type { Measurement } from "../harness.ts";

export const claim: Measurement = {
  name: "claim",
  title: "Run made in one process → its first step entered in another",
  rounds: { full: 3, quick: 1 },
  async cases({ quick }) {
    const args = { count: quick ? 100 : 300 };
    return [
      { id: "sqlite", program: "claim", args },
      { id: "floor", program: "claimFloor", args, postgres: "fresh" },
      { id: "postgres", program: "claim", args, postgres: "fresh" },
    ];
  },
  lines(found) {
    const onPostgres = (what: string, name: string, words: Partial<Line> = {}): Line =>
      against(found, { what: `PostgreSQL: ${what}`, unit: "ms", ...words }, ["postgres", name], ["floor", name]);
    return [
      onPostgres("median", "p50", { peer: "DBOS: at most 16.6 ms; OpenWorkflow: 66 ms" }),
      onPostgres("99 of 100", "p99"),
      plain(found, { what: "SQLite: median", unit: "ms" }, ["sqlite", "p50"]),
      plain(found, { what: "SQLite: 99 of 100", unit: "ms" }, ["sqlite", "p99"]),
    ];
  },
};
