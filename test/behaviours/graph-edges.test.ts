/**
 * Message graphs: how messages travel, what is wrong with a graph, and how it is shown. Numbers are those of the list of behaviours.
 *
 * | Behaviour | Guarantee |
 * | --- | --- |
 * | 1 | a loop runs until nothing is on its way |
 * | 2 | a loop that does not end fails at the limit of supersteps, and is not said to be at rest |
 * | 3 | messages of one source come along one edge in the order in which they were sent |
 * | 4, 5 | the targets of %s work beside each other |
 * | 6 | an executor handles one message at a time |
 * | 8 | a fan-out to two that yield, as a sequence of events |
 * | 7 | a fan-out to one that yields and one that sends on to nobody: a third superstep delivers nothing |
 * | 11 | a cycle of two ends where one of them has enough |
 * | 9, 12 | a fan-in waits for every source and gives one list in the order of the sources |
 * | 9 | two beside each other and their sum, as a sequence of events |
 * | 10 | all kinds of edges, twice on the same graph |
 * | 13 | a fan-in whose list nobody can handle is an error when it lets go |
 * | 14 | of a fan-out those get a message that can handle it; that others do not is said |
 * | 15 | a selection that gives an id which is not there is an error |
 * | 16 | a message with a target goes there alone, and only where it is selected |
 * | 17 | a condition that is false turns a message away, which is no error and is said |
 * | 18 | a switch takes the first case that is true, else the default; and has one default and a case |
 * | 71 | what is wrong with a graph is found when it is built, by its kind |
 * | 71 | types that schemas tell are checked when the graph is built: one edge, lists of fan-ins and joins, kinds of objects |
 * | X14 | a predicate that throws fails the run and decides nothing |
 * | X15 | a message that nobody can take is an event and an error |
 * | 52 | an input that the start cannot handle is refused |
 * | 72 | pictures tell conditional edges, fan-ins and the start |
 * | X15 | a message with no way, or that its only receiver cannot handle, is an event and an error |
 */
import { expect, test } from "vitest";
import { z } from "zod";
import { Case, Default, Executor, executor, handler, toDot, toMermaid, WorkflowBuilder } from "../../src/graph.ts";
import type { Node, WorkflowContext } from "../../src/graph.ts";
import { errorOf } from "../stage.ts";

/** Sends on what it gets. */
const pass = (id: string): Executor =>
  executor<unknown, unknown, unknown>(id, (message, ctx) => ctx.sendMessage(message));
const ends = (id: string): Executor =>
  executor<unknown, unknown, unknown>(id, (message, ctx) => ctx.yieldOutput(message));
/** Yields what it has become, or sends it on while it is below a limit. */
const adding = (id: string, by: number, limit = Infinity): Executor =>
  executor<unknown, unknown, unknown>(id, (given, ctx) => {
    const n = (given as number) + by;
    if (n >= limit) ctx.yieldOutput(n);
    else ctx.sendMessage(n);
  });

const problemsOf = (build: () => unknown): string[] => {
  try {
    build();
  } catch (error) {
    return (error as { data: { problems: { kind: string }[] } }).data.problems.map(({ kind }) => kind);
  }
  return [];
};

const pingPong = (maxSupersteps: number): ReturnType<WorkflowBuilder["build"]> => {
  const count = (id: string): Executor =>
    executor<unknown, unknown, unknown>(id, (n, ctx) =>
      n === 10 ? ctx.yieldOutput(n) : ctx.sendMessage((n as number) + 1),
    );
  const [a, b] = [count("a"), count("b")];
  return new WorkflowBuilder({ name: "loop", start: a, maxSupersteps }).addEdge(a, b).addEdge(b, a).build();
};

test("1: a loop runs until nothing is on its way", async () => {
  const { outputs, events } = await pingPong(100).run(1);
  expect(outputs).toEqual([10]);
  expect(events.findLast(({ type }) => type === "superstep_completed")?.iteration).toBe(10);
});

test("2: a loop that does not end fails at the limit of supersteps, and is not said to be at rest", async () => {
  const graph = pingPong(5);
  const error = await errorOf(graph.run(1));
  expect([error.code, error.message]).toEqual(["run.failed", "Runner did not converge after 5 iterations."]);
  expect((error.cause as { code: string }).code).toBe("graph.not_converged");
  const events = error.data?.["events"] as { status?: string }[];
  expect(events.flatMap(({ status }) => status ?? [])).toEqual(["running", "failed"]);
  expect(graph.status).toBe("failed");
});

test("3: messages of one source come along one edge in the order in which they were sent", async () => {
  const start = executor<unknown, unknown>("start", (_, ctx) => [0, 1, 2, 3, 4].forEach((n) => ctx.sendMessage(n)));
  const seen: unknown[] = [];
  const end = executor<unknown>("end", async (n) => {
    await new Promise((resolve) => setTimeout(resolve, 3 - Number(n) / 2));
    seen.push(n);
  });
  await new WorkflowBuilder({ name: "order", start }).addEdge(start, end).build().run("go");
  expect(seen).toEqual([0, 1, 2, 3, 4]);
});

test.each(["two edges", "a fan-out"])("4, 5: the targets of %s work beside each other", async (kind) => {
  const free = Promise.withResolvers<void>();
  const calls: string[] = [];
  const blocked = executor("blocked", async () => {
    await free.promise;
    calls.push("blocked");
  });
  const probe = executor("probe", () => {
    calls.push("probe");
    free.resolve();
  });
  const start = pass("start");
  const builder = new WorkflowBuilder({ name: "beside", start });
  const both =
    kind === "a fan-out"
      ? builder.addFanOutEdges(start, [blocked, probe])
      : builder.addEdge(start, blocked).addEdge(start, probe);
  await both.build().run(1);
  expect(calls).toEqual(["probe", "blocked"]);
});

test("6: an executor handles one message at a time", async () => {
  let [inside, most] = [0, 0];
  const target = executor("target", async () => {
    inside += 1;
    most = Math.max(most, inside);
    await new Promise((resolve) => setTimeout(resolve, 2));
    inside -= 1;
  });
  const [start, a, b] = [pass("start"), pass("a"), pass("b")];
  const builder = new WorkflowBuilder({ name: "one", start }).addFanOutEdges(start, [a, b]);
  const { events } = await builder.addEdge(a, target).addEdge(b, target).build().run(1);
  expect(most).toBe(1);
  expect(events.filter((event) => event.type === "executor_invoked" && event.executorId === "target")).toHaveLength(2);
});

test("8: a fan-out to two that yield, as a sequence of events", async () => {
  const [a, b, c] = [adding("a", 1), adding("b", 0, 1), adding("c", 0, 1)];
  const graph = new WorkflowBuilder({ name: "out", start: a }).addFanOutEdges(a, [b, c]).build();
  const { events, outputs, status } = await graph.run(0);
  expect([outputs, status]).toEqual([[1, 1], "succeeded"]);
  const shown = events
    .filter(({ type }) => type !== "status")
    .map((event) => [event.type, event.executorId ?? event.iteration]);
  expect(shown).toEqual([
    ["started", undefined],
    ["superstep_started", 1],
    ["executor_invoked", "a"],
    ["executor_completed", "a"],
    ["superstep_completed", 1],
    ["superstep_started", 2],
    ["executor_invoked", "b"],
    ["executor_invoked", "c"],
    ["output", "b"],
    ["output", "c"],
    ["executor_completed", "b"],
    ["executor_completed", "c"],
    ["superstep_completed", 2],
  ]);
});

test("7: a fan-out to one that yields and one that sends on to nobody: a third superstep delivers nothing", async () => {
  const [a, b, c] = [adding("a", 1), adding("b", 0, 1), adding("c", 0, 2)];
  const graph = new WorkflowBuilder({ name: "out", start: a, undeliverable: "report" })
    .addFanOutEdges(a, [b, c])
    .build();
  const { events, outputs, status } = await graph.run(0);
  expect([outputs, status]).toEqual([[1], "succeeded"]);
  const shown = events
    .filter(({ type }) => type !== "status" && type !== "started" && type !== "message_dropped")
    .map((event) => `${event.type} ${event.executorId ?? event.iteration}`);
  expect(shown).toHaveLength(13);
  expect(shown.slice(-2)).toEqual(["superstep_started 3", "superstep_completed 3"]);
});

test("11: a cycle of two ends where one of them has enough", async () => {
  const [a, b] = [adding("a", 2, 6), adding("b", 1)];
  const graph = new WorkflowBuilder({ name: "cycle", start: a }).addEdge(a, b).addEdge(b, a).build();
  const { outputs, events } = await graph.run(2);
  expect(outputs).toEqual([7]);
  expect(new Set(events.flatMap(({ executorId = [] }) => executorId))).toEqual(new Set(["a", "b"]));
});

test("9, 12: a fan-in waits for every source and gives one list in the order of the sources", async () => {
  const [a, b, c, slow] = [pass("a"), pass("b"), pass("c"), pass("slow")];
  const sum = ends("sum");
  const graph = new WorkflowBuilder({ name: "in", start: a })
    .addFanOutEdges(a, [b, slow])
    .addEdge(slow, c)
    .addFanInEdges([c, b], sum)
    .build();
  const { outputs, events } = await graph.run(1);
  expect(outputs).toEqual([[1, 1]]);
  const invoked = events.filter((event) => event.type === "executor_invoked" && event.executorId === "sum");
  expect(invoked.map(({ causes }) => causes.length)).toEqual([2]);
});

test("9: two beside each other and their sum, as a sequence of events", async () => {
  const [a, b, c] = [adding("a", 1), adding("b", 1), adding("c", 1)];
  const sum = executor<number[], never, number>("sum", (list, ctx) => ctx.yieldOutput(list.reduce((x, y) => x + y)));
  const graph = new WorkflowBuilder({ name: "sum", start: a })
    .addFanOutEdges(a, [b, c])
    .addFanInEdges([b, c], sum)
    .build();
  const { outputs, events, status } = await graph.run(0);
  expect([outputs, status]).toEqual([[4], "succeeded"]);
  expect(events.filter(({ type }) => type !== "status" && type !== "started")).toHaveLength(15);
});

test("10: all kinds of edges, twice on the same graph", async () => {
  const read = pass("read");
  const [a, b, hub] = [adding("a", 1), adding("b", 2), adding("hub", 2)];
  const [three, five] = [adding("three", 3), adding("five", 5)];
  const sum = executor<number[], never, number>("sum", (list, ctx) => ctx.yieldOutput(list.reduce((x, y) => x + y)));
  const graph = new WorkflowBuilder({ name: "all", start: read })
    .addSwitchCaseEdges(read, [Case((n: unknown) => (n as number) < 5, a), Default(b)])
    .addEdge(a, hub)
    .addEdge(b, hub)
    .addFanOutEdges(hub, [three, five])
    .addFanInEdges([three, five], sum)
    .build();
  expect((await graph.run(2)).outputs).toEqual([18]);
  expect((await graph.run(8)).outputs).toEqual([32]);
});

test("13: a fan-in whose list nobody can handle is an error when it lets go", async () => {
  const [a, b, c] = [pass("a"), executor<unknown, unknown>("b", (_, ctx) => ctx.sendMessage("text")), pass("c")];
  const numbers = executor("numbers", { input: z.array(z.number()) }, () => undefined);
  const graph = new WorkflowBuilder({ name: "mixed", start: a })
    .addFanOutEdges(a, [b, c])
    .addFanInEdges([b, c], numbers)
    .build();
  const error = await errorOf(graph.run(1));
  expect((error.cause as { code: string }).code).toBe("graph.undeliverable");
});

test("14: of a fan-out those get a message that can handle it; that others do not is said", async () => {
  const calls: string[] = [];
  const texts = executor("texts", { input: z.string() }, () => void calls.push("texts"));
  const numbers = executor("numbers", { input: z.number() }, () => void calls.push("numbers"));
  const start = pass("start");
  const { events } = await new WorkflowBuilder({ name: "typed", start })
    .addFanOutEdges(start, [texts, numbers])
    .build()
    .run("x");
  expect(calls).toEqual(["texts"]);
  expect(events.filter(({ type }) => type === "message_dropped").map(({ data }) => data)).toEqual([
    { reason: "type", message: "1.0.0", target: "numbers" },
  ]);
});

test("15: a selection that gives an id which is not there is an error", async () => {
  const [start, a, b] = [pass("start"), pass("a"), pass("b")];
  const graph = new WorkflowBuilder({ name: "select", start })
    .addMultiSelectionEdges(start, [a, b], () => ["c"])
    .build();
  expect(((await errorOf(graph.run(1))).cause as { code: string }).code).toBe("graph.unknown_route");
});

test("16: a message with a target goes there alone, and only where it is selected", async () => {
  const start = executor<string, unknown>("start", (target, ctx) => ctx.sendMessage(1, { target }));
  const [a, b] = [ends("a"), ends("b")];
  const graph = new WorkflowBuilder({ name: "target", start, undeliverable: "report" })
    .addMultiSelectionEdges(start, [a, b], () => ["a"])
    .build();
  expect((await graph.run("a")).outputs).toEqual([1]);
  const { outputs, events } = await graph.run("b");
  expect(outputs).toEqual([]);
  expect(events.find(({ type }) => type === "message_dropped")?.data).toMatchObject({ reason: "target" });
});

test("17: a condition that is false turns a message away, which is no error and is said", async () => {
  const [start, a] = [pass("start"), ends("a")];
  const graph = new WorkflowBuilder({ name: "if", start }).addEdge(start, a, (n) => n === 1).build();
  expect((await graph.run(1)).outputs).toEqual([1]);
  const { outputs, status, events } = await graph.run(2);
  expect([outputs, status]).toEqual([[], "succeeded"]);
  expect(events.find(({ type }) => type === "message_dropped")?.data).toMatchObject({ reason: "condition" });
});

test("18: a switch takes the first case that is true, else the default; and has one default and a case", async () => {
  const [start, a, b] = [pass("start"), ends("a"), ends("b")];
  const wrong = (branches: Parameters<WorkflowBuilder["addSwitchCaseEdges"]>[1]) => () =>
    new WorkflowBuilder({ name: "s", start }).addSwitchCaseEdges(start, branches);
  expect(wrong([Default(a)])).toThrow("must contain at least two cases (including the default case).");
  expect(wrong([Default(a), Default(b)])).toThrow("must contain exactly one default case.");
  expect(wrong([Case(() => true, a), Case(() => true, b)])).toThrow("must contain exactly one default case.");
  const c = ends("c");
  const enteredBy = async (n: number): Promise<unknown[]> =>
    (await graphOf().run(n)).events.flatMap(({ type, executorId }) =>
      type === "executor_invoked" ? [executorId] : [],
    );
  const graphOf = () =>
    new WorkflowBuilder({ name: "s", start })
      .addSwitchCaseEdges(start, [
        Case((n: unknown) => (n as number) < 5, a),
        Case((n: unknown) => (n as number) < 10, b),
        Default(c),
      ])
      .build();
  expect([await enteredBy(1), await enteredBy(7), await enteredBy(10)]).toEqual([
    ["start", "a"],
    ["start", "b"],
    ["start", "c"],
  ]);
});

test("71: what is wrong with a graph is found when it is built, by its kind", () => {
  const [a, b, c] = [pass("a"), pass("b"), pass("c")];
  const build =
    (change: (builder: WorkflowBuilder) => WorkflowBuilder, options = {}) =>
    (): unknown =>
      change(new WorkflowBuilder({ name: "wrong", start: a, ...options }).addEdge(a, b)).build();
  const texts = executor("texts", { sends: [z.string()] }, () => undefined);
  const numbers: Node = executor("numbers", { input: z.number() }, () => undefined);
  expect(problemsOf(build((builder) => builder.addEdge(a, b)))).toEqual(["edge_duplication"]);
  expect(problemsOf(build((builder) => builder.addEdge(c, b)))).toEqual(["graph_connectivity"]);
  expect(problemsOf(build((builder) => builder.addFanInEdges([a], b)))).toEqual(["edge_shape"]);
  expect(problemsOf(build((builder) => builder.addEdge(a, texts).addFanOutEdges(texts, [numbers, b])))).toEqual([
    "type_compatibility",
  ]);
  for (const outputFrom of [[c], [b, b]]) {
    expect(problemsOf(build((builder) => builder, { outputFrom }))).toContain("output_validation");
  }
  expect(problemsOf(build((builder) => builder, { outputFrom: [b], intermediateFrom: [b] }))).toEqual([
    "output_validation",
  ]);
  expect(build((builder) => builder.addEdge(b, pass("dup")).addEdge(b, pass("dup")))).toThrow(
    "Duplicate executor ID 'dup' detected in workflow.",
  );
});

test("71: types that schemas tell are checked when the graph is built: one edge, lists of fan-ins and joins, kinds of objects", () => {
  const sends = (id: string, schema: z.ZodType): Executor =>
    executor<unknown, unknown>(id, { sends: [schema] }, () => 0);
  const takes = (input: z.ZodType): Node => executor<unknown, unknown>("end", { input }, () => 0);
  const start = pass("start");
  const [x, n] = [sends("x", z.string()), sends("n", z.number())];
  const fanIn = (input: z.ZodType) => (): unknown => {
    const builder = new WorkflowBuilder({ name: "g", start }).addFanOutEdges(start, [x, n]);
    return builder.addFanInEdges([x, n], takes(input)).build();
  };
  const join = (input: z.ZodType) => (): unknown => {
    const end = takes(input);
    const builder = new WorkflowBuilder({ name: "g", start }).addFanOutEdges(start, [x, n]);
    return builder.addEdge(x, end).addEdge(n, end).addJoin(end).build();
  };
  const edge = (sent: z.ZodType, input: z.ZodType) => (): unknown => {
    const from = sends("from", sent);
    return new WorkflowBuilder({ name: "g", start: from }).addEdge(from, takes(input)).build();
  };
  const wrong = ["type_compatibility"];
  const kind = (name: string): z.ZodType => z.object({ kind: z.literal(name), id: z.string() });
  const list = z.array(z.union([z.string(), z.number()]));
  for (const good of [fanIn(list), fanIn(z.array(z.unknown())), fanIn(z.unknown()), join(list)])
    expect(problemsOf(good)).toEqual([]);
  expect(problemsOf(fanIn(z.string()))).toEqual(wrong);
  expect(problemsOf(fanIn(z.array(z.string())))).toEqual(wrong);
  expect(problemsOf(fanIn(z.union([z.array(z.string()), z.array(z.number())])))).toEqual(wrong);
  expect(problemsOf(join(z.array(z.number())))).toEqual(wrong);
  expect(problemsOf(edge(kind("a"), kind("b")))).toEqual(wrong);
  expect(problemsOf(edge(kind("a"), z.union([kind("b"), kind("a")])))).toEqual([]);
  expect(problemsOf(edge(z.object({ id: z.string() }), z.object({ id: z.number() })))).toEqual(wrong);
  expect(problemsOf(edge(z.object({ id: z.string().optional() }), z.object({ id: z.number().optional() })))).toEqual(
    [],
  );
});

test("types: an edge on which nothing can be delivered does not compile", () => {
  const texts = executor("texts", (_: string, ctx: WorkflowContext<string>) => ctx.sendMessage("x"));
  const numbers = executor("numbers", (n: number) => void n);
  const lengths = executor("lengths", (text: string, ctx: WorkflowContext<never, number>) =>
    ctx.yieldOutput(text.length),
  );
  // @ts-expect-error: a string is never a number
  const wrong = new WorkflowBuilder({ name: "types", start: texts }).addEdge(texts, numbers);
  const graph = new WorkflowBuilder({ name: "types", start: texts }).addEdge(texts, lengths).build();
  // @ts-expect-error: the input is that of the start
  const unfit = (): unknown => graph.run(1);
  expect([wrong, unfit]).toHaveLength(2);
});

test("the first handler that fits takes a message, in the order in which they are listed", async () => {
  class Both extends Executor<string | number, never, string> {
    readonly handlers = [
      handler({ input: z.number() }, (n, ctx: WorkflowContext<never, string>) => ctx.yieldOutput(`number ${n}`)),
      handler({}, (_, ctx: WorkflowContext<never, string>) => ctx.yieldOutput("anything")),
    ];
  }
  const graph = new WorkflowBuilder({ name: "both", start: new Both("both") }).build();
  expect((await graph.run(1)).outputs).toEqual(["number 1"]);
  expect((await graph.run("x")).outputs).toEqual(["anything"]);
});

test("X14: a predicate that throws fails the run and decides nothing", async () => {
  const [start, a, b] = [pass("start"), ends("a"), ends("b")];
  const broken = (): boolean => {
    throw new Error("broken");
  };
  const graph = new WorkflowBuilder({ name: "s", start })
    .addSwitchCaseEdges(start, [Case(broken, a), Default(b)])
    .build();
  const error = await errorOf(graph.run(1));
  expect((error.cause as { code: string }).code).toBe("graph.predicate_failed");
  expect(error.data?.["events"]).not.toContainEqual(expect.objectContaining({ executorId: "b" }));
});

test.each([
  ["no edge", (builder: WorkflowBuilder, a: Executor) => builder.addEdge(a, ends("b"), () => true), "nowhere"],
  [
    "empty selection",
    (builder: WorkflowBuilder, a: Executor) => builder.addMultiSelectionEdges(a, [ends("b")], () => []),
    1,
  ],
])("X15: a message that nobody can take is an event and an error (%s)", async (reason, edges, message) => {
  const a = executor<unknown, unknown>("a", (data, ctx) => {
    if (data === "nowhere") ctx.sendMessage(1, { target: "gone" });
    else ctx.sendMessage(data);
  });
  const graph = edges(new WorkflowBuilder({ name: "lost", start: a }), a).build();
  const error = await errorOf(graph.run(message));
  expect((error.cause as { code: string }).code).toBe("graph.undeliverable");
  const events = error.data?.["events"] as { type: string; data: { reason: string } }[];
  expect(events.find(({ type }) => type === "message_dropped")?.data.reason).toBe(
    reason === "no edge" ? "target" : reason,
  );
});

test("52: an input that the start cannot handle is refused", async () => {
  const start = executor("start", { input: z.string() }, () => undefined);
  const graph = new WorkflowBuilder<unknown>({ name: "typed", start }).build();
  expect((await errorOf(graph.run(1))).message).toContain("cannot handle input of type");
});

test("72: pictures tell conditional edges, fan-ins and the start", () => {
  const [a, b, c] = [pass("a b"), pass("b"), ends('c"<')];
  const graph = new WorkflowBuilder({ name: "g", start: a })
    .addEdge(a, b, () => true)
    .addFanInEdges([a, b], c)
    .build();
  expect(toMermaid(graph).split("\n")).toEqual([
    "flowchart TD",
    '  n_a_20_b(["a b (start)"])',
    '  n_b["b"]',
    '  n_c_22__3c_["c#34;#60;"]',
    '  n_fan_2d_in_7c_1(("fan-in"))',
    "  n_a_20_b -. conditional .-> n_b",
    "  n_a_20_b --> n_fan_2d_in_7c_1",
    "  n_b --> n_fan_2d_in_7c_1",
    "  n_fan_2d_in_7c_1 --> n_c_22__3c_",
  ]);
  expect(toDot(graph)).toContain('"a b" -> "b" [label="conditional", style=dashed];');
  expect(toDot(graph)).not.toContain('"b" -> "c');
});

test.each([
  ["no edge", undefined],
  ["type", executor("numbers", { input: z.number() }, () => undefined)],
])(
  "X15: a message with no way, or that its only receiver cannot handle, is an event and an error (%s)",
  async (reason, target) => {
    const build = (undeliverable: "fail" | "report") => {
      const start = pass("start");
      const builder = new WorkflowBuilder({ name: "lost", start, undeliverable });
      return target === undefined ? builder.build() : builder.addEdge(start, target).build();
    };
    const error = await errorOf(build("fail").run("text"));
    expect((error.cause as { code: string }).code).toBe("graph.undeliverable");
    const reported = await build("report").run("text");
    for (const events of [error.data?.["events"] as typeof reported.events, reported.events])
      expect(events.find(({ type }) => type === "message_dropped")?.data).toMatchObject({ reason });
    expect(reported.status).toBe("succeeded");
  },
);
