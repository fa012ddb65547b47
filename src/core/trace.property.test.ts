import fc from "fast-check";
import { expect, test } from "vitest";

import { isStemmaError } from "./error.ts";
import type { Causes, Draft, Event, EventType, RunId, Value } from "./event.ts";
import { reduceAll } from "./reduce.ts";
import { isTerminal } from "./run.ts";
import type { Trace, TracedRun } from "./trace.ts";
import { components, trace } from "./trace.ts";

type Step = { [T in EventType]: { type: T; data: Extract<Draft, { type: T }>["data"] } }[EventType];

const output: Value = { inline: 1 };
const error = { name: "Error", message: "no" };

/** What may happen to a run, whether or not it makes sense: the trace must be sound whatever happened. */
const happenings: fc.Arbitrary<Step> = fc
  .constantFrom("a", "b", "c")
  .chain((key) =>
    fc.constantFrom<Step>(
      { type: "run.started", data: { worker: "w", epoch: 1, fingerprint: "f" } },
      { type: "run.suspended", data: { reason: "waiting" } },
      { type: "run.paused", data: {} },
      { type: "run.unpaused", data: {} },
      { type: "run.set", data: { tags: [] } },
      { type: "run.patched", data: { name: "p" } },
      { type: "step.started", data: { key, attempt: 1 } },
      { type: "step.attempt_failed", data: { key, attempt: 1, error } },
      { type: "step.succeeded", data: { key, output } },
      { type: "step.failed", data: { key, error } },
      { type: "step.cancelled", data: { key, reason: "lost race" } },
      { type: "step.overridden", data: { key, output } },
      { type: "step.in_doubt", data: { key, attempt: 1 } },
      { type: "step.decided", data: { key, decision: "run" } },
      { type: "wait.opened", data: { key, kind: "approval" } },
      { type: "wait.answered", data: { key, value: output } },
      { type: "wait.failed", data: { key, error } },
      { type: "wait.refused", data: { key, error } },
      { type: "wait.expired", data: { key } },
      { type: "wait.withdrawn", data: { key, reason: "lost race" } },
      { type: "signal.received", data: { name: "s", payload: output } },
      { type: "scope.closed", data: { scope: key, kind: "map" } },
      { type: "checkpoint", data: { state: output, parent: null } },
      { type: "cancel.requested", data: {} },
      { type: "child.started", data: { key, run: "run_child" } },
      { type: "child.ended", data: { key, run: "run_child", status: "succeeded" } },
      { type: "run.succeeded", data: { output } },
      { type: "run.failed", data: { error, frontier: [] } },
      { type: "run.cancelled", data: {} },
      { type: "run.timed_out", data: { limitMs: 1 } },
    ),
  );

const choices = fc.array(
  fc.record({
    step: happenings,
    causes: fc.array(fc.nat(), { minLength: 1, maxLength: 4 }),
    same: fc.option(fc.nat(), { freq: 5 }),
    /** Ends come often enough by themselves; most of these give way to what comes after them. */
    end: fc.nat({ max: 9 }).map((n) => n === 0),
  }),
  { maxLength: 40 },
);
type Choice = (typeof choices extends fc.Arbitrary<infer T> ? T : never)[number];

/** A valid history of these choices: those that the reducer takes, each caused by earlier events. */
function historyOf(first: Event, list: readonly Choice[]): Event[] {
  const events = [first];
  let status = reduceAll(events).status;
  for (const { step, causes, same, end } of list) {
    const seq = events.length;
    const named: Causes =
      same !== null && seq > 1 ? { same: 1 + (same % (seq - 1)) } : causes.map((cause) => cause % seq);
    const event = { ...step, seq, at: seq, causes: named, hash: "" } as Event;
    try {
      status = reduceAll([...events, event]).status;
    } catch (thrown) {
      if (isStemmaError(thrown, "run.transition")) continue;
      throw thrown;
    }
    if (isTerminal(status) && !end) continue;
    events.push(event);
  }
  return events;
}

function firstOf(run: RunId, from: Event | undefined, source: RunId, kind: "child" | "restart" | "fork"): Event {
  const place = { run: source, seq: from?.seq ?? 0 };
  const origin =
    from === undefined
      ? { kind: "new" as const }
      : kind === "child"
        ? { kind, key: "a", ...place }
        : { kind, hash: "", ...place };
  const data = { workflow: "w", version: 1, input: output, origin, family: "run_0", seed: run };
  return { seq: 0, at: 0, type: "run.created", causes: [], data, hash: "" };
}

/** A family: each run but the first comes from any event of any earlier run, and reuses a step of it. */
const families: fc.Arbitrary<TracedRun[]> = fc
  .array(
    fc.record({
      list: choices,
      source: fc.nat(),
      seq: fc.nat(),
      kind: fc.constantFrom("child" as const, "restart" as const, "fork" as const),
    }),
    { minLength: 1, maxLength: 4 },
  )
  .map((members) => {
    const runs: TracedRun[] = [];
    for (const [i, { list, source, seq, kind }] of members.entries()) {
      const run = `run_${i}`;
      const parent = runs[source % Math.max(runs.length, 1)];
      const from = parent?.events[seq % parent.events.length];
      const first = firstOf(run, from, parent?.run ?? "", kind);
      const events = historyOf(first, list);
      const open = !isTerminal(reduceAll(events).status);
      if (parent !== undefined && from !== undefined && open) events.push(reused(events.length, parent.run, from.seq));
      runs.push({ run, events });
    }
    return runs;
  });

function reused(seq: number, run: RunId, at: number): Event {
  const from = { run, key: "a", seq: at };
  const data = { key: "reused", output, from, origin: from };
  return { seq, at: seq, type: "step.reused", causes: [seq - 1], data, hash: "" };
}

function expectSound(graph: Trace): void {
  const nodes = new Set(graph.nodes.map((node) => node.id));
  const edges = new Set(graph.edges.map((edge) => edge.id));
  expect(components(graph)).toBe(1);
  expect(graph.edges.filter((edge) => !nodes.has(edge.from) || !nodes.has(edge.to))).toEqual([]);
  expect(nodes.size).toBe(graph.nodes.length);
  expect(edges.size).toBe(graph.edges.length);
  for (const { id, kind, from, to } of graph.edges) {
    expect(id.startsWith(`${kind}|`)).toBe(true);
    expect(id.endsWith(`|last::${from}|to::${to}`)).toBe(true);
  }
}

test("property: the trace of any run is connected, without dangling edges, and each id is there once", () => {
  fc.assert(
    fc.property(choices, (list) => {
      expectSound(trace([{ run: "run_0", events: historyOf(firstOf("run_0", undefined, "", "fork"), list) }]));
    }),
    { numRuns: 300 },
  );
});

test("property: so is the trace of any family", () => {
  fc.assert(
    fc.property(families, (runs) => expectSound(trace(runs))),
    { numRuns: 300 },
  );
});

test("property: ids are stable while a run goes on: each trace is part of every later one", () => {
  fc.assert(
    fc.property(choices, (list) => {
      const events = historyOf(firstOf("run_0", undefined, "", "fork"), list);
      let before: Trace = { nodes: [], edges: [] };
      for (let length = 1; length <= events.length; length += 1) {
        const graph = trace([{ run: "run_0", events: events.slice(0, length) }]);
        const nodes = new Map(graph.nodes.map((node) => [node.id, node]));
        const edges = new Map(graph.edges.map((edge) => [edge.id, edge]));
        for (const { status: _, ...node } of before.nodes) expect(nodes.get(node.id)).toMatchObject(node);
        for (const edge of before.edges) expect(edges.get(edge.id)).toEqual(edge);
        before = graph;
      }
    }),
    { numRuns: 100 },
  );
});

test("property: numbers of steps are 0, 1, 2 … in the order in which they were first mentioned", () => {
  fc.assert(
    fc.property(choices, (list) => {
      const events = historyOf(firstOf("run_0", undefined, "", "fork"), list);
      const steps = trace([{ run: "run_0", events }]).nodes.filter((node) => node.kind === "step");
      expect(steps.map((node) => node.n)).toEqual(steps.map((_, i) => i));
      const mentioned = new Set(events.flatMap((event) => ("key" in event.data ? [event.data.key] : [])));
      expect([...new Set(steps.map((node) => node.key))]).toEqual([...mentioned]);
    }),
    { numRuns: 300 },
  );
});
