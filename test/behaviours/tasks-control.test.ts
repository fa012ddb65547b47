/** Behaviours 19 to 38 of task graphs: conditions, concurrency, cancellation, limits of time, retries and loops. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { IExecutionStrategy, TaskResult, TaskStep } from "../../src/tasks.ts";
import {
  EventBus,
  LoopingExecutionStrategy,
  RetryingExecutionStrategy,
  StandardExecutionStrategy,
  TaskRunner,
  TaskStateManager,
} from "../../src/tasks.ts";
import { fails, sleep, spy, statuses, step, turns, untilAborted } from "./tasks.ts";

/** What is told of tasks, as words. */
function listen<C>(runner: TaskRunner<C>): string[] {
  const told: string[] = [];
  runner.on("taskStart", ({ step: { name } }) => void told.push(`start ${name}`));
  runner.on("taskEnd", ({ step: { name }, result }) => void told.push(`end ${name} ${result.status}`));
  runner.on("taskSkipped", ({ step: { name } }) => void told.push(`skipped ${name}`));
  return told;
}

describe("condition", () => {
  test.each([
    ["true", () => true],
    ["true, later", async () => true],
    ["none", undefined],
  ])("19: %s runs the task", async (_, condition) => {
    const run = spy();
    const results = await new TaskRunner({}).execute([step("A", [], run, condition && { condition })]);
    expect(run).toHaveBeenCalledTimes(1);
    expect(results.get("A")?.status).toBe("success");
  });

  test.each([
    ["false", () => false],
    ["false, later", async () => false],
  ])("19: %s skips the task and what depends on it, and only that is told", async (_, condition) => {
    const run = spy();
    const runner = new TaskRunner({});
    const told = listen(runner);
    const results = await runner.execute([step("A", [], run, { condition }), step("B", ["A"])]);
    expect(run).not.toHaveBeenCalled();
    expect(statuses(results)).toEqual({ A: "skipped", B: "skipped" });
    expect(results.get("B")?.message).toContain("dependency 'A' failed");
    expect(results.get("B")?.cause).toEqual({ task: "A", status: "skipped" });
    expect(told).toEqual(["skipped A", "skipped B"]);
  });

  test.each([
    [new Error("Oops"), { message: "Oops", error: "Oops" }],
    ["Oops", { message: "Condition evaluation failed", error: "Oops" }],
  ])("20: a condition that throws %s fails the task", async (thrown, expected) => {
    const runner = new TaskRunner({});
    const told = listen(runner);
    const condition = (): boolean => {
      throw thrown;
    };
    const results = await runner.execute([step("A", [], undefined, { condition })]);
    expect(results.get("A")).toMatchObject({ status: "failure", ...expected });
    expect(told).toEqual(["end A failure"]);
  });

  test("21: an abort while a condition is asked cancels the task", async () => {
    const controller = new AbortController();
    const run = spy();
    const waiting = step("A", [], run, {
      condition: async () => {
        await turns(1);
        controller.abort();
        return true;
      },
    });
    const never = step("B", [], run, { condition: () => new Promise<boolean>(() => {}) });
    const results = await new TaskRunner({}).execute([waiting, never], { signal: controller.signal, abortGrace: 1 });
    const expected = { status: "cancelled", message: "Cancelled during condition evaluation." };
    expect([...results.values()]).toMatchObject([expected, expected]);
    expect(run).not.toHaveBeenCalled();
  });
});

describe("concurrency and priority", () => {
  /** Steps that count how many of them are in at a time. */
  async function most(count: number, concurrency?: number): Promise<number> {
    let active = 0;
    let max = 0;
    const steps = Array.from({ length: count }, (_, i) =>
      step(`T${i}`, [], async () => {
        max = Math.max(max, ++active);
        await new Promise((resolve) => {
          setImmediate(resolve);
        });
        active--;
      }),
    );
    await new TaskRunner({}).execute(steps, concurrency === undefined ? {} : { concurrency });
    return max;
  }

  test("22: so many run at a time, and no more", async () => {
    expect(await most(3, 1)).toBe(1);
    expect(await most(4, 2)).toBe(2);
    expect(await most(3)).toBe(3);
    expect(await most(3, Number.NaN)).toBe(3);
  });

  async function orderOf(graph: Record<string, [priority: number | undefined, ...dependencies: string[]]>) {
    const order: string[] = [];
    const steps = Object.entries(graph).map(([name, [priority, ...dependencies]]) =>
      step(name, dependencies, () => void order.push(name), priority === undefined ? {} : { priority }),
    );
    await new TaskRunner({}).execute(steps, { concurrency: 1 });
    return order;
  }

  test("23: where places are scarce, the highest priority goes first", async () => {
    expect(await orderOf({ low: [1], medium: [5], high: [10], default: [undefined] })).toEqual([
      "high",
      "medium",
      "low",
      "default",
    ]);
    expect(await orderOf({ A: [2], B: [2], C: [2] })).toEqual(["A", "B", "C"]);
    expect(await orderOf({ negative: [-1], none: [undefined], zero: [0] })).toEqual(["none", "zero", "negative"]);
    expect(await orderOf({ root: [0], low: [1, "root"], high: [9, "root"] })).toEqual(["root", "high", "low"]);
    expect(await orderOf({ A: [1], B: [10, "A"], C: [5] })).toEqual(["C", "A", "B"]);
  });
});

describe("cancellation", () => {
  test("24: an abort cancels what runs and what waits", async () => {
    const controller = new AbortController();
    const one = step("one", [], async (_, signal) => {
      setImmediate(() => controller.abort());
      await untilAborted(signal);
    });
    const results = await new TaskRunner({}).execute([one, step("two", ["one"])], { signal: controller.signal });
    expect(statuses(results)).toEqual({ two: "cancelled", one: "cancelled" });
    expect(results.get("two")?.message).toBe("Workflow cancelled.");
  });

  test("25: a limit of time for the run cancels what heeds its signal", async () => {
    const runner = new TaskRunner({});
    const results = await runner.execute([step("A", [], (_, signal) => untilAborted(signal))], { timeout: 5 });
    expect(results.get("A")).toMatchObject({ status: "cancelled", message: "Task cancelled during execution" });
    expect(runner.outcome).toMatchObject({ status: "cancelled", cause: "timeout" });
  });

  test.each([[{}], [{ timeout: 1000 }]])("26: a signal that was aborted before lets nothing run (%o)", async (rest) => {
    const run = spy();
    const runner = new TaskRunner({ x: 1 });
    const told = listen(runner);
    const ended = spy();
    runner.on("workflowEnd", ended);
    const signal = AbortSignal.abort();
    const results = await runner.execute([step("A", [], run), step("B", ["A"], run)], { signal, ...rest });
    const expected = { status: "cancelled", message: "Workflow cancelled before execution started." };
    expect(Object.fromEntries(results)).toEqual({ A: expected, B: expected });
    expect(run).not.toHaveBeenCalled();
    expect(ended).toHaveBeenCalledExactlyOnceWith({ context: { x: 1 }, results });
    expect(told).toEqual(["end A cancelled", "end B cancelled"]);
  });

  test.each([
    ["the signal", 1, 10_000],
    ["the limit of time", 10_000, 5],
  ])("27: whichever comes first, %s, cancels", async (which, abortMs, timeout) => {
    const runner = new TaskRunner({});
    const results = await runner.execute([step("A", [], (_, signal) => untilAborted(signal))], {
      signal: AbortSignal.timeout(abortMs),
      timeout,
    });
    expect(statuses(results)).toEqual({ A: "cancelled" });
    expect(runner.outcome?.cause).toBe(which === "the signal" ? "abort" : "timeout");
  });

  test("28: who answers an abort with another error has failed, with the signal's reason is cancelled", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    setImmediate(() => controller.abort(reason));
    const results = await new TaskRunner({}).execute(
      [
        step("other", [], (_, signal) => untilAborted(signal, new Error("broken"))),
        step("reason", [], (_, signal) => untilAborted(signal)),
        step("abort", [], (_, signal) => untilAborted(signal, new DOMException("stop", "AbortError"))),
      ],
      { signal: controller.signal },
    );
    expect(results.get("other")).toMatchObject({ status: "failure", error: "broken" });
    expect(results.get("reason")).toMatchObject({ status: "cancelled", message: "Task cancelled during execution" });
    expect(results.get("abort")?.status).toBe("cancelled");
  });

  test("29: what stood in line for a place is cancelled before its start", async () => {
    const controller = new AbortController();
    const a = step("A", [], async (_, signal) => {
      setImmediate(() => controller.abort());
      await untilAborted(signal);
    });
    const results = await new TaskRunner({}).execute([a, step("B")], { concurrency: 1, signal: controller.signal });
    expect(results.get("B")).toEqual({ status: "cancelled", message: "Cancelled before execution started." });
  });

  test("29: what an end would free does not run if a listener of that end aborts", async () => {
    const controller = new AbortController();
    const run = spy();
    const runner = new TaskRunner({});
    runner.on("taskEnd", () => controller.abort());
    const steps = [step("A"), step("B", ["A"], run), step("C", ["A"], run)];
    const results = await runner.execute(steps, { signal: controller.signal });
    expect(statuses(results)).toEqual({ A: "success", B: "cancelled", C: "cancelled" });
    expect(run).not.toHaveBeenCalled();
  });

  test("30: nobody listens to the signal any more when the run is over", async () => {
    const { signal } = new AbortController();
    const added = vi.spyOn(signal, "addEventListener");
    const removed = vi.spyOn(signal, "removeEventListener");
    await new TaskRunner({}).execute([step("A", [], undefined, { timeout: 1000 })], { signal, timeout: 1000 });
    expect(added).toHaveBeenCalled();
    for (const [type, listener] of added.mock.calls) expect(removed.mock.calls).toContainEqual([type, listener]);
  });

  test("31: cancelAllPending tells the end of each task", async () => {
    const events = new EventBus();
    const told: [string, TaskResult][] = [];
    events.on("taskEnd", ({ step: { name }, result }) => void told.push([name, result]));
    const states = new TaskStateManager(events);
    states.initialize([step("A"), step("B", ["A"])]);
    states.cancelAllPending("why not");
    await Promise.resolve();
    const expected = { status: "cancelled", message: "why not" };
    expect(told).toEqual([
      ["A", expected],
      ["B", expected],
    ]);
  });
});

describe("limits of time of a task", () => {
  test("32: one that takes too long fails, and what depends on it is skipped", async () => {
    const results = await new TaskRunner({}).execute([
      step("slow", [], () => new Promise(() => {}), { timeout: 5 }),
      step("behind", ["slow"]),
      step("beside"),
      step("quick", [], () => sleep(1), { timeout: 60_000 }),
    ]);
    expect(statuses(results)).toEqual({ slow: "failure", behind: "skipped", beside: "success", quick: "success" });
    expect(results.get("slow")?.error).toBe("Task timed out after 5ms");
  });

  test("32: the timer of one that ended in time is gone", async () => {
    vi.useFakeTimers();
    try {
      const strategy = new StandardExecutionStrategy();
      await strategy.execute(step("quick", [], undefined, { timeout: 1000 }), {});
      expect(vi.getTimerCount()).toBe(0);
      await new TaskRunner({}).execute([step("quick", [], undefined, { timeout: 1000 })], { timeout: 1000 });
      expect(vi.getTimerCount()).toBe(0);
      const controller = new AbortController();
      const aborting = step("aborting", [], (_, signal) => {
        controller.abort();
        return untilAborted(signal);
      });
      await new TaskRunner({}).execute([aborting], { signal: controller.signal });
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  test("33: its signal is aborted with a timeout, and what it makes of that is of no interest", async () => {
    let reason: unknown;
    const slow = step(
      "slow",
      [],
      (_, signal) => untilAborted(signal).catch((thrown) => Promise.reject((reason = thrown))),
      {
        timeout: 5,
      },
    );
    const results = await new TaskRunner({}).execute([slow]);
    expect(reason).toEqual(new Error("Timeout"));
    expect(results.get("slow")).toMatchObject({ status: "failure", error: "Task timed out after 5ms" });
    const alone = await new StandardExecutionStrategy().execute(slow, {});
    expect(alone).toEqual({ status: "failure", error: "Task timed out after 5ms" });
  });

  test("34: an abort from outside does not wait for it; what it throws is its error", async () => {
    const controller = new AbortController();
    const slow = step(
      "slow",
      [],
      async (_, signal) => {
        setImmediate(() => controller.abort());
        await untilAborted(signal);
      },
      { timeout: 600_000 },
    );
    // Were it not told of the abort, the run would wait for it until the grace is over.
    const config = { signal: controller.signal, abortGrace: 600_000 };
    const inRun = await new TaskRunner({}).execute([slow], config);
    expect(statuses(inRun)).toEqual({ slow: "cancelled" });
    const again = new AbortController();
    setImmediate(() => again.abort());
    const alone = step("alone", [], (_, signal) => untilAborted(signal), { timeout: 600_000 });
    expect(await new StandardExecutionStrategy().execute(alone, {}, again.signal)).toEqual({
      status: "cancelled",
      message: "Task cancelled during execution",
    });
    for (const thrown of [new Error("m"), "m"]) {
      const throws = step("T", [], () => Promise.reject(thrown), { timeout: 1000 });
      expect(await new StandardExecutionStrategy().execute(throws, {})).toMatchObject({
        status: "failure",
        error: "m",
      });
    }
  });
});

describe("again", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  /** A strategy that gives these results, the last one for ever, and when it was asked. */
  function scripted(...results: TaskResult[]): IExecutionStrategy & { at: number[] } {
    const at: number[] = [];
    const start = Date.now();
    return {
      at,
      execute: async () => {
        at.push(Date.now() - start);
        return results[Math.min(at.length, results.length) - 1] as TaskResult;
      },
    };
  }
  const bad = fails("no");
  const ok: TaskResult = { status: "success" };

  test.each([
    ["success", ok, { attempts: 3, delay: 10 }],
    ["failure without retry", bad, undefined],
    ["cancelled", { status: "cancelled" }, { attempts: 3, delay: 10 }],
    ["skipped", { status: "skipped" }, { attempts: 3, delay: 10 }],
  ] as const)("35: %s is not tried again", async (_, result, retry) => {
    const inner = scripted(result);
    const strategy = new RetryingExecutionStrategy(inner);
    expect(await strategy.execute(step("A", [], undefined, retry && { retry }), {})).toEqual(result);
    expect(inner.at).toEqual([0]);
  });

  test.each([
    ["the second works", [bad, ok], { attempts: 2, delay: 100 }, [0, 100], "success"],
    ["none works", [bad], { attempts: 2, delay: 100 }, [0, 100, 200], "failure"],
    ["exponential", [bad], { attempts: 3, delay: 100, backoff: "exponential" }, [0, 100, 300, 700], "failure"],
    [
      "with a cap",
      [bad],
      { attempts: 3, delay: 100, backoff: "exponential", maxDelay: 150 },
      [0, 100, 250, 400],
      "failure",
    ],
    [
      "refused",
      [bad],
      { attempts: 3, delay: 100, shouldRetry: (_: TaskResult, n: number) => n < 2 },
      [0, 100],
      "failure",
    ],
  ] as const)("36: a failure is tried again after its delay: %s", async (_, results, retry, at, status) => {
    const inner = scripted(...results);
    const done = new RetryingExecutionStrategy(inner).execute(step("A", [], undefined, { retry }), {});
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await done).toMatchObject({ status });
    expect(inner.at).toEqual(at);
  });

  test("36: in a run, too, where each further attempt is told and counted", async () => {
    const runner = new TaskRunner({});
    const told: unknown[] = [];
    runner.on("taskRetry", ({ attempt, delay, result }) => void told.push([attempt, delay, result.error]));
    let calls = 0;
    const a = step("A", [], () => (++calls < 3 ? fails(`no ${calls}`) : ok), { retry: { attempts: 2, delay: 100 } });
    const done = runner.execute([a]);
    await vi.advanceTimersByTimeAsync(1000);
    expect((await done).get("A")).toMatchObject({ status: "success", attempts: 3 });
    expect(told).toEqual([
      [1, 100, "no 1"],
      [2, 100, "no 2"],
    ]);
  });

  test("36: of a delay with jitter a share is left to chance", async () => {
    const random = vi.spyOn(Math, "random").mockReturnValue(0.5);
    const inner = scripted(bad);
    const retry = { attempts: 1, delay: 100, jitter: 0.4 };
    const done = new RetryingExecutionStrategy(inner).execute(step("A", [], undefined, { retry }), {});
    await vi.advanceTimersByTimeAsync(1000);
    await done;
    expect(inner.at).toEqual([0, 80]);
    random.mockRestore();
  });

  test("37: an abort ends it: before an attempt, in a delay, or during the attempt that fails", async () => {
    const retrying = step("A", [], undefined, { retry: { attempts: 3, delay: 100 } });
    const before = scripted(bad);
    expect(await new RetryingExecutionStrategy(before).execute(retrying, {}, AbortSignal.abort())).toEqual({
      status: "cancelled",
      message: "Task cancelled before execution",
    });
    expect(before.at).toEqual([]);
    const inDelay = { status: "cancelled", message: "Task cancelled during retry delay" };
    const controller = new AbortController();
    const waiting = scripted(bad);
    const done = new RetryingExecutionStrategy(waiting).execute(retrying, {}, controller.signal);
    await vi.advanceTimersByTimeAsync(50);
    controller.abort();
    expect(await done).toEqual(inDelay);
    expect(waiting.at).toEqual([0]);
    const during = new AbortController();
    const strategy = {
      execute: spy(async () => {
        during.abort();
        return bad;
      }),
    };
    expect(await new RetryingExecutionStrategy(strategy).execute(retrying, {}, during.signal)).toEqual(inDelay);
    expect(strategy.execute).toHaveBeenCalledTimes(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("38: a loop goes on until its condition is met, or its rounds are used up", async () => {
    const loop = (until: (round: number) => boolean | Promise<boolean>, rest = {}): TaskStep => {
      let round = 0;
      return step("x", [], undefined, { loop: { until: () => until(++round), ...rest } });
    };
    const rounds = async (one: TaskStep) => {
      const inner = scripted(ok);
      const done = new LoopingExecutionStrategy(inner).execute(one, {});
      await vi.advanceTimersByTimeAsync(1000);
      return [await done, inner.at];
    };
    expect(await rounds(step("x"))).toEqual([ok, [0]]);
    expect(await rounds(loop((n) => n === 3, { maxIterations: 5 }))).toEqual([ok, [0, 0, 0]]);
    expect(await rounds(loop(async (n) => n === 3, { maxIterations: 5, interval: 10 }))).toEqual([ok, [0, 10, 20]]);
    const exhausted = "Task 'x' reached maximum loop iterations (3) without meeting condition.";
    expect(await rounds(loop(() => false, { maxIterations: 3 }))).toEqual([fails(exhausted), [0, 0, 0]]);
  });

  test("38: an abort ends a loop; what enters the task may throw", async () => {
    const one = step("x", [], undefined, { loop: { until: () => false, maxIterations: 9, interval: 100 } });
    const before = scripted(ok);
    expect(await new LoopingExecutionStrategy(before).execute(one, {}, AbortSignal.abort())).toEqual({
      status: "cancelled",
      message: "Task cancelled before loop iteration",
    });
    expect(before.at).toEqual([]);
    const controller = new AbortController();
    const done = new LoopingExecutionStrategy(scripted(ok)).execute(one, {}, controller.signal);
    await vi.advanceTimersByTimeAsync(50);
    controller.abort();
    expect(await done).toEqual({ status: "cancelled", message: "Task cancelled during loop delay" });
    const broken = { execute: () => Promise.reject(new Error("broken")) };
    await expect(new LoopingExecutionStrategy(broken).execute(one, {})).rejects.toThrow("broken");
  });

  test("38: a runner that was not built carries out loops, too", async () => {
    let calls = 0;
    const one = step("x", [], () => void calls++, { loop: { until: async () => calls === 3, maxIterations: 5 } });
    const results = await new TaskRunner({}).execute([one]);
    expect(results.get("x")).toMatchObject({ status: "success", attempts: 3 });
    expect(calls).toBe(3);
  });
});
