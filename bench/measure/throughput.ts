/** How many durable steps a second: the floors, and Stemma with 1, 64 and 512 runs at a time. */
import type { Line } from "../found.ts";
import { against, plain } from "../found.ts";
import type { Case, Measurement } from "../harness.ts";

const concurrencies = [1, 64, 512] as const;

export const throughput: Measurement = {
  name: "throughput",
  title: "Durable steps per second (workflow of 10 steps, 200 bytes each)",
  rounds: { full: 7, quick: 2 },
  async cases({ quick }) {
    // The engine is measured as it is in a process that has been at work for a while: compiled, with pages in its caches.
    const [runs, warmUp] = quick ? [1000, 500] : [4000, 1000];
    const few = { runs: runs / 10, warmUp: warmUp / 5 };
    const many = { runs, warmUp };
    const cases: Case[] = [
      { id: "floor 1", program: "floor", args: { kind: "rows", together: 1, ...few } },
      { id: "floor 64", program: "floor", args: { kind: "rows", together: 64, ...many } },
      { id: "floor 512", program: "floor", args: { kind: "rows", together: 512, ...many } },
      { id: "bare 64", program: "floor", args: { kind: "bare", together: 64, ...many } },
    ];
    for (const concurrency of concurrencies) {
      const args = { concurrency, ...(concurrency === 1 ? few : many) };
      cases.push({ id: `stemma ${concurrency}`, program: "load", args });
    }
    return cases;
  },
  lines(found) {
    const lines: Line[] = [
      plain(found, { what: "floor: Stemma's rows, one commit each", unit: "steps/s" }, ["floor 1", "stepsPerSecond"]),
      plain(found, { what: "floor: Stemma's rows, 64 runs a commit", unit: "steps/s" }, ["floor 64", "stepsPerSecond"]),
      plain(found, { what: "floor: outputs only, 64 runs a commit", unit: "steps/s" }, ["bare 64", "stepsPerSecond"]),
    ];
    for (const concurrency of concurrencies) {
      const words = { what: `Stemma, ${concurrency} at a time, of the rows floor`, unit: "steps/s" };
      const target = concurrency === 64 ? { target: "≥ 0.33" } : {};
      const which = [`stemma ${concurrency}`, "stepsPerSecond"] as const;
      lines.push(against(found, { ...words, ...target }, which, [`floor ${concurrency}`, "stepsPerSecond"]));
    }
    const words = { what: "Stemma, 64 at a time, of the outputs-only floor", unit: "steps/s" };
    lines.push(against(found, words, ["stemma 64", "stepsPerSecond"], ["bare 64", "stepsPerSecond"]));
    for (const concurrency of concurrencies) {
      const cpu = { what: `CPU per step, ${concurrency} at a time`, unit: "ms" };
      lines.push(
        against(found, cpu, [`stemma ${concurrency}`, "cpuMsPerStep"], [`floor ${concurrency}`, "cpuMsPerStep"]),
      );
    }
    return lines;
  },
};
