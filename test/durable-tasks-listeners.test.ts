/** Listeners and plugins of a durable task graph: told once of what happens, and not of what is recalled. */
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Store } from "../src/index.ts";
import { Stemma } from "../src/index.ts";
import { sqlite } from "../src/sqlite.ts";
import type { TaskStep } from "../src/tasks.ts";
import { TaskRunner, taskWorkflow } from "../src/tasks.ts";
import { fails, step } from "./behaviours/tasks.ts";

let store: Store;
beforeEach(() => {
  store = sqlite(":memory:");
});
afterEach(async () => {
  await store.close();
});

const events = ["workflowStart", "taskStart", "taskRetry", "taskEnd", "taskSkipped", "workflowEnd"] as const;

function listening(told: string[], ids: Set<string | undefined> = new Set()): TaskRunner<object> {
  const runner = new TaskRunner<object>({});
  for (const event of events) {
    runner.on(event, (payload) => {
      const { step: of, result } = payload as { step?: TaskStep; result?: { status: string } };
      told.push([event, of?.name, result?.status].filter((part) => part !== undefined).join(" "));
      ids.add(payload.runId);
    });
  }
  return runner;
}

test("listeners hear of everything once and in order, before a task does anything, with the id of the run", async () => {
  const told: string[] = [];
  const ids = new Set<string | undefined>();
  let attempts = 0;
  const steps = [
    step("a", [], () => void told.push("in a")),
    step("b", ["a"], () => (++attempts < 2 ? fails("no") : undefined), { retry: { attempts: 2, delay: 1 } }),
    step("c", ["b"], () => fails("never")),
    step("d", ["c"]),
  ];
  const stemma = new Stemma({ store });
  await listening(told, ids).durable(stemma, { name: "told" }).execute(steps);
  expect(told).toEqual([
    "workflowStart",
    "taskStart a",
    "in a",
    "taskEnd a success",
    "taskStart b",
    "taskRetry b failure",
    "taskEnd b success",
    "taskStart c",
    "taskEnd c failure",
    "taskSkipped d skipped",
    "workflowEnd",
  ]);
  const { runs } = await stemma.list();
  expect([...ids]).toEqual([runs[0]?.id]);
});

test("what is recalled is not told again; a task that was under way starts again", async () => {
  const stuck = Promise.withResolvers<void>();
  const hang = (): Promise<never> => {
    stuck.resolve();
    return new Promise(() => {});
  };
  const dying = taskWorkflow([step("a"), step("b", ["a"], hang), step("c", ["b"])], { name: "told" });
  const first = new Stemma({ store, workflows: [dying], lease: "200ms" });
  await first.start();
  await first.run(dying, {}, { idempotencyKey: "k" });
  await stuck.promise;
  first.abandon();
  const told: string[] = [];
  const steps = [step("a"), step("b", ["a"]), step("c", ["b"])];
  const durable = listening(told).durable(new Stemma({ store }), { name: "told" });
  await durable.execute(steps, { idempotencyKey: "k" });
  expect(told).toEqual([
    "workflowStart",
    "taskStart b",
    "taskEnd b success",
    "taskStart c",
    "taskEnd c success",
    "workflowEnd",
  ]);
  told.length = 0;
  await durable.execute(steps, { idempotencyKey: "k" });
  expect(told).toEqual(["workflowStart", "workflowEnd"]);
});

test("two runners of one Stemma hear each of its own run; plugins are installed once", async () => {
  await using stemma = await new Stemma({ store }).start();
  const steps = [step("a"), step("b", ["a"])];
  const told: [string[], string[]] = [[], []];
  let installed = 0;
  await Promise.all(
    told.map(async (own) => {
      const runner = listening(own);
      runner.use({ name: "counting", version: "1", install: () => void installed++ });
      const durable = runner.durable(stemma, { name: "told" });
      await durable.execute(steps);
      await durable.execute(steps);
    }),
  );
  const once = ["workflowStart", "taskStart a", "taskEnd a success", "taskStart b", "taskEnd b success", "workflowEnd"];
  expect(told).toEqual([
    [...once, ...once],
    [...once, ...once],
  ]);
  expect(installed).toBe(2);
});
