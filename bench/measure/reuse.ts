/** What a restart or fork costs: the steps that are reused, a long chain of forks, and a fork from a checkpoint. */
import type { Line } from "../found.ts";
import { against, plain } from "../found.ts";
import type { Bench, Case, Measurement } from "../harness.ts";

const shapes = [
  ["declared", "one behind the other, input declared"],
  ["undeclared", "one behind the other, input not declared"],
  ["map", "items of a map"],
] as const;

const stepsOf = ({ quick }: Bench): number => (quick ? 2000 : 10_000);
const forksOf = ({ quick }: Bench): number => (quick ? 200 : 1000);

export const reuse: Measurement = {
  name: "reuse",
  title: "Restart and fork",
  rounds: { full: 3, quick: 1 },
  async cases(bench) {
    const steps = stepsOf(bench);
    return [
      ...shapes.map(([shape]): Case => ({ id: shape, program: "restart", args: { shape, steps } })),
      { id: "chain", program: "chain", args: { forks: forksOf(bench) } },
      { id: "checkpoint", program: "forkCheckpoint", args: { steps } },
    ];
  },
  lines(found, bench) {
    const steps = stepsOf(bench).toLocaleString("en-US");
    const lines: Line[] = [];
    for (const [shape, words] of shapes) {
      const what = `restart behind ${steps} reused steps, ${words}`;
      lines.push(plain(found, { what: `${what}: to the first new step`, unit: "ms", target: "< 500" }, [shape, "ms"]));
      lines.push(
        plain(found, { what: `${what}: rows per reused step`, unit: "", target: "≤ 1.1" }, [shape, "rowsPerStep"]),
      );
    }
    const forks = forksOf(bench).toLocaleString("en-US");
    const last = {
      what: `a fork at the end of a chain of ${forks}, against one at its beginning`,
      unit: "ms",
      target: "≤ 2",
    };
    lines.push(against(found, last, ["chain", "last"], ["chain", "first"]));
    const fork = `fork of a run of ${steps} steps from a checkpoint in its midst`;
    lines.push(
      plain(found, { what: `${fork}: time in the store`, unit: "ms", target: "< 10" }, ["checkpoint", "storeMs"]),
    );
    lines.push(plain(found, { what: `${fork}: rows written`, unit: "", target: "1" }, ["checkpoint", "rows"]));
    return lines;
  },
};
