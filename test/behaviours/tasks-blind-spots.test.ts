/** Behaviours 58 to 64 of task graphs: what goes wrong silently elsewhere. */
import { describe, expect, test, vi } from "vitest";
import type { TaskStep } from "../../src/tasks.ts";
import { TaskRunner, TaskRunnerBuilder } from "../../src/tasks.ts";
import { fails, sleep, statuses, step, turns, untilAborted } from "./tasks.ts";

test.each([[0], [-1], [1.5], ["2"]])("58: a concurrency of %s is refused", async (concurrency) => {
  const run = new TaskRunner({}).execute([step("A")], { concurrency: concurrency as number });
  await expect(run).rejects.toMatchObject({ code: "usage.invalid" });
  await expect(run).rejects.toThrow("Expected concurrency to be a whole number from 1");
});

test.each([[-1], [Number.NaN]])("58: a limit of time of %s is refused", async (timeout) => {
  await expect(new TaskRunner({}).execute([step("A")], { timeout })).rejects.toThrow(RangeError);
});

test.each([[undefined], [Number.NaN], [-1], ["none"]])("attempts of %s are none, and not endless", async (attempts) => {
  const run = vi.fn<() => Promise<never>>(() => Promise.reject(new Error("no")));
  const steps = [{ name: "A", retry: { attempts: attempts as number, delay: 0 }, run }];
  expect(statuses(await new TaskRunner({}).execute(steps))).toEqual({ A: "failure" });
  expect(run).toHaveBeenCalledTimes(1);
});

test("a trigger that there is not is refused, and not taken for another", async () => {
  const steps = [step("A"), step("B", ["A"], undefined, { trigger: "sometimes" as "always" })];
  const run = new TaskRunner({}).execute(steps);
  await expect(run).rejects.toMatchObject({ code: "step.invalid" });
  await expect(run).rejects.toThrow(
    'Expected step B to have a trigger of "all", "any", "none-failed", "always" or "finally", got sometimes.',
  );
});

test.each([[Number.NaN], [-1], ["1"], [null]])(
  "a limit of %s for a resource is refused, and not taken for none",
  async (limit) => {
    const steps = [step("A", [], undefined, { resources: { room: 0 } })];
    const run = new TaskRunner({}).execute(steps, { resourceLimits: { room: limit as number } });
    await expect(run).rejects.toMatchObject({ code: "usage.invalid" });
    await expect(run).rejects.toThrow(`Expected the limit of room to be a number from 0, got ${limit}.`);
  },
);

describe("59: a task that returns", () => {
  const returning = (name: string, value: unknown, rest = {}): TaskStep =>
    ({ name, run: async () => value, ...rest }) as TaskStep;

  test.each([
    ["undefined", undefined],
    ["null", null],
    ["text", "success"],
    ["status done", { status: "done" }],
    ["no status", {}],
  ])("%s fails, and nothing else does", async (_, value) => {
    for (const rest of [{}, { retry: { attempts: 1, delay: 0 } }, { timeout: 1000 }]) {
      const wrong = returning("wrong", value, rest);
      const results = await new TaskRunner({}).execute([wrong, step("beside"), step("behind", ["wrong"])]);
      expect(statuses(results)).toMatchObject({ wrong: "failure", beside: "success", behind: "skipped" });
      expect(results.get("wrong")?.error).toContain("Expected task 'wrong' to return an object with a status");
    }
  });

  test("a frozen object, or no promise, succeeds", async () => {
    const sync = { name: "sync", run: () => ({ status: "success" }) } as unknown as TaskStep;
    const frozen = returning("frozen", Object.freeze({ status: "success" }));
    const results = await new TaskRunner({}).execute([frozen, sync]);
    expect(statuses(results)).toEqual({ frozen: "success", sync: "success" });
    expect(results.get("frozen")?.metrics).toBeDefined();
  });

  test("an object that others return, too, has its own metrics, and the object stays as it was", async () => {
    const shared = { status: "success" as const };
    const results = await new TaskRunner({}).execute([returning("A", shared), returning("B", shared)]);
    expect(shared).toEqual({ status: "success" });
    expect(results.get("A")?.metrics).not.toBe(results.get("B")?.metrics);
  });

  test("an object that cannot be looked at fails, and nothing else does", async () => {
    const value = {
      get status(): never {
        throw new Error("no");
      },
    };
    for (const rest of [{}, { retry: { attempts: 1, delay: 0 } }, { timeout: 1000 }]) {
      const steps = [returning("wrong", value, rest), step("beside"), step("behind", ["wrong"])];
      const results = await new TaskRunner({}).execute(steps);
      expect(statuses(results)).toEqual({ wrong: "failure", beside: "success", behind: "skipped" });
      expect(results.get("wrong")?.error).toContain("Expected task 'wrong' to return an object with a status");
    }
  });

  test.each([[5], [{}], ["ab"]])("%o as its further tasks fails", async (further) => {
    const wrong = { ...step("wrong"), expand: () => further } as unknown as TaskStep;
    const results = await new TaskRunner({}).execute([wrong, step("beside")]);
    expect(statuses(results)).toEqual({ wrong: "failure", beside: "success" });
    expect(results.get("wrong")?.error).toContain("Expected expand of task 'wrong' to give an array of steps");
  });

  test("skipped has begun and ends, and is skipped; what depends on it says so", async () => {
    const told: string[] = [];
    const runner = new TaskRunner({});
    for (const event of ["taskStart", "taskSkipped", "taskEnd"] as const) {
      runner.on(event, ({ step: { name } }) => void told.push(`${event} ${name}`));
    }
    const results = await runner.execute([returning("A", { status: "skipped" }), step("B", ["A"])]);
    expect(told).toEqual(["taskStart A", "taskSkipped A", "taskEnd A", "taskSkipped B"]);
    expect(results.get("B")?.cause).toEqual({ task: "A", status: "skipped" });
  });
});

test("60: two runs of one runner install plugins once, and their events are told apart", async () => {
  const lines = vi.spyOn(console, "log").mockImplementation(() => {});
  let installed = 0;
  const runner = new TaskRunnerBuilder({}).withLogger("text").build();
  runner.use({ name: "p", version: "1", install: () => void installed++ });
  const told: { runId: string | undefined; sequence: number | undefined; name: string }[] = [];
  runner.on(
    "taskEnd",
    (event) => void told.push({ runId: event.runId, sequence: event.sequence, name: event.step.name }),
  );
  runner.on("workflowStart", (event) => expect(event.timestamp).toBeGreaterThan(1e12));
  await runner.execute([step("A")]);
  expect(lines).toHaveBeenCalledTimes(4);
  await Promise.all([runner.execute([step("B", [], () => turns(2)), step("B2", ["B"])]), runner.execute([step("C")])]);
  expect(installed).toBe(1);
  expect(lines).toHaveBeenCalledTimes(4 + 6 + 4);
  lines.mockRestore();
  const runs = Map.groupBy(told, ({ runId }) => runId);
  expect([...runs.values()].map((run) => run.map(({ name }) => name)).toSorted()).toEqual([["A"], ["B", "B2"], ["C"]]);
  expect(runs.get(told[0]?.runId)?.[0]?.sequence).toBeGreaterThan(0);
  for (const run of runs.values()) {
    const numbers = run.map(({ sequence }) => Number(sequence));
    expect(numbers).toEqual([...new Set(numbers)].toSorted((a, b) => a - b));
  }
});

test("61: the start of a task is told before its code runs", async () => {
  const told: string[] = [];
  const runner = new TaskRunner({});
  runner.on("taskStart", ({ step: { name } }) => void told.push(`told ${name}`));
  const plain = step("plain", [], () => void told.push("plain"));
  const timed = step("timed", ["plain"], () => void told.push("timed"), { timeout: 1000 });
  await runner.execute([plain, timed]);
  expect(told).toEqual(["told plain", "plain", "told timed", "timed"]);
});

describe("62: a run of 100,000 tasks that do nothing", () => {
  const run = async (): Promise<{ status: "success" }> => ({ status: "success" });
  const chain = Array.from({ length: 100_000 }, (_, i) => ({
    name: `T${i}`,
    dependencies: i === 0 ? [] : [`T${i - 1}`],
    run,
  }));
  const wide = Array.from({ length: 100_000 }, (_, i) => ({ name: `T${i}`, run }));

  test.each([
    ["in a row", chain],
    ["side by side", wide],
  ])("%s lets timers fire between its first task and its last", async (_, steps) => {
    let during = 0;
    let going = false;
    const [first, last] = [{ ...steps[0] }, { ...steps.at(-1) }] as [TaskStep, TaskStep];
    first.run = () => {
      going = true;
      return run();
    };
    last.run = () => {
      going = false;
      return run();
    };
    const timer = setInterval(() => {
      if (going) during++;
    }, 1);
    const results = await new TaskRunner({}).execute([first, ...steps.slice(1, -1), last]);
    clearInterval(timer);
    expect(during).toBeGreaterThan(1);
    expect(results.size).toBe(100_000);
  });

  test("is stopped by its limit of time", async () => {
    const endless: TaskStep = {
      name: "endless",
      run,
      loop: { until: () => false, maxIterations: Number.POSITIVE_INFINITY },
    };
    const runner = new TaskRunner({});
    const results = await runner.execute([...chain, endless], { timeout: 1 });
    expect(results.get("endless")).toMatchObject({ status: "cancelled" });
    expect(runner.outcome).toMatchObject({ status: "cancelled", cause: "timeout" });
    expect(results.size).toBe(100_001);
  });
});

describe("63: a run that is over", () => {
  test("does not wait for a task that ignores its signal", async () => {
    const late = Promise.withResolvers<void>();
    const told: string[] = [];
    const runner = new TaskRunner({});
    runner.on("taskEnd", ({ step: { name }, result }) => void told.push(`${name} ${result.status}`));
    const steps = [step("deaf", [], () => late.promise), step("behind", ["deaf"])];
    const results = await runner.execute(steps, { timeout: 1, abortGrace: 1 });
    const expected = { status: "cancelled", message: "Task cancelled during execution" };
    expect(results.get("deaf")).toMatchObject(expected);
    expect(results.get("behind")).toEqual({ status: "cancelled", message: "Workflow cancelled." });
    late.resolve();
    await turns();
    expect(results.get("deaf")).toMatchObject(expected);
    expect(told).toEqual(["behind cancelled", "deaf cancelled"]);
  });

  test("tells a limit of time from an abort, and says with what", async () => {
    const waits = [step("A", [], (_, signal) => untilAborted(signal))];
    const runner = new TaskRunner({});
    await runner.execute(waits, { timeout: 1 });
    expect(runner.outcome).toMatchObject({ status: "cancelled", cause: "timeout" });
    const reason = new Error("enough");
    const controller = new AbortController();
    setImmediate(() => controller.abort(reason));
    await runner.execute(waits, { signal: controller.signal });
    expect(runner.outcome).toMatchObject({ status: "cancelled", cause: "abort", error: reason });
  });

  test("says what failed, with what was thrown and its causes", async () => {
    const thrown = new Error("no rows", { cause: new TypeError("not a list") });
    const runner = new TaskRunner({});
    const results = await runner.execute([
      step("A", [], () => Promise.reject(thrown)),
      step("B", ["A"]),
      step("C", ["B"]),
      step("fine", [], () => fails("allowed"), { continueOnError: true }),
    ]);
    expect(runner.outcome).toMatchObject({
      status: "failure",
      counts: { success: 0, failure: 2, skipped: 2, cancelled: 0 },
    });
    expect(runner.outcome?.failures).toEqual([
      { task: "A", error: "no rows", thrown },
      { task: "fine", error: "allowed" },
    ]);
    expect(results.get("A")?.failure).toMatchObject({
      name: "Error",
      cause: { name: "TypeError", message: "not a list" },
    });
    expect(results.get("C")).toMatchObject({ cause: { task: "A", status: "failure" } });
    await runner.execute([step("fine", [], () => fails("allowed"), { continueOnError: true })]);
    expect(runner.outcome?.status).toBe("success");
  });
});

describe("64: an attempt that timed out", () => {
  type Shared = { written: number[]; last?: number };

  test("is aborted and cannot use the context any more when the next begins", async () => {
    const context: Shared = { written: [] };
    const late: Promise<unknown>[] = [];
    const signals: (AbortSignal | undefined)[] = [];
    let attempts = 0;
    const slow: TaskStep<Shared> = {
      name: "slow",
      timeout: 5,
      retry: { attempts: 1, delay: 0 },
      run: async (shared, signal) => {
        const attempt = ++attempts;
        signals.push(signal);
        if (attempt === 2) expect(signals[0]?.aborted).toBe(true);
        else {
          const writing = sleep(20).then(() => shared.written.push(attempt));
          const replacing = sleep(20).then(() => (shared.last = attempt));
          late.push(writing, replacing);
          await Promise.all(late);
        }
        shared.written.push(attempt);
        return { status: "success" };
      },
    };
    const results = await new TaskRunner(context).execute([slow]);
    expect(results.get("slow")).toMatchObject({ status: "success", attempts: 2 });
    const ends = await Promise.allSettled(late);
    expect(ends).toMatchObject([{ reason: { code: "step.timed_out" } }, { reason: { code: "step.timed_out" } }]);
    expect(context).toEqual({ written: [2] });
  });

  test("uses the context of a class as it is: private fields, accessors, methods", async () => {
    class Counter {
      #count = 0;
      readonly items = new Map<string, number>();
      get count(): number {
        return this.#count;
      }
      set count(value: number) {
        this.#count = value;
      }
      add(): void {
        this.#count++;
      }
    }
    const context = new Counter();
    const one = step<Counter>(
      "one",
      [],
      (counter) => {
        counter.add();
        counter.count += 1;
        counter.items.set("a", 1);
        expect(counter).toBeInstanceOf(Counter);
      },
      { timeout: 60_000 },
    );
    expect(statuses(await new TaskRunner(context).execute([one]))).toEqual({ one: "success" });
    expect([context.count, context.items.get("a")]).toEqual([2, 1]);
  });
});
