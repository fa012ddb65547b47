import { describe, expect, test } from "vitest";

import type { Causes, Draft, Event, EventType, Origin, Value } from "./event.ts";
import type { Trace } from "./trace.ts";
import { components, trace } from "./trace.ts";

/** A draft that may leave its causes out: then it is caused by the event before it. */
type Step = { [T in EventType]: { type: T; data: Extract<Draft, { type: T }>["data"]; causes?: Causes } }[EventType];

const output: Value = { inline: 1 };
const error = { name: "Error", message: "no" };

function history(...steps: Step[]): Event[] {
  return steps.map((step, seq) => {
    const causes = step.causes ?? (seq === 0 ? [] : [seq - 1]);
    return { ...step, seq, at: seq, causes, hash: "" };
  });
}

function created(origin: Origin = { kind: "new" }): Step {
  const data = { workflow: "audit", version: 1, input: output, origin, family: "R", seed: "s" };
  return { type: "run.created", data };
}

const started: Step = { type: "run.started", data: { worker: "w", epoch: 1, fingerprint: "f" } };
const suspended: Step = { type: "run.suspended", data: { reason: "waiting" } };

function succeeded(key: string, causes?: Causes): Step {
  return { type: "step.succeeded", data: { key, output }, ...(causes === undefined ? {} : { causes }) };
}

function ended(causes?: Causes): Step {
  return { type: "run.succeeded", data: { output }, ...(causes === undefined ? {} : { causes }) };
}

const idsOf = (graph: Trace): { nodes: string[]; edges: string[] } => ({
  nodes: graph.nodes.map((node) => node.id),
  edges: graph.edges.map((edge) => edge.id),
});

const ofRun = (...steps: Step[]): Trace => trace([{ run: "R", events: history(created(), ...steps) }]);
const statusOf = (graph: Trace, id: string): string | undefined => graph.nodes.find((node) => node.id === id)?.status;

describe("ids", () => {
  test("of a sequence of steps", () => {
    const graph = ofRun(started, succeeded("a", [0]), succeeded("b", [2]), ended([3]));
    expect(idsOf(graph)).toEqual({
      nodes: ["wf_run|R", "wf_step|R|0", "wf_ckpt|R|0", "wf_step|R|1", "wf_ckpt|R|1", "wf_completed|R"],
      edges: [
        "wf_next_step_exec|R|0|last::wf_run|R|to::wf_step|R|0",
        "persist_checkpoint|R|0|last::wf_step|R|0|to::wf_ckpt|R|0",
        "wf_next_step_exec|R|1|last::wf_step|R|0|to::wf_step|R|1",
        "persist_checkpoint|R|1|last::wf_step|R|1|to::wf_ckpt|R|1",
        "terminal|R|last::wf_step|R|1|to::wf_completed|R",
      ],
    });
    expect(graph.nodes.map(({ kind, n, key, status }) => [kind, n, key, status])).toEqual([
      ["run", undefined, undefined, "succeeded"],
      ["step", 0, "a", "succeeded"],
      ["checkpoint", 0, undefined, "stored"],
      ["step", 1, "b", "succeeded"],
      ["checkpoint", 1, undefined, "stored"],
      ["terminal", undefined, undefined, "succeeded"],
    ]);
    expect(graph.edges[0]).toEqual({
      id: "wf_next_step_exec|R|0|last::wf_run|R|to::wf_step|R|0",
      kind: "wf_next_step_exec",
      from: "wf_run|R",
      to: "wf_step|R|0",
    });
  });

  test("of branches that come together: the scope is a node, and takes no number", () => {
    const graph = ofRun(
      started,
      succeeded("a", [0]),
      succeeded("l/x", [2]),
      succeeded("r/x", { same: 3 }),
      { type: "scope.closed", data: { scope: "both", kind: "all" }, causes: [3, 4] },
      succeeded("z", [5]),
    );
    const { nodes, edges } = idsOf(graph);
    expect(nodes.filter((id) => !id.startsWith("wf_ckpt"))).toEqual([
      "wf_run|R",
      "wf_step|R|0",
      "wf_step|R|1",
      "wf_step|R|2",
      "wf_scope|R|0",
      "wf_step|R|3",
    ]);
    expect(edges.filter((id) => !id.startsWith("persist"))).toEqual([
      "wf_next_step_exec|R|0|last::wf_run|R|to::wf_step|R|0",
      "wf_next_step_exec|R|1|last::wf_step|R|0|to::wf_step|R|1",
      "wf_next_step_exec|R|2|last::wf_step|R|0|to::wf_step|R|2",
      "scope_closed|R|last::wf_step|R|1|to::wf_scope|R|0",
      "scope_closed|R|last::wf_step|R|2|to::wf_scope|R|0",
      "wf_next_step_exec|R|3|last::wf_scope|R|0|to::wf_step|R|3",
    ]);
  });

  test("of a step with several causes: several edges, but one for two causes on one node", () => {
    const graph = ofRun(
      started,
      succeeded("a", [0]),
      { type: "step.started", data: { key: "b", attempt: 1 }, causes: [0] },
      { type: "step.succeeded", data: { key: "b", output }, causes: [3] },
      succeeded("c", [2, 3, 4]),
    );
    expect(idsOf(graph).edges.filter((id) => id.endsWith("to::wf_step|R|2"))).toEqual([
      "wf_next_step_exec|R|2|last::wf_step|R|0|to::wf_step|R|2",
      "wf_next_step_exec|R|2|last::wf_step|R|1|to::wf_step|R|2",
    ]);
  });

  test("a step has its number from the first event that mentions it, whenever it ends", () => {
    const graph = ofRun(
      started,
      { type: "step.started", data: { key: "slow", attempt: 1 }, causes: [0] },
      succeeded("quick", [0]),
      { type: "step.attempt_failed", data: { key: "slow", attempt: 1, error }, causes: [2] },
      { type: "step.failed", data: { key: "slow", error }, causes: [4] },
    );
    expect(graph.nodes.flatMap(({ n, key, status }) => (key === undefined ? [] : [[n, key, status]]))).toEqual([
      [0, "slow", "failed"],
      [1, "quick", "succeeded"],
    ]);
  });

  test("of a run that failed", () => {
    const graph = ofRun(
      started,
      { type: "step.failed", data: { key: "a", error }, causes: [0] },
      { type: "run.failed", data: { error, frontier: ["a"] }, causes: [2] },
    );
    expect(idsOf(graph)).toEqual({
      nodes: ["wf_run|R", "wf_step|R|0", "wf_ckpt|R|0", "wf_failed|R"],
      edges: [
        "wf_next_step_exec|R|0|last::wf_run|R|to::wf_step|R|0",
        "persist_checkpoint|R|0|last::wf_step|R|0|to::wf_ckpt|R|0",
        "terminal|R|last::wf_step|R|0|to::wf_failed|R",
      ],
    });
    expect(statusOf(graph, "wf_run|R")).toBe("failed");
  });

  test.each([
    [{ type: "run.cancelled", data: {} }, "wf_cancelled|R", "cancelled"],
    [{ type: "run.timed_out", data: { limitMs: 5 } }, "wf_timed_out|R", "timed_out"],
  ] as [Step, string, string][])("of another end: %j", (step, id, status) => {
    const graph = ofRun(started, step);
    expect(idsOf(graph)).toEqual({ nodes: ["wf_run|R", id], edges: [`terminal|R|last::wf_run|R|to::${id}`] });
    expect(statusOf(graph, id)).toBe(status);
  });
});

describe("waits", () => {
  test("a timer takes a number when it opens, and its answer another", () => {
    const graph = ofRun(
      started,
      { type: "wait.opened", data: { key: "sleep", kind: "timer", until: 9 }, causes: [0] },
      { type: "wait.answered", data: { key: "sleep", value: { undefined: true } }, causes: [2] },
      succeeded("a", [3]),
    );
    expect(idsOf(graph)).toEqual({
      nodes: ["wf_run|R", "wf_step|R|0", "wf_ckpt|R|0", "wf_step|R|1", "wf_ckpt|R|1", "wf_step|R|2", "wf_ckpt|R|2"],
      edges: [
        "wf_next_step_exec|R|0|last::wf_run|R|to::wf_step|R|0",
        "persist_checkpoint|R|0|last::wf_step|R|0|to::wf_ckpt|R|0",
        "wf_next_step_exec|R|1|last::wf_step|R|0|to::wf_step|R|1",
        "resolved|R|last::wf_step|R|0|to::wf_step|R|1",
        "persist_checkpoint|R|1|last::wf_step|R|1|to::wf_ckpt|R|1",
        "wf_next_step_exec|R|2|last::wf_step|R|1|to::wf_step|R|2",
        "persist_checkpoint|R|2|last::wf_step|R|2|to::wf_ckpt|R|2",
      ],
    });
    expect(graph.nodes.filter((node) => node.key === "sleep").map((node) => [node.n, node.status])).toEqual([
      [0, "resolved"],
      [1, "answered"],
    ]);
  });

  /** A run that asked for approval as its step 1, after step 0 with a sibling beside the wait as step 2. */
  const asking = [
    started,
    succeeded("a", [0]),
    { type: "wait.opened", data: { key: "ok", kind: "approval" }, causes: [2] },
  ] as const;
  const answered = (causes: Causes): Step => ({ type: "wait.answered", data: { key: "ok", value: output }, causes });

  test("suspended at step 1 and answered, step 2 has the edge from step 1 and its checkpoint the edge from step 2", () => {
    const graph = ofRun(...asking, suspended, answered([3]), started, succeeded("b", [5]), ended([7]));
    const { edges } = idsOf(graph);
    expect(edges).toContain("wf_next_step_exec|R|2|last::wf_step|R|1|to::wf_step|R|2");
    expect(edges).toContain("persist_checkpoint|R|2|last::wf_step|R|2|to::wf_ckpt|R|2");
    expect(edges.filter((id) => id.endsWith("to::wf_step|R|2"))).toEqual([
      "wf_next_step_exec|R|2|last::wf_step|R|1|to::wf_step|R|2",
      "resolved|R|last::wf_step|R|1|to::wf_step|R|2",
    ]);
    // Exactly as in a run that never stopped.
    const never = ofRun(...asking, answered([3]), succeeded("b", [4]), ended([5]));
    expect(idsOf(never)).toEqual(idsOf(graph));
  });

  test("so it is when siblings finished in between: only the numbers are others", () => {
    const { edges } = idsOf(ofRun(...asking, succeeded("sibling", [2]), suspended, answered([3]), started));
    expect(edges).toContain("wf_next_step_exec|R|3|last::wf_step|R|1|to::wf_step|R|3");
    expect(edges).toContain("persist_checkpoint|R|3|last::wf_step|R|3|to::wf_ckpt|R|3");
  });

  test("so it is when the answer suspends again: it is a step, caused by the wait before it and the cause of the next", () => {
    const again = (causes: Causes): Step => ({ type: "wait.opened", data: { key: "ok", kind: "approval" }, causes });
    const graph = ofRun(...asking, suspended, again([3]), suspended, again([5]), answered([7]), ended([8]));
    expect(idsOf(graph).edges.filter((id) => id.startsWith("wf_next") || id.startsWith("resolved"))).toEqual([
      "wf_next_step_exec|R|0|last::wf_run|R|to::wf_step|R|0",
      "wf_next_step_exec|R|1|last::wf_step|R|0|to::wf_step|R|1",
      "wf_next_step_exec|R|2|last::wf_step|R|1|to::wf_step|R|2",
      "resolved|R|last::wf_step|R|1|to::wf_step|R|2",
      "wf_next_step_exec|R|3|last::wf_step|R|2|to::wf_step|R|3",
      "resolved|R|last::wf_step|R|2|to::wf_step|R|3",
      "wf_next_step_exec|R|4|last::wf_step|R|3|to::wf_step|R|4",
      "resolved|R|last::wf_step|R|3|to::wf_step|R|4",
    ]);
    expect(idsOf(graph).edges).toContain("persist_checkpoint|R|2|last::wf_step|R|2|to::wf_ckpt|R|2");
    expect(graph.nodes.filter((node) => node.key === "ok").map((node) => node.status)).toEqual([
      "resolved",
      "resolved",
      "resolved",
      "answered",
    ]);
    const waiting = ofRun(...asking, suspended, again([3]));
    expect(statusOf(waiting, "wf_step|R|2")).toBe("waiting");
  });

  test("one that takes a kept signal is caused by the step before it, and by the run only if there is none", () => {
    const kept: Step = { type: "signal.received", data: { name: "ok", payload: output }, causes: [1] };
    for (const [steps, from] of [
      [[succeeded("a", [0])], "wf_step|R|0"],
      [[], "wf_run|R"],
    ] as const) {
      const before = [started, kept, ...steps];
      const graph = ofRun(...before, answered(steps.length === 0 ? [0, 2] : [2, 3]));
      const n = steps.length;
      expect(idsOf(graph).edges.filter((id) => id.endsWith(`to::wf_step|R|${n}`))).toEqual([
        `wf_next_step_exec|R|${n}|last::${from}|to::wf_step|R|${n}`,
      ]);
    }
  });

  test("one that refused a kept signal before it opened is one wait, with one number", () => {
    const refused: Step = { type: "wait.refused", data: { key: "ok", error, signal: 2 }, causes: [2] };
    const opened: Step = { type: "wait.opened", data: { key: "ok", kind: "signal" }, causes: [2] };
    const graph = ofRun(started, succeeded("a", [0]), refused, opened);
    expect(graph.nodes.flatMap(({ key, n, status }) => (key === "ok" ? [[n, status]] : []))).toEqual([[1, "waiting"]]);
  });

  test.each([
    [{ type: "wait.failed", data: { key: "ok", error } }, "failed"],
    [{ type: "wait.expired", data: { key: "ok" } }, "expired"],
  ] as [Step, string][])("an end of a wait is a step of its own: %j", (step, status) => {
    const graph = ofRun(...asking, { ...step, causes: [3] });
    expect(statusOf(graph, "wf_step|R|2")).toBe(status);
    expect(statusOf(graph, "wf_step|R|1")).toBe("resolved");
  });

  test.each([
    [{ type: "wait.refused", data: { key: "ok", error } }, "waiting"],
    [{ type: "wait.withdrawn", data: { key: "ok", reason: "lost race" } }, "withdrawn"],
  ] as [Step, string][])("what is no answer takes no number: %j", (step, status) => {
    const graph = ofRun(...asking, { ...step, causes: [3] });
    expect(statusOf(graph, "wf_step|R|1")).toBe(status);
    expect(graph.nodes.some((node) => node.n === 2)).toBe(false);
  });
});

test("what is open when its run ends is over with it; what is in doubt stays so", () => {
  const open = [
    started,
    { type: "step.started", data: { key: "runs", attempt: 1 }, causes: [0] },
    { type: "step.attempt_failed", data: { key: "again", attempt: 1, error }, causes: [0] },
    { type: "wait.opened", data: { key: "asks", kind: "approval" }, causes: [0] },
    { type: "step.in_doubt", data: { key: "doubt", attempt: 1 }, causes: [0] },
    succeeded("done", [0]),
  ] as const;
  const statuses = (graph: Trace): string[] =>
    graph.nodes.flatMap(({ kind, key, status }) => (kind === "step" ? [`${key} ${status}`] : []));
  expect(statuses(ofRun(...open))).toEqual([
    "runs running",
    "again retrying",
    "asks waiting",
    "doubt in_doubt",
    "done succeeded",
  ]);
  expect(statuses(ofRun(...open, { type: "run.cancelled", data: {} }))).toEqual([
    "runs cancelled",
    "again cancelled",
    "asks withdrawn",
    "doubt in_doubt",
    "done succeeded",
  ]);
});

describe("a family", () => {
  const parent = history(
    created(),
    started,
    succeeded("a", [0]),
    { type: "child.started", data: { key: "call", run: "C" }, causes: [2] },
    { type: "child.ended", data: { key: "call", run: "C", error, status: "failed" }, causes: [3] },
    { type: "run.failed", data: { error, frontier: ["call"] }, causes: [4] },
  );
  const child = history(created({ kind: "child", run: "R", key: "call", seq: 3 }), started, {
    type: "run.failed",
    data: { error, frontier: [] },
    causes: [0],
  });
  const from = { run: "R", key: "a", seq: 2 };
  const restarted = history(
    created({ kind: "restart", run: "R", seq: 5, hash: "h" }),
    started,
    { type: "step.reused", data: { key: "a", output, from, origin: from }, causes: [0] },
    ended([2]),
  );
  const forked = history(created({ kind: "fork", run: "R", seq: 2, hash: "h" }));
  const all = [
    { run: "R", events: parent },
    { run: "C", events: child },
    { run: "N", events: restarted },
    { run: "F", events: forked },
  ];

  test("is one graph: child, restart, fork and reuse are edges from where they left to where they went", () => {
    const graph = trace(all);
    const between = graph.edges.filter((edge) => !/^(?:wf_next|persist|terminal)/.test(edge.kind));
    expect(between).toEqual([
      { id: "child_run|C|last::wf_step|R|1|to::wf_run|C", kind: "child_run", from: "wf_step|R|1", to: "wf_run|C" },
      {
        id: "restarted_from|N|last::wf_failed|R|to::wf_run|N",
        kind: "restarted_from",
        from: "wf_failed|R",
        to: "wf_run|N",
      },
      {
        id: "reused_from|N|last::wf_step|R|0|to::wf_step|N|0",
        kind: "reused_from",
        from: "wf_step|R|0",
        to: "wf_step|N|0",
      },
      { id: "forked_from|F|last::wf_step|R|0|to::wf_run|F", kind: "forked_from", from: "wf_step|R|0", to: "wf_run|F" },
    ]);
    expect(components(graph)).toBe(1);
    expect(statusOf(graph, "wf_step|R|1")).toBe("failed");
    expect(statusOf(graph, "wf_step|N|0")).toBe("reused");
    expect(statusOf(graph, "wf_run|F")).toBe("queued");
  });

  test("drawn in part has no edge to what is not there, and says how many parts it has", () => {
    const graph = trace([all[1], all[2], all[3]].filter((run) => run !== undefined));
    expect(graph.edges.every((edge) => !edge.from.includes("|R") && !edge.to.includes("|R"))).toBe(true);
    expect(components(graph)).toBe(3);
  });

  test("of scheduled runs has nothing between them", () => {
    const events = history(created({ kind: "schedule", schedule: "nightly" }));
    const runs = ["A", "B"].map((run) => ({ run, events }));
    expect(trace(runs)).toEqual({
      nodes: ["A", "B"].map((run) => ({ id: `wf_run|${run}`, kind: "run", run, status: "queued" })),
      edges: [],
    });
  });
});

test("a state checkpoint belongs to what it was caused by last, and so does what it causes", () => {
  const { edges } = idsOf(
    ofRun(
      started,
      succeeded("a", [0]),
      succeeded("b", [0]),
      { type: "checkpoint", data: { state: output, parent: null }, causes: [2, 3] },
      succeeded("c", [4]),
    ),
  );
  expect(edges).toContain("wf_next_step_exec|R|2|last::wf_step|R|1|to::wf_step|R|2");
});

test("components counts what hangs together, and an edge to nowhere joins nothing", () => {
  const node = (id: string): Trace["nodes"][number] => ({ id, kind: "step", run: "R", status: "x" });
  const edge = (from: string, to: string): Trace["edges"][number] => ({
    id: `${from}${to}`,
    kind: "resolved",
    from,
    to,
  });
  const nodes = ["a", "b", "c", "d"].map(node);
  expect(components({ nodes: [], edges: [] })).toBe(0);
  expect(components({ nodes, edges: [] })).toBe(4);
  expect(components({ nodes, edges: [edge("a", "b"), edge("c", "b"), edge("a", "c"), edge("d", "x")] })).toBe(2);
});
