/**
 * The trace across suspend and resume: it is connected exactly like that of a run that never stopped. Each story is
 * lived in several ways, with rests, moves to other processes and crashes, and every life must leave the same graph.
 */
import { describe, expect, it } from "vitest";
import { components, trace as traceOf, workflow } from "../src/index.ts";
import type { Context, Workflow } from "../src/index.ts";
import { fakeClock } from "../src/testing.ts";
import type { Act, Lived } from "./lives.ts";
import { into, live, lives, steps } from "./lives.ts";
import { stage } from "./stage.ts";

const body = (run: (ctx: Context) => Promise<unknown>, name = "told"): Workflow => workflow({ name }, run);

const resume = (wait: string, value: unknown = true): Act => ({
  open: [wait],
  becomes: "wait.answered",
  do: (stemma, run) => stemma.resume(run, wait, value),
});
const fail = (wait: string): Act => ({
  open: [wait],
  becomes: "wait.failed",
  do: (stemma, run) => stemma.fail(run, wait, new Error("still broken")),
});
const resuspend = (wait: string, prompt: string): Act => ({
  open: [wait],
  becomes: "wait.opened",
  do: (stemma, run) => stemma.resuspend(run, wait, { prompt }),
});

/** The three edges that make an answer one of the run's steps: from its cause, to its checkpoint, and what it resolved. */
function expectStep(graph: Lived["trace"], n: number, cause: string, resolves = false): void {
  expect(into(graph, `wf_step|R|${n}`)).toEqual([
    `wf_next_step_exec|R|${n}|last::${cause}|to::wf_step|R|${n}`,
    ...(resolves ? [`resolved|R|last::${cause}|to::wf_step|R|${n}`] : []),
  ]);
  expect(into(graph, `wf_ckpt|R|${n}`)).toEqual([`persist_checkpoint|R|${n}|last::wf_step|R|${n}|to::wf_ckpt|R|${n}`]);
}

type Story = {
  title: string;
  workflows: readonly [Workflow, ...Workflow[]];
  acts: readonly Act[];
  steps: readonly string[];
  expect: (lived: Lived) => void;
};

const gate = body(async (ctx) => {
  await ctx.step("first", () => 1);
  await ctx.wait("gate");
  return ctx.step("last", () => 2);
});

const caught = body(async (ctx) => {
  await ctx.step("first", () => 1);
  try {
    return await ctx.wait("gate");
  } catch {
    return ctx.step("recover", () => 2);
  }
});

const branches = body(async (ctx) => {
  await ctx.step("first", () => 1);
  return ctx.all({
    a: async () => {
      await ctx.wait("one");
      await ctx.step("after", () => 1);
    },
    b: async () => {
      await ctx.wait("two");
      await ctx.step("after", () => 1);
    },
  });
});

const signalled = body(async (ctx) => {
  await ctx.step("first", () => 1);
  await ctx.wait("gate");
  await ctx.signal("news");
  return ctx.step("last", () => 2);
});

const child = body((ctx) => ctx.wait("question"), "child");
const calling = body(async (ctx) => {
  await ctx.step("first", () => 1);
  await ctx.call(child as never, undefined as never);
  return ctx.step("last", () => 2);
}, "parent");

const stories: Story[] = [
  {
    title: "an answer is a step: caused by its wait, with a checkpoint, and the cause of the step after it",
    workflows: [gate],
    acts: [resume("gate")],
    steps: ["0 first succeeded", "1 gate resolved", "2 gate answered", "3 last succeeded"],
    expect({ trace }) {
      const ids = trace.edges.map(({ id }) => id);
      expect(ids).toContain("wf_next_step_exec|R|2|last::wf_step|R|1|to::wf_step|R|2");
      expect(ids).toContain("persist_checkpoint|R|2|last::wf_step|R|2|to::wf_ckpt|R|2");
      expectStep(trace, 1, "wf_step|R|0");
      expectStep(trace, 2, "wf_step|R|1", true);
      expectStep(trace, 3, "wf_step|R|2");
      expect(into(trace, "wf_completed|R")).toEqual(["terminal|R|last::wf_step|R|3|to::wf_completed|R"]);
    },
  },
  {
    title: "an answer that suspends again is a step, as often as it does",
    workflows: [gate],
    acts: [resuspend("gate", "second pause"), resuspend("gate", "third pause"), resume("gate")],
    steps: [
      "0 first succeeded",
      "1 gate resolved",
      "2 gate resolved",
      "3 gate resolved",
      "4 gate answered",
      "5 last succeeded",
    ],
    expect({ trace }) {
      for (const n of [2, 3, 4]) expectStep(trace, n, `wf_step|R|${n - 1}`, true);
      expectStep(trace, 5, "wf_step|R|4");
    },
  },
  {
    title: "an answer that is a failure is a step, and the cause of what catches it",
    workflows: [caught],
    acts: [fail("gate")],
    steps: ["0 first succeeded", "1 gate resolved", "2 gate failed", "3 recover succeeded"],
    expect({ trace, status }) {
      expectStep(trace, 2, "wf_step|R|1", true);
      expectStep(trace, 3, "wf_step|R|2");
      expect(status).toBe("succeeded");
    },
  },
  {
    title: "an answer that is a failure which nothing catches is the step at which the run failed",
    workflows: [gate],
    acts: [fail("gate")],
    steps: ["0 first succeeded", "1 gate resolved", "2 gate failed"],
    expect({ trace, status }) {
      expectStep(trace, 2, "wf_step|R|1", true);
      expect(into(trace, "wf_failed|R")).toEqual(["terminal|R|last::wf_step|R|2|to::wf_failed|R"]);
      expect(status).toBe("failed");
    },
  },
  {
    title: "an answer is caused by its own wait, though a sibling finished since",
    workflows: [branches],
    acts: [resume("b/two"), resume("a/one")],
    steps: [
      "0 first succeeded",
      "1 a/one resolved",
      "2 b/two resolved",
      "3 b/two answered",
      "4 b/after succeeded",
      "5 a/one answered",
      "6 a/after succeeded",
    ],
    expect({ trace }) {
      expectStep(trace, 3, "wf_step|R|2", true);
      expectStep(trace, 4, "wf_step|R|3");
      expectStep(trace, 5, "wf_step|R|1", true);
      expectStep(trace, 6, "wf_step|R|5");
      const scope = trace.nodes.find(({ kind }) => kind === "scope");
      expect(trace.edges.flatMap(({ to, from }) => (to === scope?.id ? [from] : []))).toEqual([
        "wf_step|R|4",
        "wf_step|R|6",
      ]);
    },
  },
  {
    title: "a wait that the run begins with is caused by the run itself",
    workflows: [body((ctx) => ctx.wait("gate"))],
    acts: [resume("gate")],
    steps: ["0 gate resolved", "1 gate answered"],
    expect({ trace }) {
      expectStep(trace, 0, "wf_run|R");
      expectStep(trace, 1, "wf_step|R|0", true);
    },
  },
  {
    title: "a signal that is waited for is the answer of its wait",
    workflows: [signalled],
    acts: [
      resume("gate"),
      { open: ["news"], becomes: "wait.answered", do: (stemma, run) => stemma.signal(run, "news", 1) },
    ],
    steps: [
      "0 first succeeded",
      "1 gate resolved",
      "2 gate answered",
      "3 news resolved",
      "4 news answered",
      "5 last succeeded",
    ],
    expect({ trace }) {
      expectStep(trace, 3, "wf_step|R|2");
      expectStep(trace, 4, "wf_step|R|3", true);
      expectStep(trace, 5, "wf_step|R|4");
    },
  },
  {
    title: "a signal that came early is taken in a step of its own, caused by the step before it",
    workflows: [signalled],
    acts: [
      { open: ["gate"], becomes: "signal.received", do: (stemma, run) => stemma.signal(run, "news", 1) },
      resume("gate"),
    ],
    steps: ["0 first succeeded", "1 gate resolved", "2 gate answered", "3 news answered", "4 last succeeded"],
    expect({ trace }) {
      expectStep(trace, 3, "wf_step|R|2");
      expectStep(trace, 4, "wf_step|R|3");
    },
  },
  {
    title: "a call is one step, from which its child comes, whatever the child waited for",
    workflows: [calling, child],
    acts: [
      {
        open: ["question"],
        becomes: "child.ended",
        async do(stemma) {
          const [wait] = (await stemma.waits({ name: "question" })).waits;
          await stemma.resume(wait?.run ?? "", "question", 1);
        },
      },
    ],
    steps: ["0 first succeeded", "1 child succeeded", "2 last succeeded"],
    expect({ trace, family }) {
      expectStep(trace, 1, "wf_step|R|0");
      expectStep(trace, 2, "wf_step|R|1");
      expect(into(family, "wf_run|C1")).toEqual(["child_run|C1|last::wf_step|R|1|to::wf_run|C1"]);
      expect(into(family, "wf_step|C1|1")).toEqual([
        "wf_next_step_exec|C1|1|last::wf_step|C1|0|to::wf_step|C1|1",
        "resolved|C1|last::wf_step|C1|0|to::wf_step|C1|1",
      ]);
    },
  },
];

describe("across suspend and resume", () => {
  it.for(stories)("$title", { timeout: 60_000 }, async (story) => {
    const all = new Map<string, Lived>();
    for (const life of lives) all.set(life, await live(story.workflows, story.acts, life));
    const never = all.get("never stops") as Lived;
    expect(never.outline.filter((type) => type === "run.suspended")).toEqual([]);
    expect(steps(never.trace)).toEqual(story.steps);
    for (const [life, lived] of all) {
      story.expect(lived);
      expect(components(lived.family), life).toBe(1);
      for (let length = 1; length <= lived.history.length; length += 1) {
        const graph = traceOf([{ run: lived.run, events: lived.history.slice(0, length) }]);
        expect(components(graph), `${life}, after ${length} events`).toBe(1);
      }
      expect(lived.trace, life).toEqual(never.trace);
      if (life !== "never stops") expect(lived.outline, life).toContain("run.suspended");
    }
  });

  it("a timer is a wait, and the clock is who answers it", async () => {
    const traces = [];
    for (const lingerMs of [1, 600_000]) {
      const clock = fakeClock();
      const definition = body(async (ctx) => {
        await ctx.step("first", () => 1);
        await ctx.sleep("nap", "1m");
        return ctx.step("last", () => 2);
      });
      await using theatre = await stage([definition], { clock }, { lingerMs });
      const run = await theatre.stemma.run(definition as Workflow<undefined>, undefined);
      await clock.advance("2m");
      await run.result();
      const rested = (await run.history()).some(({ type }) => type === "run.suspended");
      expect(rested).toBe(lingerMs === 1);
      traces.push(JSON.parse(JSON.stringify(await run.trace()).replaceAll(run.id, "R")) as Lived["trace"]);
    }
    const [rests, never] = traces as [Lived["trace"], Lived["trace"]];
    expect(steps(rests)).toEqual(["0 first succeeded", "1 nap resolved", "2 nap answered", "3 last succeeded"]);
    expectStep(rests, 2, "wf_step|R|1", true);
    expectStep(rests, 3, "wf_step|R|2");
    expect(rests).toEqual(never);
  });

  it.for([
    ["with its default", { default: 7 }],
    ["as an error", {}],
  ] as const)("a wait whose time runs out %s is resolved by a step of its own", async ([, options]) => {
    const clock = fakeClock();
    const definition = body(async (ctx) => {
      await ctx.step("first", () => 1);
      await ctx.wait("gate", { expires: "1m", ...options }).catch(() => undefined);
      return ctx.step("last", () => 2);
    });
    await using theatre = await stage([definition], { clock });
    const run = await theatre.stemma.run(definition as Workflow<undefined>, undefined);
    await clock.advance("2m");
    await run.result();
    const graph = JSON.parse(JSON.stringify(await run.trace()).replaceAll(run.id, "R")) as Lived["trace"];
    expect(steps(graph)).toEqual(["0 first succeeded", "1 gate resolved", "2 gate expired", "3 last succeeded"]);
    expectStep(graph, 2, "wf_step|R|1", true);
    expectStep(graph, 3, "wf_step|R|2");
  });

  it("while it waits again, the latest question is the one that waits", async () => {
    await using theatre = await stage([gate]);
    const { stemma } = theatre;
    const run = await stemma.run(gate as Workflow<undefined>, undefined);
    const waiting = async (): Promise<number> => (await stemma.waits()).waits.length;
    await expect.poll(waiting).toBe(1);
    expect(await stemma.resuspend(run.id, "gate", { value: { retryCount: 1 } })).toMatchObject({ state: "recorded" });
    expect(steps(await run.trace())).toEqual(["0 first succeeded", "1 gate resolved", "2 gate waiting"]);
    expect(components(await run.trace())).toBe(1);
  });
});
