import { describe, expect, test } from "vitest";

import type { Causes, Draft, Event, EventType, Value } from "../core/event.ts";
import { labelOf, parseKey } from "../core/identity.ts";
import type { Identity } from "../core/identity.ts";
import { sha256 } from "./hash.ts";
import type { Recorded } from "./recall.ts";
import { Recall, latest } from "./recall.ts";

type Step = { [T in EventType]: { type: T; data: Extract<Draft, { type: T }>["data"]; causes?: Causes } }[EventType];

const output: Value = { inline: 1 };
const error = { name: "Error", message: "no" };
const a = sha256('"a"');
const b = sha256('"b"');

/** A history that begins with run.created (0) and run.started (1); the given events are 2, 3, 4 … */
function history(...steps: Step[]): Event[] {
  const data = { workflow: "w", version: 1, input: output, origin: { kind: "new" as const }, family: "R", seed: "s" };
  const all: Step[] = [
    { type: "run.created", data, causes: [] },
    { type: "run.started", data: { worker: "w", epoch: 1, fingerprint: "f" } },
    ...steps,
  ];
  return all.map((step, seq) => ({ ...step, seq, at: seq, causes: step.causes ?? [0], hash: "" }));
}

function recallOf(events: readonly Event[]): Recall {
  const recall = new Recall(events[0]?.seq ?? 0, events.at(-1)?.seq ?? -1);
  for (const event of events) recall.add(event);
  return recall.complete();
}

const recall = (...steps: Step[]): Recall => recallOf(history(...steps));
/** All asks, in the order in which they were made. */
const asks = (found: Recall): Recorded[] => [...found.unasked()];
/** Keys of those that have an outcome, in the order in which it came. */
const settled = (found: Recall): (string | undefined)[] =>
  [...found.outcomeSeqs()].map((seq) => asks(found).find((recorded) => recorded.outcome === seq)?.key);
const keys = (some: readonly Recorded[]): string[] => some.map((recorded) => recorded.key);
/** An identity, from `path#input#n`. */
function identity(text: string): Identity {
  const [path = "", input = "", n = ""] = text.split("#");
  const { scope, name } = parseKey(path);
  return { scope, name, input: input === "-" ? null : input, n: Number(n) };
}

function only(found: Recall): Recorded {
  expect(found.asks).toBe(1);
  return asks(found)[0] as Recorded;
}

describe("an ask on record", () => {
  test("is found by its identity; a step that succeeded at once has its outcome and nothing else", () => {
    const found = recall({
      type: "step.succeeded",
      data: { key: "x/charge", input: a, given: { inline: "a" }, output },
      causes: [0],
    });
    const recorded = only(found);
    expect(recorded).toEqual({ key: "x/charge", first: 2, after: 0, outcome: 2 });
    expect(found.take(identity(`x/charge#${a}#0`))).toEqual(recorded);
    expect(found.take(identity(`x/charge#${a}#0`))).toBeUndefined();
    expect(asks(found)).toEqual([]);
  });

  test.each([
    [{ type: "step.succeeded", data: { key: "x", output } }],
    [{ type: "step.failed", data: { key: "x", error } }],
    [{ type: "step.cancelled", data: { key: "x", reason: "lost race" } }],
    [{ type: "step.overridden", data: { key: "x", output } }],
    [{ type: "wait.answered", data: { key: "x", value: output } }],
    [{ type: "wait.failed", data: { key: "x", error } }],
    [{ type: "wait.expired", data: { key: "x" } }],
    [{ type: "wait.withdrawn", data: { key: "x", reason: "lost race" } }],
    [{ type: "child.ended", data: { key: "x", run: "run_c", status: "succeeded" } }],
  ] as [Step][])("is settled by %j", (step) => {
    const found = recall(step);
    expect(only(found)).toMatchObject({ first: 2, outcome: 2 });
    expect(settled(found)).toEqual(["x"]);
  });

  test.each([
    [{ type: "step.started", data: { key: "x", attempt: 1 } }],
    [{ type: "step.attempt_failed", data: { key: "x", attempt: 1, error } }],
    [{ type: "step.in_doubt", data: { key: "x", attempt: 1 } }],
    [{ type: "wait.opened", data: { key: "x", kind: "approval" } }],
    [{ type: "wait.refused", data: { key: "x", error } }],
    [{ type: "child.started", data: { key: "x", run: "run_c" } }],
  ] as [Step][])("is open after %j", (step) => {
    const found = recall(step);
    expect(only(found)).toMatchObject({ first: 2, outcome: undefined });
    expect(found.outcomes).toBe(0);
  });

  test("keeps the first outcome: nothing that comes later can change what was delivered", () => {
    const found = recall(
      { type: "step.succeeded", data: { key: "x", output } },
      { type: "step.failed", data: { key: "x", error } },
    );
    expect(only(found).outcome).toBe(2);
    expect(found.outcomes).toBe(1);
  });

  test("knows its first start, its failed attempts, and that it is in doubt", () => {
    const recorded = only(
      recall(
        { type: "step.started", data: { key: "x", attempt: 1 } },
        { type: "step.attempt_failed", data: { key: "x", attempt: 1, error }, causes: [2] },
        { type: "step.started", data: { key: "x", attempt: 2 }, causes: [3] },
        { type: "step.attempt_failed", data: { key: "x", attempt: 2, error }, causes: [4] },
        { type: "step.in_doubt", data: { key: "x", attempt: 3 }, causes: [5] },
      ),
    );
    expect(recorded).toMatchObject({ first: 2, started: 2, attempts: 2, doubtful: true });
  });

  test("that is a wait knows where it opened and until when; opened again, the last time counts", () => {
    const opened = (until?: number): Step => ({
      type: "wait.opened",
      data: { key: "x", kind: "timer", ...(until === undefined ? {} : { until }) },
    });
    expect(only(recall(opened())).opened).toEqual({ seq: 2, until: undefined });
    expect(only(recall(opened(50), opened(99))).opened).toEqual({ seq: 3, until: 99 });
  });

  test("is one ask with all events of its key, told apart by the input of the first", () => {
    const found = recall(
      { type: "step.started", data: { key: "x", input: a, given: { inline: "a" }, attempt: 1 } },
      { type: "step.succeeded", data: { key: "x", output }, causes: [2] },
    );
    expect(only(found)).toMatchObject({ key: "x", first: 2, outcome: 3 });
    expect(found.take(identity("x#-#0"))).toBeUndefined();
    expect(found.take(identity(`x#${a}#0`))?.key).toBe("x");
  });
});

describe("causes of an ask", () => {
  test("are spelled out, or those of the event that spells them out; the few that nobody refers to are not kept", () => {
    const causes = [0, 2, 3, 1];
    const found = recall(
      { type: "step.succeeded", data: { key: "p", output } },
      { type: "step.succeeded", data: { key: "q", output }, causes: { same: 2 } },
      { type: "step.succeeded", data: { key: "x", output }, causes },
      { type: "step.succeeded", data: { key: "y", output }, causes: { same: 4 } },
    );
    expect(asks(found).map(({ causes: named, spelledAt, after }) => [named, spelledAt, after])).toEqual([
      [undefined, undefined, 0],
      [undefined, undefined, 0],
      [causes, 4, 3],
      [causes, 4, 3],
    ]);
    // A million asks may share a thousand causes.
    expect(asks(found)[3]?.causes).toBe(asks(found)[2]?.causes);
  });

  test("give the last outcome delivered before it, unless its event says otherwise", () => {
    const found = recall(
      { type: "step.succeeded", data: { key: "p", output } },
      { type: "step.succeeded", data: { key: "q", output }, causes: [2] },
      { type: "step.succeeded", data: { key: "x", output, after: 3 }, causes: [2] },
      { type: "step.succeeded", data: { key: "y", output, after: 0 }, causes: [3] },
    );
    expect(Object.fromEntries(asks(found).map(({ key, after }) => [key, after]))).toEqual({
      p: 0,
      q: 2,
      x: 3,
      y: 0,
    });
  });

  test("the latest of none is the creation of the run", () => {
    expect(latest([])).toBe(0);
    expect(latest([4, 9, 2])).toBe(9);
  });
});

describe("order", () => {
  test("asks come in the order in which they were made, outcomes in that in which they came", () => {
    // p and slow were asked at once, then q when p was done; slow was put on record late and ended last.
    const found = recall(
      { type: "step.succeeded", data: { key: "p", output } },
      { type: "step.succeeded", data: { key: "q", output }, causes: [2] },
      { type: "step.started", data: { key: "slow", attempt: 1 } },
      { type: "step.succeeded", data: { key: "r", output }, causes: [3] },
      { type: "step.succeeded", data: { key: "slow", output }, causes: [4] },
    );
    expect(keys(asks(found))).toEqual(["p", "slow", "q", "r"]);
    expect(settled(found)).toEqual(["p", "q", "r", "slow"]);
  });

  test("equal asks are told apart by their place, whatever their labels say", () => {
    const found = recall(
      { type: "step.succeeded", data: { key: "x", input: a, output } },
      { type: "step.succeeded", data: { key: "x#2", input: b, n: 0, output } },
      { type: "step.succeeded", data: { key: "x#3", input: a, n: 1, output } },
    );
    expect(found.take(identity("x#-#0"))).toBeUndefined();
    expect([`x#${a}#0`, `x#${b}#0`, `x#${a}#1`].map((text) => found.take(identity(text))?.key)).toEqual([
      "x",
      "x#2",
      "x#3",
    ]);
  });

  test("the index is as large as the history says, and built in one pass", () => {
    const steps = Array.from({ length: 20_000 }, (_, i): Step => ({
      type: "step.succeeded",
      data: { key: labelOf("x", i), output },
    }));
    const found = recall(...steps);
    expect(found.asks).toBe(20_000);
    expect(found.outcomes).toBe(20_000);
    expect(found.take(identity("x#-#19999"))?.first).toBe(20_001);
  });
});

test("the part of a history behind a checkpoint is indexed by the places that its events have in the whole", () => {
  const causes = [4, 2, 3, 0];
  const whole = history(
    { type: "step.succeeded", data: { key: "before", output } },
    { type: "step.succeeded", data: { key: "also", output } },
    { type: "checkpoint", data: { state: output, parent: null }, causes: [2, 3] },
    { type: "step.succeeded", data: { key: "#1/x", output }, causes },
    { type: "step.succeeded", data: { key: "#1/y", output }, causes: { same: 5 } },
  );
  const found = recallOf(whole.slice(4));
  expect(
    asks(found).map(({ key, first, after, causes: named, spelledAt }) => [key, first, after, named, spelledAt]),
  ).toEqual([
    ["#1/x", 5, 4, causes, 5],
    ["#1/y", 6, 4, causes, 5],
  ]);
  expect(recallOf([])).toMatchObject({ asks: 0, outcomes: 0 });
});

test("closed scopes are known by their label, and are no asks", () => {
  const found = recall(
    { type: "step.succeeded", data: { key: "l/x", output } },
    { type: "scope.closed", data: { scope: "l", kind: "all" }, causes: [2] },
    { type: "scope.closed", data: { scope: "l#2", kind: "map" }, causes: [2] },
  );
  expect([...found.closed]).toEqual([
    ["l", 3],
    ["l#2", 4],
  ]);
  expect(keys(asks(found))).toEqual(["l/x"]);
});

test("what happens to the run and not to a step is no ask", () => {
  const found = recall(
    { type: "run.suspended", data: { reason: "waiting" } },
    { type: "signal.received", data: { name: "s", payload: output } },
    { type: "checkpoint", data: { state: output, parent: null } },
    { type: "cancel.requested", data: {} },
    { type: "run.set", data: { tags: [] } },
  );
  expect(found).toMatchObject({ asks: 0, outcomes: 0 });
  expect(found.closed.size).toBe(0);
});
