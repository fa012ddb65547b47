/** Whatever takes a while with very many tasks pauses, so that timers fire and signals arrive meanwhile. */
import { expect, test } from "vitest";
import { statuses, step } from "../../../test/behaviours/tasks.ts";
import type { Timed } from "./deadlines.ts";
import { Deadlines } from "./deadlines.ts";
import { planOf, sourceOf } from "./durable-plan.ts";
import { EventBus } from "./events.ts";
import { leftOut } from "./filter.ts";
import { buildGraph, readGraph } from "./graph.ts";
import { StandardExecutionStrategy, TaskStateManager, WorkflowExecutor } from "./parts.ts";
import { checkDemands } from "./resources.ts";
import { TaskRunner } from "./runner.ts";
import { fitting } from "./snapshot.ts";
import type { TaskStep } from "./step.ts";
import { inputs } from "./tools.ts";
import { atOnce } from "./turn.ts";

const count = 5000;
const names = Array.from({ length: count }, (_, i) => `t${i}`);
const steps = names.map((name, i) => step(name, i === 0 ? [] : [names[i - 1] as string]));
const graph = atOnce(buildGraph(steps));

/** How often it pauses, and what it comes to. */
function pausesOf<T>(work: Generator<void, T>): { pauses: number; value: T } {
  for (let pauses = 0; ; pauses++) {
    const { done, value } = work.next();
    if (done === true) return { pauses, value };
  }
}

/** The names, and how often one of them was looked at by its place. */
function counting(): { counted: string[]; looks: () => number } {
  let looks = 0;
  const counted = new Proxy(names, {
    get: (all, key) => {
      if (typeof key === "string" && /^\d+$/u.test(key)) looks++;
      return Reflect.get(all, key) as unknown;
    },
  });
  return { counted, looks: () => looks };
}

/** How often the event loop went round while something happened. */
async function turnsDuring(work: () => Promise<unknown>): Promise<number> {
  let turns = 0;
  let going = true;
  const turn = (): void => {
    turns++;
    if (going) setImmediate(turn);
  };
  setImmediate(turn);
  await work();
  going = false;
  return turns;
}

/** Takes a millisecond of the processor. */
function busy(): void {
  const until = performance.now() + 1;
  while (performance.now() < until);
}

test("holding a snapshot against a graph pauses", () => {
  const known = Object.fromEntries(names.map((name) => [name, { status: "success" } as const]));
  const { pauses, value } = pausesOf(fitting(known, graph, [], undefined));
  expect(pauses).toBeGreaterThan(4);
  expect(value).toBe(known);
});

test("a snapshot with very many differences says the first of them, and has all", () => {
  const known = Object.fromEntries(names.map((name) => [`no ${name}`, { status: "success" } as const]));
  let data: { differences?: string[] } = {};
  try {
    atOnce(fitting(known, graph, [], "error"));
  } catch (error) {
    data = (error as { data: typeof data }).data;
    expect(String(error)).toMatch(/'no t19' is not in the graph; and 4980 more\. Load it/u);
  }
  expect(data.differences).toHaveLength(count);
});

test("choosing tasks by a filter pauses, and looks at each name of it a few times at most", () => {
  const { counted, looks } = counting();
  const { pauses, value } = pausesOf(
    leftOut(graph, { names: counted, exceptNames: names.slice(1), dependencies: true }),
  );
  expect(pauses).toBeGreaterThan(4);
  expect(value).toHaveLength(count - 1);
  expect(looks()).toBeLessThanOrEqual(4 * count);
});

test("looking at what steps take of scarce resources pauses", () => {
  expect(pausesOf(checkDemands(graph, { room: 1 })).pauses).toBeGreaterThan(4);
});

test("reading the dependencies of a step that has very many pauses", () => {
  const join = step("join", names);
  const before = pausesOf(readGraph(names.map((name) => step(name)))).pauses;
  const read = pausesOf(readGraph([...names.map((name) => step(name)), join, step("behind", ["join"])]));
  expect(read.pauses).toBeGreaterThan(before + 1);
  expect(read.value.errors).toEqual([]);
  expect([...read.value.graph.first.slice(0, 3), ...read.value.graph.target.slice(-2)]).toEqual([
    0,
    1,
    2,
    count,
    count + 1,
  ]);
});

test("a task that asks for the results of very many dependencies has them looked up, not searched for", () => {
  const { counted, looks } = counting();
  const results = inputs("join", counted, () => ({ status: "success" }));
  for (const name of names) results.get(name);
  expect(() => results.get("other")).toThrow("it asked for other");
  expect(looks()).toBeLessThanOrEqual(2 * count);
});

test("limits of time that run out together are dealt with in turns", async () => {
  const deadlines = new Deadlines();
  const over = Promise.withResolvers<void>();
  let left = 30;
  for (let i = left; i > 0; i--) {
    const timed: Timed = {
      limitMs: 1,
      until: performance.now() + 1,
      before: undefined,
      after: undefined,
      abort: () => {},
      expire: () => {
        deadlines.remove(timed);
        busy();
        if (--left === 0) over.resolve();
      },
    };
    deadlines.add(timed);
  }
  const until = performance.now() + 5;
  while (performance.now() < until);
  expect(await turnsDuring(() => over.promise)).toBeGreaterThan(2);
  deadlines.close();
});

test("very many tasks that do not mind that the run is over are given up in turns", async () => {
  const stuck = names.map((name): TaskStep => ({ name, run: () => new Promise(() => {}) }));
  const runner = new TaskRunner({});
  let told = 0;
  let first = 0;
  let turns = 0;
  runner.on("taskEnd", () => {
    told++;
    if (told === 1) first = turns;
    if (told % 50 === 0) busy();
  });
  const controller = new AbortController();
  let going = true;
  const turn = (): void => {
    turns++;
    if (going) setImmediate(turn);
  };
  turn();
  const running = runner.execute(stuck, { signal: controller.signal, abortGrace: 0 });
  runner.on("taskStart", ({ step: { name } }) => {
    if (name === names.at(-1)) controller.abort();
  });
  const results = await running;
  going = false;
  expect(new Set(Object.values(statuses(results)))).toEqual(new Set(["cancelled"]));
  expect(turns - first).toBeGreaterThan(2);
});

test.each([
  ["side by side", undefined, false],
  ["two at a time", 2, false],
  ["in a row", undefined, true],
])(
  "an executor put together by hand lets the event loop go round between tasks %s",
  async (_, concurrency, chained) => {
    const events = new EventBus();
    const states = new TaskStateManager(events);
    const all = names.slice(0, 30).map((name, i) => step(name, chained && i > 0 ? [names[i - 1] as string] : [], busy));
    const executor = new WorkflowExecutor({}, events, states, new StandardExecutionStrategy(), concurrency);
    let results: ReadonlyMap<string, { status: string }> = new Map();
    const turns = await turnsDuring(async () => {
      results = await executor.execute(all);
    });
    expect([...results.values()].filter(({ status }) => status === "success")).toHaveLength(30);
    expect(turns).toBeGreaterThan(2);
  },
);

test("making a durable graph of very many steps pauses", () => {
  const plan = pausesOf(planOf(steps, { name: "many" }));
  // As often as its graph and the names of its steps do.
  expect(plan.pauses).toBeGreaterThan(pausesOf(buildGraph(steps)).pauses + 4);
  expect(plan.value.graph.names).toEqual(names);
  expect(pausesOf(sourceOf(plan.value.graph)).pauses).toBeGreaterThan(4);
});
