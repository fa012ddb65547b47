/**
 * What an executor did is known by its message, wherever in the supersteps it comes: in forks whose answers come in
 * another order, in restarts, and in graphs inside. A question keeps its key in a fork from a checkpoint that carries it.
 */
import { expect, test } from "vitest";
import { z } from "zod";
import type { ExecutorOptions, Workflow as Graph, WorkflowContext } from "../src/graph.ts";
import { executor, responseHandler, WorkflowBuilder, WorkflowExecutor } from "../src/graph.ts";
import { workflow } from "../src/index.ts";
import type { Context, Event, RunHandle, RunId, Stemma } from "../src/index.ts";
import { fakeClock } from "../src/testing.ts";
import { errorOf, fresh, stage, until } from "./stage.ts";

type Ctx = WorkflowContext<string, string>;
type Entered = { message: string; key: string }[];
type Desk = { entered: Entered; asked: string[]; fails: (message: string) => boolean };

const desk = (fails: Desk["fails"] = () => false): Desk => ({ entered: [], asked: [], fails });

/** Charges for each message. */
function charging({ entered, fails }: Desk, options: ExecutorOptions<never, never> = { effect: "once" }) {
  return executor<string, string, string>("charge", options, (message, ctx) => {
    entered.push({ message, key: ctx.idempotencyKey });
    if (fails(message)) throw new Error(`no money for ${message}`);
    ctx.sendMessage(`charged ${message}`);
  });
}

/** Asks about each letter, one superstep later for each, and charges for each answer. */
function asking(told: Desk, charge = charging(told)): Graph<string, string> {
  const start = executor("start", (text: string, ctx: Ctx) => {
    for (const letter of text) ctx.sendMessage(letter);
  });
  const ask = executor<string, string, string>(
    "ask",
    {
      onResponse: responseHandler<string, string, string, string>({ response: z.string() }, (about, said, ctx) =>
        ctx.sendMessage(`${about}=${said}`),
      ),
    },
    (letter, ctx) => {
      told.asked.push(letter);
      ctx.requestInfo(letter, { prompt: `${letter}?` });
    },
  );
  const end = executor("end", (message: string, ctx: Ctx) => ctx.yieldOutput(message));
  return new WorkflowBuilder<string, string>({ name: "desk", start }).addChain([start, ask, charge, end]).build();
}

const openOf = async (stemma: Stemma, run: RunId) => (await stemma.waits({ run })).waits;

async function resume(stemma: Stemma, run: RunId, about: string, value: string): Promise<void> {
  await until(async () => (await openOf(stemma, run)).some(({ input }) => input === about));
  const wait = (await openOf(stemma, run)).find(({ input }) => input === about);
  await stemma.resume(run, wait?.key ?? "", value);
}

/** Answers the questions about these one after the other: what follows from one is done before the next is answered. */
async function answer(stemma: Stemma, run: RunHandle<string[]>, answers: Record<string, string>): Promise<void> {
  for (const [about, value] of Object.entries(answers)) {
    await resume(stemma, run.id, about, value);
    await until(async () => {
      const history = await run.history();
      const isDone = history.some((event) => isSuccess(event) && JSON.stringify(event.data).includes(`d ${about}=`));
      return isDone && history.at(-1)?.type !== "checkpoint" && /succeeded|suspended/u.test(await run.status());
    });
  }
}

const isSuccess = ({ type }: Event): boolean => type === "step.succeeded" || type === "step.reused";
const checkpointsOf = async (stemma: Stemma, run: RunId): Promise<number[]> =>
  (await stemma.history(run)).flatMap(({ type, seq }) => (type === "checkpoint" ? [seq] : []));
const messages = ({ entered }: Desk): string[] => entered.map(({ message }) => message);

test("a fork whose answers come in another order enters a once step with an equal message once", async () => {
  const told = desk();
  const graph = asking(told).durable();
  await using on = await stage([graph]);
  const run = await on.stemma.run(graph, "ab");
  await answer(on.stemma, run, { a: "1", b: "2" });
  expect(await run.result()).toEqual(["charged a=1", "charged b=2"]);
  const [before, behind] = await checkpointsOf(on.stemma, run.id);
  for (const checkpoint of [before ?? 0, behind ?? 0]) {
    const fork = await on.stemma.fork<string[]>(run.id, { checkpoint });
    await answer(on.stemma, fork, { b: "2", a: "1" });
    expect(await fork.result()).toEqual(["charged b=2", "charged a=1"]);
  }
  expect(messages(told)).toEqual(["a=1", "b=2"]);
  // The record says all the same in which superstep it was: events, trace and checkpoints have the segment.
  const keys = (await run.history()).flatMap((event) =>
    isSuccess(event) && "key" in event.data ? event.data.key : [],
  );
  expect(keys.filter((key) => key.endsWith("/charge"))).toEqual(["#3/charge", "#6/charge"]);
});

test("equal messages are one after the other: the second of a run is entered, and the second of its fork is that one", async () => {
  const told = desk();
  const graph = asking(told).durable();
  await using on = await stage([graph]);
  const run = await on.stemma.run(graph, "aa");
  await answer(on.stemma, run, { a: "1" });
  const [, behind] = await checkpointsOf(on.stemma, run.id);
  await resume(on.stemma, run.id, "a", "1");
  expect(await run.result()).toEqual(["charged a=1", "charged a=1"]);
  expect(new Set(told.entered.map(({ key }) => key)).size).toBe(2);
  // Both at once: in one superstep now, where they were in two.
  const fork = await on.stemma.fork<string[]>(run.id, { checkpoint: behind ?? 0 });
  await until(async () => (await openOf(on.stemma, fork.id)).length === 2);
  await Promise.all((await openOf(on.stemma, fork.id)).map(({ key }) => on.stemma.resume(fork.id, key, "1")));
  expect(await fork.result()).toEqual(["charged a=1", "charged a=1"]);
  expect(told.entered).toHaveLength(2);
});

test("what failed is tried with the same key by a fork in which it comes in another superstep", async () => {
  let broken = true;
  const told = desk((message) => broken && message === "b=2");
  const graph = asking(told, charging(told, {})).durable();
  await using on = await stage([graph]);
  const run = await on.stemma.run(graph, "ab");
  await answer(on.stemma, run, { a: "1" });
  await resume(on.stemma, run.id, "b", "2");
  expect((await errorOf(run.result())).message).toContain("no money");
  broken = false;
  const [before] = await checkpointsOf(on.stemma, run.id);
  const fork = await on.stemma.fork<string[]>(run.id, { checkpoint: before ?? 0 });
  await answer(on.stemma, fork, { b: "2", a: "1" });
  await fork.result();
  const keysOf = (message: string) => told.entered.flatMap((one) => (one.message === message ? [one.key] : []));
  expect(keysOf("b=2")).toHaveLength(2);
  expect(new Set(keysOf("b=2")).size, "a service that was asked before knows it again").toBe(1);
  expect(new Set(keysOf("a=1")).size, "its success was given up on purpose").toBe(2);
});

test("a once step of a graph inside is known by the message that the graph inside was given", async () => {
  const told = desk();
  const start = executor("pay", (message: string, ctx: Ctx) => ctx.sendMessage(message));
  const paid = executor("paid", (message: string, ctx: Ctx) => ctx.yieldOutput(message));
  const inner = new WorkflowBuilder<string, string>({ name: "paying", start })
    .addChain([start, charging(told), paid])
    .build();
  const graph = asking(told, new WorkflowExecutor(inner, "payments")).durable();
  await using on = await stage([graph, ...graph.inner]);
  const run = await on.stemma.run(graph, "ab");
  await resume(on.stemma, run.id, "a", "1");
  await until(async () => told.entered.length === 1);
  await resume(on.stemma, run.id, "b", "2");
  expect(await run.result()).toEqual(["charged a=1", "charged b=2"]);
  const [before] = await checkpointsOf(on.stemma, run.id);
  const fork = await on.stemma.fork<string[]>(run.id, { checkpoint: before ?? 0 });
  await resume(on.stemma, fork.id, "b", "2");
  await until(async () => (await checkpointsOf(on.stemma, fork.id)).length === 4);
  await resume(on.stemma, fork.id, "a", "1");
  expect((await fork.result()).toSorted()).toEqual(["charged a=1", "charged b=2"]);
  expect(messages(told)).toEqual(["a=1", "b=2"]);
});

test("what is charged first in a fork, and was not charged where something else was, waits for nobody", async () => {
  const told = desk();
  const graph = asking(told).durable();
  await using on = await stage([graph]);
  const run = await on.stemma.run(graph, "ab");
  await answer(on.stemma, run, { a: "1" });
  const [before] = await checkpointsOf(on.stemma, run.id);
  const fork = await on.stemma.fork<string[]>(run.id, { checkpoint: before ?? 0 });
  await answer(on.stemma, fork, { b: "2", a: "1" });
  expect(await fork.result()).toEqual(["charged b=2", "charged a=1"]);
  expect(messages(told)).toEqual(["a=1", "b=2"]);
});

test("another charge in the place of one that was made waits for somebody to decide, in whatever superstep it comes", async () => {
  const told = desk();
  const graph = asking(told).durable();
  await using on = await stage([graph]);
  const run = await on.stemma.run(graph, "ab");
  await answer(on.stemma, run, { a: "1", b: "2" });
  await run.result();
  const [before] = await checkpointsOf(on.stemma, run.id);
  for (const allowEffects of [[], ["#6/charge"]]) {
    const fork = await on.stemma.fork<string[]>(run.id, { checkpoint: before ?? 0, allowEffects });
    await answer(on.stemma, fork, { b: "2" });
    await resume(on.stemma, fork.id, "a", "less");
    if (allowEffects.length === 0) {
      await until(async () => (await fork.history()).some(({ type }) => type === "step.in_doubt"));
      const doubt = (await fork.history()).find(({ type }) => type === "step.in_doubt");
      expect(doubt?.data).toMatchObject({ held: { run: run.id, why: "done with another input" } });
      expect(messages(told)).toEqual(["a=1", "b=2"]);
      await fork.cancel();
    } else expect(await fork.result()).toEqual(["charged b=2", "charged a=less"]);
  }
  expect(messages(told)).toEqual(["a=1", "b=2", "a=less"]);
});

test("a once step is known by its message on another store too, which the family was taken to in a file", async () => {
  const told = desk();
  const graph = asking(told).durable();
  const parts: string[] = [];
  let [source, checkpoint] = ["", 0];
  {
    await using on = await stage([graph]);
    const run = await on.stemma.run(graph, "ab");
    await answer(on.stemma, run, { a: "1", b: "2" });
    await run.result();
    [source, checkpoint] = [run.id, (await checkpointsOf(on.stemma, run.id))[0] ?? 0];
    for await (const part of on.stemma.export(run.id)) parts.push(part);
  }
  await using there = await stage([graph]);
  await there.stemma.import(async function* () {
    yield* parts;
  });
  const fork = await there.stemma.fork<string[]>(source, { checkpoint });
  await answer(there.stemma, fork, { b: "2", a: "1" });
  expect(await fork.result()).toEqual(["charged b=2", "charged a=1"]);
  expect(messages(told)).toEqual(["a=1", "b=2"]);
});

test("people are asked again about what is new: requests are known by what is asked, not by the place among others", async () => {
  const told = desk();
  const graph = asking(told).durable();
  await using on = await stage([graph]);
  const run = await on.stemma.run(graph, "ab");
  await answer(on.stemma, run, { a: "1", b: "2" });
  await run.result();
  const fork = await on.stemma.fork<string[]>(run.id, { input: "cba" });
  await until(async () => (await fork.status()) === "suspended");
  expect((await openOf(on.stemma, fork.id)).map(({ input }) => input)).toEqual(["c"]);
  await resume(on.stemma, fork.id, "c", "3");
  expect((await fork.result()).toSorted()).toEqual(["charged a=1", "charged b=2", "charged c=3"]);
  expect([messages(told), told.asked]).toEqual([
    ["a=1", "b=2", "c=3"],
    ["a", "b", "c"],
  ]);
});

test("a fork from a checkpoint that carries a question asks it under its key, so an output given for it is its answer", async () => {
  const told = desk();
  const graph = asking(told, charging(told, {})).durable();
  await using on = await stage([graph]);
  const run = await on.stemma.run(graph, "ab");
  await answer(on.stemma, run, { a: "1" });
  const [question] = await openOf(on.stemma, run.id);
  await resume(on.stemma, run.id, "b", "2");
  await run.result();
  const carrying = (await run.history()).flatMap(({ type, seq, data }) =>
    type === "checkpoint" && data.waits?.some(({ key }) => key === question?.key) ? [seq] : [],
  );
  expect(carrying.length).toBeGreaterThan(2);
  for (const checkpoint of carrying) {
    const change = { checkpoint, outputs: { [question?.key ?? ""]: "other" } };
    const plan = await on.stemma.plan(run.id, change);
    expect(plan.steps.find(({ key }) => key === question?.key)).toMatchObject({
      verdict: "reuse",
      reason: "output given",
    });
    const fork = await on.stemma.fork<string[]>(run.id, change);
    await until(async () => {
      // The other question is open, or answered, depending on the checkpoint.
      for (const { key } of await openOf(on.stemma, fork.id)) await on.stemma.resume(fork.id, key, "1");
      return (await fork.status()) === "succeeded";
    });
    expect(await fork.result()).toContain("charged b=other");
    expect((await fork.history()).some(({ type }) => type === "run.warned")).toBe(false);
  }
});

test("in a fork it is one question under that key too: over checkpoints, in other processes, and in a fork of the fork", async () => {
  const [clock, store] = [fakeClock(), fresh()];
  type State = { round: number };
  const rounds = workflow({ name: "rounds" }, async (ctx: Context<State>) => {
    let state = ctx.restored ?? { round: 0 };
    for (;;) {
      const answers = [ctx.wait("which", { input: "x" }), ctx.wait("which", { input: "y" })];
      if (state.round === 4) return Promise.all(answers);
      await ctx.step("work", { input: state }, () => state.round);
      state = { round: state.round + 1 };
      await ctx.checkpoint(state, { carryWaits: true });
    }
  });
  const keysOf = async (stemma: Stemma, run: RunId) => (await openOf(stemma, run)).map(({ key }) => key);
  const first = await stage([rounds], { store, clock });
  const run = await first.stemma.run(rounds, undefined);
  await until(async () => (await checkpointsOf(first.stemma, run.id)).length === 4);
  const [, second] = await checkpointsOf(first.stemma, run.id);
  const fork = await first.stemma.fork(run.id, { checkpoint: second ?? 0 });
  await until(async () => (await checkpointsOf(first.stemma, fork.id)).length === 2);
  expect(await keysOf(first.stemma, fork.id)).toEqual(["which", "which#2"]);
  const [, last] = await checkpointsOf(first.stemma, fork.id);
  first.stemma.abandon();
  await using next = await stage([rounds], { store, clock });
  await clock.advance("30s");
  await next.stemma.resume(fork.id, "which#2", "2");
  const again = await next.stemma.fork(fork.id, { checkpoint: last ?? 0, outputs: { "which#2": "other" } });
  for (const one of [fork, again]) {
    await until(async () => (await keysOf(next.stemma, one.id)).join() === "which");
    await next.stemma.resume(one.id, "which", "1");
  }
  expect(await (await next.stemma.get(fork.id)).result()).toEqual(["1", "2"]);
  expect(await (await next.stemma.get(again.id)).result()).toEqual(["1", "other"]);
  expect(await keysOf(next.stemma, run.id), "the source has its own").toEqual(["which", "which#2"]);
  await store.close();
});

test("equal invocations that are given the earliest success of one ask a question each, under keys of their own", async () => {
  const told = desk();
  const graph = asking(told).durable();
  await using on = await stage([graph]);
  const run = await on.stemma.run(graph, "aa");
  await until(async () => (await openOf(on.stemma, run.id)).length === 2);
  const open = await openOf(on.stemma, run.id);
  for (const { key } of open) await on.stemma.resume(run.id, key, "1");
  const output = await run.result();
  const fork = await on.stemma.fork(run.id, { matching: "earliest" });
  expect(await fork.result()).toEqual(output);
  expect(told.asked).toEqual(["a", "a"]);
  expect(messages(told)).toEqual(["a=1", "a=1"]);
  const asked = (await fork.history()).filter(({ type }) => type.startsWith("step.") || type.startsWith("wait."));
  const keys = asked.flatMap(({ data }) => ("key" in data && data.key.includes("ask-") ? [data.key] : []));
  expect(new Set(keys)).toEqual(new Set(open.map(({ key }) => key)));
});
