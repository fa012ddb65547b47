/** How many durable steps a second on PostgreSQL: the floors on the same server, and Stemma with 1 and 64 runs at a time. */
import type { Line } from "../found.ts";
import { against, plain } from "../found.ts";
import type { Case, Measurement } from "../harness.ts";

export const postgresThroughput: Measurement = {
  name: "postgres-throughput",
  title: "PostgreSQL: durable steps per second (workflow of 10 steps, 200 bytes each)",
  rounds: { full: 5, quick: 2 },
  async cases({ quick }) {
    const [runs, warmUp] = quick ? [1000, 500] : [4000, 1000];
    const few = { runs: runs / 10, warmUp: warmUp / 5 };
    const many = { runs, warmUp };
    const floor = (id: string, args: object): Case => ({ id, program: "postgresFloor", args, postgres: "fresh" });
    const stemma = (id: string, args: object): Case => ({ id, program: "load", args, postgres: "fresh" });
    // Each beside its floor, so that what the disk does meanwhile meets both.
    return [
      floor("floor 16", { kind: "rows", together: 1, connections: 16, ...many }),
      floor("floor 1", { kind: "rows", together: 1, connections: 1, ...few }),
      stemma("stemma 1", { concurrency: 1, ...few }),
      floor("floor 64", { kind: "rows", together: 64, connections: 1, ...many }),
      stemma("stemma 64", { concurrency: 64, ...many }),
      floor("bare 64", { kind: "bare", together: 64, connections: 1, ...many }),
    ];
  },
  lines(found) {
    const floor = (what: string, id: string): Line =>
      plain(found, { what: `floor: ${what}`, unit: "steps/s" }, [id, "stepsPerSecond"]);
    const stemma = (what: string, concurrency: number, of: string, more: Partial<Line> = {}): Line =>
      against(
        found,
        { what: `Stemma, ${concurrency} at a time, of ${what}`, unit: "steps/s", ...more },
        [`stemma ${concurrency}`, "stepsPerSecond"],
        [of, "stepsPerSecond"],
      );
    const cpu = (concurrency: number, more: Partial<Line> = {}): Line =>
      against(
        found,
        { what: `CPU of the client per step, ${concurrency} at a time`, unit: "ms", ...more },
        [`stemma ${concurrency}`, "cpuMsPerStep"],
        [`floor ${concurrency}`, "cpuMsPerStep"],
      );
    return [
      floor("Stemma's rows, one commit each", "floor 1"),
      floor("the same on 16 connections", "floor 16"),
      floor("Stemma's rows, 64 runs a commit", "floor 64"),
      floor("outputs only, 64 runs a commit", "bare 64"),
      stemma("the rows floor", 1, "floor 1"),
      stemma("the rows floor", 64, "floor 64", { target: "≥ 0.30", peer: "Absurd: 2,230, 0.04 of its floor" }),
      stemma("the outputs-only floor", 64, "bare 64"),
      cpu(1),
      cpu(64, { peer: "OpenWorkflow: 0.76 ms" }),
    ];
  },
};
