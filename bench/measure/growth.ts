/** Whether a step costs the same late in a long run as early: time, memory, and blocks of the event loop. */
import type { Line } from "../found.ts";
import { against, plain } from "../found.ts";
import type { Bench, Case, Measurement } from "../harness.ts";

const lengths = ({ quick }: Bench): readonly number[] => (quick ? [1000, 10_000] : [1000, 10_000, 100_000]);

export const growth: Measurement = {
  name: "growth",
  title: "One run of many steps in a row",
  rounds: { full: 2, quick: 1 },
  async cases(bench) {
    return lengths(bench).flatMap((steps): Case[] => [
      { id: `floor ${steps}`, program: "floorLong", args: { steps } },
      { id: `stemma ${steps}`, program: "long", args: { steps } },
    ]);
  },
  lines(found, bench) {
    const [shortest = 0, ...longer] = lengths(bench);
    const lines: Line[] = [];
    for (const steps of lengths(bench)) {
      const words = { what: `${count(steps)} steps, per step`, unit: "ms", target: "≤ 1.5" };
      lines.push(against(found, words, [`stemma ${steps}`, "msPerStep"], [`floor ${steps}`, "msPerStep"]));
    }
    for (const steps of longer) {
      const words = {
        what: `a step of ${count(steps)}, against one of ${count(shortest)}`,
        unit: "ms",
        target: "≤ 1.3",
      };
      lines.push(against(found, words, [`stemma ${steps}`, "msPerStep"], [`stemma ${shortest}`, "msPerStep"]));
    }
    for (const steps of lengths(bench)) {
      const words = { what: `peak memory of the process, ${count(steps)} steps`, unit: "MB" };
      lines.push(against(found, words, [`stemma ${steps}`, "peakMb"], [`floor ${steps}`, "peakMb"]));
    }
    for (const steps of lengths(bench)) {
      const what = `event loop blocked, ${count(steps)} steps`;
      lines.push(plain(found, { what: `${what}: longest`, unit: "ms" }, [`stemma ${steps}`, "max"]));
      lines.push(plain(found, { what: `${what}: 99.9 %`, unit: "ms" }, [`stemma ${steps}`, "p999"]));
      lines.push(
        plain(found, { what: `${what}: longest, as Node has it`, unit: "ms" }, [`stemma ${steps}`, "nodeMax"]),
      );
      lines.push(
        plain(found, { what: `${what}: 99.9 %, as Node has it`, unit: "ms" }, [`stemma ${steps}`, "nodeP999"]),
      );
    }
    return lines;
  },
};

function count(steps: number): string {
  return steps.toLocaleString("en-US");
}
