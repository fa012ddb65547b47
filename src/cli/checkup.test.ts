import { describe, expect, test } from "vitest";
import type { Status } from "../core/run.ts";
import type { Finding } from "../store/inspection.ts";
import type { RunRow } from "../store/store.ts";
import { examine, findingsOf, newCheckup } from "./checkup.ts";

const now = 1_000_000;

function row(id: string, status: Status, more: Partial<RunRow> = {}): RunRow {
  const { state, ...rest } = more;
  const steps = { succeeded: 0, failed: 0, cancelled: 0, reused: 0, attemptsFailed: 0 };
  return {
    id,
    state: {
      workflow: "audit",
      version: 1,
      family: id,
      origin: { kind: "new" },
      status,
      steps,
      createdAt: 0,
      tags: [],
      seq: 0,
      ...state,
    },
    epoch: 1,
    hash: "",
    dueAt: null,
    queue: "",
    priority: 0,
    inbox: 0,
    inboxDone: 0,
    claims: 0,
    offered: true,
    ...rest,
  };
}

function found(rows: readonly RunRow[], check: string): Finding[] {
  const checkup = newCheckup();
  for (const each of rows) examine(checkup, each, now);
  return findingsOf(checkup, false).filter((finding) => finding.check === check);
}

const stateOf = (more: Partial<RunRow["state"]>): { state: RunRow["state"] } => ({ state: more as RunRow["state"] });

describe("findingsOf", () => {
  test("runs that nobody offers code for are a problem when they are due, and a warning while they are not", () => {
    const late = row("run_a", "queued", { offered: false, dueAt: now - 1 });
    const later = row("run_b", "suspended", { offered: false, dueAt: now + 1, ...stateOf({ reason: "waiting" }) });
    const [problem] = found([late, later], "offers");
    expect(problem).toMatchObject({ level: "problem", data: { offer: "audit@1", count: 2, due: 1 } });
    expect(problem?.message).toMatch(/^no worker offers audit@1: 2 runs, 1 of them due \(run_a, run_b\)$/);
    expect(problem?.advice).toMatch(/Start a worker.*or restart/);
    expect(found([later], "offers")).toMatchObject([{ level: "warning" }]);
  });

  test("runs that are held, offered, paused or over need no worker", () => {
    const rows = [
      row("run_a", "running", { offered: false, worker: "w", dueAt: 0 }),
      row("run_b", "queued", { offered: true, dueAt: now }),
      row("run_c", "paused", { offered: false, dueAt: 0 }),
      row("run_d", "failed", { offered: false }),
      row("run_e", "queued", { dueAt: now }),
    ];
    expect(found(rows, "offers")).toEqual([]);
    expect(found(rows, "due")).toMatchObject([{ level: "ok" }]);
  });

  test("a run that is due for long, and that somebody may take, is a warning", () => {
    const rows = [row("run_a", "queued", { dueAt: now - 90_000 }), row("run_b", "queued", { dueAt: now - 1000 })];
    expect(found(rows, "due")).toMatchObject([
      { level: "warning", data: { count: 1, longestMs: 90_000, runs: ["run_a"] } },
    ]);
  });

  test.each(["divergence", "poison", "in_doubt", "corrupt"] as const)(
    "a run set aside with %s is a problem with a remedy",
    (reason) => {
      const rows = Array.from({ length: 7 }, (_, i) => row(`run_${i}`, "suspended", stateOf({ reason })));
      const [finding] = found(rows, "aside");
      expect(finding).toMatchObject({ level: "problem", data: { reason, count: 7 } });
      expect(finding?.message).toContain("and 2 more");
      expect(finding?.advice).not.toBe(undefined);
      expect(found([row("run_a", "suspended", stateOf({ reason: "waiting" }))], "aside")).toMatchObject([
        { level: "ok" },
      ]);
    },
  );

  test("a long recall counts from the last checkpoint, and only of runs that go on", () => {
    const long = { seq: 10_001 };
    const rows = [
      row("run_long", "running", stateOf(long)),
      row("run_cut", "running", stateOf({ ...long, checkpoint: { seq: 1, count: 1 } })),
      row("run_over", "succeeded", stateOf(long)),
    ];
    const [finding] = found(rows, "recall");
    expect(finding).toMatchObject({
      level: "warning",
      data: { count: 1, runs: [{ run: "run_long", events: 10_001 }] },
    });
    expect(finding?.advice).toContain("ctx.checkpoint");
  });

  test("the largest runs are named, largest first, and one that nears the limit is a warning", () => {
    const rows = [3, 9, 1, 7, 5, 8].map((seq) => row(`run_${seq}`, "succeeded", stateOf({ seq })));
    const [finding] = found(rows, "size");
    expect(finding).toMatchObject({ level: "ok" });
    expect(finding?.data?.["runs"]).toMatchObject([10, 9, 8, 6, 4].map((events) => ({ events })));
    expect(found([row("run_a", "running", stateOf({ seq: 900_000 }))], "size")).toMatchObject([{ level: "warning" }]);
  });
});
