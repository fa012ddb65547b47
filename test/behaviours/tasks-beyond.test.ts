/** What task graphs can do that others cannot: triggers, further tasks, values, resources, filters. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { TaskResult, TaskStep, TaskTools, TaskTrigger } from "../../src/tasks.ts";
import { mapTask, StandardExecutionStrategy, subTasks, TaskRunner, TaskRunnerBuilder } from "../../src/tasks.ts";
import { fails, sleep, statuses, step, turns, untilAborted } from "./tasks.ts";

const data = (value: unknown): TaskResult => ({ status: "success", data: value });

describe("a trigger", () => {
  const skip = { condition: () => false };
  const ends = {
    good: step("good"),
    bad: step("bad", [], () => fails("no")),
    off: step("off", [], undefined, skip),
    stopped: step("stopped", [], () => ({ status: "cancelled" })),
    allowed: step("allowed", [], () => fails("no"), { continueOnError: true }),
  };

  test.each<[TaskTrigger, string, string]>([
    ["all", "good", "success"],
    ["all", "good allowed", "success"],
    ["all", "good off", "skipped"],
    ["any", "bad good", "success"],
    ["any", "off allowed", "success"],
    ["any", "bad off stopped", "skipped"],
    ["none-failed", "good off", "success"],
    ["none-failed", "off", "skipped"],
    ["none-failed", "good bad", "skipped"],
    ["none-failed", "good stopped", "skipped"],
    ["always", "bad off stopped", "success"],
    ["finally", "bad off stopped", "success"],
  ])("%s behind %s: %s", async (trigger, before, expected) => {
    const names = before.split(" ");
    const steps = [
      ...names.map((name) => ends[name as keyof typeof ends]),
      step("join", names, undefined, { trigger }),
    ];
    expect((await new TaskRunner({}).execute(steps)).get("join")?.status).toBe(expected);
  });

  test("none-failed is the join behind an if/else: the branch not taken does not skip it", async () => {
    const entered: string[] = [];
    const branch = (name: string, condition: boolean): TaskStep =>
      step(name, ["decide"], () => void entered.push(name), { condition: () => condition });
    const results = await new TaskRunner({}).execute([
      step("decide"),
      branch("yes", false),
      branch("no", true),
      step("join", ["yes", "no"], () => void entered.push("join"), { trigger: "none-failed" }),
      step("behind", ["join"]),
    ]);
    expect(entered).toEqual(["no", "join"]);
    expect(statuses(results)).toMatchObject({ yes: "skipped", join: "success", behind: "success" });
  });

  test("any does not wait for the others", async () => {
    const late = Promise.withResolvers<void>();
    const results = await new TaskRunner({}).execute([
      step("slow", [], () => late.promise),
      step("quick"),
      step("first", ["slow", "quick"], () => late.resolve(), { trigger: "any" }),
    ]);
    expect(statuses(results)).toEqual({ quick: "success", first: "success", slow: "success" });
  });

  test("finally runs although the run was cancelled, with a signal that is not aborted", async () => {
    const seen: unknown[] = [];
    const steps = [
      step("work", [], (_, signal) => untilAborted(signal)),
      step("more", ["work"]),
      step(
        "clean up",
        ["more"],
        async (_, signal) => {
          await turns(1);
          seen.push(signal?.aborted ?? false);
        },
        { trigger: "finally" },
      ),
      step("always", ["more"], undefined, { trigger: "always" }),
    ];
    const results = await new TaskRunner({}).execute(steps, { timeout: 1 });
    expect(statuses(results)).toEqual({
      work: "cancelled",
      more: "cancelled",
      always: "cancelled",
      "clean up": "success",
    });
    expect(seen).toEqual([false]);
  });
});

describe("values", () => {
  test("of dependencies arrive, and of nothing else", async () => {
    const total = step("total", ["a", "b"]);
    total.run = async (_, __, tools) => {
      const { results } = tools as TaskTools<{ a: number; b: number }>;
      expect(() => results.get("other" as "a")).toThrow("Add that to its dependencies");
      return data(results.data("a") + results.data("b"));
    };
    const results = await new TaskRunner({}).execute([
      step("a", [], () => data(1)),
      step("b", [], () => data(2)),
      step("other", [], () => data(3)),
      total,
    ]);
    expect(results.get("total")?.data).toBe(3);
  });

  test("of a failure that is allowed are its result, and no output", async () => {
    let seen: unknown;
    const behind: TaskStep = {
      name: "behind",
      dependencies: ["bad"],
      run: async (_, __, tools) => {
        seen = tools?.results.get("bad")?.error;
        return data(tools?.results.data("bad"));
      },
    };
    const results = await new TaskRunner({}).execute([
      step("bad", [], () => fails("no"), { continueOnError: true }),
      behind,
    ]);
    expect(seen).toBe("no");
    expect(results.get("behind")?.error).toContain("it ended as failure");
  });

  test("reach a task through a strategy that hands them on", async () => {
    class Loud extends StandardExecutionStrategy {
      override execute(one: TaskStep, context: unknown, signal?: AbortSignal, tools?: TaskTools): Promise<TaskResult> {
        return super.execute(one, context, signal, tools);
      }
    }
    const b: TaskStep = { name: "b", dependencies: ["a"], run: async (_, __, tools) => data(tools?.results.data("a")) };
    const results = await new TaskRunner({})
      .setExecutionStrategy(new Loud())
      .execute([step("a", [], () => data(7)), b]);
    expect(results.get("b")?.data).toBe(7);
  });
});

describe("further tasks", () => {
  const list = step("list", [], () => data(["a", "b", "c"]));

  test("one for each item: what depends on the whole waits for all, and is given the outputs in order", async () => {
    const each = mapTask("each", {
      dependencies: ["list"],
      items: (results) => results.data("list") as string[],
      run: async (item) => {
        await turns(item === "a" ? 4 : 1);
        return item.toUpperCase();
      },
    });
    const join: TaskStep = {
      name: "join",
      dependencies: ["each"],
      run: async (_, __, t) => data(t?.results.data("each")),
    };
    const results = await new TaskRunner({}).execute([list, each, join], { concurrency: 2 });
    expect(results.get("join")?.data).toEqual(["A", "B", "C"]);
    expect(Object.keys(statuses(results)).toSorted()).toEqual(["each", "each/0", "each/1", "each/2", "join", "list"]);
    const nothing = await new TaskRunner({}).execute([mapTask("each", { items: () => [], run: () => 1 })]);
    expect(nothing.get("each")).toMatchObject({ status: "success" });
  });

  test("one that fails fails the whole, unless that is allowed", async () => {
    const run = (item: number): number => {
      if (item === 2) throw new Error("not 2");
      return item;
    };
    const strict = await new TaskRunner({}).execute([
      mapTask("m", { items: () => [1, 2, 3], run }),
      step("after", ["m"]),
    ]);
    expect(strict.get("m")).toMatchObject({ status: "failure", error: "Task 'm/1' failed: not 2" });
    expect(strict.get("m")?.cause).toEqual({ task: "m/1", status: "failure" });
    expect(statuses(strict)).toMatchObject({ "m/0": "success", "m/2": "success", after: "skipped" });
    const lenient = mapTask("m", { items: () => [1, 2, 3], run, each: { continueOnError: true } });
    expect((await new TaskRunner({}).execute([lenient])).get("m")).toMatchObject({ data: [1, null, 3] });
  });

  test("a graph within a task, within a task", async () => {
    const seen: string[] = [];
    const inner = subTasks("inner", { dependencies: ["first"] }, [
      step("x", [], () => data(1)),
      { name: "y", dependencies: ["x"], run: async (_, __, t) => data(Number(t?.results.data("x")) + 1) },
    ]);
    const outer = subTasks("outer", {}, [step("first"), inner]);
    const runner = new TaskRunner({});
    runner.on("taskEnd", ({ step: { name } }) => void seen.push(name));
    const results = await runner.execute([outer, step("after", ["outer"])], { concurrency: 1 });
    expect(seen).toEqual(["outer/first", "outer/inner/x", "outer/inner/y", "outer/inner", "outer", "after"]);
    expect(results.get("outer")?.data).toEqual({ first: undefined, inner: { x: 1, y: 2 } });
  });

  test("that cannot be carried out fail their task, and not the run", async () => {
    const wrong = (name: string, further: readonly TaskStep[]): TaskStep => ({ ...step(name), expand: () => further });
    const results = await new TaskRunner({}).execute([
      wrong("cycle", [step("A", ["B"]), step("B", ["A"])]),
      wrong("twice", [step("known")]),
      step("twice/known"),
      step("fine"),
    ]);
    expect(results.get("cycle")?.error).toContain("Cycle detected: cycle/A -> cycle/B -> cycle/A");
    expect(results.get("twice")?.error).toContain("Duplicate task detected with ID: twice/known");
    expect(results.get("fine")?.status).toBe("success");
  });

  test("are cancelled with the run, and their task with them", async () => {
    const stop = new AbortController();
    const run = (_: unknown, __: unknown, signal?: AbortSignal): Promise<never> => {
      setImmediate(() => stop.abort());
      return untilAborted(signal);
    };
    const config = { signal: stop.signal, concurrency: 2 };
    const each = mapTask("m", { items: () => [1, 2, 3], run });
    const results = await new TaskRunner({}).execute([each, step("after", ["m"])], config);
    expect(new Set(Object.values(statuses(results)))).toEqual(new Set(["cancelled"]));
    expect(results.size).toBe(5);
  });

  test("that do not heed their signal are given up, and their task with them, once", async () => {
    const told: string[] = [];
    const runner = new TaskRunner({});
    runner.on("taskEnd", ({ step: { name } }) => void told.push(name));
    const stop = new AbortController();
    let entered = 0;
    const run = (): Promise<number> => {
      if (++entered === 2) setImmediate(() => stop.abort());
      return new Promise(() => {});
    };
    const deaf = mapTask("m", { items: () => [1, 2], run });
    const results = await runner.execute([deaf], { signal: stop.signal, abortGrace: 1 });
    expect(statuses(results)).toEqual({ "m/0": "cancelled", "m/1": "cancelled", m: "cancelled" });
    expect(told).toEqual(["m/0", "m/1", "m"]);
  });
});

describe("resources", () => {
  test("are never used beyond their limits, and everything runs in the end", async () => {
    const amounts = fc.record({ a: fc.constantFrom(0, 0.1, 0.3, 1, 2), b: fc.constantFrom(0, 1, 3) });
    const tasks = fc.array(fc.record({ amounts, priority: fc.nat(3), behind: fc.nat(5) }), { maxLength: 25 });
    await fc.assert(
      fc.asyncProperty(tasks, fc.constantFrom(undefined, 2, 5), async (drawn, concurrency) => {
        const limits = { a: 2, b: 3 };
        const used = { a: 0, b: 0 };
        const steps = drawn.map(({ amounts: { a, b }, priority, behind }, i) =>
          step(
            `T${i}`,
            behind > 0 && i >= behind ? [`T${i - behind}`] : [],
            async () => {
              used.a += a;
              used.b += b;
              expect(used.a).toBeLessThan(limits.a + 1e-6);
              expect(used.b).toBeLessThanOrEqual(limits.b);
              await turns(1 + (i % 3));
              used.a -= a;
              used.b -= b;
            },
            { resources: { a, b, free: 100 }, priority },
          ),
        );
        const config = { resourceLimits: limits, ...(concurrency === undefined ? {} : { concurrency }) };
        const results = await new TaskRunner({}).execute(steps, config);
        expect(results.size).toBe(steps.length);
        expect(new Set(Object.values(statuses(results)))).toEqual(new Set(steps.length === 0 ? [] : ["success"]));
      }),
    );
  });

  test("that were taken in fractions are whole again when they are given back", async () => {
    // 1 - 0.1 - 0.1 - 0.3 + 0.1 + 0.3 + 0.1 is less than 1 in floating point.
    const part = (name: string, amount: number, count: number): TaskStep =>
      step(name, [], () => turns(count), { resources: { x: amount } });
    const steps = [part("a", 0.1, 1), part("b", 0.1, 9), part("c", 0.3, 5), part("whole", 1, 1)];
    const results = await new TaskRunner({}).execute(steps, { resourceLimits: { x: 1 } });
    expect(Object.keys(statuses(results))).toEqual(["a", "c", "b", "whole"]);
  }, 5000);

  test("that a task could never have are refused before anything runs", async () => {
    const greedy = step("greedy", [], undefined, { resources: { db: 3 } });
    const run = new TaskRunner({}).execute([greedy], { resourceLimits: { db: 2 } });
    await expect(run).rejects.toThrow("Expected what step greedy takes of db to be a number from 0 to 2");
  });

  test("that a task waits for do not hold up others, nor keep an aborted run", async () => {
    const holds = { resources: { db: 1 } };
    const stop = new AbortController();
    const runner = new TaskRunner({});
    runner.on("taskEnd", ({ step: { name } }) => name === "C" && stop.abort());
    const results = await runner.execute(
      [step("A", [], (_, signal) => untilAborted(signal), holds), step("B", [], undefined, holds), step("C")],
      { resourceLimits: { db: 1 }, signal: stop.signal },
    );
    expect(statuses(results)).toEqual({ C: "success", B: "cancelled", A: "cancelled" });
  });
});

describe("a filter", () => {
  const tagged = (name: string, deps: string[], ...tags: string[]): TaskStep => step(name, deps, undefined, { tags });
  const steps = [
    tagged("a", [], "db"),
    tagged("b", ["a"], "db", "slow"),
    tagged("c", ["b"], "web"),
    tagged("d", ["a"], "web", "slow"),
    tagged("e", []),
  ];

  test.each([
    [{}, "a b c d e"],
    [{ tags: ["web"] }, "a b c d"],
    [{ tags: ["web"], dependencies: false }, "c d"],
    [{ names: ["b"] }, "a b"],
    [{ names: ["e"], tags: ["db"] }, "a b e"],
    [{ exceptTags: ["slow"] }, "a c e"],
    [{ tags: ["web"], exceptNames: ["b"] }, "a c d"],
    [{ names: [] }, ""],
  ])("%j: %s", async (filter, expected) => {
    const results = await new TaskRunner({}).execute(steps, { filter });
    expect(Object.keys(statuses(results)).toSorted().join(" ")).toBe(expected);
    expect(new Set(Object.values(statuses(results)))).toEqual(new Set(expected === "" ? [] : ["success"]));
  });

  test("that names what is not there is refused", async () => {
    const run = new TaskRunner({}).execute(steps, { filter: { names: ["x"] } });
    await expect(run).rejects.toMatchObject({ code: "usage.invalid" });
  });
});

describe("results", () => {
  const run = async (): Promise<Map<string, TaskResult>> =>
    new TaskRunner({}).execute([step("A", [], () => data(1)), step("B", ["A"])]);

  test("are a Map like others, before and after they were looked at", async () => {
    const results = await run();
    expect(results).toBeInstanceOf(Map);
    expect(results.constructor).toBe(Map);
    expect([results.size, results.has("A"), results.has("X"), results.get("X")]).toEqual([2, true, false, undefined]);
    expect(results.get("A")).toBe(results.get("A"));
    expect([...results.keys()]).toEqual(["A", "B"]);
    expect(Object.getPrototypeOf(results)).toBe(Map.prototype);
    expect(new Map(results)).toEqual(results);
    expect(structuredClone(results)).toEqual(results);
    expect((await run()).delete("A")).toBe(true);
    expect((await run()).set("C", data(1)).size).toBe(3);
    expect(new Map(await run()).size).toBe(2);
    const found: string[] = [];
    (await run()).forEach((_, name) => found.push(name));
    expect(found).toEqual(["A", "B"]);
    const cleared = await run();
    cleared.clear();
    expect(cleared.size).toBe(0);
  });

  test("of very many are each its own, with what the task returned and what it was resumed with", async () => {
    const returned: readonly TaskResult[] = [{ status: "success" }, data(1), { status: "success", message: "done" }];
    const count = 30_000;
    const steps = Array.from({ length: count }, (_, i) => ({
      name: `T${i}`,
      run: async () => ({ ...(returned[i % 3] as TaskResult) }),
    }));
    const known: TaskResult = { status: "success" };
    const runner = new TaskRunnerBuilder({}).loadState({ T0: known, T3: known }).build();
    const results = await runner.execute(steps);
    for (const i of [1, 2, count - 3, count - 2, count - 1]) {
      expect(results.get(`T${i}`)).toEqual({ ...returned[i % 3], metrics: expect.anything() });
    }
    expect(results.get("T0")).toEqual(known);
    (results.get("T6") as TaskResult).message = "changed";
    expect(results.get("T9")?.message).toBeUndefined();
    (results.get("T0") as TaskResult).message = "changed";
    expect(results.get("T6")?.metrics?.duration).toBeGreaterThanOrEqual(0);
    expect(results.size).toBe(count);
  });

  test("that nobody looked at are not cloned into nothing", async () => {
    const results = await run();
    expect(() => structuredClone(results)).toThrow("clone new Map(results)");
  });
});

test("tasks that one task frees begin in the order of their definition, whatever the concurrency", async () => {
  for (const concurrency of [1, 2, 3, Number.POSITIVE_INFINITY]) {
    const begun: string[] = [];
    const steps = ["a", "b", "c", "d", "e"].map((name, i) =>
      step(name, i === 0 ? [] : ["a"], () => void begun.push(name)),
    );
    await new TaskRunner({}).execute(steps, { concurrency });
    expect(begun).toEqual(["a", "b", "c", "d", "e"]);
  }
});

test("tasks that say no more than that they succeeded have results of their own, and are counted", async () => {
  const runner = new TaskRunner({});
  const results = await runner.execute([step("a"), step("b", ["a"]), step("c", ["a"])]);
  expect(runner.outcome?.counts).toEqual({ success: 3, failure: 0, skipped: 0, cancelled: 0 });
  const [a, b] = [results.get("a"), results.get("b")] as [TaskResult, TaskResult];
  a.message = "mine";
  expect(b.message).toBeUndefined();
  expect(b.metrics?.startTime).toBeGreaterThanOrEqual(a.metrics?.endTime ?? Number.NaN);
});

test("a trigger that a step is given between two runs of the same array counts", async () => {
  const steps: TaskStep[] = [step("a", [], () => fails("no")), step("b", ["a"])];
  expect(statuses(await new TaskRunner({}).execute(steps))).toEqual({ a: "failure", b: "skipped" });
  Object.assign(steps[1] as TaskStep, { trigger: "always" });
  expect(statuses(await new TaskRunner({}).execute(steps))).toEqual({ a: "failure", b: "success" });
  Object.assign(steps[0] as TaskStep, { run: async () => ({ status: "success" }) });
  Object.assign(steps[1] as TaskStep, { trigger: "any", dependencies: ["a", "c"] });
  expect(statuses(await new TaskRunner({}).execute([...steps, step("c")]))).toEqual({
    a: "success",
    b: "success",
    c: "success",
  });
});

test("graphs may be changed between two runs of the same array", async () => {
  const steps = [step("A"), step("B", ["A"])];
  const runner = new TaskRunner({});
  expect(Object.keys(statuses(await runner.execute(steps)))).toEqual(["A", "B"]);
  (steps[0] as { dependencies?: readonly string[] }).dependencies = ["B"];
  await expect(runner.execute(steps)).rejects.toThrow("Cycle detected");
  (steps[1] as { dependencies?: readonly string[] }).dependencies = [];
  expect(Object.keys(statuses(await runner.execute(steps)))).toEqual(["B", "A"]);
  steps.push(step("C", ["B"]));
  expect((await runner.execute(steps)).size).toBe(3);
  (steps[2] as { name: string }).name = "D";
  expect((await runner.execute(steps)).has("D")).toBe(true);
  (steps[2] as { dependencies?: readonly string[] }).dependencies = [];
  (steps[0] as { dependencies?: readonly string[] }).dependencies = [];
  expect(Object.keys(statuses(await runner.execute(steps, { concurrency: 1 })))).toEqual(["A", "B", "D"]);
  (steps[2] as { priority: number }).priority = 1;
  expect(Object.keys(statuses(await runner.execute(steps, { concurrency: 1 })))).toEqual(["D", "A", "B"]);
});

test("limits of time of many tasks run out each in its time", async () => {
  const steps = [30, 5, 5, 20, 60_000].map((timeout, i) =>
    step(`T${i}`, [], () => (timeout === 60_000 ? sleep(1) : new Promise(() => {})), { timeout }),
  );
  const results = await new TaskRunner({}).execute(steps);
  expect(statuses(results)).toEqual({ T0: "failure", T1: "failure", T2: "failure", T3: "failure", T4: "success" });
  for (const [i, ms] of [30, 5, 5, 20].entries()) {
    expect(results.get(`T${i}`)?.error).toBe(`Task timed out after ${ms}ms`);
    expect(results.get(`T${i}`)?.metrics?.duration).toBeGreaterThanOrEqual(ms - 1);
  }
  // Of equal limits the one that began first; others may all be over when a busy machine looks at its timers.
  const ends = [...results.keys()];
  expect(ends.indexOf("T1")).toBeLessThan(ends.indexOf("T2"));
});
