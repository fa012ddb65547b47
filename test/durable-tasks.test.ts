/** Task graphs on the engine: what is done is on record, and what comes after a crash goes on from there. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { components, Stemma } from "../src/index.ts";
import type { Event, RunId, Store } from "../src/index.ts";
import { sqlite } from "../src/sqlite.ts";
import type { TaskStep, TaskTools } from "../src/tasks.ts";
import { mapTask, subTasks, TaskRunner, taskWorkflow } from "../src/tasks.ts";
import { fails, statuses, step, turns } from "./behaviours/tasks.ts";

type Context = { seen: string[]; total?: number; nothing?: null };

let store: Store;
beforeEach(() => {
  store = sqlite(":memory:");
});
afterEach(async () => {
  await store.close();
});

const data = (value: unknown) => ({ status: "success" as const, data: value });

/** Lists, adds up, and says so. */
function sums(entered: string[] = []): TaskStep<Context>[] {
  return [
    step("list", [], () => (entered.push("list"), data([1, 2, 3]))),
    {
      name: "sum",
      dependencies: ["list"],
      run: async (context, _, tools) => {
        entered.push("sum");
        const { results } = tools as TaskTools<{ list: number[] }>;
        context.total = results.data("list").reduce((a, b) => a + b);
        context.nothing = null;
        return data(context.total);
      },
    },
    step("say", ["sum"], (context) => {
      entered.push("say");
      context.seen.push(`total ${context.total}`);
    }),
  ];
}

async function only(stemma: Stemma): Promise<RunId> {
  const { runs } = await stemma.list();
  expect(runs).toHaveLength(1);
  return runs[0]?.id as RunId;
}

function keyed(events: readonly Event[], type: Event["type"]): string[] {
  return events.filter((event) => event.type === type).map((event) => (event.data as { key: string }).key);
}

test("one call makes a graph durable: results, outputs and context are as in memory", async () => {
  const context: Context = { seen: [] };
  const stemma = new Stemma({ store });
  const results = await new TaskRunner(context).durable(stemma, { name: "sums" }).execute(sums());
  expect(statuses(results)).toEqual({ list: "success", sum: "success", say: "success" });
  expect(results.get("sum")?.data).toBe(6);
  expect(context).toEqual({ seen: ["total 6"], total: 6, nothing: null });
});

test("each task is a step, caused by those that it depends on and by no others", async () => {
  const stemma = new Stemma({ store });
  const steps = [step("a"), step("b"), step("c", ["a"]), step("d", ["a", "b"]), step("e", ["c", "d"])];
  await new TaskRunner({}).durable(stemma, { name: "graph" }).execute(steps);
  const { nodes, edges } = await stemma.trace(await only(stemma));
  const label = new Map(nodes.map(({ id, key }) => [id, key ?? "run"]));
  const found = edges
    .filter(({ kind }) => kind === "wf_next_step_exec")
    .map(({ from, to }) => `${label.get(from)} ${label.get(to)}`);
  expect(found.toSorted()).toEqual(["a c", "a d", "b d", "c e", "d e", "run a", "run b"]);
  expect(components({ nodes, edges })).toBe(1);
});

test("a run whose process died goes on: what succeeded is not entered again, and the context is as it was", async () => {
  const entered: string[] = [];
  const stuck = Promise.withResolvers<void>();
  const [list, sum, say] = sums(entered) as [TaskStep<Context>, TaskStep<Context>, TaskStep<Context>];
  const hang = (): Promise<never> => {
    stuck.resolve();
    return new Promise(() => {});
  };
  const dying = [list, sum, { ...say, run: hang }];
  const first = new Stemma({ store, workflows: [taskWorkflow(dying, { name: "sums" })], lease: "200ms" });
  await first.start();
  const run = await first.run(taskWorkflow(dying, { name: "sums" }), { seen: ["before"] }, { idempotencyKey: "k" });
  await stuck.promise;
  first.abandon();
  // 57: that it was under way when the process died is on record.
  expect(keyed(await first.history(run.id), "step.started")).toEqual(["list", "sum", "say"]);
  expect(entered).toEqual(["list", "sum"]);
  const context: Context = { seen: ["before"] };
  const results = await new TaskRunner(context)
    .durable(new Stemma({ store }), { name: "sums" })
    .execute(sums(entered), { idempotencyKey: "k" });
  expect(entered).toEqual(["list", "sum", "say"]);
  expect(statuses(results)).toEqual({ list: "success", sum: "success", say: "success" });
  expect(context).toEqual({ seen: ["before", "total 6"], total: 6, nothing: null });
  const events = await first.history(run.id);
  const attempts = events.flatMap((event) => (event.type === "step.started" ? [event.data.attempt] : []));
  expect(attempts).toEqual([1, 1, 1, 2]);
});

test("a Stemma that was started carries it out itself, again and again; other steps under the name are refused", async () => {
  await using stemma = await new Stemma({ store }).start();
  const workers = new Set<string>();
  const steps = sums();
  for (const key of ["k1", "k2", "k2"]) {
    const context: Context = { seen: [] };
    const durable = new TaskRunner(context).durable(stemma, { name: "sums" });
    await durable.execute(key === "k1" ? steps : [...steps], { idempotencyKey: key });
    expect(context.total).toBe(6);
    for (const { id } of (await stemma.list()).runs) {
      for (const { type, data: about } of await stemma.history(id))
        if (type === "run.started") workers.add((about as { worker: string }).worker);
    }
  }
  expect((await stemma.list()).runs).toHaveLength(2);
  // One worker for all runs: nothing else was started for them.
  expect(workers.size).toBe(1);
  for (const [other, options] of [
    [sums(), {}],
    [steps, { filter: { names: ["list"] } }],
    [steps, { concurrency: 1 }],
    [steps, { timeout: 60_000 }],
  ] as const) {
    const durable = new TaskRunner<Context>({ seen: [] }).durable(stemma, { name: "sums", ...options });
    await expect(durable.execute([...other])).rejects.toMatchObject({ code: "workflow.duplicate" });
  }
  expect((await stemma.list()).runs).toHaveLength(2);
});

describe("a task that fails", () => {
  test("fails the run, which says where, and what depends on it is skipped", async () => {
    const stemma = new Stemma({ store });
    const steps = [
      step("a", [], () => fails("no rows")),
      step("b", ["a"]),
      step("c", ["b"]),
      step("d"),
      step("e", ["b"], undefined, { trigger: "always" }),
    ];
    const results = await new TaskRunner({}).durable(stemma, { name: "failing" }).execute(steps);
    expect(statuses(results)).toEqual({ a: "failure", b: "skipped", c: "skipped", d: "success", e: "success" });
    expect(results.get("a")?.error).toBe("no rows");
    expect(results.get("b")?.message).toBe("Skipped because dependency 'a' failed: no rows");
    expect(results.get("c")?.cause).toEqual({ task: "a", status: "failure" });
    const last = (await stemma.history(await only(stemma))).at(-1);
    expect(last).toMatchObject({ type: "run.failed", data: { frontier: ["a"] } });
    // What runs behind a skipped task is caused by the failure that it was skipped for.
    const { nodes, edges } = await stemma.trace(await only(stemma));
    const idOf = (key: string): string | undefined => nodes.find((node) => node.key === key)?.id;
    expect(edges.filter(({ to }) => to === idOf("e")).map(({ from }) => from)).toEqual([idOf("a")]);
  });

  test("has changed nothing; each attempt is on record", async () => {
    const context: Context = { seen: [] };
    const stemma = new Stemma({ store });
    let attempts = 0;
    const flaky = step<Context>(
      "flaky",
      [],
      (own) => {
        own.seen.push(`attempt ${++attempts}`);
        return attempts < 3 ? fails(`no ${attempts}`) : undefined;
      },
      { retry: { attempts: 5, delay: 1, shouldRetry: (result, attempt) => result.error === `no ${attempt}` } },
    );
    const lost = step<Context>("lost", [], (own) => (own.seen.push("lost"), fails()), { continueOnError: true });
    const results = await new TaskRunner(context).durable(stemma, { name: "flaky" }).execute([flaky, lost]);
    expect(statuses(results)).toEqual({ lost: "failure", flaky: "success" });
    expect(context.seen).toEqual(["attempt 3"]);
    const events = await stemma.history(await only(stemma));
    expect(keyed(events, "step.attempt_failed")).toEqual(["flaky", "flaky"]);
    expect(events.at(-1)?.type).toBe("run.succeeded");
  });

  test("because it took too long says so", async () => {
    const stemma = new Stemma({ store, abortGrace: 1 });
    const slow = step(
      "slow",
      [],
      (_, signal) => new Promise((_r, reject) => signal?.addEventListener("abort", reject)),
      {
        timeout: 5,
      },
    );
    const results = await new TaskRunner({}).durable(stemma, { name: "slow" }).execute([slow]);
    expect(results.get("slow")).toEqual({ status: "failure", error: "Task timed out after 5ms" });
  });
});

describe("a context", () => {
  test.each([[new Map()], [{ f: () => 1 }], [{ n: Number.NaN }]])("that is not JSON is refused: %o", (context) => {
    const durable = (): unknown => new TaskRunner(context).durable(new Stemma({ store }), { name: "x" });
    expect(durable).toThrow(expect.objectContaining({ code: "usage.invalid" }) as Error);
  });

  test("that a task makes something else than JSON fails the task", async () => {
    const context: Record<string, unknown> = {};
    const bad = step<Record<string, unknown>>("bad", [], (own) => void (own["f"] = () => 1));
    const results = await new TaskRunner(context).durable(new Stemma({ store }), { name: "x" }).execute([bad]);
    expect(results.get("bad")?.error).toContain("context behind task bad");
  });

  test("has the changes of all that ended before, and of tasks side by side both", async () => {
    const context: Record<string, unknown> = { old: 1 };
    const put = (name: string, deps: string[] = []): TaskStep<Record<string, unknown>> =>
      step(name, deps, (own) => void (own[name] = Object.keys(own).length));
    const durable = new TaskRunner(context).durable(new Stemma({ store }), { name: "x" });
    await durable.execute([put("a"), put("b"), put("c", ["a", "b"])]);
    expect(context).toEqual({ old: 1, a: 1, b: 1, c: 3 });
  });
});

test("conditions, loops, triggers, further tasks, places and filters are as in memory", async () => {
  const entered: string[] = [];
  let rounds = 0;
  const steps: TaskStep<Context>[] = [
    step("off", [], undefined, { condition: ({ seen }) => seen.length > 0 }),
    step("on", [], undefined, { condition: async ({ seen }) => seen.length === 0 }),
    step("join", ["off", "on"], undefined, { trigger: "none-failed" }),
    step("loop", [], () => void rounds++, { loop: { until: () => rounds === 3, maxIterations: 5 } }),
    mapTask("each", {
      dependencies: ["loop"],
      items: () => ["x", "y"],
      run: (item) => (entered.push(item), item.toUpperCase()),
    }),
    subTasks("sub", { dependencies: ["each"] }, [step("one"), step("two", ["one"])]),
    step("other", [], undefined, { tags: ["other"] }),
  ];
  const options = { name: "all", concurrency: 1, filter: { exceptTags: ["other"] } };
  const stemma = new Stemma({ store });
  const results = await new TaskRunner<Context>({ seen: [] }).durable(stemma, options).execute(steps);
  expect(rounds).toBe(3);
  rounds = 0;
  const memory = await new TaskRunner<Context>({ seen: [] }).execute(steps, options);
  expect(statuses(results)).toEqual(statuses(memory));
  expect(results.get("each")?.data).toEqual(["X", "Y"]);
  expect(Object.keys(statuses(results))).not.toContain("other");
  const { nodes, edges } = await stemma.trace(await only(stemma));
  expect(components({ nodes, edges })).toBe(1);
});

test("a run that is cancelled says of each task what became of it", async () => {
  const entered = Promise.withResolvers<void>();
  const steps = [
    step("a"),
    step("b", ["a"], async (_, signal) => {
      entered.resolve();
      await new Promise((_r, reject) => signal?.addEventListener("abort", () => reject(signal.reason as Error)));
    }),
    step("c", ["b"]),
  ];
  const workflow = taskWorkflow(steps, { name: "long" });
  await using stemma = await new Stemma({ store, workflows: [workflow] }).start();
  const done = new TaskRunner({}).durable(stemma, { name: "long" }).execute(steps);
  await entered.promise;
  await turns();
  await stemma.cancel(await only(stemma));
  expect(statuses(await done)).toEqual({ a: "success", b: "cancelled", c: "cancelled" });
});

test.each([
  [{ name: "a/b" }, [step("a")], "name.invalid"],
  [{ name: "x" }, [step("a/b")], "name.invalid"],
  [{ name: "x", version: 0 }, [step("a")], "workflow.invalid"],
  [{ name: "x", concurrency: 0 }, [step("a")], "usage.invalid"],
  [{ name: "x" }, [step("a", ["b"])], "workflow.invalid"],
])("what cannot be a workflow is refused: %j", (options, steps, code) => {
  expect(() => taskWorkflow(steps, options)).toThrow(expect.objectContaining({ code }) as Error);
});
