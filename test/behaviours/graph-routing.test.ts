/** Routes and joins of message graphs, on random graphs too. Numbers with `trace` are of the list of behaviours of routed runs. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { components, reachOf } from "../../src/authoring/graph/reach.ts";
import { ready } from "../../src/authoring/graph/joins.ts";
import { executor, WorkflowBuilder } from "../../src/graph.ts";
import type { Executor, Route, Workflow, WorkflowContext } from "../../src/graph.ts";
import { errorOf } from "../stage.ts";

type Ctx = WorkflowContext<unknown, unknown>;
const step = (id: string, run: (message: unknown, ctx: Ctx) => unknown): Executor =>
  executor<unknown, unknown, unknown>(id, run);
const pass = (id: string): Executor => step(id, (message, ctx) => ctx.sendMessage(message));
const names = (id: string): Executor => step(id, (_, ctx) => ctx.yieldOutput(id));

/** A router to executors that yield their names; it sends what it is given, by the routes given. */
function router(routes: (to: (id: string) => Executor) => Route[], fanOut = false): Workflow {
  const start = step("start", (message, ctx) => {
    const { route } = message as { route?: string[] };
    ctx.sendMessage(message, route === undefined ? {} : { route });
  });
  const known = new Map<string, Executor>();
  const to = (id: string): Executor => known.get(id) ?? (known.set(id, names(id)).get(id) as Executor);
  return new WorkflowBuilder({ name: "router", start }).addRoutes(start, routes(to), { fanOut }).build();
}
const taken = async (graph: Workflow, message: object = {}): Promise<unknown> => (await graph.run({ message })).outputs;
const codeOf = async (running: Promise<unknown>): Promise<unknown> =>
  ((await errorOf(running)).cause as { code?: string }).code;

test("trace 36: named routes are those that a message goes, several too; a name that is not there is an error", async () => {
  const graph = router((to) => [
    { to: to("left"), route: "go_left" },
    { to: to("right"), when: () => false },
    { to: to("other"), otherwise: true },
  ]);
  expect(await taken(graph, { route: ["go_left", "right"] })).toEqual(["left", "right"]);
  expect(await taken(graph)).toEqual(["left"]);
  expect(await codeOf(graph.run({ message: { route: ["gone"] } }))).toBe("graph.unknown_route");
});

test("trace 36: where no predicate is true the default is taken; and without one the message is at a dead end", async () => {
  const graph = router((to) => [
    { to: to("a"), when: () => false },
    { to: to("b"), otherwise: true },
  ]);
  expect(await taken(graph)).toEqual(["b"]);
  expect(await codeOf(router((to) => [{ to: to("a"), when: () => false }]).run({ message: {} }))).toBe(
    "graph.dead_end",
  );
});

test.each([true, false])(
  "trace 37: lower priorities come first, with predicates (%s) as without",
  async (conditional) => {
    const when = conditional ? { when: () => true } : {};
    const routes = (to: (id: string) => Executor): Route[] => [
      { to: to("high"), priority: 200, ...when },
      { to: to("low"), priority: 10, ...when },
      { to: to("also"), priority: 300, many: true, ...when },
    ];
    expect(await taken(router(routes))).toEqual(["low", "also"]);
    expect(await taken(router(routes, true))).toEqual(["low", "high", "also"]);
  },
);

const failing = (routes: (to: (id: string) => Executor) => Route[]): Workflow => {
  const start = step("start", () => {
    throw new Error("broken");
  });
  const recover = step("recover", (failure, ctx) => ctx.yieldOutput(failure));
  const known = new Map([recover, names("end")].map((one) => [one.id, one]));
  return new WorkflowBuilder({ name: "fails", start })
    .addRoutes(
      start,
      routes((id) => known.get(id) as Executor),
    )
    .build();
};

test("trace 14: a failure goes a way for failures, and the run does not fail", async () => {
  const graph = failing((to) => [
    { to: to("recover"), onFailure: true },
    { to: to("end"), otherwise: true },
  ]);
  expect(await taken(graph, { n: 1 })).toEqual([{ error: { name: "Error", message: "broken" }, message: { n: 1 } }]);
});

test("trace 15, 12: a failure goes no other way, and one whose way is shut is the run's", async () => {
  const other = failing((to) => [
    { to: to("recover"), otherwise: true },
    { to: to("end"), priority: 1 },
  ]);
  expect((await errorOf(other.run({ message: 1 }))).message).toBe("broken");
  const shut = failing((to) => [
    { to: to("recover"), onFailure: true, when: () => false },
    { to: to("end"), otherwise: true },
  ]);
  expect((await errorOf(shut.run({ message: 1 }))).code).toBe("run.failed");
});

/** start -> a, b; b goes to the join, a to an end of its own or to the join by a longer way. */
function joining(leaves: boolean): Workflow {
  const [start, a, b, far, end] = [pass("start"), pass("a"), pass("b"), pass("far"), names("end")];
  const join = step("join", (list, ctx) => ctx.yieldOutput(list));
  return new WorkflowBuilder({ name: "joins", start })
    .addFanOutEdges(start, [a, b])
    .addRoutes(a, [
      { to: end, when: () => leaves },
      { to: far, otherwise: true },
    ])
    .addEdge(far, join)
    .addEdge(b, join)
    .addJoin(join)
    .build();
}

test("trace 29: a join waits for all that can still come, and gets it as one list", async () => {
  expect((await joining(false).run("x")).outputs).toEqual([["x", "x"]]);
});

test("trace 30: a join does not wait for a branch that can no longer reach it", async () => {
  expect((await joining(true).run("x")).outputs).toEqual(["end", ["x"]]);
});

test("trace 31: joins behind joins let go once each", async () => {
  const [start, a, b, fork, c, d] = ["start", "a", "b", "fork", "c", "d"].map(pass) as [
    Executor,
    Executor,
    Executor,
    Executor,
    Executor,
    Executor,
  ];
  const [first, second] = [pass("first"), step("second", (list, ctx) => ctx.yieldOutput((list as unknown[]).length))];
  const graph = new WorkflowBuilder({ name: "nested", start })
    .addFanOutEdges(start, [a, b])
    .addEdge(a, first)
    .addEdge(b, first)
    .addEdge(first, fork)
    .addFanOutEdges(fork, [c, d])
    .addEdge(c, second)
    .addEdge(d, second)
    .addJoin(first)
    .addJoin(second)
    .build();
  expect((await graph.run("x")).outputs).toEqual([2]);
});

test("trace 35: without a join what comes twice is done twice", async () => {
  const [start, a, b, c] = [pass("start"), pass("a"), pass("b"), names("c")];
  const graph = new WorkflowBuilder({ name: "twice", start })
    .addFanOutEdges(start, [a, b])
    .addEdge(a, c)
    .addEdge(b, c)
    .build();
  expect((await graph.run("x")).outputs).toEqual(["c", "c"]);
});

const graphs = fc.integer({ min: 1, max: 9 }).chain((size) =>
  fc.record({
    size: fc.constant(size),
    arrows: fc.array(fc.tuple(fc.nat(size - 1), fc.nat(size - 1)), { maxLength: 20 }),
    joins: fc.uniqueArray(fc.nat(size - 1)),
    at: fc.array(fc.nat(size - 1), { maxLength: 4 }),
  }),
);
const idOf = (n: number): string => `n${n}`;

test("what may be reached is what a walk along the arrows comes to, in any graph", () => {
  fc.assert(
    fc.property(graphs, ({ size, arrows, joins }) => {
      const nodes = Array.from({ length: size }, (_, n) => idOf(n));
      const edges = arrows.map(([source, target]) => ({ source: idOf(source), target: idOf(target) }));
      const reach = reachOf(nodes, edges, joins.map(idOf));
      for (const from of nodes) {
        const seen = new Set([from]);
        for (const node of seen) for (const edge of edges) if (edge.source === node) seen.add(edge.target);
        for (const join of joins.map(idOf)) expect(reach.may(from, join)).toBe(seen.has(join));
      }
    }),
  );
});

test("components hold what leads to each other, each after those that it leads to; a long chain is no problem", () => {
  const nodes = Array.from({ length: 50_000 }, (_, n) => idOf(n));
  const next = new Map(nodes.map((node, n) => [node, [idOf(n + 1)]]));
  next.set(idOf(49_999), [idOf(49_998)]);
  const found = components(nodes, next);
  expect([found.length, found[0]?.toSorted()]).toEqual([49_999, [idOf(49_998), idOf(49_999)]]);
});

test("whatever waits at joins: nothing is let go too early, and something always is when nothing else is under way", () => {
  fc.assert(
    fc.property(graphs, fc.array(fc.nat(8)), ({ size, arrows, joins, at }, picks) => {
      const nodes = Array.from({ length: size }, (_, n) => idOf(n));
      const edges = arrows.map(([source, target]) => ({ source: idOf(source), target: idOf(target) }));
      const all = joins.map(idOf);
      const reach = reachOf(nodes, edges, all);
      const waiting = all.filter((_, index) => picks.includes(index));
      const early = ready(all, { at: at.map(idOf), waiting }, reach);
      for (const join of early) for (const node of at.map(idOf)) expect(reach.may(node, join)).toBe(false);
      expect(ready(all, { at: [], waiting }, reach).length > 0).toBe(waiting.length > 0);
    }),
  );
});
