/**
 * The operations that bodies are written over, used bare: what waits, calls and checkpoints promise to every way of
 * writing workflows. (Functions offer them through `ctx`, task graphs and message graphs in their own words.)
 */
import { describe, expect, it } from "vitest";
import type { Operations, Outcome, RunInfo } from "../src/engine/body.ts";
import type { Workflow } from "../src/index.ts";
import { workflow } from "../src/index.ts";
import { components } from "../src/core/trace.ts";
import { fakeClock } from "../src/testing.ts";
import { errorOf, fresh, listening, outline, stage, until } from "./stage.ts";

/** A workflow whose body uses the operations bare. */
function bare(name: string, body: (operations: Operations, run: RunInfo) => Promise<unknown>): Workflow {
  return {
    name,
    version: 1,
    source: String(body),
    body: (operations, run) => ({ done: body(operations, run), causes: () => [run.segment.seq] }),
  };
}

function valueOf(outcome: Outcome): unknown {
  if (outcome.ok) return outcome.value;
  throw outcome.error;
}

const place = (run: RunInfo, name: string, causes: readonly number[] = [run.segment.seq]) => ({
  scope: run.segment.root,
  name,
  causes,
});

describe("a wait", () => {
  const asks = bare("asks", async (operations, run) => {
    const input = { value: { amount: 7 } };
    const approval = await operations.wait({ ...place(run, "approval"), kind: "approval", input, prompt: "Pay?" });
    const step = await operations.step({ ...place(run, "after", [approval.seq]), run: () => "after" });
    return [valueOf(approval), valueOf(step)];
  });

  it("holds no process while it is open, and its answer is caused by it, in the trace too", async () => {
    const store = fresh();
    const run = await (async () => {
      await using first = await stage([asks], { store });
      const started = await first.stemma.run(asks, undefined);
      await until(async () => (await started.status()) === "suspended");
      return started;
    })();
    expect((await store.list({ ids: [run.id] })).runs[0]).toMatchObject({ dueAt: null, state: { reason: "waiting" } });
    await using second = await stage([asks], { store });
    await second.stemma.resume(run.id, "approval", { approve: true }, { by: "ann" });
    const found = await second.stemma.get(run.id);
    expect(await found.result()).toEqual([{ approve: true }, "after"]);
    const events = await found.history();
    expect(events.map((event) => event.type)).toEqual([
      "run.created",
      "run.started",
      "wait.opened",
      "run.suspended",
      "run.started",
      "wait.answered",
      "step.succeeded",
      "run.succeeded",
    ]);
    expect(events[2]?.data).toMatchObject({ prompt: "Pay?", given: { inline: { amount: 7 } } });
    expect(events[5]).toMatchObject({ causes: [2], data: { by: "ann" } });
    const { edges } = await found.trace();
    const ids = new Set(edges.map((edge) => edge.id));
    expect(ids).toContain(`wf_next_step_exec|${run.id}|1|last::wf_step|${run.id}|0|to::wf_step|${run.id}|1`);
    expect(ids).toContain(`persist_checkpoint|${run.id}|1|last::wf_step|${run.id}|1|to::wf_ckpt|${run.id}|1`);
    expect(ids).toContain(`wf_next_step_exec|${run.id}|2|last::wf_step|${run.id}|1|to::wf_step|${run.id}|2`);
  });

  it("takes its first answer; a second one changes nothing, and one too early or to nothing is wait.not_open", async () => {
    await using theatre = await stage([asks]);
    const run = await theatre.stemma.run(asks, undefined);
    await until(async () => (await outline(run)).includes("wait.opened approval"));
    expect(await errorOf(theatre.stemma.resume(run.id, "approvals", 1))).toMatchObject({ code: "wait.not_open" });
    await theatre.stemma.resume(run.id, "approval", "first");
    await theatre.stemma.resume(run.id, "approval", "second");
    expect(await run.result()).toEqual(["first", "after"]);
    await theatre.stemma.resume(run.id, "approval", "third");
    expect((await outline(run)).filter((line) => line.startsWith("wait."))).toHaveLength(2);
  });

  it("answered with an error fails, and its body can catch it", async () => {
    const catching = bare("catching", async (operations, run) => {
      const outcome = await operations.wait({ ...place(run, "approval"), kind: "approval" });
      return outcome.ok ? "answered" : outcome.error.message;
    });
    await using theatre = await stage([catching]);
    const run = await theatre.stemma.run(catching, undefined);
    await until(async () => (await outline(run)).includes("wait.opened approval"));
    await theatre.stemma.fail(run.id, "approval", new Error("too expensive"));
    expect(await run.result()).toBe("too expensive");
  });

  it("that expires fails with wait.expired, or settles with its default", async () => {
    const expires = bare("expires", async (operations, run) => {
      const soon = { kind: "external" as const, until: (now: number) => now + 10 };
      const [strict, lenient] = await Promise.all([
        operations.wait({ ...place(run, "strict"), ...soon }),
        operations.wait({ ...place(run, "lenient"), ...soon, default: { value: "assumed" } }),
      ]);
      return [(strict.error as { code?: string }).code, valueOf(lenient)];
    });
    await using theatre = await stage([expires]);
    expect(await (await theatre.stemma.run(expires, undefined)).result()).toEqual(["wait.expired", "assumed"]);
  });

  it("an answer that comes while its run is held elsewhere is seen by the holder", async () => {
    const store = fresh();
    await using holder = await stage([asks], { store, lease: 300 }, { lingerMs: 60_000 });
    const run = await holder.stemma.run(asks, undefined);
    await until(async () => (await outline(run)).includes("wait.opened approval"));
    await using other = await stage([], { store });
    await other.stemma.resume(run.id, "approval", 1);
    expect(await run.result()).toEqual([1, "after"]);
    expect(await outline(run)).not.toContain("run.suspended");
  });
});

describe("a call", () => {
  const child = workflow({ name: "child" }, async (ctx, input: { n: number }) => {
    if (input.n < 0) throw new Error("negative");
    await ctx.sleep(input.n);
    return { doubled: await ctx.step("double", () => input.n * 2), large: "x".repeat(input.n > 50 ? 5000 : 0) };
  });
  const parent = bare("parent", async (operations, run) => {
    const call = (n: number) => operations.call({ ...place(run, "child"), workflow: child, input: { value: { n } } });
    const outcomes = await Promise.all([call(1), call(2), call(2), call(60), call(-1)]);
    return outcomes.map((outcome) =>
      outcome.ok ? (outcome.value as { doubled: number; large: string }) : outcome.error.message,
    );
  });

  it("made n times is n runs, all in one connected trace, and a child's failure can be caught", async () => {
    await using theatre = await stage([parent, child]);
    const run = await theatre.stemma.run(parent, undefined);
    const result = (await run.result()) as { doubled: number; large: string }[];
    expect(result.map((one) => (typeof one === "object" ? one.doubled : one))).toEqual([2, 4, 4, 120, "negative"]);
    expect(result[3]?.large).toHaveLength(5000);
    const { runs } = await theatre.stemma.list({ family: run.id });
    expect(runs.map((row) => row.state.workflow).toSorted()).toEqual([
      "child",
      "child",
      "child",
      "child",
      "child",
      "parent",
    ]);
    const graph = await theatre.stemma.trace(run.id, { family: true });
    expect(components(graph)).toBe(1);
    expect(graph.edges.filter((edge) => edge.kind === "child_run")).toHaveLength(5);
  });

  it("is one child whatever crashes, and the parent sleeps while it waits", async () => {
    const clock = fakeClock();
    const store = fresh();
    const slow = workflow({ name: "slow" }, async (ctx) => {
      await ctx.sleep("1h");
      return "slow";
    });
    const caller = bare("caller", async (operations, run) =>
      valueOf(await operations.call({ ...place(run, "slow"), workflow: slow, input: { value: undefined } })),
    );
    const workflows = [caller, slow];
    const first = await stage(workflows, { store, clock });
    const run = await first.stemma.run(caller, undefined);
    await until(async () => (await outline(run)).includes("child.started slow"));
    first.stemma.abandon();
    {
      await using second = await stage(workflows, { store, clock });
      await clock.advance("1m");
      expect(await (await second.stemma.get(run.id)).status()).toBe("suspended");
      expect((await store.list({ family: run.id })).runs.every((row) => row.worker === undefined)).toBe(true);
    }
    await using third = await stage(workflows, { store, clock });
    await clock.advance("1h");
    expect(await (await third.stemma.get(run.id)).result()).toBe("slow");
    expect((await store.list({ family: run.id })).runs).toHaveLength(2);
  });
});

describe("a checkpoint", () => {
  it("is where the run continues: what was before is neither loaded nor run again, and steps count anew", async () => {
    const clock = fakeClock();
    const store = fresh();
    const entered: string[] = [];
    const keys = new Set<string>();
    let hang = true;
    const loop = bare("loop", async (operations, run) => {
      let segment = run.segment;
      let sum = (run.restored as number | undefined) ?? 0;
      for (let i = sum; i < 4; i = sum) {
        const step = await operations.step({
          scope: segment.root,
          name: "add",
          causes: [segment.seq],
          run: async (_, tools) => {
            entered.push(`add ${i}`);
            keys.add(tools.idempotencyKey);
            if (i === 3 && hang) await new Promise(() => {});
            return i + 1;
          },
        });
        sum = valueOf(step) as number;
        segment = await operations.checkpoint([step.seq], sum);
      }
      return sum;
    });
    const first = await stage([loop], { store, clock });
    const run = await first.stemma.run(loop, undefined);
    await until(() => entered.length === 4);
    first.stemma.abandon();
    hang = false;
    await using second = await stage([loop], { store, clock });
    await clock.advance("15s");
    expect(await (await second.stemma.get(run.id)).result()).toBe(4);
    expect(entered).toEqual(["add 0", "add 1", "add 2", "add 3", "add 3"]);
    expect(keys.size).toBe(4);
    const checkpoints = (await run.history()).filter((event) => event.type === "checkpoint");
    expect(checkpoints.map((event) => event.data)).toMatchObject([
      { parent: null, state: { inline: 1 } },
      { parent: 3, state: { inline: 2 } },
      { parent: 5, state: { inline: 3 } },
      { parent: 7, state: { inline: 4 } },
    ]);
    expect(components(await run.trace())).toBe(1);
  });

  it("is refused while anything is open, with what that is", async () => {
    const early = bare("early", async (operations, run) => {
      void operations.sleep({ ...place(run, "nap"), until: (now) => now + 1000 });
      return operations.checkpoint([run.segment.seq], {});
    });
    await using theatre = await stage([early]);
    const error = await errorOf((await theatre.stemma.run(early, undefined)).result());
    expect(error.cause).toMatchObject({
      code: "checkpoint.not_quiescent",
      message: expect.stringContaining("nap") as string,
    });
  });
});

describe("a stream", () => {
  it("keeps what was emitted, in order, with a cursor of its own; recall emits nothing again", async () => {
    const clock = fakeClock();
    const store = fresh();
    let entered = 0;
    const emits = bare("emits", async (operations, run) => {
      operations.emit("tokens", "a");
      await operations.step({ ...place(run, "one"), run: () => 1 });
      operations.emit("tokens", { b: 2 });
      operations.emit("other", null);
      await operations.step({
        ...place(run, "two", [2]),
        run: () => ((entered += 1) === 1 ? new Promise(() => {}) : 2),
      });
      operations.emit("tokens", "c");
    });
    const first = await stage([emits], { store, clock });
    const run = await first.stemma.run(emits, undefined);
    await until(() => entered === 1);
    await until(
      async () => ((await store.feed({ run: run.id, stream: "tokens", after: 0, limit: 9 })).values ?? []).length === 2,
    );
    first.stemma.abandon();
    await using second = await stage([emits], { store, clock });
    await clock.advance("15s");
    await (await second.stemma.get(run.id)).result();
    const all = await store.feed({ run: run.id, stream: "tokens", after: 0, limit: 9 });
    // What was emitted before the first commit of a run that crashed is gone with it; here nothing was.
    expect(all.values?.map(({ text }) => JSON.parse(text) as unknown)).toEqual(["a", { b: 2 }, "c"]);
    const rest = await store.feed({ run: run.id, stream: "tokens", after: all.values?.[1]?.position ?? 0, limit: 9 });
    expect(rest.values?.map(({ text }) => text)).toEqual(['"c"']);
    expect((await store.feed({ run: run.id, stream: "none", after: 0, limit: 9 })).values).toEqual([]);
  });
});

describe("messages", () => {
  it("that answer nothing open are logged, and taken in once", async () => {
    const store = fresh();
    const log = listening();
    const waits = bare("waits", async (operations, run) => {
      await operations.wait({ ...place(run, "approval"), kind: "approval" });
    });
    await using theatre = await stage([waits], { store, log });
    const run = await theatre.stemma.run(waits, undefined);
    await until(async () => (await outline(run)).includes("wait.opened approval"));
    await store.send([
      { run: run.id, key: "stray", kind: "answer", body: JSON.stringify({ key: "nothing", text: "1" }) },
    ]);
    await theatre.stemma.resume(run.id, "approval", null);
    await run.result();
    expect(log.lines.filter((line) => line.includes("answers nothing"))).toHaveLength(1);
  });
});
