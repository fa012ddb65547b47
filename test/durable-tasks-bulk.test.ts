/**
 * A graph of tasks is recalled in bulk. Over random graphs and crashes: whoever goes on from a record that way asks for the
 * same, with the same inputs and causes, and comes to the same end as one who makes every ask again.
 */
import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Delivery } from "../src/engine/delivery.ts";
import { delivery } from "../src/engine/delivery.ts";
import { Stemma } from "../src/index.ts";
import type { Event, Workflow } from "../src/index.ts";
import { sqlite } from "../src/sqlite.ts";
import type { TaskStep } from "../src/tasks.ts";
import { taskWorkflow } from "../src/tasks.ts";
import { fakeClock, faults } from "../src/testing.ts";
import { fails, step } from "./behaviours/tasks.ts";
import { hasEnded } from "./crashes.ts";
import { storeAt } from "./place.ts";
import { silent } from "./stage.ts";

type Context = { marks: Record<string, number> };

type Task = {
  needs: readonly number[];
  trigger: "all" | "any" | "always";
  ends: "success" | "failure" | "skipped" | "throws" | "late";
  allowed: boolean;
  /** Turns of the event loop that it takes. */
  turns: number;
  marks: boolean;
  further: number;
};

type Graph = { tasks: readonly Task[]; concurrency: number | undefined };

const tasks: fc.Arbitrary<Task[]> = fc.array(
  fc.record({
    needs: fc.array(fc.nat(11), { maxLength: 3 }),
    trigger: fc.constantFrom("all", "all", "any", "always"),
    ends: fc.constantFrom("success", "success", "success", "failure", "skipped", "throws", "late"),
    allowed: fc.boolean(),
    turns: fc.nat(12),
    marks: fc.boolean(),
    further: fc.constantFrom(0, 0, 0, 2),
  }),
  { minLength: 1, maxLength: 12 },
);

const graphs: fc.Arbitrary<Graph> = fc.record({ tasks, concurrency: fc.constantFrom(undefined, undefined, 1, 3) });

/** What happens to a task that is entered: it does what it is there for, or never ends. */
type World = { entered: string[]; isStuck: boolean };

function workflowOf({ tasks: all, concurrency }: Graph, world: World): Workflow<Context, Context> {
  const late = new Set<string>();
  const enter = async (name: string, { turns, ends, marks }: Task, context: Context): Promise<unknown> => {
    world.entered.push(name);
    if (world.isStuck) return new Promise(() => {});
    for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    if (marks) context.marks[name] = Object.keys(context.marks).length;
    if (ends === "throws") throw new Error(`${name} threw`);
    if (ends === "late" && !late.has(name)) {
      late.add(name);
      throw new Error(`${name} throws the first time`);
    }
    if (ends === "skipped") return { status: "skipped" };
    return ends === "failure" ? fails(`${name} failed`) : { status: "success", data: { of: name, turns } };
  };
  const steps = all.map((task, i): TaskStep<Context> => {
    const needs = i === 0 ? [] : [...new Set(task.needs.map((need) => `t${need % i}`))];
    const further = (): TaskStep<Context>[] =>
      Array.from({ length: task.further }, (_, k) => {
        const of = { ...task, ends: "success", turns: k } as const;
        return step<Context>(`part${k}`, [], (context) => enter(`t${i}/part${k}`, of, context));
      });
    return step<Context>(`t${i}`, needs, (context) => enter(`t${i}`, task, context), {
      trigger: task.trigger,
      continueOnError: task.allowed,
      ...(task.ends === "late" ? { retry: { attempts: 1, delay: 5 } } : {}),
      ...(task.further === 0 ? {} : { expand: further }),
    });
  });
  return taskWorkflow<Context, TaskStep<Context>[]>(steps, {
    name: "random",
    ...(concurrency === undefined ? {} : { concurrency }),
  });
}

/** What is recorded, without what is another in each process. */
function essence(events: readonly Event[]): unknown[] {
  return events.map(({ type, causes, data }) => {
    const { worker: _w, epoch: _e, fingerprint: _f, ms: _m, ...rest } = data as Record<string, unknown>;
    return { type, causes, data: rest };
  });
}

/** Carries the run in a file on until it ends, or until it has come to rest or its process has died. */
async function goOn(
  file: string,
  graph: Graph,
  world: World,
  { rule, packEvents }: { rule: Delivery; packEvents: number },
  crash?: { applied: boolean; at: number },
) {
  const clock = fakeClock();
  const inner = storeAt(file, { now: () => clock.now() });
  const store = faults(inner);
  if (crash !== undefined) store.crash(crash.applied ? "commit.after" : "commit.before", crash.at);
  const definition = workflowOf(graph, world);
  const options = { store, workflows: [definition], clock, log: silent, warm: 0 };
  const stemma = new Stemma(options, { delivery: rule, lingerMs: 30, pageEvents: 3, packEvents });
  const life = async (): Promise<"over"> => {
    await stemma.start();
    const run = await stemma.run(definition, { marks: {} }, { idempotencyKey: "only" });
    for (let round = 0; round < 4; round += 1) {
      await clock.advance("20s");
      if (hasEnded(await run.history())) break;
    }
    return "over";
  };
  const how = await Promise.race([life(), store.crashed.then(() => "crashed" as const)]);
  stemma.abandon();
  const { runs } = await inner.list({});
  const reader = new Stemma({ store: inner });
  const history = runs[0] === undefined ? [] : await reader.history(runs[0].id);
  await inner.close();
  return { how, history };
}

const short: Delivery = { ...delivery, heldCharsMax: 300 };
const asking: Delivery = { ...delivery, inBulk: false };
/** Who asks for everything again, from rows; and who goes on in bulk, from rows and from packs, read once and twice. */
const ways: readonly { rule: Delivery; packEvents: number }[] = [
  { rule: asking, packEvents: 1024 },
  { rule: delivery, packEvents: 1024 },
  { rule: delivery, packEvents: 4 },
  { rule: short, packEvents: 4 },
];

async function compare(graph: Graph, crash: { applied: boolean; at: number }, isStuck: boolean): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "bulk-"));
  try {
    const file = join(folder, "first.db");
    const first = await goOn(file, graph, { entered: [], isStuck: false }, { rule: delivery, packEvents: 4 }, crash);
    const found = [];
    for (const [i, way] of ways.entries()) {
      const copy = join(folder, `${i}.db`);
      for (const suffix of ["", "-wal"]) if (existsSync(file + suffix)) copyFileSync(file + suffix, copy + suffix);
      const world = { entered: [], isStuck };
      const { history } = await goOn(copy, graph, world, way);
      found.push({ entered: world.entered, events: essence(history) });
    }
    for (const other of found) expect(other).toEqual(found[0]);
    expect(found[0]?.events.slice(0, first.history.length)).toEqual(essence(first.history));
    const isResumed = (found[0]?.events.length ?? 0) > first.history.length;
    return isResumed ? first.history.filter(({ type }) => type === "step.succeeded").length : 0;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Each behind the one before: when its process dies at its ninth commit, some have ended and some have not. */
const plain = { trigger: "all", ends: "success", allowed: false, turns: 1, marks: true, further: 0 } as const;
const chain: Graph = { tasks: [0, 0, 1, 2, 3, 4, 5, 6].map((need) => ({ ...plain, needs: [need] })), concurrency: 1 };

test("whoever goes on in bulk goes on as one who asks for everything again", { timeout: 300_000 }, async () => {
  let recalled = 0;
  await fc.assert(
    fc.asyncProperty(graphs, fc.boolean(), fc.integer({ min: 2, max: 30 }), async (graph, applied, at) => {
      // Side by side, what is carried out anew ends in no certain order: then it is what is asked for that counts.
      recalled += await compare(graph, { applied, at }, graph.concurrency !== 1);
    }),
    { numRuns: 8, examples: [[chain, true, 9]] },
  );
  expect(recalled).toBeGreaterThan(0);
});

test("a body that is dataflow asks for steps with declared inputs and for nothing else", async () => {
  const store = sqlite(":memory:");
  const base = { version: 1, source: "", dataflow: true } as const;
  const undeclared: Workflow<undefined> = {
    ...base,
    name: "undeclared",
    body: (operations) => ({
      done: operations.step({ scope: "", name: "a", causes: [0], run: () => 1 }),
      causes: () => [],
    }),
  };
  const pausing: Workflow<undefined> = {
    ...base,
    name: "pausing",
    body: (operations) => ({ done: operations.checkpoint([0], null), causes: () => [] }),
  };
  await using stemma = new Stemma({ store, workflows: [undeclared, pausing], log: silent });
  await stemma.start();
  for (const one of [undeclared, pausing]) {
    const run = await stemma.run(one, undefined);
    await expect(run.result()).rejects.toMatchObject({ code: "run.failed" });
    expect(await run.history()).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          type: "run.failed",
          data: expect.objectContaining({ error: expect.objectContaining({ code: "engine.bug" }) }),
        }),
      ]),
    );
  }
  await store.close();
});
