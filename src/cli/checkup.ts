/**
 * What the rows of a store's runs say about its health: runs that stand still and why, and runs that became large. Rows
 * are taken in one by one and only what is shown is kept, so that a store of any size can be gone through.
 */
import { formatDuration } from "../core/duration.ts";
import { limits } from "../core/limits.ts";
import type { Status } from "../core/run.ts";
import { isTerminal, statuses } from "../core/run.ts";
import type { SuspendReason } from "../core/event.ts";
import type { Finding } from "../store/inspection.ts";
import type { RunRow } from "../store/store.ts";
import { wordsOf } from "./look.ts";
import { offerOf } from "./shown-run.ts";

/** Runs of one kind: how many, and the ids of the first of them. */
type Tally = { count: number; runs: string[] };
type Large = { run: string; events: number };
type AsideReason = Exclude<SuspendReason, "waiting">;

export type Checkup = {
  counts: Map<Status, number>;
  aside: Map<AsideReason, Tally>;
  /** Open runs that no live worker has code for, by offer; `due` counts those that could go on now. */
  unoffered: Map<string, Tally & { due: number }>;
  /** Due for long, with nobody who took them although somebody may. */
  late: Tally & { longestMs: number };
  recalls: Large[];
  recallCount: number;
  largest: Large[];
};

const namedMax = 5;
/** A worker looks for due runs many times a second: what is due for so long is not taken. */
const lateMs = 60_000;
/** Beyond this a cold recall takes seconds. */
const recallEventsMax = 10_000;
const largeShare = 0.8;

export function newCheckup(): Checkup {
  return {
    counts: new Map(),
    aside: new Map(),
    unoffered: new Map(),
    late: { count: 0, runs: [], longestMs: 0 },
    recalls: [],
    recallCount: 0,
    largest: [],
  };
}

/** Takes in the row of a run. */
export function examine(checkup: Checkup, row: RunRow, now: number): void {
  const { id, state } = row;
  checkup.counts.set(state.status, (checkup.counts.get(state.status) ?? 0) + 1);
  keepLargest(checkup.largest, { run: id, events: state.seq + 1 });
  if (isTerminal(state.status)) return;
  const events = state.seq - (state.checkpoint?.seq ?? 0);
  if (events > recallEventsMax) {
    checkup.recallCount += 1;
    keepLargest(checkup.recalls, { run: id, events });
  }
  if (state.status === "suspended" && state.reason !== undefined && state.reason !== "waiting") {
    add(
      tallyOf(checkup.aside, state.reason, () => ({ count: 0, runs: [] })),
      id,
    );
    return;
  }
  if (row.worker === undefined && state.status !== "paused") examineIdle(checkup, row, now);
}

function examineIdle(checkup: Checkup, row: RunRow, now: number): void {
  const dueMs = row.dueAt === null ? -1 : now - row.dueAt;
  if (!row.offered) {
    const tally = tallyOf(checkup.unoffered, offerOf(row), () => ({ count: 0, runs: [], due: 0 }));
    add(tally, row.id);
    if (dueMs >= 0) tally.due += 1;
  } else if (dueMs > lateMs) {
    add(checkup.late, row.id);
    checkup.late.longestMs = Math.max(checkup.late.longestMs, dueMs);
  }
}

function tallyOf<K, T>(tallies: Map<K, T>, key: K, none: () => T): T {
  const known = tallies.get(key);
  if (known !== undefined) return known;
  const tally = none();
  tallies.set(key, tally);
  return tally;
}

function add(tally: Tally, run: string): void {
  tally.count += 1;
  if (tally.runs.length < namedMax) tally.runs.push(run);
}

function keepLargest(list: Large[], large: Large): void {
  if (list.length === namedMax && large.events <= (list.at(-1)?.events ?? 0)) return;
  list.push(large);
  list.sort((a, b) => b.events - a.events);
  list.length = Math.min(list.length, namedMax);
}

/** What was found. `partly`: not all runs that ended were looked at. */
export function findingsOf(checkup: Checkup, partly: boolean): Finding[] {
  return [
    countFinding(checkup, partly),
    ...unofferedFindings(checkup),
    lateFinding(checkup),
    ...asideFindings(checkup),
    recallFinding(checkup),
    sizeFinding(checkup),
  ];
}

function countFinding({ counts }: Checkup, partly: boolean): Finding {
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const parts = statuses.flatMap((status) => {
    const count = counts.get(status) ?? 0;
    return count === 0 ? [] : [`${count} ${wordsOf(status)}`];
  });
  const message =
    total === 0 ? "no runs yet" : `${parts.join(", ")}${partly ? "; not all that ended were looked at" : ""}`;
  return { check: "runs", level: "ok", message, data: { ...Object.fromEntries(counts), partly } };
}

function unofferedFindings({ unoffered }: Checkup): Finding[] {
  return [...unoffered].map(([offer, { count, due, runs }]) => {
    const [workflow = ""] = offer.split("@");
    return {
      check: "offers",
      // What is not due needs no worker yet.
      level: due > 0 ? "problem" : "warning",
      message: `no worker offers ${offer}: ${ofRuns(count)}, ${due} of them due (${named(runs, count)})`,
      advice: `Start a worker with a file that exports ${offer}, or restart the runs with the version of ${workflow} that is offered.`,
      data: { offer, count, due, runs },
    };
  });
}

function lateFinding({ late }: Checkup): Finding {
  const { count, runs, longestMs } = late;
  if (count === 0) return { check: "due", level: "ok", message: "every run that is due was taken" };
  return {
    check: "due",
    level: "warning",
    message: `${ofRuns(count)} due for up to ${formatDuration(longestMs)} without being taken (${named(runs, count)})`,
    advice:
      "Start a worker with their code. If one is running, it is full (raise its concurrency) or does not offer their version.",
    data: { count, longestMs, runs },
  };
}

const remedies: Readonly<Record<AsideReason, string>> = {
  divergence:
    "Run a worker with the code that began them, and they go on by themselves; or restart them with the code of now. stemma show says what differs.",
  poison:
    "Their workers died again and again: mend what ends them (memory? a crash in native code?), then restart the runs. stemma show names the steps.",
  in_doubt:
    "Look at the service that the step calls, then decide: stemma decide <run> <key> with --record and what happened, --run to enter it again, or --fail. stemma show names the steps.",
  corrupt: "Keep a copy of the store with its -wal file, and restore a backup. stemma show says what is wrong.",
};

function asideFindings({ aside }: Checkup): Finding[] {
  if (aside.size === 0) return [{ check: "aside", level: "ok", message: "no run was set aside" }];
  return [...aside].map(([reason, { count, runs }]) => ({
    check: "aside",
    level: "problem",
    message: `${ofRuns(count)} set aside, ${wordsOf(reason)} (${named(runs, count)})`,
    advice: remedies[reason],
    data: { reason, count, runs },
  }));
}

function recallFinding({ recalls, recallCount }: Checkup): Finding {
  const check = "recall";
  if (recallCount === 0) {
    return {
      check,
      level: "ok",
      message: `no open run recalls more than ${recallEventsMax.toLocaleString("en")} events`,
    };
  }
  return {
    check,
    level: "warning",
    message: `${ofRuns(recallCount)} recalling more than ${recallEventsMax.toLocaleString("en")} events (${listed(recalls)})`,
    advice: "Call ctx.checkpoint(state) in their workflow now and then: what is before it is not recalled any more.",
    data: { count: recallCount, runs: recalls },
  };
}

function sizeFinding({ largest }: Checkup): Finding {
  const check = "size";
  const [first] = largest;
  if (first === undefined) return { check, level: "ok", message: "no runs yet" };
  const message = `largest: ${listed(largest)}`;
  const data = { runs: largest };
  if (first.events < limits.historyEventsMax * largeShare) return { check, level: "ok", message, data };
  const advice = `A run has at most ${limits.historyEventsMax.toLocaleString("en")} events. Split its work into several runs.`;
  return { check, level: "warning", message, advice, data };
}

function ofRuns(count: number): string {
  return count === 1 ? "1 run" : `${count} runs`;
}

function named(runs: readonly string[], count: number): string {
  return runs.join(", ") + (count > runs.length ? ` and ${count - runs.length} more` : "");
}

function listed(list: readonly Large[]): string {
  return list.map(({ run, events }) => `${run} with ${events.toLocaleString("en")} events`).join(", ");
}
