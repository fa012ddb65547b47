/**
 * Suspend and resume, as other systems of this kind do it or should. The numbers in comments are those of the list of
 * their behaviours; where a run here does better than theirs, the comment says why.
 */
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { Stemma, components, workflow } from "../../src/index.ts";
import type { Context, RunHandle, Workflow } from "../../src/index.ts";
import { fresh, inTurn, outline, silent, stage, until } from "../stage.ts";

const body = (run: (ctx: Context) => Promise<unknown>): Workflow<undefined> => workflow({ name: "told" }, run);
const rests = async (run: RunHandle): Promise<void> => until(async () => (await run.status()) === "suspended");
const openKeys = async (stemma: Stemma): Promise<string[]> => (await stemma.waits()).waits.map(({ key }) => key);
const lastPosition = async (stemma: Stemma): Promise<number> => {
  let last = 0;
  for await (const { position } of stemma.feed({ once: true })) last = position;
  return last;
};

describe("a wait", () => {
  // 1.
  it("suspends its run behind what is done, and the answer is what the run goes on with", async () => {
    const definition = body(async (ctx) => {
      const started = await ctx.step("start", () => true);
      const pi = await ctx.wait("gate", { input: { task: "calculate_pi" } });
      const ended = await ctx.step("end", () => true);
      return { started, pi, ended };
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await rests(run);
    const before = await run.trace();
    expect(before.nodes.filter(({ kind }) => kind === "checkpoint").length).toBeGreaterThan(0);
    expect(await outline(run)).not.toContain("step.succeeded end");
    expect((await theatre.stemma.waits()).waits).toMatchObject([{ key: "gate", input: { task: "calculate_pi" } }]);
    await theatre.stemma.resume(run.id, "gate", 3.14);
    expect(await run.result()).toEqual({ started: true, pi: 3.14, ended: true });
    expect(await run.status()).toBe("succeeded");
  });

  // 2. Theirs names the token that waits; here the key of the wait is enough.
  it("in one branch lets the other go on; what comes behind both goes on with the answer", async () => {
    const definition = body(async (ctx) => {
      const both = await ctx.all({ a: () => ctx.wait("a"), b: () => ctx.step("b", () => true) });
      return { ...both, ended: await ctx.step("end", () => true) };
    });
    await using theatre = await stage([definition]);
    const { stemma } = theatre;
    const first = await lastPosition(stemma);
    const run = await stemma.run(definition, undefined);
    await rests(run);
    expect(await outline(run)).toContain("step.succeeded b/b");
    expect(await outline(run)).not.toContain("step.succeeded end");
    expect(await openKeys(stemma)).toEqual(["a/a"]);
    const second = await lastPosition(stemma);
    expect(second).toBeGreaterThan(first);
    await stemma.resume(run.id, "a/a", true);
    expect(await run.result()).toEqual({ a: true, b: true, ended: true });
    expect(await lastPosition(stemma)).toBeGreaterThan(second);
  });

  // 3.
  it("is enough for a run to rest, though another branch is through and waits to be joined", async () => {
    const order: string[] = [];
    const definition = body(async (ctx) => {
      await ctx.step("start", () => void order.push("start"));
      await ctx.all({
        light: () => ctx.step("light", () => void order.push("light")),
        pause: () => ctx.wait("pause"),
      });
      return ctx.step("join", () => void order.push("join"));
    });
    await using theatre = await stage([definition], { concurrency: 1 });
    const run = await theatre.stemma.run(definition, undefined);
    await rests(run);
    expect(order).toEqual(["start", "light"]);
    expect(await openKeys(theatre.stemma)).toEqual(["pause/pause"]);
  });

  // 4. Theirs routes by a predicate; here a failure is an error, and catching it is the route.
  it("that is answered with a failure goes where the failure is caught", async () => {
    const definition = body(async (ctx) => {
      try {
        await ctx.wait("gate");
      } catch (error) {
        const recovered = await ctx.step("recover", () => true);
        return { why: (error as Error).message, recovered, ended: await ctx.step("end", () => true) };
      }
      return "not reached";
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await rests(run);
    await theatre.stemma.fail(run.id, "gate", new Error("still broken"));
    expect(await run.result()).toEqual({ why: "still broken", recovered: true, ended: true });
    expect(await run.status()).toBe("succeeded");
  });

  // 5.
  it("that is told to wait on keeps what was said, shows the new question, and is connected like any step", async () => {
    const definition = body(async (ctx) => {
      await ctx.step("start", () => true);
      await ctx.wait("gate", { prompt: "first pause" });
      return ctx.step("end", () => true);
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await rests(run);
    await theatre.stemma.resuspend(run.id, "gate", { value: { retryCount: 1 }, prompt: "second pause" });
    await rests(run);
    expect((await theatre.stemma.waits()).waits).toMatchObject([{ key: "gate", prompt: "second pause" }]);
    const again = (await run.history()).findLast(({ type }) => type === "wait.opened");
    expect(again?.data).toMatchObject({ value: { inline: { retryCount: 1 } }, prompt: "second pause" });
    const graph = await run.trace();
    const ids = graph.edges.map(({ id }) => id.replaceAll(run.id, "R"));
    expect(ids).toContain("wf_next_step_exec|R|2|last::wf_step|R|1|to::wf_step|R|2");
    expect(ids).toContain("persist_checkpoint|R|2|last::wf_step|R|2|to::wf_ckpt|R|2");
    expect(graph.nodes.find(({ n, kind }) => n === 2 && kind === "step")?.status).toBe("waiting");
  });

  it("that was told to wait on says so to whoever answered the question before, and keeps none of their answer", async () => {
    const definition = body((ctx) => ctx.wait("gate", { prompt: "first" }));
    await using bare = fresh();
    await using theatre = await stage([definition], { store: inTurn(bare) });
    const { stemma } = theatre;
    const run = await stemma.run(definition, undefined);
    await rests(run);
    const [again, late] = await Promise.allSettled([
      stemma.resuspend(run.id, "gate", { prompt: "second" }),
      stemma.resume(run.id, "gate", "to the first"),
    ]);
    expect(again).toMatchObject({ status: "fulfilled", value: { state: "recorded" } });
    expect(late).toMatchObject({ status: "rejected", reason: { code: "wait.not_open" } });
    expect((await stemma.waits()).waits).toMatchObject([{ key: "gate", prompt: "second" }]);
    await stemma.resume(run.id, "gate", "to the second");
    expect(await run.result()).toBe("to the second");
  });

  // 6. Theirs suspends inside the step; here the step's outcome is on record, and the body asks what to do about it.
  it("is how a step that can be mended is: its outcome is on record, and the answer is what takes its place", async () => {
    const definition = body(async (ctx) => {
      const ran = await ctx.step("python", () => ({ type: "recoverable_error", category: "sandbox_code_error" }));
      const result = ran.type === "recoverable_error" ? await ctx.wait("repair", { input: ran }) : ran;
      return { result, ended: await ctx.step("end", () => true) };
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await rests(run);
    const [open] = (await theatre.stemma.waits()).waits;
    expect(open?.input).toEqual({ type: "recoverable_error", category: "sandbox_code_error" });
    await theatre.stemma.resume(run.id, "repair", "fixed");
    expect(await run.result()).toEqual({ result: "fixed", ended: true });
    const graph = await run.trace();
    const ids = graph.edges.map(({ id }) => id.replaceAll(run.id, "R"));
    expect(ids).toContain("wf_next_step_exec|R|2|last::wf_step|R|1|to::wf_step|R|2");
    expect(ids).toContain("persist_checkpoint|R|2|last::wf_step|R|2|to::wf_ckpt|R|2");
    expect(ids).toContain("wf_next_step_exec|R|3|last::wf_step|R|2|to::wf_step|R|3");
    expect(components(graph)).toBe(1);
  });

  // 8. Theirs leaves the reason in the state for ever; here nothing waits behind the answer, and nothing says so.
  it.for(["approval", "message", "schedule_delay", "external_callback", "dependency", "rate_window"])(
    "says why: %s, and no longer when it is over",
    async (reason) => {
      const definition = body(async (ctx) => {
        await ctx.wait("gate", { reason });
        return ctx.step("end", () => true);
      });
      await using theatre = await stage([definition]);
      const { stemma } = theatre;
      const run = await stemma.run(definition, undefined);
      await rests(run);
      expect((await stemma.waits()).waits).toMatchObject([{ key: "gate", reason }]);
      expect((await stemma.row(run.id)).state.reason).toBe("waiting");
      await stemma.resume(run.id, "gate", 1);
      expect(await run.result()).toBe(true);
      const { state } = await stemma.row(run.id);
      expect(state.reason).toBeUndefined();
      expect(state.waits).toBeUndefined();
      expect((await stemma.waits()).waits).toEqual([]);
    },
  );
});

// Defect 1, and the first of the tests to add: after the answer to one of two, theirs loses the other or hangs.
describe("two branches that wait", () => {
  const joined = body((ctx) =>
    ctx.all({
      one: async () => [await ctx.wait("gate"), await ctx.step("after", () => "one")],
      two: async () => [await ctx.wait("gate"), await ctx.step("after", () => "two")],
    }),
  );
  const apart = body(async (ctx) => {
    const done: unknown[] = [];
    const branch = (name: string) => async (): Promise<void> => {
      await ctx.wait("gate");
      done.push(await ctx.step("after", () => name));
    };
    await Promise.allSettled([ctx.scope("one", branch("one")), ctx.scope("two", branch("two"))]);
    return done;
  });

  for (const order of [
    ["one", "two"],
    ["two", "one"],
  ] as const) {
    it(`are both heard, ${order.join(" before ")}, where they are joined`, async () => {
      await using theatre = await stage([joined]);
      const run = await theatre.stemma.run(joined, undefined);
      for (const [i, name] of order.entries()) {
        await rests(run);
        expect(await openKeys(theatre.stemma)).toHaveLength(2 - i);
        await theatre.stemma.resume(run.id, `${name}/gate`, name);
      }
      expect(await run.result()).toEqual({ one: ["one", "one"], two: ["two", "two"] });
      expect(components(await run.trace())).toBe(1);
    });

    it(`are both heard, ${order.join(" before ")}, where each goes its own way`, async () => {
      await using theatre = await stage([apart]);
      const run = await theatre.stemma.run(apart, undefined);
      for (const name of order) {
        await rests(run);
        await theatre.stemma.resume(run.id, `${name}/gate`, name);
      }
      expect(await run.result()).toEqual(order);
      expect(components(await run.trace())).toBe(1);
    });
  }

  it("and one that failed: the failure is not forgotten, whichever comes first", async () => {
    // Defect 4. The body settles its branches before it throws, so the wait is asked to its end.
    const definition = body(async (ctx) => {
      const ends = await Promise.allSettled([
        ctx.step("bad", () => Promise.reject(new Error("broken"))),
        ctx.wait("gate"),
      ]);
      for (const end of ends) if (end.status === "rejected") throw end.reason;
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await rests(run);
    await theatre.stemma.resume(run.id, "gate", 1);
    await expect(run.result()).rejects.toMatchObject({ code: "run.failed", data: { steps: ["bad"] } });
    expect(await run.status()).toBe("failed");
    const graph = await run.trace();
    expect(graph.nodes.filter(({ kind }) => kind === "terminal").map(({ status }) => status)).toEqual(["failed"]);
  });

  it("are over when one beside them fails: nobody is asked for what would change nothing", async () => {
    const definition = body((ctx) =>
      ctx.all({ bad: () => ctx.step("bad", () => Promise.reject(new Error("broken"))), gate: () => ctx.wait("gate") }),
    );
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await expect(run.result()).rejects.toMatchObject({ code: "run.failed", data: { steps: ["bad/bad"] } });
    expect((await theatre.stemma.waits()).waits).toEqual([]);
    await expect(theatre.stemma.resume(run.id, "gate/gate", 1)).rejects.toMatchObject({ code: "wait.not_open" });
    expect(await run.status()).toBe("failed");
  });
});

// Defects 5 and 7, and of the tests to add "state with declared schema" and "a suspend between checkpoints".
it("what was known before a rest is known after it: values, schemas, and the state of the last checkpoint", async () => {
  await using store = fresh();
  let entered = 0;
  const definition = workflow(
    { name: "kept", input: z.object({ n: z.number() }) },
    async (ctx: Context<{ seen: number[] }>, input) => {
      let { restored } = ctx;
      if (restored === undefined) await ctx.checkpoint((restored = { seen: [input.n] }));
      const { seen } = restored;
      for (let i = 0; i < 3; i += 1) {
        const count = (n: number): number => ((entered += 1), n * 10);
        seen.push(await ctx.step("more", { input: i }, count));
      }
      seen.push((await ctx.wait("gate", { schema: z.object({ n: z.number() }) })).n);
      return seen;
    },
  );
  const first = await new Stemma({ store, workflows: [definition], log: silent }, { lingerMs: 1 }).start();
  const { id } = await first.run(definition, { n: 7 });
  await rests(await first.get(id));
  await first.stop();
  await using second = await new Stemma({ store, workflows: [definition], log: silent }).start();
  const [open] = (await second.waits()).waits;
  await second.resume(id, open?.key ?? "", { n: 9 });
  expect(await (await second.get(id)).result()).toEqual([7, 0, 10, 20, 9]);
  expect(entered).toBe(3);
});
