/** How long one workflow of 10 steps takes when nothing else is going on, from its start to its result. */
import { against } from "../found.ts";
import type { Measurement } from "../harness.ts";

export const latency: Measurement = {
  name: "latency",
  title: "One workflow of 10 steps alone, start → result",
  rounds: { full: 5, quick: 2 },
  async cases({ quick }) {
    const args = { runs: quick ? 200 : 500, warmUp: 100 };
    return [
      { id: "floor", program: "floorAlone", args },
      { id: "stemma", program: "alone", args },
    ];
  },
  lines: (found) => [
    against(found, { what: "median", unit: "ms", target: "≤ 1.5" }, ["stemma", "p50"], ["floor", "p50"]),
    against(found, { what: "99 of 100", unit: "ms" }, ["stemma", "p99"], ["floor", "p99"]),
  ],
};
