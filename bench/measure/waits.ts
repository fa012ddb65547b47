/** What 10,000 suspended runs cost a worker, and how soon one of them goes on. On SQLite and on PostgreSQL. */
import { mkdtempSync } from "node:fs";
import { join } from "node:path";

import type { Line } from "../found.ts";
import { above, against, plain } from "../found.ts";
import { runChild, say } from "../harness.ts";
import type { Bench, Case, Measurement } from "../harness.ts";

const countOf = ({ quick }: Bench): number => (quick ? 2000 : 10_000);

const signalsMeasured = 200;

function waitsOn(name: string, title: string, onPostgres: boolean): Measurement {
  return {
    name,
    title,
    rounds: { full: 3, quick: 1 },
    async cases(bench) {
      const runs = countOf(bench);
      const watchMs = bench.quick ? 3000 : 10_000;
      const folder = mkdtempSync(join(bench.folder, "waiting-"));
      const database = onPostgres ? await bench.server.fresh() : undefined;
      say(`${name}: ${runs} runs are suspended`);
      await runChild("suspend", { folder, runs }, { database });
      const fresh = onPostgres ? { postgres: "fresh" as const } : {};
      const prepared = database === undefined ? { folder } : { postgres: database };
      const cases: Case[] = [
        { id: "none", program: "idle", args: { watchMs }, ...fresh },
        { id: "made", program: "idle", args: { watchMs, make: runs }, ...fresh },
        { id: "ended", program: "idle", args: { watchMs: 0, make: runs, nothing: true }, ...fresh },
        { id: "found", program: "idle", args: { watchMs }, ...prepared },
        { id: "signals", program: "signals", args: { count: signalsMeasured }, ...prepared },
      ];
      return cases;
    },
    lines(found, bench) {
      const many = `${countOf(bench).toLocaleString("en-US")} suspended runs`;
      const target = "< 20 MB";
      const more = (what: string, which: [id: string, above: string], name_: string, words: Partial<Line> = {}): Line =>
        above(found, { what, unit: "MB", ...words }, [which[0], name_], [which[1], name_]);
      const beside = (what: string, name_: string, unit: string, words: Partial<Line> = {}): Line =>
        against(found, { what: `${what}, beside none`, unit, ...words }, ["found", name_], ["none", name_]);
      return [
        more(`memory of a worker that finds ${many}, above one that finds none`, ["found", "none"], "rssMb", {
          target,
        }),
        more("what is alive of that", ["found", "none"], "aliveMb"),
        more("memory of the worker that suspended them, above one that never worked", ["made", "none"], "rssMb"),
        more("the same, above one that carried as many to their ends", ["made", "ended"], "rssMb", { target }),
        more("what is alive of that", ["made", "ended"], "aliveMb", { target }),
        beside(`timers of the engine with ${many}`, "armed", "", { target: "none per run" }),
        against(
          found,
          { what: "timers of the engine in the worker that suspended them, beside none", unit: "" },
          ["made", "armed"],
          ["none", "armed"],
        ),
        beside("timers of the process", "timers", ""),
        beside("statements per second of the idle worker", "statementsPerSecond", "", { target: "the same" }),
        beside("CPU per second of the idle worker", "cpuMsPerSecond", "ms"),
        plain(found, { what: "signal → first line of the step behind it: median", unit: "ms" }, ["signals", "p50"]),
        plain(found, { what: "signal → first line of the step: 99 of 100", unit: "ms", target: "< 20 ms" }, [
          "signals",
          "p99",
        ]),
        plain(found, { what: "signal → first line of the step: longest", unit: "ms" }, ["signals", "max"]),
      ];
    },
  };
}

export const waits: Measurement = waitsOn("waits", "Runs that wait", false);
export const postgresWaits: Measurement = waitsOn("postgres-waits", "PostgreSQL: runs that wait", true);
