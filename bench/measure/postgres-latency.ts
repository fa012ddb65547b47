/** How long one workflow of 10 steps takes on PostgreSQL when nothing else is going on, from its start to its result. */
import { against } from "../found.ts";
import type { Measurement } from "../harness.ts";

export const postgresLatency: Measurement = {
  name: "postgres-latency",
  title: "PostgreSQL: one workflow of 10 steps alone, start → result",
  rounds: { full: 5, quick: 2 },
  async cases({ quick }) {
    const args = { runs: quick ? 200 : 500, warmUp: 100 };
    return [
      { id: "floor", program: "postgresFloorAlone", args, postgres: "fresh" },
      { id: "stemma", program: "alone", args, postgres: "fresh" },
    ];
  },
  lines: (found) => [
    against(
      found,
      { what: "median", unit: "ms", target: "≤ 1.5", peer: "DBOS: 16.6 ms, 4.6 of its floor" },
      ["stemma", "p50"],
      ["floor", "p50"],
    ),
    against(found, { what: "99 of 100", unit: "ms" }, ["stemma", "p99"], ["floor", "p99"]),
  ],
};
