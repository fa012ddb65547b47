import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { isStemmaError } from "./error.ts";
import type { Causes, Draft, Event, EventType, Value } from "./event.ts";
import type { RunState } from "./reduce.ts";
import { reduce, reduceAll } from "./reduce.ts";
import { isTerminal } from "./run.ts";

/** A draft that may leave its causes out: then it is caused by the event before it. */
type Step = { [T in EventType]: { type: T; data: Extract<Draft, { type: T }>["data"]; causes?: Causes } }[EventType];

const output: Value = { inline: 1 };
const created: Step = {
  type: "run.created",
  data: {
    workflow: "audit",
    version: 3,
    input: { inline: null },
    origin: { kind: "new" },
    family: "run_a",
    seed: "s",
    tags: ["eu"],
  },
};
const started: Step = { type: "run.started", data: { worker: "w", epoch: 1, fingerprint: "f" } };
const error = { name: "Error", message: "no" };

/** Events with seq, time (seq times ten) and causes. */
function history(...steps: Step[]): Event[] {
  return steps.map((step, seq) => {
    const causes = step.causes ?? (seq === 0 ? [] : [seq - 1]);
    return { ...step, seq, at: seq * 10, causes, hash: "" };
  });
}

/** Code and message of the refusal. */
function refusalOf(call: () => unknown): string {
  try {
    call();
  } catch (thrown) {
    if (isStemmaError(thrown)) return `${thrown.code}: ${thrown.message}`;
    throw thrown;
  }
  throw new Error("expected a refusal, nothing was thrown");
}

test("run.created makes the state of a queued run, with all that the list shows", () => {
  expect(reduceAll(history(created))).toEqual({
    workflow: "audit",
    version: 3,
    family: "run_a",
    origin: { kind: "new" },
    status: "queued",
    steps: { succeeded: 0, failed: 0, cancelled: 0, reused: 0, attemptsFailed: 0 },
    createdAt: 0,
    tags: ["eu"],
    seq: 0,
  });
});

test("the first start, the end and the last seq are remembered", () => {
  const state = reduceAll(history(created, started, started, { type: "run.succeeded", data: { output } }));
  expect(state).toMatchObject({ status: "succeeded", startedAt: 10, endedAt: 30, seq: 3 });
});

test("a failed run has its error, and no other run has one", () => {
  const failed = reduceAll(history(created, started, { type: "run.failed", data: { error, frontier: ["x"] } }));
  expect(failed).toMatchObject({ status: "failed", error, endedAt: 20 });
  const caught = reduceAll(
    history(
      created,
      started,
      { type: "step.failed", data: { key: "x", error } },
      { type: "run.succeeded", data: { output } },
    ),
  );
  expect(caught.status).toBe("succeeded");
  expect(caught).not.toHaveProperty("error");
});

test("steps are counted by how they ended, and by nothing else", () => {
  const steps: Step[] = [
    { type: "step.started", data: { key: "a", attempt: 1 } },
    { type: "step.attempt_failed", data: { key: "a", attempt: 1, error } },
    { type: "step.attempt_failed", data: { key: "a", attempt: 2, error } },
    { type: "step.succeeded", data: { key: "a", output } },
    { type: "step.failed", data: { key: "b", error } },
    { type: "step.cancelled", data: { key: "c", reason: "lost race" } },
    {
      type: "step.reused",
      data: { key: "d", output, from: { run: "r", key: "d", seq: 1 }, origin: { run: "r", key: "d", seq: 1 } },
    },
    { type: "step.in_doubt", data: { key: "e", attempt: 1 } },
    { type: "wait.opened", data: { key: "f", kind: "timer" } },
    { type: "wait.answered", data: { key: "f", value: output } },
    { type: "scope.closed", data: { scope: "s", kind: "all" } },
    { type: "step.succeeded", data: { key: "a#2", output } },
  ];
  expect(reduceAll(history(created, started, ...steps)).steps).toEqual({
    succeeded: 2,
    failed: 1,
    cancelled: 1,
    reused: 1,
    attemptsFailed: 2,
  });
});

test("why a run is suspended, and until when, is said while it is suspended and no longer", () => {
  const suspended: Step = { type: "run.suspended", data: { reason: "divergence", until: 99, fingerprint: "abc" } };
  const states = [reduceAll(history(created, started, suspended))];
  expect(states[0]).toMatchObject({ status: "suspended", reason: "divergence", until: 99, refused: "abc" });
  for (const next of [started, { type: "run.paused", data: {} }, { type: "run.cancelled", data: {} }] as Step[]) {
    const state = reduceAll(history(created, started, suspended, next));
    for (const field of ["reason", "until", "refused"]) expect(state).not.toHaveProperty(field);
  }
  // What happens to a suspended run without waking it leaves all of it as it is.
  const set = reduceAll(history(created, started, suspended, { type: "run.set", data: { tags: ["us"] } }));
  expect(set).toMatchObject({ status: "suspended", reason: "divergence", until: 99, refused: "abc", tags: ["us"] });
  // Suspended again for another reason: nothing of the first is left.
  const again = reduceAll(history(created, started, suspended, { type: "run.suspended", data: { reason: "waiting" } }));
  expect(again.reason).toBe("waiting");
  for (const field of ["until", "refused"]) expect(again).not.toHaveProperty(field);
});

test("tags are those that were set last; a run without tags has none", () => {
  expect(reduceAll(history(created, { type: "run.set", data: { tags: ["x", "y"] } })).tags).toEqual(["x", "y"]);
  const { tags: _, ...data } = created.data;
  expect(reduceAll(history({ type: "run.created", data })).tags).toEqual([]);
});

test("patches are known by name for the whole run, those that it takes and those that it came too early for", () => {
  const patched: Step[] = [
    { type: "run.patched", data: { name: "a" } },
    { type: "run.patched", data: { name: "b", old: true } },
    { type: "checkpoint", data: { state: output, parent: null } },
    { type: "run.patched", data: { name: "c" } },
  ];
  expect(reduceAll(history(created, started, ...patched))).toMatchObject({ patches: ["a", "c"], unpatched: ["b"] });
  for (const field of ["patches", "unpatched"]) expect(reduceAll(history(created))).not.toHaveProperty(field);
});

test("the last state checkpoint is known by its place, and all are counted, whatever comes after", () => {
  const checkpoint: Step = { type: "checkpoint", data: { state: output, parent: null } };
  expect(reduceAll(history(created, started))).not.toHaveProperty("checkpoint");
  expect(reduceAll(history(created, started, checkpoint)).checkpoint).toEqual({ seq: 2, count: 1 });
  const ended: Step = { type: "run.succeeded", data: { output } };
  expect(reduceAll(history(created, started, checkpoint, started, checkpoint, ended)).checkpoint).toEqual({
    seq: 4,
    count: 2,
  });
});

describe("a history is refused", () => {
  const reduced = (event: Partial<Event>): string =>
    refusalOf(() =>
      reduce(reduceAll(history(created, started)), { ...history(created, started, started)[2], ...event } as Event),
    );

  test("when it is empty", () => {
    expect(refusalOf(() => reduceAll([]))).toBe("event.invalid: A history has at least one event, run.created.");
  });

  test.each([0, 1, 3, -1, 2.5, Number.NaN])("when seq %d comes where 2 is expected", (seq) => {
    expect(reduced({ seq })).toBe(`event.invalid: Expected the event with seq 2, got seq ${seq}.`);
  });

  test("when it does not begin with seq 0 and run.created", () => {
    const [first] = history(created);
    expect(refusalOf(() => reduceAll([{ ...first, seq: 1 } as Event]))).toContain("Expected the event with seq 0");
    expect(refusalOf(() => reduceAll(history(started)))).toContain("run.transition: Expected run.created");
  });

  test("when an event names no cause", () => {
    expect(reduced({ causes: [] })).toBe(
      "event.invalid: run.started at seq 2 names no cause; every later event has one.",
    );
  });

  test.each([[[2]], [[3]], [[-1]], [[0, 2]], [[1, 99]], [[0.5]], [[Number.NaN]], [["0"]], [[null]]])(
    "when an event is caused by %j, which is not an earlier one",
    (causes) => {
      expect(reduced({ causes: causes as number[] })).toMatch(
        /^event\.invalid: .* as its cause: not an earlier event\.$/,
      );
    },
  );

  test.each([2, 3, -1, 0.5, 0])("when an event has the same causes as %d", (same) => {
    // Seq 0 is among them because it has no cause: whoever has the same causes has none either.
    expect(reduced({ causes: { same } })).toMatch(/^event\.invalid: .* as its cause: not an earlier event\.$/);
  });

  test("when the first event has a cause", () => {
    expect(refusalOf(() => reduceAll(history({ ...created, causes: [0] })))).toContain("not an earlier event");
  });

  test("when something comes after the end", () => {
    const ended = history(created, started, { type: "run.succeeded", data: { output } }, started);
    expect(refusalOf(() => reduceAll(ended))).toContain("run.transition: A run that is succeeded takes no run.started");
  });
});

// ---- properties ----------------------------------------------------------------------------------------------------

const later: Step[] = [
  started,
  { type: "run.suspended", data: { reason: "waiting", until: 5 } },
  { type: "run.suspended", data: { reason: "divergence", fingerprint: "abc" } },
  { type: "run.paused", data: {} },
  { type: "run.unpaused", data: {} },
  { type: "run.set", data: { tags: ["x"] } },
  { type: "run.patched", data: { name: "p" } },
  { type: "step.succeeded", data: { key: "a", output } },
  { type: "step.failed", data: { key: "b", error } },
  { type: "step.attempt_failed", data: { key: "a", attempt: 1, error } },
  { type: "checkpoint", data: { state: output, parent: null } },
  { type: "wait.opened", data: { key: "w", kind: "approval" } },
  { type: "wait.answered", data: { key: "w", value: output } },
  { type: "run.failed", data: { error, frontier: [] } },
  { type: "run.succeeded", data: { output } },
];

/** A valid history: of arbitrary events, those that the run takes. */
const histories = fc.array(fc.tuple(fc.constantFrom(...later), fc.nat()), { maxLength: 30 }).map((choices) => {
  const steps: Step[] = [created];
  let state = reduceAll(history(created));
  for (const [step, choice] of choices) {
    const next = history(...steps, { ...step, causes: [choice % steps.length] }).at(-1) as Event;
    try {
      state = reduce(state, next);
    } catch (thrown) {
      if (isStemmaError(thrown, "run.transition")) continue;
      throw thrown;
    }
    steps.push({ ...step, causes: next.causes });
  }
  return history(...steps);
});

test("property: folding event by event, and going on from any state that was stored, is folding the whole", () => {
  fc.assert(
    fc.property(histories, fc.nat(), (events, choice) => {
      const cut = 1 + (choice % events.length);
      const stored = JSON.parse(JSON.stringify(reduceAll(events.slice(0, cut)))) as RunState;
      let state = stored;
      for (const event of events.slice(cut)) state = reduce(state, event);
      expect(state).toEqual(reduceAll(events));
      expect(state.seq).toBe(events.length - 1);
    }),
  );
});

test("property: a state is plain JSON, is never changed by what follows, and has an end exactly if it is at its end", () => {
  fc.assert(
    fc.property(histories, (events) => {
      const states: RunState[] = [];
      const texts: string[] = [];
      for (const event of events) {
        const state = reduce(states.at(-1), event);
        states.push(state);
        texts.push(JSON.stringify(state));
      }
      expect(states.map((state) => JSON.stringify(state))).toEqual(texts);
      for (const state of states) {
        expect(JSON.parse(JSON.stringify(state))).toEqual(state);
        expect("endedAt" in state).toBe(isTerminal(state.status));
        // One that is paused has a reason where it could not go on either.
        if (state.status !== "paused") expect("reason" in state).toBe(state.status === "suspended");
      }
    }),
  );
});
