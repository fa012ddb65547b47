/** What a task costs in memory, when it does nothing: against a bare loop, with a limit of time, and with many tasks. */
import type { Line } from "../found.ts";
import { against, plain } from "../found.ts";
import type { Bench, Case, Measurement } from "../harness.ts";

const shapes = ["chain", "wide", "layered"] as const;
const counts = ({ quick }: Bench): readonly number[] => (quick ? [1000, 10_000] : [1000, 10_000, 100_000]);

export const tasks: Measurement = {
  name: "tasks",
  title: "Graphs of tasks in memory",
  rounds: { full: 5, quick: 2 },
  async cases(bench) {
    return shapes.flatMap((shape): Case[] => [
      ...counts(bench).map((count) => ({ id: `${shape} ${count}`, program: "tasks", args: { shape, count } })),
      ...["bare", "run"].map((what) => ({
        id: `${shape} ${what} alone`,
        program: "tasksAlone",
        args: { shape, count: 10_000, what },
      })),
      ...(bench.quick ? [] : [{ id: `${shape} million`, program: "million", args: { shape } }]),
    ]);
  },
  lines(found, bench) {
    const lines: Line[] = [];
    const [few = 0, ...more] = counts(bench);
    for (const shape of shapes) {
      for (const count of counts(bench)) {
        const id = `${shape} ${count}`;
        const what = `${shape}, ${count.toLocaleString("en-US")}, per task`;
        const [unit, target] = ["ns", "≤ 2.5"];
        lines.push(
          against(found, { what: `${what}: against a bare loop`, unit, target }, [id, "againNs"], [id, "bareNs"]),
        );
        lines.push(against(found, { what: `${what}: the graph is new`, unit }, [id, "newNs"], [id, "bareThenNs"]));
        const limit = { what: `${what}: a limit of time on each, against none`, unit, target: "≤ 3" };
        lines.push(against(found, limit, [id, "timedNs"], [id, "withoutNs"]));
        lines.push(
          plain(found, { what: `${what}: event loop blocked, longest`, unit: "ms", target: "≤ 20" }, [id, "max"]),
        );
      }
      const alone = {
        what: `${shape}, 10,000, per task: against a bare loop, each in a process of its own`,
        unit: "ns",
      };
      lines.push(against(found, alone, [`${shape} run alone`, "ns"], [`${shape} bare alone`, "ns"]));
      for (const count of more) {
        const what = `${shape}, ${count.toLocaleString("en-US")} against ${few.toLocaleString("en-US")}, per task`;
        lines.push(
          against(found, { what, unit: "ns" }, [`${shape} ${count}`, "againNs"], [`${shape} ${few}`, "againNs"]),
        );
      }
      if (!bench.quick)
        lines.push(plain(found, { what: `${shape}, 1,000,000`, unit: "ms" }, [`${shape} million`, "ms"]));
    }
    return lines;
  },
};
