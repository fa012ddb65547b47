/** What a workflow of 10 steps asks of SQLite, and what it leaves in the file. Counted, not timed. */
import { against, plain } from "../found.ts";
import type { Case, Measurement } from "../harness.ts";

export const cost: Measurement = {
  name: "cost",
  title: "Statements, transactions and bytes of a workflow of 10 steps",
  rounds: { full: 1, quick: 1 },
  async cases({ quick }) {
    const runs = quick ? 500 : 2000;
    const floor = { together: 64, runs, warmUp: 64 };
    const cases: Case[] = [
      { id: "rows", program: "floor", args: { ...floor, kind: "rows" } },
      { id: "bare", program: "floor", args: { ...floor, kind: "bare" } },
      { id: "1", program: "cost", args: { concurrency: 1, runs: 200, warmUp: 50 } },
      { id: "64", program: "cost", args: { concurrency: 64, runs, warmUp: 64 } },
    ];
    return cases;
  },
  lines: (found) => [
    plain(found, { what: "write transactions per run, alone", unit: "", target: "≤ 12" }, ["1", "writesPerRun"]),
    plain(found, { what: "read transactions per run, alone", unit: "" }, ["1", "readsPerRun"]),
    plain(found, { what: "SQL statements per run, alone (begin and commit count)", unit: "" }, [
      "1",
      "statementsPerRun",
    ]),
    plain(found, { what: "write transactions per step, 64 at a time", unit: "", target: "≤ 0.05" }, [
      "64",
      "writesPerStep",
    ]),
    plain(found, { what: "read transactions per run, 64 at a time", unit: "" }, ["64", "readsPerRun"]),
    plain(found, { what: "SQL statements per run, 64 at a time", unit: "" }, ["64", "statementsPerRun"]),
    against(
      found,
      { what: "bytes per run, against the same rows", unit: "bytes", target: "≤ 1.5" },
      ["64", "bytesPerRun"],
      ["rows", "bytesPerRun"],
    ),
    against(
      found,
      { what: "bytes per run, against outputs only", unit: "bytes" },
      ["64", "bytesPerRun"],
      ["bare", "bytesPerRun"],
    ),
  ],
};
