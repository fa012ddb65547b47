/** What goes wrong in a durable graph is told as in one in memory: the same results, and the same questions. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Stemma } from "../src/index.ts";
import type { Store } from "../src/index.ts";
import { sqlite } from "../src/sqlite.ts";
import type { TaskResult, TaskStep } from "../src/tasks.ts";
import { mapTask, TaskRunner } from "../src/tasks.ts";
import { statuses, step } from "./behaviours/tasks.ts";

let store: Store;
beforeEach(() => {
  store = sqlite(":memory:");
});
afterEach(async () => {
  await store.close();
});

type Both = { results: object; retries: string[]; starts: string[] };

/** Carries a graph out in memory and durably, and gives what became of it, and of which starts and retries was told. */
async function both(make: () => TaskStep<object>[]): Promise<Both[]> {
  const runs: Both[] = [];
  for (const how of ["in memory", "durable"]) {
    const runner = new TaskRunner<object>({});
    const [retries, starts]: string[][] = [[], []];
    runner.on("taskStart", ({ step: { name } }) => void starts?.push(name));
    runner.on("taskRetry", ({ step: { name }, attempt, result }) => {
      retries?.push(`${name} ${attempt} ${result.error}`);
    });
    const steps: readonly TaskStep<object>[] = make();
    const results: Map<string, TaskResult> =
      how === "durable"
        ? await runner.durable(new Stemma({ store }), { name: "graph" }).execute(steps)
        : await runner.execute(steps);
    const shown = [...results].map(([name, { status, message, error, data }]) => {
      return [name, { status, message, error, data }] as const;
    });
    runs.push({ results: Object.fromEntries(shown), retries: retries ?? [], starts: starts ?? [] });
  }
  return runs;
}

describe("a durable graph", () => {
  test("tells no start of a task whose condition is not met", async () => {
    const [memory, durable] = await both(() => [
      step("A", [], undefined, { condition: () => false }),
      step("B", [], undefined, { condition: () => true }),
    ]);
    expect(durable).toEqual(memory);
    expect(durable?.starts).toEqual(["B"]);
  });

  test.each<[string, Partial<TaskStep<object>>, string]>([
    ["further tasks that are no array", { expand: () => 5 as never }, "Expected expand of task 'A' to give an array"],
    ["an output of all that no record can hold", { expand: () => [step("p")], collect: () => [() => 1] }, "function"],
  ])("fails a task with %s, and says so", async (_, more, text) => {
    const steps = [step("A", [], undefined, more), step("B", ["A"])];
    const results = await new TaskRunner<object>({}).durable(new Stemma({ store }), { name: "graph" }).execute(steps);
    expect(statuses(results)).toMatchObject({ A: "failure", B: "skipped" });
    expect(results.get("A")?.error).toContain(text);
  });

  test.each([
    ["text", "text"],
    [null, "null"],
    [{ code: 1 }, "[object Object]"],
    [Symbol("s"), "Symbol(s)"],
  ])("says of %o that was thrown what it is", async (thrown, error) => {
    const [memory, durable] = await both(() => [
      step("A", [], () => {
        throw thrown;
      }),
      step("B", ["A"]),
    ]);
    expect(durable).toEqual(memory);
    expect(memory?.results).toMatchObject({ A: { status: "failure", error } });
  });

  test.each([
    ["an error", new Error("Oops"), "Oops", "Oops"],
    ["text", "s", "Condition evaluation failed", "s"],
  ])("fails with %s that a condition threw, and does not ask it again", async (_, thrown, message, error) => {
    let asked = 0;
    const condition = (): boolean => {
      asked++;
      throw thrown;
    };
    const [memory, durable] = await both(() => [
      step("A", [], undefined, { condition, retry: { attempts: 2, delay: 0 } }),
    ]);
    expect(durable).toEqual(memory);
    expect(durable).toMatchObject({ results: { A: { status: "failure", message, error } }, retries: [] });
    expect(asked).toBe(2);
  });

  test("does not take what an attempt comes to whose time is over", async () => {
    const stopped = (_: object, signal?: AbortSignal) =>
      new Promise<TaskResult>((resolve) => {
        signal?.addEventListener("abort", () => resolve({ status: "success", data: "late" }));
      });
    let entered = 0;
    const [memory, durable] = await both(() => {
      entered = 0;
      return [
        { name: "A", timeout: 50, run: stopped },
        step("B", ["A"]),
        {
          name: "C",
          timeout: 50,
          retry: { attempts: 1, delay: 0 },
          run: (context, signal) =>
            ++entered === 1 ? stopped(context, signal) : Promise.resolve({ status: "success", data: entered }),
        },
      ];
    });
    expect(durable).toEqual(memory);
    expect(durable?.results).toMatchObject({
      A: { status: "failure", error: "Task timed out after 50ms" },
      B: { status: "skipped" },
      C: { status: "success", data: 2 },
    });
    expect(durable?.retries).toEqual(["C 1 Task timed out after 50ms"]);
  });

  test("asks once for each failure whether another attempt may help, with what was thrown", async () => {
    const asked: unknown[][] = [];
    const shouldRetry = (result: TaskResult, attempt: number, thrown?: unknown): boolean => {
      asked.push([result.error, attempt, thrown]);
      return thrown === "again" || result.data === 1;
    };
    const [memory, durable] = await both(() => {
      let entered = 0;
      return [
        step(
          "A",
          [],
          () => {
            entered++;
            if (entered === 1) throw "again";
            if (entered === 2) return { status: "failure", error: "returned", data: 1 };
            throw "no";
          },
          { retry: { attempts: 5, delay: 0, shouldRetry } },
        ),
      ];
    });
    expect(durable).toEqual(memory);
    const once = [
      ["again", 1, "again"],
      ["returned", 2, undefined],
      ["no", 3, "no"],
    ];
    expect(asked).toEqual([...once, ...once]);
  });

  test.each([[undefined], [Number.NaN], [-1]])("enters a task with retries of %s once", async (attempts) => {
    const retry = { attempts: attempts as number, delay: 0 };
    const [memory, durable] = await both(() => [step("A", [], () => Promise.reject(new Error("no")), { retry })]);
    expect(durable).toEqual(memory);
    expect(durable?.results).toMatchObject({ A: { status: "failure", error: "no" } });
  });

  test("enters a task with endless retries until it succeeds", async () => {
    const [memory, durable] = await both(() => {
      let entered = 0;
      const run = (): void => {
        if (++entered < 3) throw new Error("not yet");
      };
      return [step("A", [], run, { retry: { attempts: Number.POSITIVE_INFINITY, delay: 0 } })];
    });
    expect(durable).toEqual(memory);
    expect(durable?.results).toMatchObject({ A: { status: "success" } });
  });

  test("does not drop a snapshot that was loaded in silence", () => {
    const runner = new TaskRunner<object>({}).loadState({ A: { status: "success" } });
    const durable = (): unknown => runner.durable(new Stemma({ store }), { name: "graph" });
    expect(durable).toThrow("Expected a runner without a snapshot");
    expect(durable).toThrow(expect.objectContaining({ code: "usage.invalid" }));
    runner.loadState({});
    expect(durable).not.toThrow();
  });

  test("tells of the retries within a loop", async () => {
    const [memory, durable] = await both(() => {
      let entered = 0;
      const run = (): void => {
        if (++entered === 1) throw new Error("first");
      };
      return [step("A", [], run, { retry: { attempts: 1, delay: 0 }, loop: { until: () => true } })];
    });
    expect(durable).toEqual(memory);
    expect(durable?.retries).toEqual(["A 1 first"]);
  });

  test("goes on behind a map of which the items put out nothing, as one in memory does, and so does a snapshot", async () => {
    const steps = (): TaskStep<object>[] => [
      mapTask("each", { items: () => [1, 2], run: () => {} }),
      step("B", ["each"]),
    ];
    const [memory, durable] = await both(steps);
    expect(durable).toEqual(memory);
    expect(durable?.results).toMatchObject({ each: { data: [null, null] }, B: { status: "success" } });
    const runner = new TaskRunner<object>({});
    await runner.execute(steps());
    const again = await new TaskRunner<object>({}).loadState(runner.getSnapshot()).execute(steps());
    expect(statuses(again)).toMatchObject({ each: "success", B: "success" });
  });
});
