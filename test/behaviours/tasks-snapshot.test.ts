/** Behaviours 50 to 57 of task graphs: what is known of a run is taken out, and another run goes on from it. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { TaskResult, TaskSnapshot, TaskStep } from "../../src/tasks.ts";
import { EventBus, mapTask, subTasks, TaskRunner, TaskRunnerBuilder, TaskStateManager } from "../../src/tasks.ts";
import { fails, spy, statuses, step } from "./tasks.ts";

const ok: TaskResult = { status: "success" };

function resumed(snapshot: TaskSnapshot): TaskRunner<object> {
  return new TaskRunnerBuilder({}).loadState(snapshot).build();
}

function json<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}

test("50: what succeeded does not run again, and what failed does", async () => {
  const [a, b] = [spy(() => ({ status: "success", data: { rows: [1, 2] } })), spy(() => fails("no"))];
  const runner = new TaskRunner({});
  await runner.execute([step("A", [], a), step("B", ["A"], b)]);
  const snapshot = runner.getSnapshot();
  expect(json(snapshot)).toEqual(snapshot);
  expect(snapshot).toMatchObject({ A: { status: "success", data: { rows: [1, 2] } }, B: { status: "failure" } });
  const [again, better] = [spy(), spy()];
  const results = await resumed(json(snapshot)).execute([step("A", [], again), step("B", ["A"], better)]);
  expect(again).not.toHaveBeenCalled();
  expect(better).toHaveBeenCalledTimes(1);
  expect(statuses(results)).toEqual({ A: "success", B: "success" });
  expect(results.get("A")?.data).toEqual({ rows: [1, 2] });
});

test("51: failure, cancelled and skipped are evaluated again", async () => {
  const ran: string[] = [];
  const snapshot: TaskSnapshot = { A: ok, B: fails("no"), C: { status: "skipped" }, D: { status: "cancelled" } };
  const graph = { A: [], B: ["A"], C: ["B"], D: [] };
  const steps = Object.entries(graph).map(([name, deps]) => step(name, deps, () => void ran.push(name)));
  const results = await resumed(snapshot).execute(steps);
  expect(ran.toSorted()).toEqual(["B", "C", "D"]);
  expect(new Set(Object.values(statuses(results)))).toEqual(new Set(["success"]));
  const still = await resumed(snapshot).execute([
    step("A"),
    step("B", ["A"], () => fails()),
    step("C", ["B"]),
    step("D"),
  ]);
  expect(statuses(still)).toEqual({ A: "success", B: "failure", C: "skipped", D: "success" });
});

test("52: a success frees each dependent once, also a join that waits for others", async () => {
  const ran: string[] = [];
  const graph = { A: [], B: [], join: ["A", "B"], A2: ["A"], last: ["join", "A2", "A"] };
  const steps = Object.entries(graph).map(([name, deps]) => step(name, deps, () => void ran.push(name)));
  const results = await resumed({ A: ok }).execute(steps);
  expect(ran.toSorted()).toEqual(["A2", "B", "join", "last"]);
  expect(ran.indexOf("join")).toBeGreaterThan(ran.indexOf("B"));
  expect(ran.at(-1)).toBe("last");
  expect(results.size).toBe(5);
});

test("52: the parts by hand do the same", () => {
  const states = new TaskStateManager(new EventBus());
  const [a, b, join] = [step("A"), step("B"), step("join", ["A", "B"])];
  states.initialize([a, b, join]);
  states.processDependencies();
  states.markCompleted(a, { status: "success", data: 1 });
  const snapshot = json(states.getSnapshot());
  expect(snapshot).toEqual({ A: { status: "success", data: 1 } });
  for (const hydrateFirst of [true, false]) {
    const next = new TaskStateManager(new EventBus());
    if (hydrateFirst) next.hydrate(snapshot);
    next.initialize([a, b, join]);
    if (!hydrateFirst) next.hydrate(snapshot);
    expect(next.getResults().get("A")).toEqual({ status: "success", data: 1 });
    expect(next.processDependencies()).toEqual([b]);
    next.markCompleted(b, ok);
    expect(next.processDependencies()).toEqual([join]);
    expect(() => next.hydrate({ X: ok })).toThrow("'X' is not in the graph");
  }
});

describe("53: a snapshot that is taken while a run goes on", () => {
  /** 200 tasks with up to three dependencies each, some of which fail, are allowed to, or do not run. */
  function graph(): TaskStep[] {
    return Array.from({ length: 200 }, (_, i) => {
      const deps = [i - 1 - (i % 3), i - 2 - (i % 7), i - 11].filter((d) => d >= 0 && (i + d) % 4 !== 0);
      const rest = {
        ...(i % 9 === 0 ? { continueOnError: true } : {}),
        ...(i % 31 === 30 ? { condition: () => false } : {}),
      };
      return step(
        `T${i}`,
        [...new Set(deps)].map((d) => `T${d}`),
        () => (i % 18 === 9 ? fails(`no ${i}`) : undefined),
        rest,
      );
    });
  }

  test("holds what has ended, and resumes from each end to the same statuses", async () => {
    const runner = new TaskRunner({});
    const taken: TaskSnapshot[] = [];
    const ended = new Set<string>();
    runner.on("taskEnd", ({ step: { name } }) => {
      ended.add(name);
      const snapshot = runner.getSnapshot();
      expect(Object.keys(snapshot)).toEqual(expect.arrayContaining([...ended]));
      taken.push(json(snapshot));
    });
    const whole = statuses(await runner.execute(graph(), { concurrency: 4 }));
    expect(new Set(Object.values(whole))).toEqual(new Set(["success", "failure", "skipped"]));
    for (const snapshot of taken) {
      const entered: string[] = [];
      const next = resumed(snapshot);
      next.on("taskStart", ({ step: { name } }) => void entered.push(name));
      const results = await next.execute(graph(), { concurrency: 4 });
      expect(statuses(results)).toEqual(expect.objectContaining(whole));
      expect(results.size).toBe(200);
      expect(entered.filter((name) => snapshot[name]?.status === "success")).toEqual([]);
    }
  });

  test("resumes although it was taken of a run that had been resumed itself", async () => {
    const whole = statuses(await new TaskRunner({}).execute(graph()));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 199 }), { minLength: 1, maxLength: 4 }), async (stops) => {
        let snapshot: TaskSnapshot = {};
        for (const stop of stops) {
          const runner = resumed(snapshot);
          let ends = 0;
          runner.on("taskEnd", () => {
            if (ends++ === stop) snapshot = json(runner.getSnapshot());
          });
          await runner.execute(graph(), { concurrency: 3 });
        }
        expect(statuses(await resumed(snapshot).execute(graph()))).toEqual(expect.objectContaining(whole));
      }),
      { numRuns: 20 },
    );
  });

  test("keeps what is known of a task that has not ended again, so that it fits the graph", async () => {
    const late = Promise.withResolvers<void>();
    const graphOf = (a: () => unknown): TaskStep[] => [
      step("A", [], a, { continueOnError: true }),
      step("B", ["A"]),
      step("C", ["B"], () => fails("no")),
    ];
    const first = new TaskRunner({});
    await first.execute(graphOf(() => fails("allowed")));
    const second = resumed(json(first.getSnapshot()));
    let snapshot: TaskSnapshot = {};
    second.on("taskEnd", ({ step: { name } }) => {
      if (name === "C") snapshot = json(second.getSnapshot());
      late.resolve();
    });
    await second.execute(graphOf(() => late.promise));
    expect(snapshot["A"]).toMatchObject({ status: "failure", error: "allowed" });
    expect((await resumed(snapshot).execute(graphOf(() => undefined))).size).toBe(3);
  });

  test("is a copy, and refuses what JSON would lose", async () => {
    const data = { list: [1] };
    const runner = new TaskRunner({});
    await runner.execute([step("A", [], () => ({ status: "success", data }))]);
    const snapshot = runner.getSnapshot();
    data.list.push(2);
    expect(snapshot["A"]?.data).toEqual({ list: [1] });
    await runner.execute([step("A", [], () => ({ status: "success", data: new Map() }))]);
    expect(() => runner.getSnapshot()).toThrow("result of task A");
  });
});

test("54: with nothing left to run, the results are there, and start and end are told", async () => {
  const told: string[] = [];
  const run = spy();
  const runner = resumed({ A: { status: "success", data: 1 }, B: ok });
  for (const event of ["workflowStart", "taskStart", "taskEnd", "workflowEnd"] as const) {
    runner.on(event, () => void told.push(event));
  }
  const results = await runner.execute([step("A", [], run), step("B", ["A"], run)]);
  expect(run).not.toHaveBeenCalled();
  expect(told).toEqual(["workflowStart", "workflowEnd"]);
  expect(Object.fromEntries(results)).toEqual({ A: { status: "success", data: 1 }, B: ok });
  expect(runner.outcome).toMatchObject({ status: "success", counts: { success: 2 } });
});

test("55: the context is the one that the caller gives", async () => {
  const steps = [
    step<{ seen: string[] }>("A", [], ({ seen }) => void seen.push("A")),
    step<{ seen: string[] }>("B", ["A"], ({ seen }) => (seen.push("B"), fails())),
  ];
  const first = new TaskRunner({ seen: [] as string[] });
  await first.execute(steps);
  const context = { seen: ["mine"] };
  const next = new TaskRunnerBuilder(context).loadState(json(first.getSnapshot())).build();
  await next.execute(steps);
  expect(context).toEqual({ seen: ["mine", "B"] });
});

describe("56: a snapshot that does not fit the graph", () => {
  const differing: TaskSnapshot = { A: fails(), B: ok, gone: ok, C: ok };
  const steps = [step("A"), step("B", ["A"]), step("new"), step("C", ["B", "new"])];

  test("is refused with all differences, before anything runs", async () => {
    const error = await resumed(differing)
      .execute(steps)
      .catch((thrown: unknown) => thrown);
    const differences = [
      "task 'gone' is not in the graph",
      "task 'B' has succeeded, and 'A', which it depends on, is failure",
      "task 'C' has succeeded, and 'new', which it depends on, is not known",
    ];
    expect(error).toMatchObject({ code: "snapshot.mismatch", data: { differences } });
    expect((error as Error).message).toContain(differences.join("; "));
  });

  test("is taken as far as it goes, if that is asked for: what succeeded does not run again", async () => {
    const ran: string[] = [];
    const runner = new TaskRunnerBuilder({}).loadState(differing, { onMismatch: "ignore" }).build();
    runner.on("taskStart", ({ step: { name } }) => void ran.push(name));
    const results = await runner.execute(steps);
    expect(ran.toSorted()).toEqual(["A", "new"]);
    expect(Object.keys(statuses(results)).toSorted()).toEqual(["A", "B", "C", "new"]);
  });

  test("fits if the failure that a success depends on is allowed, or a dependency was taken away", async () => {
    const allowed = [step("A", [], undefined, { continueOnError: true }), step("B", ["A"])];
    expect((await resumed({ A: fails(), B: ok }).execute(allowed)).get("B")).toEqual(ok);
    expect((await resumed({ B: ok }).execute([step("A"), step("B")])).size).toBe(2);
  });

  test.each([
    ["finally", { A: fails(), J: ok }, true],
    ["always", { J: ok }, false],
    ["any", { A: ok, J: ok }, true],
    ["any", { A: fails(), J: ok }, false],
    ["none-failed", { A: ok, B: { status: "skipped" }, J: ok }, true],
    ["none-failed", { A: ok, B: { status: "failure" }, J: ok }, false],
  ] as const)("goes by the trigger %s: %j", async (trigger, snapshot, fits) => {
    const join = step("J", trigger === "finally" ? ["A"] : ["A", "B"], undefined, { trigger });
    const run = resumed(snapshot as TaskSnapshot).execute([step("A"), step("B"), join]);
    if (fits) await expect(run).resolves.toBeInstanceOf(Map);
    else await expect(run).rejects.toThrow("does not fit");
  });

  test.each([[null], [[]], [new Map()], [{ A: {} }], [{ A: { status: "done" } }], [{ A: null }]])(
    "is no snapshot: %j",
    (wrong) => {
      expect(() => resumed(wrong as never)).toThrow(expect.objectContaining({ code: "snapshot.invalid" }) as Error);
    },
  );
});

test("further tasks go on from a snapshot, too: those that succeeded are not entered again", async () => {
  let failing = true;
  const entered: string[] = [];
  const steps = [
    mapTask("each", {
      items: () => ["a", "b", "c"],
      run: (item) => {
        entered.push(item);
        if (failing && item === "b") throw new Error("not yet");
        return item.toUpperCase();
      },
    }),
    subTasks("sub", { dependencies: ["each"] }, [step("one"), step("two", ["one"])]),
  ];
  const runner = new TaskRunner({});
  expect(statuses(await runner.execute(steps))).toMatchObject({ "each/1": "failure", each: "failure", sub: "skipped" });
  failing = false;
  entered.length = 0;
  const next = resumed(json(runner.getSnapshot()));
  const results = await next.execute(steps);
  expect(entered).toEqual(["b"]);
  expect(results.get("each")).toMatchObject({ status: "success", data: ["A", "B", "C"] });
  const whole = await resumed(json(next.getSnapshot())).execute(steps);
  expect(statuses(whole)).toEqual(statuses(results));
});
