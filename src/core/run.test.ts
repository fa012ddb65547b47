import { describe, expect, test } from "vitest";

import { isStemmaError } from "./error.ts";
import type { EventType } from "./event.ts";
import { outcomeOf } from "./event.ts";
import type { Status } from "./run.ts";
import { isTerminal, nextStatus, statuses, terminal } from "./run.ts";

/** What an event makes of a run that is queued, running, suspended, paused; `-` where it is refused. */
const table: Readonly<Record<EventType, string>> = {
  "run.created": "- - - -",
  "run.started": "running running running -",
  "run.suspended": "suspended suspended suspended paused",
  "run.paused": "paused paused paused paused",
  "run.unpaused": "- - - running",
  "run.succeeded": "- succeeded - -",
  "run.failed": "failed failed failed -",
  "run.cancelled": "cancelled cancelled cancelled cancelled",
  "run.timed_out": "timed_out timed_out timed_out timed_out",
  "run.set": "queued running suspended paused",
  "run.patched": "queued running suspended paused",
  "run.warned": "queued running suspended paused",
  "step.started": "queued running suspended paused",
  "step.attempt_failed": "queued running suspended paused",
  "step.succeeded": "queued running suspended paused",
  "step.failed": "queued running suspended paused",
  "step.cancelled": "queued running suspended paused",
  "step.reused": "queued running suspended paused",
  "step.overridden": "queued running suspended paused",
  "step.in_doubt": "queued running suspended paused",
  "step.decided": "queued running suspended paused",
  "wait.opened": "queued running suspended paused",
  "wait.answered": "- running running paused",
  "wait.failed": "- running running paused",
  "wait.refused": "queued running suspended paused",
  "wait.expired": "- running running paused",
  "wait.withdrawn": "queued running suspended paused",
  "signal.received": "queued running suspended paused",
  "scope.closed": "queued running suspended paused",
  checkpoint: "queued running suspended paused",
  "cancel.requested": "queued running suspended paused",
  "child.started": "queued running suspended paused",
  "child.ended": "- running running paused",
};

const open = ["queued", "running", "suspended", "paused"] as const;
const ended = ["succeeded", "failed", "cancelled", "timed_out"] as const;
const types = Object.keys(outcomeOf) as EventType[];

/** The status after an event, or `-` if it is refused in the way in which events are refused. */
function after(status: Status | undefined, type: EventType): string {
  try {
    return nextStatus(status, type);
  } catch (error) {
    if (isStemmaError(error, "run.transition")) return "-";
    throw error;
  }
}

test("the table of this test speaks of every event, and the statuses are those four open and four terminal ones", () => {
  expect(Object.keys(table).toSorted()).toEqual(types.toSorted());
  expect([...statuses]).toEqual([...open, ...ended]);
  expect([...terminal]).toEqual([...ended]);
  expect(statuses.filter(isTerminal)).toEqual([...ended]);
});

test.each(types)("%s leads each open status exactly where the table says", (type) => {
  expect(open.map((status) => after(status, type)).join(" ")).toBe(table[type]);
});

describe.each(ended)("a run that is %s", (status) => {
  test.each(types)("refuses %s", (type) => {
    expect(() => nextStatus(status, type)).toThrow(
      expect.objectContaining({
        code: "run.transition",
        message: `A run that is ${status} takes no ${type}.`,
        data: { status, type },
      }),
    );
  });
});

test.each(types.filter((type) => type !== "run.created"))("a run does not begin with %s", (type) => {
  expect(() => nextStatus(undefined, type)).toThrow(
    expect.objectContaining({
      code: "run.transition",
      message: `Expected run.created as the first event of a run, got ${type}.`,
    }),
  );
});

test("a run begins queued", () => {
  expect(nextStatus(undefined, "run.created")).toBe("queued");
});

test("every status but queued is reached from another one, and nothing leads back to queued", () => {
  const reached = new Set<string>();
  for (const status of open) {
    for (const type of types) {
      const next = after(status, type);
      if (next !== status) reached.add(next);
    }
  }
  reached.delete("-");
  expect([...reached].toSorted()).toEqual(statuses.filter((status) => status !== "queued").toSorted());
});

test("a refusal says from which statuses the event is possible, for people and for programs", () => {
  expect(() => nextStatus("suspended", "run.succeeded")).toThrow(
    expect.objectContaining({
      code: "run.transition",
      message: "run.succeeded is possible when a run is running; this one is suspended.",
      data: { status: "suspended", type: "run.succeeded", from: ["running"] },
    }),
  );
});
