/** Questions that runs ask, the answers to them, and signals: what is accepted, what is refused, and what is kept. */
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { Stemma, workflow } from "../src/index.ts";
import type { Context, RunHandle, Workflow } from "../src/index.ts";
import type { HistoryPage } from "../src/store/store.ts";
import { around } from "../src/testing/around.ts";
import { errorOf, fresh, inTurn, outline, silent, stage, until } from "./stage.ts";

function body(run: (ctx: Context) => Promise<unknown>, name = "asking"): Workflow<undefined> {
  return workflow({ name }, run);
}

const suspended = async (run: RunHandle): Promise<void> => until(async () => (await run.status()) === "suspended");

const approval = body(async (ctx) => {
  const total = await ctx.step("total", () => 40);
  const answer = await ctx.wait("approval", {
    input: { total },
    schema: z.object({ approve: z.boolean(), note: z.string().optional() }),
    prompt: "Pay?",
    reason: "approval",
    tags: ["money"],
  });
  return ctx.step("pay", { input: answer }, (given) => given);
});

describe("a wait", () => {
  it("holds no process, is listed with what it asks, and goes on with its answer", async () => {
    await using theatre = await stage([approval]);
    const { stemma } = theatre;
    const run = await stemma.run(approval, undefined, { tags: ["eu"] });
    await suspended(run);
    expect((await stemma.row(run.id)).worker).toBeUndefined();
    const [open] = (await stemma.waits()).waits;
    expect(open).toMatchObject({
      run: run.id,
      workflow: "asking",
      key: "approval",
      name: "approval",
      kind: "approval",
      input: { total: 40 },
      prompt: "Pay?",
      reason: "approval",
      tags: ["money"],
      schema: { type: "object", required: ["approve"] },
    });
    for (const query of [
      { tag: "money" },
      { tag: "eu" },
      { kind: "approval" as const },
      { name: "approval" },
      { run: run.id },
    ]) {
      expect((await stemma.waits(query)).waits).toHaveLength(1);
    }
    for (const query of [{ tag: "no" }, { kind: "signal" as const }, { name: "no" }, { workflow: "no" }]) {
      expect((await stemma.waits(query)).waits).toEqual([]);
    }
    const answered = await stemma.resume(run.id, "approval", { approve: true }, { by: "ada" });
    expect(answered).toMatchObject({ state: "recorded", value: { approve: true }, by: "ada" });
    expect(await run.result()).toEqual({ approve: true });
    expect((await stemma.waits()).waits).toEqual([]);
  });

  it("refuses an answer that does not fit before anything changes, and says where it does not", async () => {
    await using theatre = await stage([approval]);
    const run = await theatre.stemma.run(approval, undefined);
    await suspended(run);
    const before = await run.history();
    const error = await errorOf(theatre.stemma.resume(run.id, "approval", { approve: "yes" }));
    expect(error).toMatchObject({ code: "wait.invalid_answer", data: { wait: "approval" } });
    expect(error.message).toContain("$/approve");
    expect(await errorOf(theatre.stemma.resume(run.id, "approval", undefined))).toMatchObject({
      code: "wait.invalid_answer",
    });
    expect(await run.history()).toEqual(before);
    await theatre.stemma.resume(run.id, "approval", { approve: false });
    expect(await run.result()).toEqual({ approve: false });
  });

  it("whose schema says more than JSON Schema can refuses on record, stays open, and whoever answered is told", async () => {
    const schema = z.object({ code: z.string().refine(async (code) => code === "1234", "wrong code") });
    const definition = body((ctx) => ctx.wait("code", { schema }));
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await suspended(run);
    const error = await errorOf(theatre.stemma.resume(run.id, "code", { code: "0000" }, { idempotencyKey: "first" }));
    expect(error).toMatchObject({ code: "wait.invalid_answer" });
    expect(error.message).toContain("wrong code");
    expect(await outline(run)).toContain("wait.refused code");
    expect((await theatre.stemma.waits()).waits).toHaveLength(1);
    await theatre.stemma.resume(run.id, "code", { code: "1234" }, { idempotencyKey: "second" });
    expect(await run.result()).toEqual({ code: "1234" });
  });

  it("that refused an answer takes a better one, without a key of its own, and tells of each where it does not fit", async () => {
    const schema = z.object({ code: z.string().refine(async (code) => code === "1234", "wrong code") });
    const definition = body((ctx) => ctx.wait("code", { schema }));
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await suspended(run);
    for (const code of ["0000", "0000", "1111"]) {
      expect(await errorOf(theatre.stemma.resume(run.id, "code", { code }))).toMatchObject({
        code: "wait.invalid_answer",
        data: { issues: [{ path: "$.code", message: "wrong code" }] },
      });
    }
    const keyed = { idempotencyKey: "mine" };
    for (let i = 0; i < 2; i += 1) {
      expect(await errorOf(theatre.stemma.resume(run.id, "code", { code: "2222" }, keyed))).toMatchObject({
        code: "wait.invalid_answer",
      });
    }
    expect((await outline(run)).filter((line) => line === "wait.refused code")).toHaveLength(4);
    await theatre.stemma.resume(run.id, "code", { code: "1234" });
    expect(await run.result()).toEqual({ code: "1234" });
  });

  it("takes one answer: a second is given the first, whatever it says", async () => {
    await using theatre = await stage([approval]);
    const run = await theatre.stemma.run(approval, undefined);
    await suspended(run);
    await theatre.stemma.resume(run.id, "approval", { approve: true }, { by: "ada" });
    await run.result();
    const second = await theatre.stemma.resume(run.id, "approval", { approve: false }, { by: "bob" });
    expect(second).toMatchObject({ state: "recorded", value: { approve: true }, by: "ada" });
    expect((await outline(run)).filter((line) => line === "wait.answered approval")).toHaveLength(1);
  });

  it("that is not open, not yet or not at all, says so", async () => {
    const definition = body((ctx) => ctx.sleep("1d"));
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await suspended(run);
    for (const wait of ["approval", "sleep"]) {
      expect(await errorOf(theatre.stemma.resume(run.id, wait, 1))).toMatchObject({ code: "wait.not_open" });
    }
    expect(await errorOf(theatre.stemma.resume("run_00000000000000000000000000", "a", 1))).toMatchObject({
      code: "run.not_found",
    });
  });

  it("can be answered with a failure, which the body can catch", async () => {
    const definition = body(async (ctx) => {
      try {
        return await ctx.wait("external");
      } catch (error) {
        return ctx.step("recover", () => `recovered from ${(error as Error).message}`);
      }
    });
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await suspended(run);
    await theatre.stemma.fail(run.id, "external", new Error("still broken"));
    expect(await run.result()).toBe("recovered from still broken");
  });

  it("can be told to wait on, with another prompt, and takes its answer then", async () => {
    const definition = body((ctx) => ctx.wait("gate", { prompt: "first pause" }));
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await suspended(run);
    for (const n of [1, 2]) {
      await theatre.stemma.resuspend(run.id, "gate", { value: { retryCount: n }, prompt: `pause ${n}` });
      await suspended(run);
      expect((await theatre.stemma.waits()).waits).toMatchObject([{ key: "gate", prompt: `pause ${n}` }]);
    }
    const opened = (await run.history()).filter((event) => event.type === "wait.opened");
    expect(opened.map(({ data }) => data.value)).toEqual([
      undefined,
      { inline: { retryCount: 1 } },
      { inline: { retryCount: 2 } },
    ]);
    await theatre.stemma.resume(run.id, "gate", "done");
    expect(await run.result()).toBe("done");
  });

  it("takes no answer to a question that is not asked any more, whatever key it has; it is refused on record", async () => {
    const definition = body((ctx) => ctx.wait("gate", { prompt: "pay 10?" }));
    await using store = fresh();
    await using theatre = await stage([definition], { store: inTurn(store) });
    const { stemma } = theatre;
    const key = { idempotencyKey: "mine" };
    const answers: Record<string, (run: string) => Promise<unknown>> = {
      value: (run) => stemma.resume(run, "gate", "yes", key),
      error: (run) => stemma.fail(run, "gate", new Error("no"), key),
      "to wait on": (run) => stemma.resuspend(run, "gate", { prompt: "pay 5?", ...key }),
    };
    for (const send of Object.values(answers)) {
      const run = await stemma.run(definition, undefined);
      await suspended(run);
      const [again, answer] = await Promise.allSettled([
        stemma.resuspend(run.id, "gate", { prompt: "pay 1000?", idempotencyKey: "theirs" }),
        send(run.id),
      ]);
      expect(again).toMatchObject({ status: "fulfilled", value: { state: "recorded" } });
      expect(answer).toMatchObject({ status: "rejected", reason: { code: "wait.not_open", data: { wait: "gate" } } });
      expect((await stemma.waits({ run: run.id })).waits).toMatchObject([{ key: "gate", prompt: "pay 1000?" }]);
      expect((await run.history()).filter(({ type }) => type === "wait.refused")).toMatchObject([
        { data: { key: "gate", error: { code: "wait.not_open" }, message: "mine" } },
      ]);
      await stemma.resume(run.id, "gate", "to that: no");
      expect(await run.result()).toBe("to that: no");
    }
  });

  it("that was told to wait on, or refused, under a key of its own says so as often as it is sent", async () => {
    await using store = fresh();
    const definition = body((ctx) => ctx.wait("gate", { prompt: "pay 10?" }));
    const first = await stage([definition], { store });
    const run = await first.stemma.run(definition, undefined);
    await suspended(run);
    await first.stemma.stop();
    const client = new Stemma({ store, log: silent });
    const again = (): Promise<unknown> =>
      client.resuspend(run.id, "gate", { prompt: "pay 1000?", idempotencyKey: "theirs" });
    const late = (): Promise<unknown> => client.resume(run.id, "gate", "yes", { idempotencyKey: "mine" });
    expect(await again()).toEqual({ state: "sent" });
    expect(await late()).toEqual({ state: "sent" });
    await using second = await stage([definition], { store });
    await until(async () => (await outline(run)).includes("wait.refused gate"));
    for (let i = 0; i < 2; i += 1) {
      expect(await again()).toMatchObject({ state: "recorded", seq: 5 });
      expect(await errorOf(late())).toMatchObject({ code: "wait.not_open" });
    }
    expect((await run.history()).filter(({ type }) => type === "wait.opened")).toHaveLength(2);
    await second.stemma.resume(run.id, "gate", "no", { idempotencyKey: "other" });
    expect(await (await second.stemma.get(run.id)).result()).toBe("no");
    expect(await client.resume(run.id, "gate", "no", { idempotencyKey: "other" })).toMatchObject({ value: "no" });
  });

  it("expires with its default, or as an error", async () => {
    const definition = body(async (ctx) => {
      const first = await ctx.wait("first", { expires: 5, default: "nobody" });
      try {
        return [first, await ctx.wait("second", { expires: 5 })];
      } catch (error) {
        return [first, (error as { code: string }).code];
      }
    });
    await using theatre = await stage([definition]);
    expect(await (await theatre.stemma.run(definition, undefined)).result()).toEqual(["nobody", "wait.expired"]);
  });

  it("any number may be open, and they are answered in any order", async () => {
    const names = Array.from({ length: 130 }, (_, i) => `w${i}`);
    const definition = body((ctx) => Promise.all(names.map((name) => ctx.wait(name))));
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await suspended(run);
    expect((await theatre.stemma.waits()).waits.map(({ key }) => key)).toEqual(names);
    for (const name of names.toReversed()) await theatre.stemma.resume(run.id, name, `${name}!`);
    expect(await run.result()).toEqual(names.map((name) => `${name}!`));
  });

  it("is found among thousands without reading the run again for each answer", async () => {
    const names = Array.from({ length: 400 }, (_, i) => `w${i}`);
    const definition = body((ctx) => Promise.all(names.map((name) => ctx.wait(name))));
    let read = 0;
    await using store = around(
      fresh(),
      async ({ method, make }) => {
        const answer = await make();
        if (method === "history") read += (answer as HistoryPage).events.length;
        return answer;
      },
      {},
    );
    await using theatre = await stage([definition], { store }, { lingerMs: 60_000 });
    const { stemma } = theatre;
    const run = await stemma.run(definition, undefined);
    await until(async () => (await stemma.row(run.id)).state.waits?.more === true);
    expect((await stemma.waits()).waits.map(({ key }) => key)).toEqual(names);
    read = 0;
    for (const name of names.toReversed().slice(0, 50)) await stemma.resume(run.id, name, name);
    // An answer is looked for until it is on record; that there are hundreds of waits costs nothing more.
    expect(read / 50).toBeLessThan(20);
    expect((await stemma.waits()).waits.map(({ key }) => key)).toEqual(names.slice(0, 350));
    await Promise.all(names.slice(0, 350).map((name) => stemma.resume(run.id, name, name)));
    expect(await run.result()).toEqual(names);
    expect((await stemma.row(run.id)).state.waits).toBeUndefined();
  });

  it("is answered while no worker runs: the answer is kept until one does", async () => {
    await using store = fresh();
    const first = await new Stemma({ store, workflows: [approval], log: silent }, { lingerMs: 10 }).start();
    const run = await first.run(approval, undefined);
    await suspended(run);
    await first.stop();
    const client = new Stemma({ store, log: silent });
    expect(await client.resume(run.id, "approval", { approve: true })).toEqual({ state: "sent" });
    const second = await new Stemma({ store, workflows: [approval], log: silent }).start();
    expect(await (await second.get(run.id)).result()).toEqual({ approve: true });
    await second.stop();
  });
});

it("a scope, a branch and a map that a body calls compensate are its own, and are recalled", async () => {
  const entered: string[] = [];
  const enter = (name: string) => (): void => void entered.push(name);
  const definition = body(async (ctx) => {
    await ctx.scope("compensate", () => ctx.step("a", enter("scope")));
    await ctx.all({ compensate: () => ctx.step("a", enter("branch")) });
    await ctx.map("compensate", ["a"], { key: (item) => item }, enter("map"));
    await ctx.wait("open");
  });
  await using theatre = await stage([definition]);
  const run = await theatre.stemma.run(definition, undefined);
  await suspended(run);
  await theatre.stemma.resume(run.id, "open", 1);
  await run.result();
  expect(entered).toEqual(["scope", "branch", "map"]);
});

describe("a signal", () => {
  const listener = body(async (ctx) => {
    const got: unknown[] = [];
    for (let i = 0; i < 3; i += 1) got.push(await ctx.signal("news", { schema: z.number() }));
    return got;
  });

  it("that comes early is kept, and of one name the first comes first", async () => {
    const gate = Promise.withResolvers<void>();
    const definition = body(async (ctx) => {
      await ctx.step("slow", () => gate.promise);
      return [await ctx.signal("a"), await ctx.signal("b"), await ctx.signal("a"), await ctx.signal("a")];
    });
    // Heartbeats are twenty minutes apart: also a message that comes while its run is being read is heard without one.
    await using theatre = await stage([definition], { lease: "1h" });
    const run = await theatre.stemma.run(definition, undefined);
    for (const [name, value] of [
      ["a", 1],
      ["a", 2],
      ["b", 3],
    ] as const)
      await theatre.stemma.signal(run.id, name, value);
    await until(async () => (await outline(run)).filter((line) => line === "signal.received").length === 3);
    gate.resolve();
    await suspended(run);
    await theatre.stemma.signal(run.id, "a", 4);
    expect(await run.result()).toEqual([1, 3, 2, 4]);
  });

  it("with the same key is one signal", async () => {
    await using theatre = await stage([listener]);
    const run = await theatre.stemma.run(listener, undefined);
    for (const [value, idempotencyKey] of [
      [1, "x"],
      [1, "x"],
      [2, "y"],
      [3, "z"],
    ] as const) {
      await theatre.stemma.signal(run.id, "news", value, { idempotencyKey });
    }
    expect(await run.result()).toEqual([1, 2, 3]);
  });

  it("that does not fit is refused on record, and the next is taken", async () => {
    await using theatre = await stage([listener]);
    const run = await theatre.stemma.run(listener, undefined);
    for (const value of ["no", 1, null, 2, 3]) await theatre.stemma.signal(run.id, "news", value);
    expect(await run.result()).toEqual([1, 2, 3]);
    expect((await outline(run)).filter((line) => line.startsWith("wait.refused"))).toHaveLength(2);
  });

  it("to a run that has ended is refused", async () => {
    const definition = body(async () => 1);
    await using theatre = await stage([definition]);
    const run = await theatre.stemma.run(definition, undefined);
    await run.result();
    expect(await errorOf(theatre.stemma.signal(run.id, "a", 1))).toMatchObject({ code: "run.ended" });
  });

  it("that is kept survives the death of the process, and a checkpoint", async () => {
    await using store = fresh();
    const gate = Promise.withResolvers<void>();
    const definition = body(async (ctx) => {
      await ctx.step("slow", () => gate.promise);
      return ctx.signal("a");
    });
    const first = await new Stemma({ store, workflows: [definition], log: silent, lease: 100 }).start();
    const run = await first.run(definition, undefined);
    await until(async () => (await run.status()) === "running");
    await first.signal(run.id, "a", { large: "x".repeat(5000) });
    await until(async () => (await outline(run)).includes("signal.received"));
    first.abandon();
    gate.resolve();
    const second = await new Stemma({ store, workflows: [definition], log: silent }).start();
    expect(await (await second.get(run.id)).result()).toEqual({ large: "x".repeat(5000) });
    await second.stop();
  });
});
