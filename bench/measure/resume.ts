/** How soon a run goes on that was killed nine tenths of the way: from `start()` to the first new step. */
import { copyFileSync, existsSync, mkdtempSync } from "node:fs";
import { join } from "node:path";

import { against, plain } from "../found.ts";
import type { Line } from "../found.ts";
import { runChild, say } from "../harness.ts";
import type { Bench, Case, Measurement } from "../harness.ts";

type Death = { steps: number; at: number };

const deaths = ({ quick }: Bench): readonly Death[] => {
  const short = { steps: 1000, at: 900 };
  return quick ? [short, { steps: 10_000, at: 9000 }] : [short, { steps: 100_000, at: 90_000 }];
};

/** The lease of the process that was killed must have run out, or waiting for it would be measured. */
const leaseMs = 1500;

export const resume: Measurement = {
  name: "resume",
  title: "Resume of a run whose process was killed",
  rounds: { full: 5, quick: 2 },
  async cases(bench) {
    const folder = mkdtempSync(join(bench.folder, "killed-"));
    const cases: Case[] = [];
    for (const { steps, at } of deaths(bench)) {
      const file = join(folder, `${steps}.db`);
      say(`resume: a run of ${steps} steps is killed at step ${at}`);
      await runChild("dying", { file, steps, at }, { kill: true });
      // Every round begins with the files as the killed process left them, log included.
      const before = (to: string): void => {
        for (const suffix of ["", "-wal"]) {
          if (existsSync(file + suffix)) copyFileSync(file + suffix, join(to, `killed.db${suffix}`));
        }
      };
      cases.push(
        { id: `read ${steps}`, program: "readRows", args: {}, before },
        { id: `resume ${steps}`, program: "resume", args: { at }, before },
      );
    }
    await new Promise((resolve) => setTimeout(resolve, leaseMs));
    return cases;
  },
  lines(found, bench) {
    const lines: Line[] = [];
    for (const { steps, at } of deaths(bench)) {
      const what = `at step ${at.toLocaleString("en-US")} of ${steps.toLocaleString("en-US")}`;
      const target = at === 90_000 ? "< 900 ms" : "≤ 5";
      const words = { what: `${what}: start → first new step`, unit: "ms", target };
      lines.push(against(found, words, [`resume ${steps}`, "ms"], [`read ${steps}`, "ms"]));
      const memory = { what: `${what}: peak memory of the process`, unit: "MB" };
      lines.push(against(found, memory, [`resume ${steps}`, "peakMb"], [`read ${steps}`, "peakMb"]));
      lines.push(
        plain(found, { what: `${what}: event loop blocked, longest`, unit: "ms" }, [`resume ${steps}`, "max"]),
      );
    }
    return lines;
  },
};
