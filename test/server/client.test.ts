/** The client against a real server: what it does is what `Stemma` does, with the same values and the same errors. */
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { StepError, isStemmaError, workflow } from "../../src/index.ts";
import type { Event, Stemma } from "../../src/index.ts";
import { errorOf, until } from "../stage.ts";
import { serve } from "./place.ts";

const add = workflow({ name: "add", input: z.object({ a: z.number(), b: z.number() }) }, (ctx, { a, b }) =>
  ctx.step("sum", { input: { a, b } }, (it_) => it_.a + it_.b),
);
const asking = workflow({ name: "asking" }, async (ctx) => {
  const first = await ctx.wait<{ ok: boolean }>("approval", { schema: z.object({ ok: z.boolean() }), prompt: "Well?" });
  const second = await ctx.signal<string>("more");
  return { first, second };
});
const failing = workflow({ name: "failing" }, async (ctx) => {
  await ctx.step("fine", { input: 1 }, () => "paid for");
  await ctx.step("bad", { input: 2 }, () => {
    throw Object.assign(new Error("no luck"), { code: "LUCK" });
  });
});
const doubtful = workflow({ name: "doubtful" }, (ctx) =>
  ctx.step("pay", { effect: "once", input: 1 }, () => {
    throw new Error("the line broke");
  }),
);
const talking = workflow({ name: "talking" }, (ctx) =>
  ctx.step("talk", (_input, step) => {
    for (const word of ["one", "two", "three"]) step.emit("words", word);
    return "done";
  }),
);
const workflows = [add, asking, failing, doubtful, talking];

describe("a client", () => {
  it("starts a run, follows it to its end, and gets its output", async () => {
    await using at = await serve(workflows);
    const run = await at.client.run(add, { a: 1, b: 2 }, { tags: ["x"], by: "ada", context: { tenant: "t" } });
    const events: Event[] = [];
    for await (const event of run.events()) events.push(event);
    expect(await run.result()).toBe(3);
    expect(await run.status()).toBe("succeeded");
    expect(events).toEqual(await at.stemma.history(run.id));
    expect(events[0]?.data).toMatchObject({ by: "ada", tags: ["x"] });
    expect(await run.trace()).toEqual(await at.stemma.trace(run.id));
    const { runs } = await at.client.list({ workflow: "add", status: ["succeeded"], tag: "x", limit: 10 });
    expect(runs).toEqual([await at.stemma.row(run.id)]);
  });

  it("makes one run of the same key, whatever characters it has, and refuses another input under it", async () => {
    await using at = await serve(workflows);
    for (const idempotencyKey of ["k 1", "schlüssel ✓", "UTF-8''x%41"]) {
      const one = await at.client.run("add", { a: 1, b: 2 }, { idempotencyKey });
      expect((await at.client.run("add", { a: 1, b: 2 }, { idempotencyKey })).id).toBe(one.id);
      expect((await at.stemma.run(add, { a: 1, b: 2 }, { idempotencyKey })).id).toBe(one.id);
      const other = at.client.run("add", { a: 2, b: 2 }, { idempotencyKey });
      expect(await errorOf(other)).toMatchObject({ code: "run.conflict", data: { run: one.id } });
    }
  });

  it("answers waits and signals, and is told what is wrong with an answer", async () => {
    await using at = await serve(workflows);
    const run = await at.client.run("asking", undefined);
    await until(async () => (await at.client.waits({ run: run.id })).waits.length === 1);
    const { waits } = await at.client.waits({ run: run.id });
    expect(waits).toMatchObject([{ key: "approval", prompt: "Well?", schema: { type: "object" } }]);
    const wrong = at.client.resume(run.id, "approval", { ok: "yes" });
    expect(await errorOf(wrong)).toMatchObject({ code: "wait.invalid_answer" });
    expect(await errorOf(at.client.resume(run.id, "other", 1))).toMatchObject({
      code: "wait.not_open",
      data: { open: ["approval"] },
    });
    const again = await at.client.resuspend(run.id, "approval", { prompt: "Really?", reason: "not sure" });
    expect(again.state).toBe("recorded");
    const answered = await at.client.resume(run.id, "approval", { ok: true }, { by: "ada" });
    expect(answered).toMatchObject({ state: "recorded", value: { ok: true }, by: "ada" });
    expect(await at.client.resume(run.id, "approval", { ok: false })).toEqual(answered);
    await at.client.signal(run.id, "more", "text", { idempotencyKey: "s" });
    await at.client.signal(run.id, "more", "text", { idempotencyKey: "s" }).catch(() => {});
    expect(await run.result()).toEqual({ first: { ok: true }, second: "text" });
    expect(await errorOf(at.client.signal(run.id, "more"))).toMatchObject({ code: "run.ended" });
  });

  it("restarts, forks, plans and compares as the engine does", async () => {
    await using at = await serve(workflows);
    const failed = await at.client.run("failing", undefined);
    const error = await errorOf(failed.result());
    expect(error).toMatchObject({ code: "run.failed", data: { run: failed.id, steps: ["bad"] } });
    expect(error.cause).toBeInstanceOf(StepError);
    expect(error.cause).toMatchObject({ message: "no luck", code: "LUCK" });
    expect(await at.client.plan(failed.id)).toEqual(await at.stemma.plan(failed.id));
    expect(await at.client.plan(failed.id, {}, { dryRun: true })).toEqual(
      await at.stemma.plan(failed.id, {}, { dryRun: true }),
    );
    const change = { outputs: { bad: "given" }, reason: "to see", by: "ada", idempotencyKey: "once" };
    const fork = await at.client.fork(failed.id, change);
    expect((await at.client.fork(failed.id, change)).id).toBe(fork.id);
    await fork.result();
    const again = await at.client.restart(failed.id);
    await errorOf(again.result());
    expect((await again.history()).some(({ type }) => type === "step.reused")).toBe(true);
    expect(await at.client.compare(failed.id, fork.id)).toEqual(await at.stemma.compare(failed.id, fork.id));
    expect(await at.client.lineage(fork.id)).toEqual(await at.stemma.lineage(fork.id));
    expect(await at.client.trace(fork.id, { family: true })).toEqual(await at.stemma.trace(fork.id, { family: true }));
    expect(await at.client.stateAt(fork.id, 0)).toEqual(await at.stemma.stateAt(fork.id, 0));
    const unused = at.client.fork(failed.id, { outputs: { nowhere: 1 } });
    expect(await errorOf(unused)).toMatchObject({ code: "override.unused" });
    const slip = at.client.restart(failed.id, { form: "bad" } as never);
    expect(await errorOf(slip)).toMatchObject({ code: "usage.invalid" });
  });

  it("decides about a step in doubt, pauses, unpauses and cancels", async () => {
    await using at = await serve(workflows);
    const run = await at.client.run("doubtful", undefined);
    await until(async () => (await at.client.row(run.id)).state.reason === "in_doubt");
    expect(await errorOf(at.client.decide(run.id, "other", "run"))).toMatchObject({ code: "step.not_in_doubt" });
    await at.client.decide(run.id, "pay", { record: { paid: true } }, { by: "ada", reason: "the bank says so" });
    expect(await run.result()).toEqual({ paid: true });

    const other = await at.client.run("asking", undefined);
    await until(async () => (await other.status()) === "suspended");
    await at.client.pause(other.id, { by: "ada", idempotencyKey: "p" });
    await until(async () => (await other.status()) === "paused");
    await at.client.unpause(other.id, { by: "ada" });
    await until(async () => (await other.status()) === "suspended");
    expect(await other.cancel({ by: "ada", reason: "enough" })).toMatchObject({ accepted: true });
    expect(await errorOf(other.result())).toMatchObject({ code: "run.cancelled" });
    expect(await other.cancel()).toEqual({ accepted: false, status: "cancelled" });
    const said = (await other.history()).filter(({ type }) => /paused|unpaused|cancel/.test(type));
    expect(said.map(({ data }) => (data as { by?: string }).by)).toContain("ada");
  });

  it("gives an answer of failure, which the run gets as an error", async () => {
    await using at = await serve(workflows);
    const run = await at.client.run("asking", undefined);
    await until(async () => (await at.client.waits({ run: run.id })).waits.length === 1);
    await at.client.fail(run.id, "approval", new TypeError("never"));
    expect(await errorOf(run.result())).toMatchObject({ code: "run.failed", cause: { name: "TypeError" } });
  });

  it("puts on record what is said to have failed as the engine does, with its causes", async () => {
    await using at = await serve(workflows);
    const error = Object.assign(new TypeError("the bank says no", { cause: new Error("too late") }), { code: "NO" });
    const failures = async (by: Pick<Stemma, "decide" | "fail">): Promise<unknown[]> => {
      const [doubt, open] = [await at.client.run("doubtful", undefined), await at.client.run("asking", undefined)];
      await until(async () => (await at.client.row(doubt.id)).state.reason === "in_doubt");
      await until(async () => (await at.client.waits({ run: open.id })).waits.length === 1);
      await by.decide(doubt.id, "pay", { fail: error });
      await by.fail(open.id, "approval", error);
      await Promise.all([errorOf(doubt.result()), errorOf(open.result())]);
      const all = [...(await doubt.history()), ...(await open.history())];
      return all.flatMap(({ type, data }) => (type === "run.failed" ? [data.error] : []));
    };
    const here = await failures(at.stemma);
    expect(here).toMatchObject([{ code: "NO", cause: { message: "too late" } }, { cause: { message: "too late" } }]);
    expect(await failures(at.client)).toEqual(here);
  });

  it("follows the values that a run emits", async () => {
    await using at = await serve(workflows);
    const run = await at.client.run("talking", undefined);
    const words: unknown[] = [];
    for await (const item of run.stream<string>("words")) words.push(item.value);
    expect(words).toEqual(["one", "two", "three"]);
  });

  it("says what the server knows, and what its store says of itself", async () => {
    await using at = await serve(workflows);
    const known = await at.client.workflows();
    expect(known.map(({ name }) => name).toSorted()).toEqual(["add", "asking", "doubtful", "failing", "talking"]);
    expect(known.find(({ name }) => name === "add")?.input).toMatchObject({ required: ["a", "b"] });
    expect((await at.client.doctor()).ok).toBe(true);
    expect(await at.client.health()).toEqual({ status: "ok" });
    const [worker, ...others] = await at.client.workers();
    expect([others, worker?.runs]).toEqual([[], 0]);
    expect(worker?.leaseUntil).toBeGreaterThan(Date.now());
    expect(worker?.worker).toBeTypeOf("string");
  });

  it("says of the engine's refusals what the engine says", async () => {
    await using at = await serve(workflows);
    const nobody = `run_${"0".repeat(26)}`;
    const cases: [() => Promise<unknown>, () => Promise<unknown>][] = [
      [() => at.client.row("run_x"), () => at.stemma.row("run_x")],
      [() => at.client.get(nobody), () => at.stemma.get(nobody)],
      [() => at.client.run("add", { a: "1" }), () => at.stemma.run(add, { a: "1" } as never)],
      [() => at.client.run("asking", [NaN]), () => at.stemma.run<unknown, unknown>(asking, [NaN])],
      [() => at.client.run("asking", 1, { delay: "soon" }), () => at.stemma.run(asking, 1, { delay: "soon" })],
    ];
    for (const [remote, local] of cases) {
      const [one, other] = [await errorOf(remote()), await errorOf(local())];
      expect(isStemmaError(one)).toBe(true);
      expect(one.code).toBe(other.code);
      expect(one.message).toBe(other.message);
      expect(one.data).toEqual(other.data);
    }
    expect(await errorOf(at.client.run("nothing", 1))).toMatchObject({ code: "workflow.not_found" });
  });

  it("says that a server is not there, or is none", async () => {
    await using at = await serve(workflows);
    const { client } = await import("../../src/client.ts");
    const nowhere = client({ url: "http://127.0.0.1:1" });
    expect(await errorOf(nowhere.list())).toMatchObject({ code: "server.unreachable", retryable: true });
    const odd = client({ url: at.url, fetch: async () => new Response("<html>") });
    expect(await errorOf(odd.list())).toMatchObject({ code: "server.invalid_answer" });
    expect(() => client({ url: "ftp://x" })).toThrow("Expected the address of a server");
  });
});
