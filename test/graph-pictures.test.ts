/** Pictures of runs of graphs: which executors ran, how often, what failed, and where a run waits. */
import { expect, test } from "vitest";
import { executor, toDot, toMermaid, WorkflowBuilder, WorkflowExecutor } from "../src/graph.ts";
import type { DrawnRun, Executor, Workflow } from "../src/graph.ts";
import { asking, ends, pass, step } from "./behaviours/graph.ts";
import { errorOf, stage, until } from "./stage.ts";

/** What the picture says at each node, by its name, and in which colour. */
function said(graph: Workflow, run: DrawnRun): Record<string, string> {
  const nodes = [...toMermaid(graph, run).matchAll(/^\s+n_\w+\W+"([^"]+)"\W+:::(\w+)$/gmu)];
  return Object.fromEntries(
    nodes.map(([, text = "", kind = ""]) => {
      const [name = "", what = ""] = text.split("<br/>");
      return [name, `${kind}: ${what}`];
    }),
  );
}

const bad = (): Executor =>
  step("bad", () => {
    throw new Error("no");
  });

test("a picture of a run in memory counts invocations, and shows what failed and what never ran", async () => {
  const count = executor<number, number, number>("count", (n, ctx) =>
    n < 3 ? ctx.sendMessage(n + 1) : ctx.yieldOutput(n),
  );
  const loop = new WorkflowBuilder<number>({ name: "loop", start: count }).addEdge(count, count).build();
  expect(said(loop, await loop.run(1))).toEqual({ "count (start)": "good: ran 3 times" });
  const start = pass("start");
  const fails = new WorkflowBuilder({ name: "fails", start })
    .addFanOutEdges(start, [ends("good"), bad()])
    .addEdge(start, ends("never"), () => false)
    .build();
  const error = await errorOf(fails.run("x"));
  expect(said(fails, error.data as DrawnRun)).toEqual({
    "start (start)": "good: ran once",
    good: "good: ran once",
    bad: "bad: failed once",
    never: "other: ",
  });
});

test("a picture shows where a run waits, of a graph inside too", async () => {
  const inner = new WorkflowBuilder({ name: "inner", start: asking() }).build();
  const [start, inside] = [pass("start"), new WorkflowExecutor(inner, "inside")];
  const graph = new WorkflowBuilder({ name: "outer", start })
    .addEdge(start, inside)
    .addEdge(inside, ends("end"))
    .build();
  const asked = await graph.run("x");
  expect(said(graph, asked)).toEqual({
    "start (start)": "good: ran once",
    inside: "open: ran once, waits",
    end: "other: ",
    "ask (start)": "good: ran once",
  });
  const { requests, events } = await graph.run({ responses: { [asked.requests[0]!.id]: "yes" } });
  expect(said(graph, { events: [...asked.events, ...events], requests })).toMatchObject({
    inside: "good: ran 2 times",
    "ask (start)": "good: ran 2 times",
    end: "good: ran once",
  });
});

test("a picture of a durable run is made of its trace: requests, graphs inside, failures, and what was reused", async () => {
  const inner = new WorkflowBuilder({ name: "inner", start: asking() }).build();
  const [start, inside] = [pass("start"), new WorkflowExecutor(inner, "inside")];
  let fails = true;
  const end = step("end", (message, ctx) => {
    if (fails) throw new Error("no");
    ctx.yieldOutput(message);
  });
  const graph = new WorkflowBuilder({ name: "outer", start }).addEdge(start, inside).addEdge(inside, end).build();
  const durable = graph.durable();
  await using on = await stage([durable, ...durable.inner]);
  const run = await on.stemma.run(durable, "x");
  await until(async () => (await on.stemma.waits()).waits.length === 1);
  const family = { family: true };
  expect(said(graph, await on.stemma.trace(run.id, family))).toEqual({
    "start (start)": "good: ran once",
    inside: "open: at work",
    end: "other: ",
    "ask (start)": "open: ran once, waits",
  });
  const [wait] = (await on.stemma.waits()).waits;
  await on.stemma.resume(wait!.run, wait!.key, "yes");
  await errorOf(run.result());
  expect(said(graph, await on.stemma.trace(run.id, family))).toMatchObject({
    inside: "good: ran once",
    end: "bad: failed once",
    "ask (start)": "good: ran 2 times",
  });
  fails = false;
  const again = await on.stemma.restart(run.id);
  await again.result();
  expect(said(graph, await again.trace())).toMatchObject({
    "start (start)": "reused: reused once",
    inside: "reused: reused once",
    end: "good: ran once",
  });
});

test("a picture for Graphviz has the same in it, with the names of executors quoted", async () => {
  const [start, other] = [pass('a "b"'), ends("end")];
  const graph = new WorkflowBuilder({ name: "g", start }).addEdge(start, other).build();
  const lines = toDot(graph, await graph.run("x")).split("\n");
  expect(lines[1]).toBe(
    String.raw`  "a \"b\"" [label="a \"b\" (start)\nran once", shape=oval, style=filled, fillcolor="#e6f4ea", color="#1e7d34", fontcolor="#0b3d17"];`,
  );
  expect(toDot(graph)).not.toContain("fillcolor");
});
