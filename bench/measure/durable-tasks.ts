/** Durable graphs of tasks: whether a task costs the same in a large graph as in a small one, and how one goes on. */
import { copyFileSync, existsSync, mkdtempSync } from "node:fs";
import { join } from "node:path";

import { against, plain } from "../found.ts";
import type { Line } from "../found.ts";
import { runChild, say } from "../harness.ts";
import type { Bench, Case, Measurement } from "../harness.ts";

const counts = ({ quick }: Bench): readonly number[] => (quick ? [1000, 10_000] : [1000, 10_000, 100_000]);
const most = (bench: Bench): number => counts(bench).at(-1) ?? 0;

const shapes = ["wide", "chain", "layered"];

/** The lease of the process that was killed must have run out, or waiting for it would be measured. */
const leaseMs = 1500;

export const durableTasks: Measurement = {
  name: "durable-tasks",
  title: "Durable graphs of tasks, side by side, on SQLite",
  rounds: { full: 3, quick: 1 },
  async cases(bench) {
    const count = most(bench);
    const cases = counts(bench).map((n): Case => ({ id: `run ${n}`, program: "durableTasks", args: { count: n } }));
    for (const shape of shapes) {
      const file = join(mkdtempSync(join(bench.folder, "killed-")), "tasks.db");
      say(`durable-tasks: a run of ${count} tasks (${shape}) is killed when all but one have ended`);
      await runChild("dyingTasks", { file, count, shape }, { kill: true });
      await new Promise((resolve) => setTimeout(resolve, leaseMs));
      // Every round begins with the files as the killed process left them, log included.
      const before = (to: string): void => {
        for (const suffix of ["", "-wal"]) {
          if (existsSync(file + suffix)) copyFileSync(file + suffix, join(to, `killed.db${suffix}`));
        }
      };
      cases.push(
        { id: `read ${shape}`, program: "readRows", args: {}, before },
        { id: `resume ${shape}`, program: "resumeTasks", args: { count, shape }, before },
      );
    }
    return cases;
  },
  lines(found, bench) {
    const [few = 0, ...more] = counts(bench);
    const words = (n: number): string => `${n.toLocaleString("en-US")} tasks`;
    const lines: Line[] = [];
    for (const n of counts(bench)) {
      lines.push(plain(found, { what: `${words(n)}: CPU per task`, unit: "µs" }, [`run ${n}`, "cpuUs"]));
      const blocked = { what: `${words(n)}: event loop blocked, longest`, unit: "ms", target: "≤ 20" };
      lines.push(plain(found, blocked, [`run ${n}`, "max"]));
    }
    for (const n of more) {
      const what = `${words(n)} against ${words(few)}: CPU per task`;
      lines.push(against(found, { what, unit: "µs" }, [`run ${n}`, "cpuUs"], [`run ${few}`, "cpuUs"]));
    }
    for (const shape of shapes) {
      const what = `${words(most(bench))} (${shape}), all but one ended: start → that one`;
      const [resume, read] = [`resume ${shape}`, `read ${shape}`];
      lines.push(against(found, { what, unit: "ms", target: "< 900 ms" }, [resume, "ms"], [read, "ms"]));
      lines.push(plain(found, { what: `${what}, CPU`, unit: "ms" }, [resume, "cpuMs"]));
      lines.push(plain(found, { what: `${what}: event loop blocked, longest`, unit: "ms" }, [resume, "max"]));
    }
    return lines;
  },
};
