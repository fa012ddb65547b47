/** How long the event loop is blocked while many runs go on: what everything else in the process has to wait. */
import type { Line } from "../found.ts";
import { plain } from "../found.ts";
import type { Case, Measurement } from "../harness.ts";

const concurrencies = [64, 512] as const;

export const eventLoop: Measurement = {
  name: "event-loop",
  title: "Event loop under load",
  rounds: { full: 3, quick: 1 },
  async cases({ quick }) {
    const [runs, warmUp] = quick ? [1000, 500] : [4000, 1000];
    return concurrencies.map((concurrency): Case => ({
      id: String(concurrency),
      program: "blocked",
      args: { concurrency, runs, warmUp: Math.max(warmUp, concurrency) },
    }));
  },
  lines(found) {
    const lines: Line[] = [];
    for (const concurrency of concurrencies) {
      const line = (what: string, name: string): Line =>
        plain(found, { what: `${concurrency} at a time: ${what}`, unit: "ms" }, [String(concurrency), name]);
      lines.push(
        line("half of the time", "p50"),
        line("99.9 %", "p999"),
        line("longest", "max"),
        line("99 %, as Node has it", "nodeP99"),
        line("longest, as Node has it", "nodeMax"),
      );
    }
    return lines;
  },
};
