/** Task graphs on the engine that have much to do at once: others in the process have their turn, and recall is the same. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { Stemma } from "../src/index.ts";
import type { Event, Store } from "../src/index.ts";
import { sqlite } from "../src/sqlite.ts";
import type { TaskStep } from "../src/tasks.ts";
import { TaskRunner, taskWorkflow } from "../src/tasks.ts";
import { step } from "./behaviours/tasks.ts";

type Context = { done: Record<string, true>; later?: number };

let store: Store;
beforeEach(() => {
  store = sqlite(":memory:");
});
afterEach(async () => {
  await store.close();
});

const count = 450;
const names = Array.from({ length: count }, (_, i) => `task${i}`);

/** Tasks side by side, and one that the first of them frees. Each leaves its mark in the context. */
function wide(enter: (name: string) => unknown): TaskStep<Context>[] {
  const later: TaskStep<Context> = step("later", ["task0"], async (context) => {
    await enter("later");
    context.later = Object.keys(context.done).length;
  });
  return [
    later,
    ...names.map((name) =>
      step<Context>(name, [], async (context) => {
        await enter(name);
        context.done[name] = true;
      }),
    ),
  ];
}

const keysOf = (events: readonly Event[], type: Event["type"]): string[] =>
  events.filter((event) => event.type === type).map((event) => (event.data as { key: string }).key);

test("tasks that may all start begin in their order, and others have their turn between the first and the last", async () => {
  const entered: string[] = [];
  let turns = 0;
  let turnsAtFirst = 0;
  let turnsAtLast = 0;
  let counting = true;
  const count1 = (): void => {
    turns += 1;
    if (counting) setImmediate(count1);
  };
  const steps = wide((name) => {
    entered.push(name);
    if (name === names[0]) [turnsAtFirst] = [turns, setImmediate(count1)];
    if (name === names.at(-1)) turnsAtLast = turns;
  });
  const context: Context = { done: {} };
  await new TaskRunner(context).durable(new Stemma({ store }), { name: "wide" }).execute(steps);
  counting = false;
  expect(turnsAtLast - turnsAtFirst).toBeGreaterThan(2);
  // What the first of them frees is asked for behind them all.
  expect(entered).toEqual([...names, "later"]);
  expect(Object.keys(context.done).toSorted()).toEqual(names.toSorted());
});

test("what each is given does not depend on what has ended meanwhile", async () => {
  const stemma = new Stemma({ store });
  const given: number[] = [];
  const steps = names.map((name) =>
    step<Context>(name, [], (context) => {
      given.push(Object.keys(context.done).length);
      context.done[name] = true;
    }),
  );
  await new TaskRunner<Context>({ done: {} }).durable(stemma, { name: "wide" }).execute(steps);
  expect(new Set(given)).toEqual(new Set([0]));
});

test.each([30, 130, 250, 449])(
  "a run whose process died when task %i began goes on: nothing is entered or told a second time that is on record",
  async (at) => {
    const dying = taskWorkflow<Context, TaskStep<Context>[]>(
      wide((name) => {
        const number = names.indexOf(name);
        // Few end, and none of the first: what is on record is soon recalled, and then most are not asked for yet.
        if (number % 50 === 0 && number > at - 100 && number !== at) return undefined;
        if (number === at) {
          first.abandon();
          stuck.resolve();
        }
        return new Promise(() => {});
      }),
      { name: "wide" },
    );
    const stuck = Promise.withResolvers<void>();
    const first = new Stemma({ store, workflows: [dying], lease: "200ms" });
    await first.start();
    const run = await first.run(dying, { done: {} }, { idempotencyKey: "k" });
    await stuck.promise;
    // It is not dead in truth: what it has heard and not taken in yet it still tells, to whoever listens.
    for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    const succeeded = keysOf(await first.history(run.id), "step.succeeded");
    const entered: string[] = [];
    const told: string[] = [];
    const context: Context = { done: {} };
    const runner = new TaskRunner(context);
    runner.on("taskEnd", ({ step: { name } }) => void told.push(name));
    const durable = runner.durable(new Stemma({ store }), { name: "wide" });
    const results = await durable.execute(
      wide((name) => entered.push(name)),
      { idempotencyKey: "k" },
    );
    const left = [...names, "later"].filter((name) => !succeeded.includes(name));
    expect(entered).toEqual(left);
    expect(told.toSorted()).toEqual(left.toSorted());
    expect(results.size).toBe(count + 1);
    expect(new Set([...results.values()].map(({ status }) => status))).toEqual(new Set(["success"]));
    expect(Object.keys(context.done)).toHaveLength(count);
    expect(keysOf(await first.history(run.id), "step.succeeded")).toHaveLength(count + 1);
  },
);
