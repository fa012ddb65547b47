/** Behaviours 39 to 49 of task graphs: events, plugins, the logger, strategies, metrics, pictures and size. */
import { afterEach, describe, expect, test, vi } from "vitest";
import type { Plugin, TaskStep } from "../../src/tasks.ts";
import {
  DryRunExecutionStrategy,
  EventBus,
  LoggerPlugin,
  TaskGraphValidator,
  TaskRunner,
  TaskRunnerBuilder,
  TaskStateManager,
} from "../../src/tasks.ts";
import { fails, spy, statuses, step, turns } from "./tasks.ts";

afterEach(() => void vi.restoreAllMocks());

const events = ["workflowStart", "taskStart", "taskEnd", "taskSkipped", "workflowEnd"] as const;

describe("events", () => {
  test("39: a run is told from its start to its end, before its results are given", async () => {
    const told: string[] = [];
    const runner = new TaskRunner({});
    for (const event of events) {
      runner.on(event, (payload) => void told.push("step" in payload ? `${event} ${payload.step.name}` : event));
    }
    await runner.execute([step("A"), step("B", ["A"])]);
    expect(told).toEqual(["workflowStart", "taskStart A", "taskEnd A", "taskStart B", "taskEnd B", "workflowEnd"]);
  });

  test("40: what is skipped is told once, with its step and result", async () => {
    const skipped = spy();
    const steps = [step("A", [], () => fails("no")), step("B", ["A"])];
    const runner = new TaskRunner({});
    runner.on("taskSkipped", skipped);
    await runner.execute(steps);
    const result = expect.objectContaining({ status: "skipped" }) as unknown;
    expect(skipped).toHaveBeenCalledExactlyOnceWith({ step: steps[1], result });
  });

  test.each([
    [
      "throws",
      () => {
        throw new Error("mine");
      },
    ],
    ["rejects", () => Promise.reject(new Error("mine"))],
  ])("41: a listener that %s disturbs nobody, and is reported", async (_, listener) => {
    const report = vi.spyOn(console, "error").mockImplementation(() => {});
    const other = spy();
    const runner = new TaskRunner({});
    runner.on("taskStart", listener);
    runner.on("taskStart", other);
    const results = await runner.execute([step("A")]);
    expect(statuses(results)).toEqual({ A: "success" });
    expect(other).toHaveBeenCalledTimes(1);
    await turns();
    expect(report).toHaveBeenCalledExactlyOnceWith("Error in event listener for taskStart:", new Error("mine"));
  });

  test("41: a console that throws is survived", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {
      throw new Error("closed");
    });
    const runner = new TaskRunner({});
    runner.on("taskStart", () => {
      throw new Error("mine");
    });
    expect(statuses(await runner.execute([step("A")]))).toEqual({ A: "success" });
  });

  test("41: what a console throws once is told on the same console", async () => {
    const report = vi.spyOn(console, "error").mockImplementation(() => {});
    report.mockImplementationOnce(() => {
      throw new Error("closed");
    });
    const bus = new EventBus();
    bus.on("taskStart", () => {
      throw new Error("mine");
    });
    bus.emit("taskStart", { step: step("A") });
    await turns();
    expect(report.mock.calls).toEqual([
      ["Error in event listener for taskStart:", new Error("mine")],
      ["Unexpected error in event bus execution for taskStart:", new Error("closed")],
    ]);
  });

  test("42: listeners come and go; one is called once, however often it was added", async () => {
    const [gone, one, two] = [spy(), spy(), spy()];
    const runner = new TaskRunner({});
    runner.on("taskStart", gone);
    runner.off("taskStart", gone);
    runner.off("taskStart", gone);
    runner.off("workflowEnd", gone);
    runner.on("taskStart", one);
    runner.on("taskStart", one);
    runner.on("taskStart", two);
    await runner.execute([step("A")]);
    expect([gone, one, two].map((listener) => listener.mock.calls.length)).toEqual([0, 1, 1]);
  });

  test("42: a bus by itself calls its listeners soon, not at once", async () => {
    const bus = new EventBus();
    const listener = spy();
    bus.on("taskStart", listener);
    bus.emit("taskStart", { step: step("A") });
    expect(listener).not.toHaveBeenCalled();
    await Promise.resolve();
    expect(listener).toHaveBeenCalledTimes(1);
  });
});

describe("plugins", () => {
  test("43: a plugin is installed before the tasks, waited for, and listens", async () => {
    const told: string[] = [];
    const plugin: Plugin = {
      name: "test-plugin",
      version: "1.0.0",
      install: async (context) => {
        await turns(2);
        told.push("installed");
        context.events.on("taskStart", ({ step: { name } }) => void told.push(name));
      },
    };
    const runner = new TaskRunner({}).use(plugin);
    expect(told).toEqual([]);
    await runner.execute([step("A")]);
    expect(told).toEqual(["installed", "A"]);
    expect(() => runner.use(plugin)).toThrow("Plugin with name 'test-plugin' is already registered.");
  });

  test("43: plugins are installed side by side, and there may be 100,000", async () => {
    const all = Promise.withResolvers<void>();
    let installing = 0;
    const runner = new TaskRunner({});
    for (let i = 0; i < 5; i++) {
      // Each waits for all: one after the other they would never be installed.
      const install = (): Promise<void> => {
        if (++installing === 5) all.resolve();
        return all.promise;
      };
      runner.use({ name: `slow ${i}`, version: "1", install });
    }
    let installed = 0;
    for (let i = 0; i < 100_000; i++) runner.use({ name: `P${i}`, version: "1", install: () => void installed++ });
    await runner.execute([step("A")]);
    expect(installed).toBe(100_000);
  });

  test("43: a run waits for a plugin that is being installed for another", async () => {
    const told: string[] = [];
    const runner = new TaskRunner({}).use({
      name: "slow",
      version: "1.0.0",
      install: async ({ events: given }) => {
        await turns(2);
        given.on("taskStart", ({ step: { name } }) => void told.push(name));
      },
    });
    await Promise.all([runner.execute([step("A")]), runner.execute([step("B")])]);
    expect(told.toSorted()).toEqual(["A", "B"]);
  });

  test("43: one that cannot be installed refuses the run, and is tried again for the next", async () => {
    let calls = 0;
    const install = (): void => {
      if (++calls === 1) throw new Error("not yet");
    };
    const runner = new TaskRunner({}).use({ name: "late", version: "1", install });
    await expect(runner.execute([step("A")])).rejects.toThrow("not yet");
    expect(statuses(await runner.execute([step("A")]))).toEqual({ A: "success" });
  });
});

describe("logger", () => {
  const steps = [
    step("task1"),
    step("task2", [], () => fails("no")),
    step("task3", ["task2"]),
    step("task4", [], undefined, { condition: () => false }),
  ];

  test("44: text has these lines", async () => {
    const log = vi.spyOn(console, "log").mockImplementation(() => {});
    await new TaskRunnerBuilder({}).withLogger("text").build().execute(steps, { concurrency: 1 });
    const lines = log.mock.calls.map(([line]) => String(line).replace(/in [\d.]+ms/u, "in Dms"));
    expect(lines).toEqual([
      "[WorkflowStart] Starting workflow with 4 steps.",
      "[TaskStart] Task 'task1' started.",
      "[TaskEnd] Task 'task1' ended with status 'success' in Dms.",
      "[TaskStart] Task 'task2' started.",
      "[TaskEnd] Task 'task2' ended with status 'failure' in Dms.",
      "[TaskSkipped] Task 'task3' skipped.",
      "[TaskSkipped] Task 'task4' skipped.",
      "[WorkflowEnd] Workflow completed. Success: 1, Failed: 1.",
    ]);
  });

  test("44: what never began took no time", async () => {
    const log = vi.spyOn(console, "log").mockImplementation(() => {});
    const plugin = new LoggerPlugin({ format: "json" });
    expect([plugin.name, plugin.version]).toEqual(["logger", "1.0.0"]);
    for (const runner of [new TaskRunnerBuilder({}).withLogger("text").build(), new TaskRunner({}).use(plugin)]) {
      await runner.execute([step("task1")], { signal: AbortSignal.abort() });
    }
    const lines = log.mock.calls.map(([line]) => String(line));
    expect(lines[1]).toBe("[TaskEnd] Task 'task1' ended with status 'cancelled'.");
    const record = { event: "taskEnd", task: "task1", status: "cancelled", timestamp: expect.any(String) as unknown };
    expect(JSON.parse(String(lines[4]))).toEqual(record);
  });

  test("44: JSON has these fields", async () => {
    const log = vi.spyOn(console, "log").mockImplementation(() => {});
    await new TaskRunner({}).use(new LoggerPlugin({ format: "json" })).execute(steps.slice(0, 2), { concurrency: 1 });
    const records = log.mock.calls.map(([line]) => JSON.parse(String(line)) as Record<string, unknown>);
    const [timestamp, duration] = [expect.any(String) as unknown, expect.any(Number) as unknown];
    expect(records).toEqual([
      { event: "workflowStart", timestamp, stepCount: 2 },
      { event: "taskStart", timestamp, task: "task1" },
      { event: "taskEnd", timestamp, task: "task1", status: "success", duration },
      { event: "taskStart", timestamp, task: "task2" },
      { event: "taskEnd", timestamp, task: "task2", status: "failure", duration },
      { event: "workflowEnd", timestamp, totalTasks: 2, statusSummary: { task1: "success", task2: "failure" } },
    ]);
  });
});

test("44: what is written is letter by letter what a task runner writes, times and the order of fields included", async () => {
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  const bus = new EventBus();
  for (const format of ["text", "json"] as const) void new LoggerPlugin({ format }).install({ events: bus });
  const ended = { startTime: 1, endTime: 13.345678, duration: 12.345678 };
  const success = { status: "success", metrics: ended } as const;
  bus.tell("workflowStart", { context: {}, steps: [] });
  bus.tell("taskStart", { step: step("A") });
  bus.tell("taskEnd", { step: step("A"), result: success });
  bus.tell("taskSkipped", { step: step("B"), result: { status: "skipped" } });
  bus.tell("workflowEnd", { context: {}, results: new Map([["A", success]]) });
  const lines = log.mock.calls.map(([line]) => String(line).replace(/"\d+-[^"]+Z"/u, '"now"'));
  expect(lines.filter((_, i) => i % 2 === 0)[2]).toBe("[TaskEnd] Task 'A' ended with status 'success' in 12.345678ms.");
  expect(lines.filter((_, i) => i % 2 === 1)).toEqual([
    '{"event":"workflowStart","timestamp":"now","stepCount":0}',
    '{"event":"taskStart","timestamp":"now","task":"A"}',
    '{"event":"taskEnd","timestamp":"now","task":"A","status":"success","duration":12.345678}',
    '{"event":"taskSkipped","timestamp":"now","task":"B","status":"skipped"}',
    '{"event":"workflowEnd","timestamp":"now","totalTasks":1,"statusSummary":{"A":"success"}}',
  ]);
});

describe("strategies", () => {
  const own = { execute: async () => ({ status: "success", message: "Executed by custom strategy" }) as const };

  test("45: a strategy of one's own is in the place of run; everything can be chained", async () => {
    const broken = step("A", [], () => fails("no"));
    const runner = new TaskRunner({});
    expect(runner.setExecutionStrategy(own)).toBe(runner);
    expect((await runner.execute([broken])).get("A")).toMatchObject({ message: "Executed by custom strategy" });
    const builder = new TaskRunnerBuilder({});
    const chained = builder
      .useStrategy(own)
      .on("taskStart", () => {})
      .withLogger("json")
      .loadState({});
    expect(chained).toBe(builder);
    const built = builder.build();
    expect(built).toBeInstanceOf(TaskRunner);
    vi.spyOn(console, "log").mockImplementation(() => {});
    expect((await built.execute([broken])).get("A")).toMatchObject({ message: "Executed by custom strategy" });
  });

  test("46: a dry run enters nothing, and everything succeeds in it", async () => {
    const run = spy(() => fails("no"));
    const results = await new TaskRunner({})
      .setExecutionStrategy({ execute: () => Promise.reject(new Error("not this one")) })
      .execute([step("A", [], run), step("B", ["A"], run)], { dryRun: true });
    expect(run).not.toHaveBeenCalled();
    expect(results.get("A")).toMatchObject({ status: "success", message: "Dry run: simulated success A" });
    expect(results.get("B")?.status).toBe("success");
    expect(await new DryRunExecutionStrategy().execute(step("A"))).toEqual({
      status: "success",
      message: "Dry run: simulated success A",
    });
  });
});

test("47: metrics enclose what the task did, also when it throws", async () => {
  const inside: number[] = [];
  const before = performance.now();
  const results = await new TaskRunner({}).execute([
    step("A", [], async () => {
      inside.push(performance.now());
      await turns(2);
      inside.push(performance.now());
    }),
    step("B", ["A"], () => {
      inside.push(performance.now());
      throw new Error("no");
    }),
  ]);
  const after = performance.now();
  const [a, b] = [results.get("A")?.metrics, results.get("B")?.metrics];
  const times = [before, a?.startTime, inside[0], inside[1], a?.endTime, b?.startTime, inside[2], b?.endTime, after];
  expect(times.toSorted((x, y) => Number(x) - Number(y))).toEqual(times);
  expect(a?.duration).toBe(Number(a?.endTime) - Number(a?.startTime));
});

describe("pictures", () => {
  const lines = (...steps: TaskStep[]): string[] => TaskRunner.getMermaidGraph(steps).split("\n");

  test("48: nodes, then edges, each once", () => {
    const diamond = [step("A"), step("B", ["A"]), step("C", ["A", "A"]), step("A")];
    expect(lines(...diamond)).toEqual(["graph TD", '  A["A"]', '  B["B"]', '  C["C"]', "  A --> B", "  A --> C"]);
  });

  test("48: of names that would have one id, the first that is met has it, as a task or as a dependency", () => {
    const named = [step("A", ["x y"]), step("x_y"), step("x y")];
    expect(lines(...named)).toEqual(["graph TD", '  A["A"]', '  x_y_1["x_y"]', '  x_y["x y"]', "  x_y --> A"]);
  });

  test.each([
    ["Task With Space", '  Task_With_Space["Task With Space"]'],
    ['Task"Quote"', '  Task_Quote_["Task&quot;Quote&quot;"]'],
    ["Task[1]", '  Task_1_["Task&#91;1&#93;"]'],
    ["Task(2)", '  Task_2_["Task&#40;2&#41;"]'],
    ["Task{3}", '  Task_3_["Task&#123;3&#125;"]'],
    ["a<b>#;\n", '  a_b____["a&lt;b&gt;&#35;&#59; "]'],
    ["end", '  task_end["end"]'],
    ["", '  task_[""]'],
  ])("48: the name %j can be drawn", (name, line) => {
    expect(lines(step(name))[1]).toBe(line);
  });

  test("48: names that become the same id are told apart, and 10,000 steps can be drawn", () => {
    const ids = lines(step("Task 1"), step("Task_1"), step("Task:1")).slice(1);
    expect(ids).toEqual(['  Task_1["Task 1"]', '  Task_1_1["Task_1"]', '  Task_1_2["Task:1"]']);
    const many = Array.from({ length: 10_000 }, (_, i) => step(`T${i}`, i === 0 ? [] : [`T${i - 1}`]));
    expect(lines(...many)).toHaveLength(20_000);
  });
});

describe("size", () => {
  test("49: 10,000 tasks, 1,000 at a time", async () => {
    const steps = Array.from({ length: 10_000 }, (_, i) => step(`T${i}`));
    const results = await new TaskRunner({}).execute(steps, { concurrency: 1000 });
    expect(results.size).toBe(10_000);
  });

  test("49: the states of 5,000 tasks in a row, and of a million behind one", () => {
    const states = new TaskStateManager(new EventBus());
    states.initialize(Array.from({ length: 5000 }, (_, i) => step(`T${i}`, i === 0 ? [] : [`T${i - 1}`])));
    let ended = 0;
    for (let [one] = states.processDependencies(); one !== undefined; [one] = states.processDependencies()) {
      states.markCompleted(one, { status: "success" });
      ended++;
    }
    expect(ended).toBe(5000);
    const run = async (): Promise<{ status: "success" }> => ({ status: "success" });
    const wide = Array.from({ length: 1_000_000 }, (_, i) => ({
      name: `T${i}`,
      dependencies: i === 0 ? [] : ["T0"],
      run,
    }));
    states.initialize(wide);
    const [root] = states.processDependencies();
    states.markCompleted(root as TaskStep, { status: "success" });
    expect(states.processDependencies()).toHaveLength(999_999);
  });

  test("49: a cycle of 500,000 is found", () => {
    const run = async (): Promise<{ status: "success" }> => ({ status: "success" });
    const round = Array.from({ length: 500_000 }, (_, i) => ({
      name: `T${i}`,
      dependencies: [`T${(i + 1) % 500_000}`],
      run,
    }));
    const { errors } = new TaskGraphValidator().validate(round);
    expect(errors).toHaveLength(1);
    expect(errors[0]?.details).toMatchObject({ cyclePath: { length: 500_001 } });
  });
});
